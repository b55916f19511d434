//! The real binaries on SQS.

use super::action;
use crate::{HOLD, LONG};
use shared::job::Accelerator;
use shared::queue::{Depth, Queue};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use tests::aws::AwsServer;
use tests::http_faults::Faults;
use tests::registry;
use tests::sandbox::{Sandbox, binary, finish};
use tests::sqs::Yard;

fn machine(yard: &Yard, parameters: &str) -> Sandbox {
    let mut machine = Sandbox::new();
    machine.variables.extend(yard.variables(parameters));
    machine
}

fn stop(mut worker: Child) {
    let stopped = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
    assert!(stopped.expect("kill(1)").success());
    assert!(worker.wait().expect("ends").success());
}

fn assert_one_version(machine: &Sandbox, job: &str) {
    let status = machine.status(job);
    assert_eq!(status["status"], "registered", "{status:#}");
    let folders = registry::version_folders(&machine.store());
    assert_eq!(folders.len(), 1, "{folders:?}");
    registry::assert_whole(&folders[0]);
    assert_eq!(registry::card(&folders[0])["job"], job);
}

async fn assert_empty(yard: &Yard) {
    let depth = yard.queue(LONG, HOLD).await.depth(Accelerator::Cpu).await;
    assert_eq!(depth.expect("counts"), Depth::default());
}

const PUBLISH_AND_WAIT: [&str; 6] = ["publish", "--project", "sentiment", "--tag", "t1", "--wait"];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_goes_through_dispatcher_sqs_and_worker() {
    let yard = Yard::new().await;
    let machine = machine(&yard, "");
    let worker = machine.command("worker", &["run"]).spawn().expect("a worker");
    let published = machine.run("dispatcher", &PUBLISH_AND_WAIT);
    stop(worker);
    assert_eq!(published.code(), 0, "{}", published.output());
    assert_one_version(&machine, published.stdout.lines().last().unwrap_or_default());
    assert_empty(&yard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_worker_killed_with_a_job_in_hand_is_followed_by_another() {
    let yard = Yard::new().await;
    let machine = machine(&yard, "?visibility=2s");
    let job = machine.publish("sentiment");
    for point in ["after-claim", "after-decision", "before-ack"] {
        let died = machine.run_to_crash("worker", &["run"], point);
        assert!(died.was_killed(), "{point}: {}", died.output());
    }
    let next = finish(machine.command("worker", &["run", "--drain"]));
    assert_eq!(next.code(), 0, "{}", next.output());
    assert_one_version(&machine, &job);
}

/// Runs a job of eight seconds with two workers; how many messages were sent for it.
async fn long_job(parameters: &str) -> usize {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let mut machine = machine(&yard.through(faults.endpoint()), parameters);
    let (script, started) = (machine.path().join("slow-trainer"), machine.path().join("started"));
    let text = format!(
        "#!/bin/sh\ncase \"$1\" in --*) ;; *) echo started >> {}; sleep 8 ;; esac\nexec {} \"$@\"\n",
        started.display(),
        binary("trainer").display()
    );
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let trainer = script.display().to_string();
    machine.variables.push(("TRAINYARD_TRAINER".into(), trainer));
    let workers = [(); 2].map(|()| machine.command("worker", &["run"]).spawn().expect("a worker"));
    let published = machine.run("dispatcher", &PUBLISH_AND_WAIT);
    workers.into_iter().for_each(stop);
    assert_eq!(published.code(), 0, "{}", published.output());
    assert_one_version(&machine, published.stdout.lines().last().unwrap_or_default());
    let started = std::fs::read_to_string(started).expect("a trainer ran");
    assert_eq!(started.lines().count(), 1, "it was trained twice");
    faults.seen().iter().filter(|one| action(one) == "SendMessage").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_longer_than_the_visibility_is_delivered_and_run_once() {
    assert_eq!(
        long_job("?visibility=2s").await,
        1,
        "it was delivered again, and put off"
    );
}

/// With a hold of four seconds in the place of SQS's 12 h.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_longer_than_sqs_lets_a_message_be_held_runs_once() {
    assert!(long_job("?visibility=2s&hold=4s").await > 1, "it was never let go");
}
