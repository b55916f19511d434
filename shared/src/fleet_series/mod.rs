//! The fleet's series for `/metrics`, read from the ledger, the queue and the workers' heartbeats.
//!
//! `trainyard_jobs_published_total` and `trainyard_jobs_total` are counts over the whole ledger, so they survive every
//! restart and are the same from whichever process they are read. A job counts by what it is now: one that failed and
//! was re-opened leaves `outcome="failed"`. Within one process a counter never falls; after a restart it may begin
//! lower by the jobs that were re-opened since.

mod counts;
mod reading;

pub use reading::FleetReading;

use crate::ledger::{Ledger, LedgerError};
use crate::queue::{Queue, QueueError};
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::sync::Arc;

/// Why the series could not be read; they keep what they showed.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The jobs.
    #[error("failed to read the ledger for the fleet's series")]
    Ledger(#[from] LedgerError),
    /// The depths.
    #[error("failed to read the queue for the fleet's series")]
    Queue(#[from] QueueError),
    /// The heartbeats.
    #[error("failed to read the workers' heartbeats for the fleet's series")]
    Heartbeats(#[from] crate::store::StoreError),
}

/// The series of the whole fleet. Clones share them.
#[derive(Debug, Clone)]
pub struct FleetSeries {
    published: IntCounterVec,
    ended: IntCounterVec,
    depth: IntGaugeVec,
    oldest: GaugeVec,
    dead: IntGaugeVec,
    workers: IntGaugeVec,
    projection_lag: IntGauge,
}

impl FleetSeries {
    /// Makes the series and shows them in `registry`.
    ///
    /// # Errors
    /// They were registered before.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let series = Self {
            published: counter(
                "trainyard_jobs_published_total",
                "Jobs in the ledger.",
                &["project", "accelerator"],
            )?,
            ended: counter(
                "trainyard_jobs_total",
                "Jobs in the ledger that have ended: registered, completed, failed or cancelled.",
                &["project", "accelerator", "outcome"],
            )?,
            depth: gauge(
                "trainyard_queue_depth",
                "Messages: ready, delayed, in_flight or dead.",
                &["queue", "state"],
            )?,
            oldest: GaugeVec::new(
                Opts::new(
                    "trainyard_oldest_waiting_seconds",
                    "How long the longest waiting queued job has waited, 0 without one.",
                ),
                &["accelerator"],
            )?,
            dead: gauge(
                "trainyard_dead_jobs",
                "Failed jobs that nobody has requeued.",
                &["cause"],
            )?,
            workers: gauge(
                "trainyard_workers",
                "Workers with a heartbeat within their lease.",
                &["accelerator"],
            )?,
            projection_lag: IntGauge::new(
                "trainyard_projection_lag",
                "Registered versions that other registries do not show yet; 0 where the bucket is the registry.",
            )?,
        };
        let all: [Box<dyn Collector>; 7] = [
            Box::new(series.published.clone()),
            Box::new(series.ended.clone()),
            Box::new(series.depth.clone()),
            Box::new(series.oldest.clone()),
            Box::new(series.dead.clone()),
            Box::new(series.workers.clone()),
            Box::new(series.projection_lag.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        Ok(series)
    }

    /// What reads them, again and again.
    #[must_use]
    pub fn reading(&self, ledger: Ledger, queue: Arc<dyn Queue>) -> FleetReading {
        FleetReading::new(self.clone(), ledger, queue)
    }
}

#[cfg(test)]
mod tests;
