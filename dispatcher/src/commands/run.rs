//! `dispatcher run`: the long-lived part. Any number of them may run: their state is the ledger.

use crate::failure::Failure;
use crate::site::{Site, Yard};
use shared::exit::ExitCode;
use shared::fleet_series::FleetSeries;
use shared::monitor::{Monitor, Readiness};
use shared::shutdown::Shutdown;
use shared::sweeper::Sweeper;
use shared::telemetry::Chain;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two readings of the fleet's series.
const READ: Duration = Duration::from_secs(5);

/// The long-lived part: expires dead leases, announces jobs whose message was lost, sweeps, serves /metrics, /livez
/// and /readyz. Several are safe.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Exit 64 for bad settings, 69 for a store or queue that cannot be reached at the start.
pub(crate) async fn execute(site: &Site, _args: Args) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    let queue = Arc::clone(yard.queue().await?);
    let shutdown = Shutdown::on_signals().map_err(|error| Failure::new(ExitCode::Infrastructure, error))?;
    let registry = prometheus::Registry::new();
    let series = FleetSeries::register(&registry).map_err(|error| Failure::new(ExitCode::Infrastructure, error))?;
    let readiness = Readiness::default();
    let chosen = site.environment.contains_key("TRAINYARD_METRICS_ADDR");
    let monitor = Monitor::bind(yard.fleet.metrics_addr, chosen)
        .await
        .map_err(Failure::usage)?;
    let stop = CancellationToken::new();
    let serving = monitor.map(|monitor| {
        if let Ok(address) = monitor.address() {
            eprintln!("metrics: http://{address}/metrics");
        }
        tokio::spawn(monitor.serve(registry, readiness.clone(), stop.clone()))
    });
    eprintln!("store: {}\nqueue: {}", yard.fleet.store_url, yard.fleet.queue_url);
    let mut reading = series.reading(yard.ledger.clone(), Arc::clone(&queue));
    let read = async {
        loop {
            match reading.read().await {
                Ok(()) => readiness.ready(),
                Err(error) => readiness.not_ready(format!("{error}")),
            }
            tokio::time::sleep(READ).await;
        }
    };
    tokio::select! {
        () = sweep(&yard, Sweeper::new(yard.ledger.clone(), queue).keeping(yard.fleet.retention)) => {}
        () = read => {}
        () = shutdown.soft().cancelled() => {}
    }
    // Whatever was under way is repeatable by whoever comes next.
    readiness.not_ready("stopping");
    stop.cancel();
    if let Some(serving) = serving {
        let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    }
    Ok(ExitCode::Ok)
}

/// Three times a lease, so that an expiry is seen soon after it happened.
async fn sweep(yard: &Yard, mut sweeper: Sweeper) {
    let pause = yard.fleet.lease / 3;
    loop {
        match sweeper.sweep().await {
            Ok(swept) if swept.announced + swept.expired + swept.deleted + swept.failed > 0 => tracing::info!(
                announced = swept.announced,
                expired = swept.expired,
                deleted = swept.deleted,
                failed = swept.failed,
                "swept"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %Chain(&error), "the sweep failed, trying again"),
        }
        tokio::time::sleep(pause).await;
    }
}
