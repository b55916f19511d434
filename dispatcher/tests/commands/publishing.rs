//! Publishing: a job in the ledger, its data in the store, its message in the queue.

use crate::machine::Machine;

const PUBLISH: [&str; 5] = ["publish", "--project", "sentiment", "--tag", "t1"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    PUBLISH.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn the_same_request_is_the_same_job_and_rings_again() {
    let machine = Machine::new();
    let id = machine.publish();
    assert_eq!(id.len(), 32, "{id}");
    assert_eq!(machine.ready_messages().await, 1);
    assert_eq!(machine.publish(), id);
    assert_eq!(
        machine.ready_messages().await,
        2,
        "a queued job's message is sent again"
    );
    let job = machine.ledger().await.job(&id.parse().unwrap()).await.unwrap().unwrap();
    let data = &job.content.pipelines["main"].training.as_ref().unwrap().data;
    let stored = std::fs::read(machine.path().join("store/trainyard/data").join(&data.sha256)).unwrap();
    assert_eq!(
        stored,
        std::fs::read(machine.path().join("config/sentiment/data/train.jsonl")).unwrap()
    );
}

#[test]
fn what_decides_the_result_decides_the_id() {
    let machine = Machine::new();
    let plain = machine.publish();
    let id = |arguments: &[&str]| {
        let done = machine.run(arguments);
        assert_eq!(done.code, 0, "{done:?}");
        done.last_line()
    };
    let others = [
        id(&["publish", "--project", "sentiment", "--tag", "t2"]),
        id(&with(&["--set", "EPOCHS=7"])),
        id(&with(&["--accelerator", "gpu"])),
        id(&with(&["--runner", "inf1.2xlarge"])),
        id(&with(&["--sample"])),
        id(&with(&["--no-register"])),
        id(&with(&["--exact-worker"])),
        id(&with(&["--force"])),
        id(&with(&["--force=ci-7"])),
    ];
    let mut all: Vec<&String> = others.iter().chain([&plain]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 10, "{others:?}");
    assert_eq!(
        id(&with(&["--force=ci-7"])),
        others[8],
        "a key makes a forced job repeatable"
    );
    assert_ne!(id(&with(&["--force"])), others[7]);
    let ci = machine
        .command(&PUBLISH)
        .env("GITHUB_SHA", "0a1b")
        .env("GITHUB_RUN_ID", "7")
        .output()
        .unwrap();
    assert_eq!(
        Machine::done(ci).last_line(),
        plain,
        "the lineage is recorded, not hashed"
    );
}

#[test]
fn a_matrix_is_one_job_an_entry() {
    let machine = Machine::new();
    machine.write_project("reviews", &[("MODEL", "REV-TRAINED")]);
    let text = "- {runner-kind: custom, self-hosted-runner-type: inf1.2xlarge, project: sentiment, tag: '${{ x }}'}\n\
                - {project: reviews, tag: t9}\n";
    std::fs::write(machine.path().join("matrix.yaml"), text).unwrap();
    let done = machine.run(&["publish", "--matrix", "matrix.yaml", "--tag", "t1", "--output", "json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let list = done.json();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&list[0]["job"]["project"], &list[0]["job"]["tag"]),
        (&"sentiment".into(), &"t1".into())
    );
    assert_eq!(
        (&list[1]["job"]["project"], &list[1]["job"]["tag"]),
        (&"reviews".into(), &"t9".into())
    );
    assert_eq!(list[0]["action"], "queued");
    let model = &list[0]["models"][0];
    assert_eq!(
        (
            &model["repository"],
            &model["files"],
            &model["weights"]["model.safetensors"]
        ),
        (&"acme/tiny".into(), &3.into(), &2.into())
    );
    assert!(done.stderr.contains("acme/tiny at "), "{}", done.stderr);
    let waiting = list[0]["job"]["waiting_for"].as_str().unwrap_or_default();
    assert!(waiting.contains("inf1"), "{waiting}");
    let again = machine.run(&["publish", "--matrix", "matrix.yaml", "--tag", "t1"]);
    let ids: Vec<&str> = again.stdout.lines().collect();
    assert_eq!(
        ids,
        [
            list[0]["job"]["id"].as_str().unwrap(),
            list[1]["job"]["id"].as_str().unwrap()
        ]
    );
}

#[test]
fn a_hub_that_is_away_exits_69_and_leaves_no_job() {
    let machine = Machine::new();
    let commit = "f".repeat(40);
    let mut command = machine.command(&with(&["--set", &format!("HUGGINGFACE_MODEL_REVISION={commit}")]));
    let done = Machine::done(command.env("HF_HUB_OFFLINE", "1").output().unwrap());
    assert_eq!(done.code, 69, "{done:?}");
    assert!(
        done.stderr.contains("failed to publish sentiment") && done.stderr.contains("acme/tiny"),
        "{}",
        done.stderr
    );
    assert_eq!(machine.run(&["status"]).last_line(), "no jobs");
}

#[test]
fn a_store_that_cannot_be_reached_exits_69() {
    let machine = Machine::new();
    std::fs::write(machine.path().join("store"), "a file in the place of a folder").unwrap();
    let done = machine.run(&PUBLISH);
    assert_eq!(done.code, 69, "{done:?}");
    assert!(
        done.stderr.starts_with("error: ") && done.stderr.contains("store"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn a_publisher_killed_before_its_message_is_mended_by_publishing_again() {
    let machine = Machine::new();
    let killed = machine
        .command(&PUBLISH)
        .env("TRAINYARD_CRASH_AT", "after-job-json")
        .output()
        .unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
    assert!(killed.stdout.is_empty());
    let jobs = machine.ledger().await.jobs().await.unwrap();
    assert_eq!((jobs.len(), machine.ready_messages().await), (1, 0));
    assert_eq!(machine.publish(), jobs[0].as_str());
    assert_eq!(machine.ready_messages().await, 1);
}

#[test]
fn waiting_without_a_worker_says_what_to_start() {
    let machine = Machine::new();
    let id = machine.publish();
    let started = std::time::Instant::now();
    let done = machine.run(&["wait", &id, "--timeout", "300ms"]);
    assert_eq!(done.code, 75, "{done:?}");
    assert!(
        done.stderr.contains("start one: worker run --accelerator cpu"),
        "{}",
        done.stderr
    );
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    let status = machine.status(&id);
    assert!(
        status["waiting_for"]
            .as_str()
            .unwrap_or_default()
            .contains("worker run"),
        "{status}"
    );
}
