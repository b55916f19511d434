//! Publishing, cancelling and requeueing jobs that exist already, in every state, through the binary.

use crate::machine::Machine;
use shared::ledger::{FailureCause, Status};

const ALL: [Status; 7] = [
    Status::Queued,
    Status::Running,
    Status::Publishing,
    Status::Registered,
    Status::Completed,
    Status::Failed,
    Status::Cancelled,
];

#[tokio::test]
async fn publishing_again_does_what_the_state_asks_for() {
    use FailureCause::{Infrastructure, Poison, Quality, User};
    let table = [
        (Status::Queued, None, 0, "queued", 1),
        (Status::Running, None, 0, "running", 0),
        (Status::Publishing, None, 0, "publishing", 0),
        (Status::Registered, None, 0, "registered", 0),
        (Status::Completed, None, 0, "completed", 0),
        (Status::Cancelled, None, 0, "queued", 1),
        (Status::Failed, Some(Infrastructure), 0, "queued", 1),
        (Status::Failed, Some(Poison), 0, "queued", 1),
        (Status::Failed, Some(User), 20, "failed", 0),
        (Status::Failed, Some(Quality), 10, "failed", 0),
    ];
    for (status, cause, code, then, messages) in table {
        let machine = Machine::new();
        let id = machine.publish();
        machine.bring(&id, status, cause).await;
        let before = machine.ready_messages().await;
        let done = machine.run(&["publish", "--project", "sentiment", "--tag", "t1"]);
        let case = format!("{status} {cause:?}: {done:?}");
        assert_eq!(done.code, code, "{case}");
        assert_eq!(done.last_line(), id, "{case}");
        assert_eq!(machine.status(&id)["status"], then, "{case}");
        assert_eq!(machine.ready_messages().await - before, messages, "{case}");
        if status == Status::Registered {
            assert!(done.stdout.contains("SEN-TRAINED-4"), "{case}");
        }
        if code != 0 {
            assert!(done.stderr.contains("line 3: no label"), "{case}");
        }
    }
}

#[tokio::test]
async fn waiting_for_a_job_that_has_ended_exits_with_its_code_at_once() {
    let table = [
        (Status::Registered, None, 0),
        (Status::Completed, None, 0),
        (Status::Cancelled, None, 40),
        (Status::Failed, Some(FailureCause::Quality), 10),
        (Status::Failed, Some(FailureCause::User), 20),
        (Status::Failed, Some(FailureCause::Capacity), 30),
    ];
    for (status, cause, code) in table {
        let machine = Machine::new();
        let id = machine.publish();
        machine.bring(&id, status, cause).await;
        let done = machine.run(&["wait", &id]);
        assert_eq!(done.code, code, "{status} {cause:?}: {done:?}");
    }
}

#[tokio::test]
async fn of_several_jobs_the_worst_code_counts() {
    let machine = Machine::new();
    let first = machine.publish();
    let second = machine
        .run(&["publish", "--project", "sentiment", "--tag", "t2"])
        .last_line();
    machine.bring(&first, Status::Failed, Some(FailureCause::Quality)).await;
    machine.bring(&second, Status::Registered, None).await;
    let done = machine.run(&["wait", &second, &first, "--output", "json"]);
    assert_eq!(done.code, 10, "{done:?}");
    let list = done.json();
    assert_eq!(
        (&list[0]["status"], &list[1]["status"]),
        (&"registered".into(), &"failed".into())
    );
}

#[tokio::test]
async fn cancelling_ends_what_is_not_decided() {
    for status in ALL {
        let machine = Machine::new();
        let id = machine.publish();
        machine.bring(&id, status, Some(FailureCause::User)).await;
        let done = machine.run(&["cancel", &id]);
        let (code, then) = match status {
            Status::Queued | Status::Running | Status::Cancelled => (0, "cancelled".to_owned()),
            Status::Publishing => (75, "publishing".to_owned()),
            ended => (64, ended.to_string()),
        };
        assert_eq!(done.code, code, "{status}: {done:?}");
        assert_eq!(machine.status(&id)["status"], then, "{status}");
    }
}

#[tokio::test]
async fn requeueing_reopens_what_failed_whatever_the_reason() {
    for status in ALL {
        let machine = Machine::new();
        let id = machine.publish();
        machine.bring(&id, status, Some(FailureCause::User)).await;
        let before = machine.ready_messages().await;
        let done = machine.run(&["dead", "requeue", &id]);
        let (code, then, messages) = match status {
            Status::Registered | Status::Completed => (64, status.to_string(), 0),
            Status::Running | Status::Publishing => (0, status.to_string(), 0),
            Status::Queued | Status::Failed | Status::Cancelled => (0, "queued".to_owned(), 1),
        };
        assert_eq!(done.code, code, "{status}: {done:?}");
        assert_eq!(machine.status(&id)["status"], then, "{status}");
        assert_eq!(machine.ready_messages().await - before, messages, "{status}");
    }
}

#[tokio::test]
async fn failed_jobs_are_listed_with_their_cause() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["dead", "list"]).last_line(), "no jobs");
    let id = machine.publish();
    machine.bring(&id, Status::Failed, Some(FailureCause::User)).await;
    let list = machine.run(&["dead", "list", "--output", "json"]).json();
    assert_eq!(
        (&list[0]["id"], list.as_array().map(Vec::len)),
        (&id.as_str().into(), Some(1))
    );
    assert!(
        list[0]["cause"]
            .as_str()
            .unwrap_or_default()
            .contains("line 3: no label"),
        "{list}"
    );
    let shown = machine.run(&["dead", "show", &id, "--output", "json"]).json();
    assert_eq!(
        (&shown["errors"][0]["host"], &shown["errors"][0]["cause"]),
        (&"h1".into(), &"user".into())
    );
}

#[tokio::test]
async fn all_jobs_that_an_outage_ended_are_requeued_and_no_other() {
    use FailureCause::{Infrastructure, User};
    let machine = Machine::new();
    let mut jobs = Vec::new();
    for (tag, cause) in [("t1", Infrastructure), ("t2", User), ("t3", Infrastructure)] {
        let id = machine
            .run(&["publish", "--project", "sentiment", "--tag", tag])
            .last_line();
        machine.bring(&id, Status::Failed, Some(cause)).await;
        jobs.push(id);
    }
    let list = machine
        .run(&["dead", "list", "--cause", "infrastructure", "--output", "json"])
        .json();
    let listed: Vec<_> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|job| &job["failure"])
        .collect();
    assert_eq!(listed, ["infrastructure"; 2]);
    let done = machine.run(&["dead", "requeue", "--all", "--cause", "infrastructure"]);
    assert_eq!(done.code, 0, "{done:?}");
    let status = |id: &String| machine.status(id)["status"].clone();
    assert_eq!(
        jobs.iter().map(status).collect::<Vec<_>>(),
        ["queued", "failed", "queued"]
    );
    let done = machine.run(&["dead", "requeue", "--all"]);
    assert_eq!((done.code, status(&jobs[1])), (0, "queued".into()), "{done:?}");
}

#[tokio::test]
async fn of_several_jobs_none_is_requeued_if_one_cannot_be() {
    let machine = Machine::new();
    let failed = machine.publish();
    let good = machine
        .run(&["publish", "--project", "sentiment", "--tag", "t2"])
        .last_line();
    machine.bring(&failed, Status::Failed, Some(FailureCause::User)).await;
    machine.bring(&good, Status::Registered, None).await;
    let done = machine.run(&["dead", "requeue", &failed, &good]);
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.stderr.contains(&good), "{done:?}");
    assert_eq!(machine.status(&failed)["status"], "failed");
    let done = machine.run(&["dead", "requeue", &failed, &failed]);
    assert_eq!(done.code, 0, "{done:?}");
    for wrong in [
        &["dead", "requeue"][..],
        &["dead", "requeue", "--all", &failed],
        &["dead", "requeue", &failed, "--cause", "user"],
        &["dead", "requeue", "--cause", "user"],
        &["dead", "list", "--cause", "bad luck"],
    ] {
        assert_eq!(machine.run(wrong).code, 64, "{wrong:?}");
    }
}

#[test]
fn a_job_that_nobody_published_exits_64() {
    let machine = Machine::new();
    let nobody = "0".repeat(32);
    for command in [
        &["wait", &nobody][..],
        &["status", &nobody],
        &["logs", &nobody],
        &["cancel", &nobody],
        &["dead", "show", &nobody],
    ] {
        let done = machine.run(command);
        assert_eq!(done.code, 64, "{command:?}: {done:?}");
        assert!(done.stderr.contains(&nobody), "{command:?}: {}", done.stderr);
    }
}
