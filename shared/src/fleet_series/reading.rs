//! Reading the series from ledger, queue and heartbeats.

use super::counts::{CAUSES, Counts, Known};
use super::{FleetSeries, SeriesError};
use crate::heartbeat;
use crate::job::{Accelerator, JobId};
use crate::ledger::{Ledger, LedgerError, State, Status};
use crate::queue::Queue;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Reads the series. Remembers what never changes, so a reading costs one small read a job that can still change.
#[derive(Debug)]
pub struct FleetReading {
    series: FleetSeries,
    ledger: Ledger,
    queue: Arc<dyn Queue>,
    jobs: HashMap<JobId, Known>,
    /// Of jobs to which nothing can happen any more.
    over: HashMap<JobId, Status>,
    /// By worker, its last heartbeat's number: one that moves is alive, whatever the store's clock says.
    workers: HashMap<String, u64>,
}

impl FleetReading {
    pub(super) fn new(series: FleetSeries, ledger: Ledger, queue: Arc<dyn Queue>) -> Self {
        Self {
            series,
            ledger,
            queue,
            jobs: HashMap::new(),
            over: HashMap::new(),
            workers: HashMap::new(),
        }
    }

    /// Reads everything once. A job that cannot be read is left out and said in the log.
    ///
    /// # Errors
    /// [`SeriesError`] if the jobs cannot be listed, or queue or heartbeats not be read.
    pub async fn read(&mut self) -> Result<(), SeriesError> {
        let counts = self.count_jobs().await?;
        self.show(&counts);
        for accelerator in Accelerator::ALL {
            let depth = self.queue.depth(accelerator).await?;
            let states = [
                ("ready", depth.ready),
                ("delayed", depth.delayed),
                ("in_flight", depth.in_flight),
                ("dead", depth.dead),
            ];
            for (state, count) in states {
                let gauge = self
                    .series
                    .depth
                    .with_label_values(&[accelerator.to_string().as_str(), state]);
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.count_workers().await?;
        // The bucket is the registry in this version, and it shows a version the moment it is registered.
        self.series.projection_lag.set(0);
        Ok(())
    }

    async fn count_jobs(&mut self) -> Result<Counts, SeriesError> {
        let mut counts = Counts::default();
        let listed = self.ledger.jobs().await?;
        self.forget_all_but(&listed);
        for id in listed {
            match self.job(&id).await {
                Ok(Some((known, state))) => counts.add(&known, &state),
                Ok(None) => {}
                Err(error) => tracing::warn!(job = %id, %error, "left out of the fleet's series"),
            }
        }
        Ok(counts)
    }

    /// A job that is there no more may come again.
    fn forget_all_but(&mut self, listed: &[JobId]) {
        let listed: HashSet<&JobId> = listed.iter().collect();
        self.jobs.retain(|id, _| listed.contains(id));
        self.over.retain(|id, _| listed.contains(id));
    }

    async fn job(&mut self, id: &JobId) -> Result<Option<(Known, State)>, LedgerError> {
        let known = match self.jobs.get(id) {
            Some(known) => known.clone(),
            None => {
                let Some(job) = self.ledger.job(id).await? else {
                    return Ok(None);
                };
                let known = Known {
                    project: job.content.project,
                    accelerator: job.content.accelerator,
                    published_at: job.lineage.published_at,
                };
                self.jobs.insert(id.clone(), known.clone());
                known
            }
        };
        Ok(Some((known, self.state(id).await?)))
    }

    /// What is counted of it.
    async fn state(&mut self, id: &JobId) -> Result<State, LedgerError> {
        if let Some(&status) = self.over.get(id) {
            return Ok(State {
                status,
                ..State::first()
            });
        }
        let state = self.ledger.read(id).await?.state;
        if state.status.is_final() {
            self.over.insert(id.clone(), state.status);
        }
        Ok(state)
    }

    pub(super) fn show(&self, counts: &Counts) {
        for ((project, accelerator), count) in &counts.published {
            let labels = [project.as_str(), &accelerator.to_string()];
            raise(&self.series.published.with_label_values(&labels), *count);
        }
        for ((project, accelerator, status), count) in &counts.ended {
            let labels = [project.as_str(), &accelerator.to_string(), &status.to_string()];
            raise(&self.series.ended.with_label_values(&labels), *count);
        }
        for cause in CAUSES {
            let count = counts.dead.get(cause).copied().unwrap_or_default();
            self.series.dead.with_label_values(&[cause]).set(count);
        }
        for accelerator in Accelerator::ALL {
            let seconds = counts.oldest.get(&accelerator).copied().unwrap_or_default();
            self.series
                .oldest
                .with_label_values(&[accelerator.to_string()])
                .set(seconds);
        }
    }

    async fn count_workers(&mut self) -> Result<(), SeriesError> {
        let mut alive: HashMap<Accelerator, i64> = HashMap::new();
        let mut seen_now = HashMap::new();
        for seen in heartbeat::list(self.ledger.store().as_ref()).await? {
            let beat = &seen.heartbeat;
            let moved = self.workers.get(&beat.worker).is_some_and(|before| *before != beat.seq);
            if moved || seen.is_fresh() {
                *alive.entry(beat.accelerator).or_default() += 1;
            }
            seen_now.insert(beat.worker.clone(), beat.seq);
        }
        self.workers = seen_now;
        for accelerator in Accelerator::ALL {
            let count = alive.get(&accelerator).copied().unwrap_or_default();
            self.series
                .workers
                .with_label_values(&[accelerator.to_string()])
                .set(count);
        }
        Ok(())
    }
}

/// Brings a counter to a count over the ledger; never down, since a counter that falls means a restart to Prometheus.
fn raise(counter: &prometheus::IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}
