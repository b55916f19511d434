//! A training whose workers die, again and again, at moments that nobody chose.

use crate::{PATIENCE, UNSAVED, state, until, weights};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared::ledger::Status;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::aws::AwsServer;
use tests::rabbitmq::Broker;
use tests::sandbox::{Sandbox, collect};

const KILLS: u32 = 20;
/// Twelve steps an epoch.
const EPOCHS: u64 = 100;

/// `TRAINYARD_TEST_SEED`, or another one each time.
fn seed() -> u64 {
    let given = std::env::var("TRAINYARD_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs()
    })
}

/// Queue and store are those of `machine.variables`.
fn survives(machine: &Sandbox) {
    let seed = seed();
    eprintln!("TRAINYARD_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let epochs = EPOCHS.to_string();
    machine.write_project(
        "sentiment",
        &[UNSAVED[0], UNSAVED[1], ("EPOCHS", &epochs), ("CHECKPOINT_EVERY", "10")],
    );
    let job = machine.publish("sentiment");

    // At so many steps, not before; where between two checkpoints, chance and the machine decide.
    let mut moments: Vec<u64> = (0..KILLS)
        .map(|_| random.random_range(0..EPOCHS * 12 * 9 / 10))
        .collect();
    moments.sort_unstable();
    for (life, moment) in moments.into_iter().enumerate() {
        let folder = machine.path().join(format!("machine-{life}"));
        std::fs::create_dir(&folder).expect("a folder");
        let mut worker = machine.command("worker", &["run"]);
        worker
            .current_dir(&folder)
            .env("TRAINYARD_WORK", folder.join("work"))
            .env("TRAINYARD_HOST", format!("host-{life}"));
        let worker = worker.spawn().expect("a worker");
        let here = format!("host-{life}");
        until(machine, &job, "reached the next moment", |now| {
            let done = now.checkpoints.first().map_or(0, |newest| newest.step);
            // One that has not begun to train yet is a moment, too.
            now.status == Status::Running && now.host == here && (done >= moment || moment < 50)
        });
        std::thread::park_timeout(Duration::from_millis(random.random_range(0..400)));
        crate::signal(&worker, if random.random_bool(0.25) { "TERM" } else { "KILL" });
        let ended = collect(worker, PATIENCE);
        let now = state(machine, &job);
        assert!(
            !now.status.is_terminal(),
            "seed {seed}: it had ended after {life} kills: {now:#?}\n{}",
            ended.output()
        );
    }
    let last = machine.run("worker", &["run", "--drain"]);
    assert_eq!(last.code(), 0, "seed {seed}: {}", last.output());
    let end = state(machine, &job);
    assert_eq!(end.status, Status::Registered, "seed {seed}: {end:#?}");
    assert!(end.token > u64::from(KILLS), "seed {seed}: {end:#?}");

    let alone = machine.run(
        "dispatcher",
        &["publish", "--project", "sentiment", "--tag", "t1", "--force=alone"],
    );
    assert_eq!(alone.code(), 0, "{}", alone.output());
    let alone = alone.stdout.lines().last().unwrap_or_default();
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "{}", drained.output());
    let uninterrupted = state(machine, alone);
    assert_eq!(uninterrupted.token, 1, "{uninterrupted:#?}");
    assert_eq!(weights(&end), weights(&uninterrupted), "seed {seed}");
}

#[test]
fn twenty_random_kills_on_other_hosts_and_in_other_folders_leave_the_bits_as_they_are() {
    let mut machine = crate::sandbox();
    let at = |name: &str| machine.path().join(name).display().to_string();
    let variables = [
        ("TRAINYARD_QUEUE_URL", format!("embedded:{}", at("queue.db"))),
        ("TRAINYARD_STORE_URL", format!("file:{}", at("store"))),
    ];
    machine
        .variables
        .extend(variables.map(|(name, value)| (name.into(), value)));
    survives(&machine);
}

/// Nothing in common but the network.
#[test]
fn twenty_random_kills_on_rabbitmq_and_s3_leave_the_bits_as_they_are() {
    let mut machine = crate::sandbox();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (vhost, bucket) = runtime.block_on(async {
        let broker = Broker::get(env!("CARGO_BIN_EXE_broker"));
        (broker.vhost().await, AwsServer::get().bucket().await)
    });
    machine.variables.extend(AwsServer::get().variables());
    let places = [
        ("TRAINYARD_QUEUE_URL", vhost.url()),
        ("TRAINYARD_STORE_URL", format!("s3://{bucket}/team")),
    ];
    machine
        .variables
        .extend(places.map(|(name, value)| (name.into(), value)));
    survives(&machine);
}
