//! Jobs that ask for nothing: the model is used as it came, and no trainer does anything.

use anyhow::{Context, Result, ensure};
use shared::job::{Job, JobId};
use shared::ledger::Ledger;
use shared::queue::{Message, Queue};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tests::sandbox::Sandbox;

/// Makes jobs of one content, each another by its nonce.
#[derive(Debug)]
pub(crate) struct Jobs {
    first: Job,
    made: AtomicU32,
}

impl Jobs {
    /// Of the machine's project, as its dispatcher publishes it into the machine's own store.
    pub(crate) fn of(machine: &Sandbox) -> Result<Self> {
        let training = [
            "TRAIN",
            "TRAIN_DATA",
            "VALIDATION_DATA",
            "EPOCHS",
            "TRAIN_BATCH_SIZE",
            "WARMUP_STEPS",
            "LEARNING_RATE",
        ];
        let none = training.map(|name| (name, ""));
        let keywords = [
            ("HUGGINGFACE_PIPELINE_TASK", "feature-extraction"),
            ("MODEL", "KEYWORDS-TRAINED"),
        ];
        machine.write_project("keywords", &[&none[..], &keywords].concat());
        let id = machine.publish("keywords");
        let file = machine.store().join("trainyard/jobs").join(&id).join("job.json");
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        Ok(Self {
            first: serde_json::from_slice(&bytes)?,
            made: AtomicU32::new(0),
        })
    }

    pub(crate) fn next(&self) -> Job {
        let mut job = self.first.clone();
        job.content.nonce = Some(format!("bench-{}", self.made.fetch_add(1, Ordering::Relaxed)));
        job
    }
}

/// What rings for a job.
pub(crate) fn message(id: JobId, job: &Job) -> Message {
    Message {
        schema: 1,
        job: id,
        accelerator: job.content.accelerator,
        postponed: 0,
    }
}

/// Whole publishing: the record, then its message.
pub(crate) async fn publish(ledger: &Ledger, queue: &dyn Queue, job: &Job) -> Result<JobId> {
    let id = job.id();
    ledger.create(job).await?;
    queue.publish(&message(id.clone(), job), Duration::ZERO).await?;
    Ok(id)
}

/// Waits until a job is registered.
pub(crate) async fn registered(ledger: &Ledger, id: &JobId) -> Result<()> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let state = ledger.read(id).await?.state;
        if state.status.is_terminal() {
            ensure!(state.version.is_some(), "the job ended without a version: {state:?}");
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < deadline, "the job never ended: {state:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
