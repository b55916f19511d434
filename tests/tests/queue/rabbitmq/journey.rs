//! The real binaries on a real broker.

use crate::broker;
use shared::job::Accelerator;
use shared::queue::{Depth, Queue};
use std::process::Command;
use tests::rabbitmq::Vhost;
use tests::registry;
use tests::sandbox::{Sandbox, finish};

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
