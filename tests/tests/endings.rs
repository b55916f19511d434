//! How jobs end by a person's word, by their time limit and by retention, through the real binaries.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tests::registry;
use tests::sandbox::{Finished, Sandbox};

const PATIENCE: Duration = Duration::from_secs(60);

/// A machine whose trainer says its process id in the file `pid`, keeps a checkpoint, and never ends.
fn endless() -> Sandbox {
    let mut machine = Sandbox::new();
    let trainer = machine.path().join("endless");
    let script = format!(
        "#!/bin/sh\nmkdir \"$7/checkpoint-3\"; echo three > \"$7/checkpoint-3/weights\"\n\
         echo '{{\"event\":\"checkpoint\",\"step\":3,\"folder\":\"checkpoint-3\"}}'\n\
         echo 'words of the trainer' >&2\necho $$ > {}\nwhile :; do sleep 0.05; done\n",
        machine.path().join("pid").display()
    );
    fs::write(&trainer, script).expect("a script");
    fs::set_permissions(&trainer, fs::Permissions::from_mode(0o755)).expect("permissions");
    machine
        .variables
        .push(("TRAINYARD_TRAINER".into(), trainer.display().to_string()));
    machine
}

fn until(what: &str, mut such: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !such() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn pid(machine: &Sandbox) -> String {
    let file = machine.path().join("pid");
    until("a trainer", || {
        fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'))
    });
    fs::read_to_string(file).expect("a file").trim().to_owned()
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// Stops a worker as a person does; it must end well.
fn stop(mut worker: Child) {
    let stopped = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
    assert!(stopped.expect("kill(1)").success());
    assert!(worker.wait().expect("ends").success());
}

fn json(done: &Finished) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("no JSON: {}", done.output()))
}

/// Everything that the store holds of a job, by path below its folder.
fn of_job(machine: &Sandbox, job: &str) -> Vec<String> {
    registry::files(&machine.store().join("trainyard/jobs").join(job))
}

fn is_record(path: &str) -> bool {
    path == "job.json" || path.starts_with("state.json")
}

#[test]
fn a_queued_job_that_is_cancelled_is_never_begun() {
    let machine = endless();
    let job = machine.publish("sentiment");
    let cancelled = machine.run("dispatcher", &["cancel", &job, "--reason", "a wrong tag"]);
    assert_eq!(cancelled.code(), 0, "{}", cancelled.output());
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "{}", drained.output());
    assert!(!machine.path().join("pid").exists(), "a trainer was started");
    let waited = machine.run("dispatcher", &["wait", &job]);
    assert_eq!(waited.code(), 40, "{}", waited.output());
    let status = machine.status(&job);
    assert_eq!(
        (&status["status"], &status["cause"]),
        (&"cancelled".into(), &"a wrong tag".into())
    );
    assert!(registry::version_folders(&machine.store()).is_empty());
}

#[test]
fn a_running_job_that_is_cancelled_loses_its_trainer_and_then_its_files() {
    let mut machine = endless();
    machine.variables.push(("TRAINYARD_KEEP_JOBS".into(), "2s".into()));
    let job = machine.publish("sentiment");
    let worker = machine.command("worker", &["run"]).spawn().expect("a worker");
    let trainer = pid(&machine);
    until("a checkpoint in the store", || {
        of_job(&machine, &job)
            .iter()
            .any(|path| path.starts_with("checkpoints/"))
    });
    let cancelled = machine.run("dispatcher", &["cancel", &job]);
    assert_eq!(cancelled.code(), 0, "{}", cancelled.output());
    // A lease is 2 s here, so a renewal is due within a second.
    until("the end of the trainer", || !is_alive(&trainer));
    let status = machine.status(&job);
    assert_eq!(
        (&status["status"], &status["token"]),
        (&"cancelled".into(), &1.into()),
        "{status:#}"
    );
    let again = machine.run("dispatcher", &["cancel", &job]);
    assert_eq!(
        again.code(),
        0,
        "cancelling twice is as good as once: {}",
        again.output()
    );
    // The worker looks after the fleet: what a cancelled job left goes with its time.
    until("swept", || of_job(&machine, &job).iter().all(|path| is_record(path)));
    assert!(registry::version_folders(&machine.store()).is_empty());
    stop(worker);
}

#[test]
fn a_job_whose_bytes_are_decided_cannot_be_cancelled_and_is_registered() {
    let machine = Sandbox::new();
    let job = machine.publish("sentiment");
    let died = machine.run_to_crash("worker", &["run", "--once"], "after-decision");
    assert!(died.was_killed(), "{}", died.output());
    let refused = machine.run("dispatcher", &["cancel", &job]);
    assert_eq!(refused.code(), 75, "{}", refused.output());
    assert!(refused.stderr.contains("being published"), "{}", refused.stderr);
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "{}", drained.output());
    assert_eq!(machine.status(&job)["status"], "registered");
    let refused = machine.run("dispatcher", &["cancel", &job]);
    assert_eq!(refused.code(), 64, "{}", refused.output());
}

#[test]
fn a_job_whose_time_is_over_fails_by_its_limit_and_tells_all_about_it() {
    let machine = endless();
    machine.write_project("sentiment", &[("TIME_LIMIT", "3s")]);
    let published = machine.run(
        "dispatcher",
        &["publish", "--project", "sentiment", "--tag", "t1", "--wait"],
    );
    assert_eq!(published.code(), 20, "{}", published.output());
    assert!(
        published.output().contains("the time limit of 3s is used up"),
        "{}",
        published.output()
    );
    let trainer = pid(&machine);
    until("the end of the trainer", || !is_alive(&trainer));
    let job = published.stdout.lines().last().unwrap_or_default().to_owned();
    let other = machine.run(
        "dispatcher",
        &["dead", "list", "--cause", "infrastructure", "--output", "json"],
    );
    assert_eq!(json(&other), Value::Array(vec![]));
    let listed = json(&machine.run("dispatcher", &["dead", "list", "--cause", "user", "--output", "json"]));
    assert_eq!(
        (&listed[0]["id"], &listed[0]["failure"]),
        (&job.as_str().into(), &"user".into()),
        "{listed:#}"
    );
    let shown = json(&machine.run("dispatcher", &["dead", "show", &job, "--output", "json"]));
    let attempt = &shown["attempts"][0];
    assert_eq!(
        (&attempt["token"], &attempt["outcome"]),
        (&1.into(), &"failed".into()),
        "{shown:#}"
    );
    for field in ["worker", "host", "started_at", "ended_at", "message"] {
        assert!(
            attempt[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field}: {shown:#}"
        );
    }
    let log = shown["log"].to_string();
    assert!(
        log.contains("words of the trainer") && log.contains("time limit"),
        "{shown:#}"
    );
    let text = machine.run("dispatcher", &["dead", "show", &job]).stdout;
    for words in [
        "failure      user",
        "attempt 1 by",
        "words of the trainer",
        "the time limit of 3s",
    ] {
        assert!(text.contains(words), "{words:?} is missing:\n{text}");
    }
    // The same content would end the same way; a larger limit is another job.
    machine.write_project("sentiment", &[("TIME_LIMIT", "6h")]);
    let larger = machine.publish("sentiment");
    assert_ne!(larger, job);
    machine.write_project("sentiment", &[("TIME_LIMIT", "none")]);
    let without = machine.publish("sentiment");
    machine.write_project("sentiment", &[]);
    assert_eq!(
        machine.publish("sentiment"),
        without,
        "no limit is the job that it always was"
    );
}

#[test]
fn a_registered_job_keeps_its_record_and_its_version_when_the_rest_is_pruned() {
    let mut machine = Sandbox::new();
    let job = machine.publish("sentiment");
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "{}", drained.output());
    let left = of_job(&machine, &job);
    assert!(
        left.iter().any(|path| path.starts_with("logs/")) && !left.iter().any(|path| path.starts_with("checkpoints/")),
        "checkpoints go at once, the log stays: {left:?}"
    );
    machine.variables.push(("TRAINYARD_KEEP_JOBS".into(), "0s".into()));
    let swept = machine.run("worker", &["run", "--drain"]);
    assert_eq!(swept.code(), 0, "{}", swept.output());
    let left = of_job(&machine, &job);
    assert!(left.iter().all(|path| is_record(path)) && left.len() >= 2, "{left:?}");
    // What a consumer sees, and what numbers are given from, is as it was.
    let folders = registry::version_folders(&machine.store());
    assert_eq!(folders.len(), 1, "{folders:?}");
    registry::assert_whole(&folders[0]);
    assert!(!registry::files(&machine.store().join("trainyard/versions")).is_empty());

    let again = machine.run(
        "dispatcher",
        &[
            "publish",
            "--project",
            "sentiment",
            "--tag",
            "t1",
            "--wait",
            "--output",
            "json",
        ],
    );
    assert_eq!(again.code(), 0, "{}", again.output());
    let again = json(&again);
    assert_eq!(
        (&again[0]["action"], &again[0]["job"]["version"]),
        (&"existing".into(), &"SEN-TRAINED-1".into())
    );
    let idle = machine.run("worker", &["run", "--drain"]);
    assert_eq!(idle.code(), 0, "{}", idle.output());
    assert_eq!(
        registry::version_folders(&machine.store()),
        folders,
        "one job, one version"
    );
    assert!(machine.run("dispatcher", &["logs", &job]).stdout.is_empty());
}
