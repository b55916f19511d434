//! The worker's series. Names are a contract; no label ever holds a job's id.

use prometheus::{
    Error, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// Buckets of durations in seconds: from a small job's stage to a day of training.
const SECONDS: [f64; 14] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
];

/// Every series of a worker, registered.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is the series of its name, with its help text in `new`"
)]
pub struct Metrics {
    pub stage_seconds: HistogramVec,
    pub queue_wait_seconds: Histogram,
    pub worker_slots: IntGaugeVec,
    pub steps: IntCounterVec,
    pub training_tokens: IntCounterVec,
    pub training_loss: GaugeVec,
    pub last_step_timestamp: GaugeVec,
    pub evaluation_score: GaugeVec,
    pub lease_renewals: IntCounterVec,
    pub fenced_writes: IntCounter,
    pub hub_bytes: IntCounter,
    pub store_bytes: IntCounterVec,
    pub disk_free_bytes: IntGaugeVec,
    pub build_info: IntGaugeVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// `registry` has one of these names already.
    pub fn new(registry: &Registry) -> Result<Self, Error> {
        let make = Maker(registry);
        Ok(Self {
            stage_seconds: make.histograms(
                "trainyard_stage_seconds",
                "duration of a job's stages",
                &["project", "stage"],
            )?,
            queue_wait_seconds: make.histogram(
                "trainyard_queue_wait_seconds",
                "time from publishing a job to its first claim",
            )?,
            worker_slots: make.int_gauges(
                "trainyard_worker_slots",
                "jobs this worker can hold, by state",
                &["state"],
            )?,
            steps: make.counters(
                "trainyard_steps_total",
                "optimizer steps, useful or done again after a loss",
                &["project", "kind"],
            )?,
            training_tokens: make.counters(
                "trainyard_training_tokens_total",
                "tokens trained on, without padding",
                &["project"],
            )?,
            training_loss: make.gauges(
                "trainyard_training_loss",
                "last loss that a trainer reported",
                &["project"],
            )?,
            last_step_timestamp: make.gauges(
                "trainyard_last_step_timestamp_seconds",
                "when the last optimizer step was reported",
                &["project"],
            )?,
            evaluation_score: make.gauges(
                "trainyard_evaluation_score",
                "scores of the last evaluation",
                &["project", "metric"],
            )?,
            lease_renewals: make.counters(
                "trainyard_lease_renewals_total",
                "renewals by result: won, failed, fenced",
                &["result"],
            )?,
            fenced_writes: make.counter(
                "trainyard_fenced_writes_total",
                "writes refused since the job was no longer this worker's",
            )?,
            hub_bytes: make.counter("trainyard_hub_bytes_total", "bytes downloaded from the hub")?,
            store_bytes: make.counters(
                "trainyard_store_bytes_total",
                "bytes of files to and from the store",
                &["direction"],
            )?,
            disk_free_bytes: make.int_gauges("trainyard_disk_free_bytes", "bytes free in a folder", &["folder"])?,
            build_info: make.int_gauges(
                "trainyard_build_info",
                "1; the labels say what was built",
                &["version", "build"],
            )?,
        })
    }
}

/// Makes and registers series.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        let series = IntCounter::new(name, help)?;
        self.0.register(Box::new(series.clone()))?;
        Ok(series)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        let series = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(series.clone()))?;
        Ok(series)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        let series = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(series.clone()))?;
        Ok(series)
    }

    fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        let series = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(series.clone()))?;
        Ok(series)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram, Error> {
        let series = Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?;
        self.0.register(Box::new(series.clone()))?;
        Ok(series)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, Error> {
        let series = HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?;
        self.0.register(Box::new(series.clone()))?;
        Ok(series)
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;
    use prometheus::{Registry, TextEncoder};

    #[test]
    fn names_and_labels_are_those_of_the_contract() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.steps.with_label_values(&["ner", "redone"]).inc();
        metrics.evaluation_score.with_label_values(&["ner", "f1"]).set(0.5);
        metrics.stage_seconds.with_label_values(&["ner", "train"]).observe(3.0);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "trainyard_steps_total{kind=\"redone\",project=\"ner\"} 1",
            "trainyard_evaluation_score{metric=\"f1\",project=\"ner\"} 0.5",
            "trainyard_stage_seconds_bucket{project=\"ner\",stage=\"train\",le=\"5\"} 1",
            "trainyard_fenced_writes_total 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn two_workers_of_one_process_need_two_registries() {
        let registry = Registry::new();
        assert!(Metrics::new(&registry).is_ok() && Metrics::new(&registry).is_err());
    }
}
