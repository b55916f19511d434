//! SIGKILL at every named point: the job ends registered exactly once, and nothing half-made is ever visible.

use tests::{
    registry,
    sandbox::{Finished, Sandbox},
};

/// Nothing that a consumer can see is half, whatever just died.
fn nothing_half_is_visible(machine: &Sandbox) {
    for version in registry::visible_versions(&machine.store()) {
        registry::assert_whole(&version);
    }
}

/// A worker without faults finishes whatever there is.
fn another_worker_finishes(machine: &Sandbox, job: &str) {
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "the second worker failed:\n{}", drained.output());
    let status = machine.status(job);
    assert_eq!(
        status["status"],
        "registered",
        "after the second worker: {status:#}\n{}",
        drained.output()
    );
    assert_eq!(status["version"], "SEN-TRAINED-1", "{status:#}");
    let folders = registry::version_folders(&machine.store());
    assert_eq!(folders.len(), 1, "one job, but these versions: {folders:?}");
    assert_eq!(registry::visible_versions(&machine.store()), folders);
    registry::assert_whole(&folders[0]);
    assert_eq!(registry::card(&folders[0])["job"], job);
    let staged = machine.store().join("trainyard/jobs").join(job).join("staged");
    assert!(registry::files(&staged).is_empty(), "staged files are left behind");
    let idle = machine.run("worker", &["run", "--drain"]);
    assert_eq!(idle.code(), 0, "{}", idle.output());
    assert_eq!(
        registry::version_folders(&machine.store()).len(),
        1,
        "a later worker made another version"
    );
}

fn worker_dies_at(point: &str) {
    let machine = Sandbox::new();
    let job = machine.publish("sentiment");
    let died: Finished = machine.run_to_crash("worker", &["run", "--once"], point);
    assert!(
        died.was_killed(),
        "the worker was to die at {point}, but: {:?}\n{}",
        died.status,
        died.output()
    );
    nothing_half_is_visible(&machine);
    another_worker_finishes(&machine, &job);
}

/// The trainer dies, the worker lives: it retries by itself.
fn trainer_dies_at(point: &str) {
    let machine = Sandbox::new();
    let job = machine.publish("sentiment");
    let drained = machine.run_to_crash("worker", &["run", "--drain"], point);
    assert_eq!(
        drained.code(),
        0,
        "the worker did not survive its trainer:\n{}",
        drained.output()
    );
    let status = machine.status(&job);
    assert_eq!(
        status["attempt"], 2,
        "the trainer was to die once at {point}: {status:#}"
    );
    another_worker_finishes(&machine, &job);
}

fn dispatcher_dies_at(point: &str) {
    let machine = Sandbox::new();
    let publish = ["publish", "--project", "sentiment", "--tag", "t1"];
    let died = machine.run_to_crash("dispatcher", &publish, point);
    assert!(
        died.was_killed(),
        "the dispatcher was to die at {point}, but: {:?}\n{}",
        died.status,
        died.output()
    );
    nothing_half_is_visible(&machine);
    let job = machine.publish("sentiment");
    another_worker_finishes(&machine, &job);
}

macro_rules! killed {
    ($($test:ident: $how:ident($point:literal);)*) => { $(#[test] fn $test() { $how($point); })* };
}

killed! {
    after_the_claim: worker_dies_at("after-claim");
    in_the_download: worker_dies_at("in-download");
    in_the_first_third_of_training: trainer_dies_at("train-1of3");
    in_the_second_third_of_training: trainer_dies_at("train-2of3");
    in_the_last_third_of_training: trainer_dies_at("train-3of3");
    after_the_export: worker_dies_at("after-export");
    while_staging: worker_dies_at("in-staging");
    after_the_decision: worker_dies_at("after-decision");
    after_the_number: worker_dies_at("after-number");
    between_the_copies: worker_dies_at("between-copies");
    before_the_card: worker_dies_at("before-card");
    after_the_card: worker_dies_at("after-card");
    before_the_acknowledgement: worker_dies_at("before-ack");
    dispatcher_after_the_job: dispatcher_dies_at("after-job-json");
    dispatcher_after_the_message: dispatcher_dies_at("after-message");
}

/// Publish died before its message and nobody publishes again: the sweeper finds the job in the ledger.
#[test]
fn a_job_without_a_message_is_found_in_the_ledger() {
    let machine = Sandbox::new();
    let died = machine.run_to_crash(
        "dispatcher",
        &["publish", "--project", "sentiment", "--tag", "t1"],
        "after-job-json",
    );
    assert!(died.was_killed(), "{}", died.output());
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "{}", drained.output());
    assert_eq!(
        registry::visible_versions(&machine.store()).len(),
        1,
        "{}",
        drained.output()
    );
}

/// Five claims in a row die at once; the sixth still ends well (section 8 of the job protocol counts them).
#[test]
fn five_killed_claims_in_a_row_do_not_end_a_job() {
    let machine = Sandbox::new();
    let job = machine.publish("sentiment");
    for _ in 0..5 {
        let died = machine.run_to_crash("worker", &["run", "--once"], "after-claim");
        assert!(died.was_killed(), "{}", died.output());
    }
    another_worker_finishes(&machine, &job);
}
