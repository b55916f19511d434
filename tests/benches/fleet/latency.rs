//! From publishing to the trainer's first statement, with an idle worker; and a whole job with a trainer that does nothing.

use crate::celery;
use crate::jobs::{self, Jobs, registered};
use crate::table::{Aim, Better, Measure, Table, median, percentile};
use anyhow::{Context, Result, ensure};
use shared::aws::AwsAccess;
use shared::ledger::Ledger;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::rabbitmq::Broker;
use tests::sandbox::Sandbox;

const JOBS: u32 = 200;
const WARM: u32 = 5;

/// The real worker, until it is dropped.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn measure(broker: &'static Broker, table: &mut Table) -> Result<()> {
    let vhost = broker.vhost().await;
    let mut machine = Sandbox::new();
    let jobs = Jobs::of(&machine)?;
    let (url, folder) = (vhost.url(), machine.path().to_owned());
    let mut peer = tokio::task::spawn_blocking(move || celery::latency(&url, JOBS, &folder)).await??;

    // A file of its own, which the trainer finds beside its executable.
    std::fs::create_dir(machine.path().join("bin"))?;
    let trainer = machine.path().join("bin/trainer");
    std::fs::copy(env!("CARGO_BIN_EXE_empty-trainer"), &trainer)?;
    machine.variables.extend([
        ("TRAINYARD_QUEUE_URL".to_owned(), vhost.url()),
        ("TRAINYARD_TRAINER".to_owned(), trainer.display().to_string()),
        ("TRAINYARD_LEASE".to_owned(), "30s".to_owned()),
        ("RUST_LOG".to_owned(), "warn".to_owned()),
    ]);
    let starts = machine.path().join("bin/starts");
    let mut command = machine.command("worker", &["run"]);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let _worker = Worker(command.spawn()?);
    let aws = AwsAccess::default();
    let queue = shared::queue::connect(&vhost.url(), &aws).await?;
    let store = format!("file:{}", machine.store().display());
    let ledger = Ledger::new(shared::store::connect(&store, &aws).await?);

    let (mut waits, mut wholes) = (Vec::new(), Vec::new());
    for number in 0..WARM + JOBS {
        let job = jobs.next();
        let (sent, began) = (SystemTime::now(), Instant::now());
        let id = jobs::publish(&ledger, &*queue, &job).await?;
        registered(&ledger, &id).await?;
        if number >= WARM {
            wholes.push(began.elapsed().as_secs_f64() * 1e3);
            waits.push(milliseconds(sent, last_start(&starts, number + 1)?));
        }
    }
    table.add(
        less("publish to the trainer's start, median", Aim::Nothing, "Celery"),
        median(&mut waits),
        Some(median(&mut peer)),
    );
    let (ours, theirs) = (percentile(&mut waits, 99.0), percentile(&mut peer, 99.0));
    table.add(
        less("publish to the trainer's start, p99", Aim::Below(50.0), "Celery"),
        ours,
        Some(theirs),
    );
    table.add(
        less("whole job, empty trainer, one at a time, median", Aim::Nothing, ""),
        median(&mut wholes),
        None,
    );
    table.add(
        less("job in a row of 200, empty trainer", Aim::Below(30.0), ""),
        in_a_row(&ledger, &*queue, &jobs, &starts).await?,
        None,
    );
    Ok(())
}

fn less(name: &'static str, aim: Aim, peer: &'static str) -> Measure {
    Measure {
        name,
        unit: "ms",
        better: Better::Less,
        aim,
        peer,
    }
}

/// Milliseconds a job takes where the next waits already: between the starts of the first and the last trainer.
async fn in_a_row(ledger: &Ledger, queue: &dyn shared::queue::Queue, jobs: &Jobs, starts: &Path) -> Result<f64> {
    let before = lines(starts)?.len();
    let mut last = None;
    for _ in 0..JOBS {
        last = Some(jobs::publish(ledger, queue, &jobs.next()).await?);
    }
    registered(ledger, &last.context("there are jobs")?).await?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(starts)?.len() < before + JOBS as usize {
        ensure!(Instant::now() < deadline, "not every job was done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = lines(starts)?;
    #[expect(clippy::cast_precision_loss, reason = "some seconds in nanoseconds")]
    let took = (all[all.len() - 1] - all[before]) as f64 / 1e6;
    Ok(took / f64::from(JOBS - 1))
}

fn lines(starts: &Path) -> Result<Vec<u128>> {
    let text = std::fs::read_to_string(starts)?;
    text.lines().map(|line| Ok(line.parse()?)).collect()
}

fn last_start(starts: &Path, expected: u32) -> Result<u128> {
    let all = lines(starts)?;
    ensure!(
        all.len() == expected as usize,
        "{} trainers for {expected} jobs",
        all.len()
    );
    all.last().copied().context("a trainer started")
}

fn milliseconds(sent: SystemTime, started: u128) -> f64 {
    let sent = sent.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    #[expect(clippy::cast_precision_loss, reason = "some milliseconds in nanoseconds")]
    let between = started.saturating_sub(sent) as f64;
    between / 1e6
}
