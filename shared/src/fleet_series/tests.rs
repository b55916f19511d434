//! Tests of the fleet's series.

use super::FleetSeries;
use super::counts::{Counts, Known};
use crate::heartbeat::{Heartbeat, HeartbeatWriter};
use crate::job::Accelerator;
use crate::ledger::{FailureCause, Ledger, State, Status};
use crate::queue::Queue;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;

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
    crate::queue::connect(&url, &crate::aws::AwsAccess::default())
        .await
        .unwrap()
}
