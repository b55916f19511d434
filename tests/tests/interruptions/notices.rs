//! What the instance metadata service says.

use crate::{PATIENCE, UNSAVED, is_training, state, until, weights};
use jiff::{SignedDuration, Timestamp};
use shared::ledger::Status;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tests::imds::{Imds, LIFECYCLE, REBALANCE, SPOT};
use tests::sandbox::{Finished, Sandbox, collect};

fn machine(endpoint: &str) -> Sandbox {
    let mut machine = crate::sandbox();
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint),
    ];
    machine
        .variables
        .extend(variables.map(|(name, value)| (name.into(), value.into())));
    machine
}

fn in_seconds(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string()
}

fn spot_notice(seconds: i64) -> String {
    format!(r#"{{"action": "terminate", "time": "{}"}}"#, in_seconds(seconds))
}

fn rebalance_notice(seconds: i64) -> String {
    format!(r#"{{"noticeTime": "{}"}}"#, in_seconds(seconds))
}

/// A worker that does nothing until the notice comes.
fn idle_until(imds: &Imds, machine: &Sandbox, path: &str, text: &str) -> Finished {
    let worker = machine.command("worker", &["run"]).spawn().expect("a worker");
    let deadline = Instant::now() + PATIENCE;
    while imds.counts().1 < 3 {
        assert!(Instant::now() < deadline, "nobody asked");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    imds.say(path, text);
    collect(worker, PATIENCE)
}

/// In the middle of a training that would take long.
fn interrupted_in_training(path: &str, text: impl Fn() -> String) -> (Sandbox, String, Finished) {
    let imds = Imds::start();
    let machine = machine(imds.endpoint());
    machine.write_project("sentiment", &[UNSAVED[0], UNSAVED[1], ("EPOCHS", "1000")]);
    let job = machine.publish("sentiment");
    let worker = machine.command("worker", &["run"]).spawn().expect("a worker");
    until(&machine, &job, "trains", is_training);
    imds.say(path, &text());
    let ended = collect(worker, PATIENCE);
    (machine, job, ended)
}

/// The job is there as if nothing had been: with a checkpoint, and no attempt counted.
fn assert_given_back(machine: &Sandbox, job: &str, ended: &Finished) {
    assert_eq!(ended.code(), 0, "{}", ended.output());
    let state = state(machine, job);
    assert_eq!((state.status, state.token), (Status::Queued, 1), "{state:#?}");
    assert_eq!(state.checkpoints.len(), 1, "{state:#?}\n{}", ended.output());
    assert!(
        state.failures.is_empty() && state.claims_lost == 0 && state.errors.is_empty(),
        "{state:#?}"
    );
}

#[test]
fn a_spot_notice_in_the_middle_of_training_costs_nothing_but_time() {
    let imds = Imds::start();
    let machine = machine(imds.endpoint());
    machine.write_project("sentiment", &[UNSAVED[0], UNSAVED[1], ("EPOCHS", "200")]);
    let job = machine.publish("sentiment");
    let worker = machine.command("worker", &["run"]).spawn().expect("a worker");
    until(&machine, &job, "trains", is_training);
    imds.say(SPOT, &spot_notice(120));
    let ended = collect(worker, PATIENCE);
    assert_given_back(&machine, &job, &ended);
    assert!(ended.output().contains("spot notice"), "{}", ended.output());
    let step = state(&machine, &job).checkpoints[0].step;

    // Another machine, of which nothing is announced.
    let mut next = machine.command("worker", &["run", "--drain"]);
    next.env("AWS_EC2_METADATA_DISABLED", "true");
    let next = tests::sandbox::finish(next);
    assert_eq!(next.code(), 0, "{}", next.output());
    let log = machine.run("dispatcher", &["logs", &job]).output();
    assert!(
        log.contains(&format!("going on from the checkpoint of step {step}")),
        "{log}"
    );
    let end = state(&machine, &job);
    assert_eq!(
        (end.status, end.token, end.failures.len()),
        (Status::Registered, 2, 0),
        "{end:#?}"
    );

    // The same training once more, left alone.
    let alone = machine.run(
        "dispatcher",
        &["publish", "--project", "sentiment", "--tag", "t1", "--force=alone"],
    );
    let alone = alone.stdout.lines().last().unwrap_or_default().to_owned();
    let mut worker = machine.command("worker", &["run", "--drain"]);
    worker.env("AWS_EC2_METADATA_DISABLED", "true");
    assert_eq!(tests::sandbox::finish(worker).code(), 0);
    assert_ne!(alone, job);
    assert_eq!(weights(&state(&machine, &alone)), weights(&end));
}

#[test]
fn a_rebalance_recommendation_in_the_middle_of_training_gives_the_job_back() {
    let (machine, job, ended) = interrupted_in_training(REBALANCE, || rebalance_notice(0));
    assert_given_back(&machine, &job, &ended);
    assert!(
        ended.output().contains("rebalance recommendation"),
        "{}",
        ended.output()
    );
}

#[test]
fn a_scale_in_in_the_middle_of_training_gives_the_job_back() {
    let (machine, job, ended) = interrupted_in_training(LIFECYCLE, || "Terminated".into());
    assert_given_back(&machine, &job, &ended);
    assert!(ended.output().contains("scaled in"), "{}", ended.output());
}

#[test]
fn a_recommendation_that_is_older_than_the_worker_does_not_stop_it() {
    let imds = Imds::start();
    imds.say(REBALANCE, &rebalance_notice(-3600));
    let machine = machine(imds.endpoint());
    let job = machine.publish("sentiment");
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "{}", drained.output());
    assert!(
        drained.output().contains("older than this worker"),
        "{}",
        drained.output()
    );
    assert_eq!(state(&machine, &job).status, Status::Registered, "{}", drained.output());
}

#[test]
fn a_token_that_is_refused_is_renewed() {
    let imds = Imds::with_tokens_for(4);
    let machine = machine(imds.endpoint());
    let ended = idle_until(&imds, &machine, SPOT, &spot_notice(120));
    assert_eq!(ended.code(), 0, "{}", ended.output());
    let (tokens, answered, refused) = imds.counts();
    // Three questions a look: the second look meets the end of the first token.
    assert!(
        tokens >= 2 && answered > 4 && refused == tokens - 1,
        "{:?}",
        imds.counts()
    );
    assert!(!ended.output().contains("in trouble"), "{}", ended.output());
}

#[test]
fn where_there_is_no_metadata_service_work_goes_on_without_a_word() {
    // One port where nobody listens (tcpmux, which nobody runs), and one where nobody ever answers.
    let refuses = "http://127.0.0.1:1".to_owned();
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", deaf.local_addr().expect("an address"));
    for endpoint in [refuses, silent] {
        let machine = machine(&endpoint);
        let job = machine.publish("sentiment");
        let drained = machine.run("worker", &["run", "--drain"]);
        assert_eq!(drained.code(), 0, "{}", drained.output());
        assert_eq!(state(&machine, &job).status, Status::Registered);
        assert!(
            !drained.output().contains("metadata"),
            "{endpoint}: {}",
            drained.output()
        );
    }
}
