//! Workers that stop, or are stopped, in the middle.

use crate::yard::{GOOD, Yard, content, drain, file, start};
use shared::ledger::{Event, FailureCause, Status};
use std::path::Path;
use std::time::{Duration, Instant};

/// Trains until it is told to stop, then writes a checkpoint; goes on from one that it finds.
const CAREFUL: &str = r#"
if [ -e "$checkpoints/checkpoint-3/weights" ]; then
  [ "$(cat "$checkpoints/checkpoint-3/weights")" = three ] || exit 70
  [ -e "$checkpoints/best" ] || exit 70
  export_model; exit 0
fi
save() {
  mkdir "$checkpoints/checkpoint-3"
  echo three > "$checkpoints/checkpoint-3/weights"
  echo best > "$checkpoints/best"
  echo '{"event":"checkpoint","step":3,"folder":"checkpoint-3"}'
  exit 75
}
trap save TERM
progress 2
while :; do sleep 0.05; done
"#;

/// Never ends, and says its process id.
fn endless(pid: &Path) -> String {
    format!(
        "trap '' TERM; echo $$ > {}; progress 1; while :; do sleep 0.05; done",
        pid.display()
    )
}

/// What is left of the time is what no earlier claim has worked, whoever it was and however it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_time_is_over_after_the_work_of_all_its_attempts() {
    let yard = Yard::new().await;
    let limited = shared::job::Content {
        time_limit_s: Some(4),
        ..content()
    };
    let id = yard.publish_silently(limited).await;
    // A worker claims, renews twice in its lease of three seconds, and is never heard of again.
    let dead = yard.worker("dead", GOOD);
    let now = yard.ledger.read(&id).await.unwrap();
    let shared::ledger::Claimed::Won(claim) = yard.ledger.claim(&id, &now, dead.claimant(), None).await.unwrap() else {
        panic!("not claimed")
    };
    for _ in 0..2 {
        claim.write(Event::Renew).await.unwrap();
    }
    yard.ring(&id).await;
    let pid_file = yard.path("pid");
    let heir = yard.worker("heir", &endless(&pid_file));
    let working = start(&heir);
    let pid = file(&pid_file).await;
    let begun = Instant::now();
    let state = yard.until(&id, "ended", |state| state.status.is_terminal()).await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "it had less than all its time"
    );
    until_dead(&pid).await;
    heir.shutdown.stop();
    working.await.unwrap();
    assert_eq!(
        (state.status, state.failure, state.token, state.worked_s),
        (Status::Failed, Some(FailureCause::User), 2, 2)
    );
    let cause = state.cause.unwrap_or_default();
    assert!(
        cause.contains("time limit of 4s") && cause.contains("2s by earlier attempts"),
        "{cause}"
    );
    assert!(yard.visible().await.is_empty());

    // Re-opened it has its time again, and it is enough for a trainer that does its work.
    let now = yard.ledger.read(&id).await.unwrap();
    yard.ledger.apply(&id, &now, &Event::Reopen).await.unwrap();
    yard.ring(&id).await;
    drain(&yard.worker("last", GOOD)).await;
    let state = yard.state(&id).await;
    assert_eq!((state.status, state.worked_s), (Status::Registered, 0), "{state:#?}");
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

async fn until_dead(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "the trainer lives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_saves_a_checkpoint_and_the_next_one_goes_on_from_it() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    let first = yard.worker("first", CAREFUL);
    let working = start(&first);
    yard.until(&id, "trains", |state| state.progress.is_some()).await;
    first.shutdown.stop();
    tokio::time::timeout(Duration::from_secs(10), working)
        .await
        .expect("the worker stays")
        .unwrap();

    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.checkpoints.len()),
        (Status::Queued, 1),
        "{state:#?}"
    );
    assert!(state.failures.is_empty() && state.claims_lost == 0);
    drain(&yard.worker("second", CAREFUL)).await;
    let state = yard.state(&id).await;
    assert_eq!((state.status, state.token), (Status::Registered, 2), "{state:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_loses_its_trainer() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    let pid_file = yard.path("pid");
    let worker = yard.worker("one", &endless(&pid_file));
    let working = start(&worker);
    let pid = file(&pid_file).await;
    let now = yard.ledger.read(&id).await.unwrap();
    cancel(&yard, &id, now).await;
    until_dead(&pid).await;
    worker.shutdown.stop();
    working.await.unwrap();
    let state = yard.state(&id).await;
    assert_eq!((state.status, state.token), (Status::Cancelled, 1));
    assert!(yard.visible().await.is_empty());
}

/// The owner writes progress and renewals meanwhile, so a first attempt may be refused.
async fn cancel(yard: &Yard, id: &shared::job::JobId, mut now: shared::ledger::Snapshot) {
    let event = Event::Cancel {
        reason: "a person".into(),
    };
    loop {
        match yard.ledger.apply(id, &now, &event).await.unwrap() {
            shared::ledger::Applied::Won(_) => return,
            shared::ledger::Applied::Refused(newer) => now = newer,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_kills_the_trainer_and_gives_the_job_back() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    let pid_file = yard.path("pid");
    let worker = yard.worker("one", &endless(&pid_file));
    let working = start(&worker);
    let pid = file(&pid_file).await;
    let started = Instant::now();
    worker.shutdown.stop_now();
    working.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    until_dead(&pid).await;
    assert_eq!(yard.state(&id).await.status, Status::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_dead_worker_is_taken_over_when_its_lease_is_over() {
    let yard = Yard::new().await;
    let id = yard.publish_silently(content()).await;
    // A worker claims, and is never heard of again.
    let dead = yard.worker("dead", GOOD);
    let now = yard.ledger.read(&id).await.unwrap();
    yard.ledger.claim(&id, &now, dead.claimant(), None).await.unwrap();

    yard.ring(&id).await;
    let started = Instant::now();
    drain(&yard.worker("heir", GOOD)).await;
    assert!(
        started.elapsed() >= Duration::from_secs(3),
        "the lease was not waited for"
    );
    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.token, state.worker.as_str()),
        (Status::Registered, 2, "heir"),
        "{state:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn decided_bytes_are_published_by_whoever_comes_without_training() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    let first = yard.worker("first", GOOD);
    // The first worker decides, and dies: staged and decided here by hand, from what its trainer made.
    let now = yard.ledger.read(&id).await.unwrap();
    let shared::ledger::Claimed::Won(claim) = yard.ledger.claim(&id, &now, first.claimant(), None).await.unwrap()
    else {
        panic!("not claimed")
    };
    let source = yard.path("config.json");
    std::fs::write(&source, "{}").unwrap();
    let files = vec![shared::publication::LocalFile {
        path: "model/model_artifacts/config.json".into(),
        source,
    }];
    let facts = shared::publication::CardFacts {
        build_tag: "t1".into(),
        worker_version: "0".into(),
        pipelines: std::collections::BTreeMap::new(),
    };
    let job = yard.ledger.job(&id).await.unwrap().unwrap();
    let decision = shared::publication::stage(&claim, &job, files, &facts).await.unwrap();
    claim.write(Event::Decide(decision)).await.unwrap();

    drain(&yard.worker("heir", "fail internal 'nothing is to be trained'; exit 70")).await;
    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.version),
        (Status::Registered, Some(1)),
        "{state:#?}"
    );
    assert!(
        yard.visible()
            .await
            .iter()
            .any(|path| path.ends_with("model/model_card"))
    );
}
