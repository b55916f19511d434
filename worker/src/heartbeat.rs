//! Tells the store, every third of a lease, that this worker is there, and `/readyz` whether the store answers.

use crate::context::Context;
use crate::pool::Pool;
use shared::heartbeat::{Heartbeat, HeartbeatWriter};
use shared::ledger::lease;
use shared::monitor::Readiness;
use shared::telemetry::Chain;
use std::sync::Arc;
use std::time::Duration;

/// What the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Beats until `stop`, then removes the heartbeat.
pub async fn run(
    context: Arc<Context>,
    pool: Arc<Pool>,
    readiness: Readiness,
    stop: tokio_util::sync::CancellationToken,
) {
    let store = Arc::clone(context.ledger.store());
    let mut writer = match HeartbeatWriter::new(store, &context.identity.worker) {
        Ok(writer) => writer,
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "no heartbeat");
            return;
        }
    };
    let mut due = tokio::time::interval(lease::renewal(context.lease));
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = stop.cancelled() => break,
        }
        show_disk(&context);
        match writer.beat(beat(&context, &pool)).await {
            Ok(()) => readiness.ready(),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "no heartbeat");
                readiness.not_ready("the store is away");
            }
        }
    }
    if !matches!(tokio::time::timeout(GOODBYE, writer.end()).await, Ok(Ok(()))) {
        tracing::debug!("the heartbeat stays until it is old");
    }
}

fn beat(context: &Context, pool: &Pool) -> Heartbeat {
    let own = &context.identity;
    Heartbeat {
        worker: own.worker.clone(),
        host: own.host.clone(),
        accelerator: own.accelerator,
        build: own.build.clone(),
        slots: u32::try_from(pool.size()).unwrap_or(u32::MAX),
        busy: u32::try_from(pool.busy()).unwrap_or(u32::MAX),
        lease_s: context.lease.as_secs().max(1),
        seq: 0,
    }
}

fn show_disk(context: &Context) {
    if let Some(free) = crate::disk_space::free(context.work.path()) {
        let free = i64::try_from(free).unwrap_or(i64::MAX);
        context.metrics.disk_free_bytes.with_label_values(&["work"]).set(free);
    }
}
