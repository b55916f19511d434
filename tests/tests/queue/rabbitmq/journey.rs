//! The real binaries on a real broker.

use crate::broker;
use shared::aws::AwsAccess;
use shared::job::Accelerator;
use shared::ledger::{Ledger, State, Status};
use shared::queue::{Depth, Queue};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tests::rabbitmq::Vhost;
use tests::registry;
use tests::sandbox::{Sandbox, collect, finish};

fn machine(vhost: &Vhost) -> Sandbox {
    let mut machine = Sandbox::new();
    machine.variables.push(("TRAINYARD_QUEUE_URL".into(), vhost.url()));
    machine
}

fn assert_one_version(machine: &Sandbox, job: &str) {
    let status = machine.status(job);
    assert_eq!(status["status"], "registered", "{status:#}");
    let folders = registry::version_folders(&machine.store());
    assert_eq!(folders.len(), 1, "{folders:?}");
    registry::assert_whole(&folders[0]);
    assert_eq!(registry::card(&folders[0])["job"], job);
}

async fn assert_empty(vhost: &Vhost) {
    let queue = vhost.queue(crate::LONG).await;
    assert_eq!(queue.depth(Accelerator::Cpu).await.expect("counts"), Depth::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_goes_through_dispatcher_broker_and_worker() {
    let vhost = broker().vhost().await;
    let machine = machine(&vhost);
    let mut worker = machine.command("worker", &["run"]).spawn().expect("a worker");
    let published = machine.run(
        "dispatcher",
        &["publish", "--project", "sentiment", "--tag", "t1", "--wait"],
    );
    let stopped = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
    assert!(stopped.expect("kill(1)").success());
    assert_eq!(published.code(), 0, "{}", published.output());
    assert!(worker.wait().expect("ends").success());
    assert_one_version(&machine, published.stdout.lines().last().unwrap_or_default());
    assert_empty(&vhost).await;
}

fn terminate(worker: &Child) {
    let told = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
    assert!(told.expect("kill(1)").success());
}

/// Waits until the job's state, as `state.json` has it, is such.
async fn until(machine: &Sandbox, job: &str, patience: Duration, such: impl Fn(&State) -> bool) -> State {
    let store = shared::store::connect(&machine.store_url(), &AwsAccess::default()).await;
    let ledger = Ledger::new(store.expect("a store"));
    let (id, deadline) = (job.parse().expect("an id"), Instant::now() + patience);
    loop {
        let state = ledger.read(&id).await.expect("a state").state;
        if such(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {state:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_that_was_given_back_is_claimed_by_the_next_worker_within_two_seconds() {
    let vhost = broker().vhost().await;
    let machine = machine(&vhost);
    machine.write_project(
        "sentiment",
        &[
            ("EPOCHS", "1000"),
            ("SAVE_STRATEGY", "no"),
            ("EARLY_STOPPING_PATIENCE", "none"),
        ],
    );
    let job = machine.publish("sentiment");
    let first = machine.command("worker", &["run"]).spawn().expect("a worker");
    let trains = |state: &State| state.progress.is_some();
    until(&machine, &job, Duration::from_secs(60), trains).await;
    let second = machine.command("worker", &["run"]).spawn().expect("a worker");
    let queue = vhost.queue(crate::LONG).await;
    terminate(&first);
    let told = Instant::now();
    // The trainer finishes its step and saves, the checkpoint is uploaded, the claim released: that is the first's part.
    let given_back = |state: &State| state.status == Status::Queued || state.token > 1;
    until(&machine, &job, Duration::from_secs(30), given_back).await;
    let released = told.elapsed();
    let claimed = until(&machine, &job, Duration::from_secs(2), |state| state.token == 2).await;
    eprintln!(
        "released {released:?} after SIGTERM, claimed {:?} after it",
        told.elapsed()
    );
    assert_eq!(
        (claimed.status, claimed.checkpoints.len()),
        (Status::Running, 1),
        "{claimed:#?}"
    );
    assert!(claimed.failures.is_empty() && claimed.claims_lost == 0, "{claimed:#?}");
    let first = collect(first, Duration::from_secs(30));
    assert_eq!(first.code(), 0, "{}", first.output());
    terminate(&second);
    let second = collect(second, Duration::from_secs(30));
    assert_eq!(second.code(), 0, "{}", second.output());
    let given_back = |state: &State| state.status == Status::Queued;
    until(&machine, &job, Duration::from_secs(1), given_back).await;
    // Nor is it put back with a delay, or dead.
    let depth = queue.depth(Accelerator::Cpu).await.expect("counts");
    assert_eq!((depth.delayed, depth.dead), (0, 0), "{depth:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_worker_killed_with_a_job_in_hand_is_followed_by_another() {
    let vhost = broker().vhost().await;
    let machine = machine(&vhost);
    let job = machine.publish("sentiment");
    for point in ["after-claim", "after-decision", "before-ack"] {
        let died = machine.run_to_crash("worker", &["run", "--drain"], point);
        assert!(died.was_killed(), "{point}: {}", died.output());
    }
    let next = finish(machine.command("worker", &["run", "--drain"]));
    assert_eq!(next.code(), 0, "{}", next.output());
    assert_one_version(&machine, &job);
}
