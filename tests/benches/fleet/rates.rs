//! Jobs published a second, each confirmed durable.

use crate::celery;
use crate::jobs::{self, Jobs, message};
use crate::table::{Aim, Better, Measure, Table};
use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use shared::aws::AwsAccess;
use shared::ledger::Ledger;
use shared::queue::Queue;
use std::time::{Duration, Instant};
use tests::rabbitmq::Broker;
use tests::sandbox::Sandbox;
use tests::sqs::Yard;

/// Messages on their way at once, of one process.
const AT_ONCE: usize = 256;
const CELERY: u32 = 2000;
const FEW: u32 = 1000;
const MANY: u32 = 20_000;
const SLOW: u32 = 200;
const WHOLE: u32 = 3000;

pub(crate) async fn measure(broker: &'static Broker, table: &mut Table) -> Result<()> {
    let machine = Sandbox::new();
    let jobs = Jobs::of(&machine)?;
    let vhost = broker.vhost().await;
    let url = vhost.url();
    let peer = tokio::task::spawn_blocking(move || celery::publish(&url, CELERY)).await??;
    let aws = AwsAccess::default();
    let rabbit = shared::queue::connect(&vhost.url(), &aws).await?;
    let embedded = format!("embedded:{}", machine.path().join("bench.db").display());
    let embedded = shared::queue::connect(&embedded, &aws).await?;

    let many = queue_rate(&*rabbit, &jobs, MANY, AT_ONCE).await?;
    table.add(
        beside_celery("RabbitMQ, queue alone, 256 at once", Aim::Times(10.0)),
        many,
        Some(peer),
    );
    let one = queue_rate(&*rabbit, &jobs, FEW, 1).await?;
    table.add(
        beside_celery("RabbitMQ, queue alone, one by one", Aim::Nothing),
        one,
        Some(peer),
    );
    let whole = whole_rate(&machine, &*rabbit, &jobs, WHOLE, AT_ONCE).await?;
    table.add(
        beside_celery("RabbitMQ, job record and message, 256 at once", Aim::Times(3.0)),
        whole,
        Some(peer),
    );
    let whole = whole_rate(&machine, &*rabbit, &jobs, FEW, 1).await?;
    table.add(
        beside_celery("RabbitMQ, job record and message, one by one", Aim::Nothing),
        whole,
        Some(peer),
    );
    let many = queue_rate(&*embedded, &jobs, FEW, AT_ONCE).await?;
    table.add(alone("embedded, queue alone, 256 at once"), many, None);
    let whole = whole_rate(&machine, &*embedded, &jobs, FEW, AT_ONCE).await?;
    table.add(alone("embedded, job record and message, 256 at once"), whole, None);
    // The server of the tests is what takes the time: a floor, and no figure of AWS. It answers one request after the other.
    let yard = Yard::new().await;
    let sqs = shared::queue::connect(&yard.url(), &yard.access()).await?;
    let many = queue_rate(&*sqs, &jobs, SLOW, 16).await?;
    table.add(alone("SQS (moto), queue alone, 16 at once"), many, None);
    let whole = whole_rate(&machine, &*sqs, &jobs, SLOW, 16).await?;
    table.add(alone("SQS (moto), job record and message, 16 at once"), whole, None);
    Ok(())
}

fn beside_celery(name: &'static str, aim: Aim) -> Measure {
    Measure {
        aim,
        peer: "Celery",
        ..alone(name)
    }
}

fn alone(name: &'static str) -> Measure {
    Measure {
        name,
        unit: "messages/s",
        better: Better::More,
        aim: Aim::Nothing,
        peer: "",
    }
}

fn per_second(count: u32, since: Instant) -> f64 {
    f64::from(count) / since.elapsed().as_secs_f64()
}

async fn queue_rate(queue: &dyn Queue, jobs: &Jobs, count: u32, at_once: usize) -> Result<f64> {
    let job = jobs.next();
    let message = message(job.id(), &job);
    queue.publish(&message, Duration::ZERO).await?;
    let started = Instant::now();
    let all = futures::stream::iter(0..count).map(|_| queue.publish(&message, Duration::ZERO));
    all.buffer_unordered(at_once).try_collect::<Vec<()>>().await?;
    Ok(per_second(count, started))
}

async fn whole_rate(machine: &Sandbox, queue: &dyn Queue, jobs: &Jobs, count: u32, at_once: usize) -> Result<f64> {
    let store = format!("file:{}", machine.store().display());
    let ledger = Ledger::new(shared::store::connect(&store, &AwsAccess::default()).await?);
    let made: Vec<_> = (0..count).map(|_| jobs.next()).collect();
    let started = Instant::now();
    let all = futures::stream::iter(&made).map(|job| jobs::publish(&ledger, queue, job));
    all.buffer_unordered(at_once).try_collect::<Vec<_>>().await?;
    Ok(per_second(count, started))
}
