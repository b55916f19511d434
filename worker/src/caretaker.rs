//! What `dispatcher run` does for a fleet, a worker on one machine does by itself: sweeping and the fleet's series.

use crate::context::Context;
use shared::fleet_series::FleetSeries;
use shared::ledger::lease;
use shared::sweeper::{Retention, Sweeper};
use shared::telemetry::Chain;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Between two readings of the fleet's series.
const READ: Duration = Duration::from_secs(5);

/// Looks after the ledger until `stop`.
pub(crate) async fn run(context: Arc<Context>, series: FleetSeries, retention: Retention, stop: CancellationToken) {
    let mut sweeper = Sweeper::new(context.ledger.clone(), Arc::clone(&context.queue)).keeping(retention);
    let mut reading = series.reading(context.ledger.clone(), Arc::clone(&context.queue));
    let (mut sweep_due, mut read_due) = (interval(lease::renewal(context.lease)), interval(READ));
    sweep_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    read_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = sweep_due.tick() => sweep(&mut sweeper).await,
            _ = read_due.tick() => {
                if let Err(error) = reading.read().await {
                    tracing::warn!(error = %Chain(&error), "the fleet's series were not read");
                }
            }
            () = stop.cancelled() => break,
        }
    }
    // What the last jobs left behind: nobody may come after this worker.
    sweep(&mut sweeper).await;
}

async fn sweep(sweeper: &mut Sweeper) {
    match sweeper.sweep().await {
        Ok(swept) => tracing::debug!(?swept, "swept"),
        Err(error) => tracing::warn!(error = %Chain(&error), "the ledger was not swept"),
    }
}
