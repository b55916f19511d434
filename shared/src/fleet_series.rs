//! The fleet's series for `/metrics`, read from the ledger, the queue and the workers' heartbeats.
//!
//! `trainyard_jobs_published_total` and `trainyard_jobs_total` are counts over the whole ledger, so they survive every
//! restart and are the same from whichever process they are read. A job counts by what it is now: one that failed and
//! was re-opened leaves `outcome="failed"`. Within one process a counter never falls; after a restart it may begin
//! lower by the jobs that were re-opened since.

use crate::heartbeat;
use crate::job::{Accelerator, JobId};
use crate::ledger::{FailureCause, Ledger, LedgerError, State, Status};
use crate::queue::{Queue, QueueError};
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::collections::{BTreeMap, HashMap};
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
        FleetReading {
            series: self.clone(),
            ledger,
            queue,
            jobs: HashMap::new(),
            workers: HashMap::new(),
        }
    }
}

/// Reads the series. Remembers what never changes, so a reading costs one small read a job.
#[derive(Debug)]
pub struct FleetReading {
    series: FleetSeries,
    ledger: Ledger,
    queue: Arc<dyn Queue>,
    jobs: HashMap<JobId, Known>,
    /// By worker, its last heartbeat's number: one that moves is alive, whatever the store's clock says.
    workers: HashMap<String, u64>,
}

#[derive(Debug, Clone)]
struct Known {
    project: String,
    accelerator: Accelerator,
    published_at: String,
}

#[derive(Debug, Default)]
struct Counts {
    published: HashMap<(String, Accelerator), u64>,
    ended: HashMap<(String, Accelerator, Status), u64>,
    dead: BTreeMap<&'static str, i64>,
    oldest: HashMap<Accelerator, f64>,
}

impl FleetReading {
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
        for id in self.ledger.jobs().await? {
            match self.job(&id).await {
                Ok(Some((known, state))) => counts.add(&known, &state),
                Ok(None) => {}
                Err(error) => tracing::warn!(job = %id, %error, "left out of the fleet's series"),
            }
        }
        Ok(counts)
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
        Ok(Some((known, self.ledger.read(id).await?.state)))
    }

    fn show(&self, counts: &Counts) {
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

impl Counts {
    fn add(&mut self, known: &Known, state: &State) {
        *self
            .published
            .entry((known.project.clone(), known.accelerator))
            .or_default() += 1;
        if state.status.is_terminal() {
            let key = (known.project.clone(), known.accelerator, state.status);
            *self.ended.entry(key).or_default() += 1;
        }
        if state.status == Status::Failed {
            *self.dead.entry(cause(state.failure)).or_default() += 1;
        }
        if state.status == Status::Queued {
            let since = if state.updated_at.is_empty() {
                &known.published_at
            } else {
                &state.updated_at
            };
            let waited = seconds_since(since);
            let oldest = self.oldest.entry(known.accelerator).or_default();
            *oldest = oldest.max(waited);
        }
    }
}

/// Brings a counter to a count over the ledger; never down, since a counter that falls means a restart to Prometheus.
fn raise(counter: &prometheus::IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

/// By the writer's clock, which is for people; a time to come counts as none.
fn seconds_since(rfc3339: &str) -> f64 {
    let Ok(then) = rfc3339.parse::<jiff::Timestamp>() else {
        return 0.0;
    };
    jiff::Timestamp::now().duration_since(then).as_secs_f64().max(0.0)
}

const CAUSES: [&str; 7] = [
    "infrastructure",
    "trainer_killed",
    "capacity",
    "user",
    "quality",
    "poison",
    "internal",
];

fn cause(cause: Option<FailureCause>) -> &'static str {
    match cause {
        Some(FailureCause::Infrastructure) => "infrastructure",
        Some(FailureCause::TrainerKilled) => "trainer_killed",
        Some(FailureCause::Capacity) => "capacity",
        Some(FailureCause::User) => "user",
        Some(FailureCause::Quality) => "quality",
        Some(FailureCause::Poison) => "poison",
        Some(FailureCause::Internal) | None => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::{Heartbeat, HeartbeatWriter};
    use crate::store::Store;
    use crate::store::memory::MemoryStore;
    use prometheus::TextEncoder;

    fn known(published_at: &str) -> Known {
        Known {
            project: "ner".into(),
            accelerator: Accelerator::Cpu,
            published_at: published_at.into(),
        }
    }

    fn state(status: Status, failure: Option<FailureCause>) -> State {
        State {
            status,
            failure,
            ..State::first()
        }
    }

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[tokio::test]
    async fn counters_are_counts_over_the_ledger_and_never_fall() {
        let registry = Registry::new();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let series = FleetSeries::register(&registry).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let queue = queue(folder.path()).await;
        let reading = series.reading(Ledger::new(store), queue);
        let mut counts = Counts::default();
        let long_ago = "2020-01-01T00:00:00Z";
        for state in [
            state(Status::Queued, None),
            state(Status::Failed, Some(FailureCause::User)),
            state(Status::Registered, None),
            state(Status::Registered, None),
        ] {
            counts.add(&known(long_ago), &state);
        }
        reading.show(&counts);
        let shown = text(&registry);
        for line in [
            r#"trainyard_jobs_published_total{accelerator="cpu",project="ner"} 4"#,
            r#"trainyard_jobs_total{accelerator="cpu",outcome="registered",project="ner"} 2"#,
            r#"trainyard_jobs_total{accelerator="cpu",outcome="failed",project="ner"} 1"#,
            r#"trainyard_dead_jobs{cause="user"} 1"#,
            r#"trainyard_dead_jobs{cause="poison"} 0"#,
            r#"trainyard_oldest_waiting_seconds{accelerator="gpu"} 0"#,
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        assert!(counts.oldest[&Accelerator::Cpu] > 1e8, "it has waited since 2020");
        // The failed job was re-opened: the gauge follows, the counter stays.
        let mut counts = Counts::default();
        counts.add(&known(long_ago), &state(Status::Queued, None));
        reading.show(&counts);
        let shown = text(&registry);
        assert!(
            shown.contains(r#"trainyard_jobs_total{accelerator="cpu",outcome="failed",project="ner"} 1"#),
            "{shown}"
        );
        assert!(shown.contains(r#"trainyard_dead_jobs{cause="user"} 0"#), "{shown}");
    }

    #[tokio::test]
    async fn an_empty_fleet_shows_every_series_and_a_worker_is_counted() {
        let registry = Registry::new();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let folder = tempfile::tempdir().unwrap();
        let series = FleetSeries::register(&registry).unwrap();
        let mut reading = series.reading(Ledger::new(Arc::clone(&store)), queue(folder.path()).await);
        let mut writer = HeartbeatWriter::new(Arc::clone(&store), "w1").unwrap();
        let beat = Heartbeat {
            worker: "w1".into(),
            host: "h1".into(),
            accelerator: Accelerator::Inf1,
            build: "dev".into(),
            slots: 1,
            busy: 0,
            lease_s: 30,
            seq: 0,
        };
        writer.beat(beat).await.unwrap();
        reading.read().await.unwrap();
        let shown = text(&registry);
        for line in [
            r#"trainyard_workers{accelerator="inf1"} 1"#,
            r#"trainyard_workers{accelerator="cpu"} 0"#,
            r#"trainyard_queue_depth{queue="cpu",state="ready"} 0"#,
            "trainyard_projection_lag 0",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        writer.end().await.unwrap();
        reading.read().await.unwrap();
        assert!(text(&registry).contains(r#"trainyard_workers{accelerator="inf1"} 0"#));
    }

    async fn queue(folder: &std::path::Path) -> Arc<dyn Queue> {
        let url = format!("embedded:{}", folder.join("queue.db").display());
        crate::queue::connect(&url).await.unwrap()
    }
}
