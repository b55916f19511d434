//! What a trainer says, on its way to the ledger, the store and the series.

use super::{Work, checkpoint_files};
use crate::interruption::Interruption;
use crate::metrics::Metrics;
use shared::ledger::{Claim, Event as LedgerEvent, Progress, checkpoint};
use shared::telemetry::Chain;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trainer_protocol::Event;

/// The state is written for progress at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Takes a trainer's events without ever making it wait: of progress and of checkpoints the newest counts.
#[derive(Debug)]
pub(super) struct TrainWatch {
    pipeline: String,
    progress: watch::Sender<Option<Progress>>,
    checkpoint: watch::Sender<Option<Arc<Kept>>>,
    checkpoints: PathBuf,
    uploads: PathBuf,
    saving: JoinSet<()>,
    /// Stops writing when dropped.
    _writing: JoinSet<()>,
    series: Series,
}

impl TrainWatch {
    /// `checkpoints`: the folder that the trainer was given.
    pub(super) fn start(work: &Work<'_>, pipeline: &str, checkpoints: PathBuf) -> Self {
        let (progress, progress_seen) = watch::channel(None);
        let (checkpoint, checkpoint_seen) = watch::channel(None);
        let (mut writing, mut saving) = (JoinSet::new(), JoinSet::new());
        writing.spawn(write_progress(work.claim.clone(), progress_seen));
        saving.spawn(save_checkpoints(
            work.claim.clone(),
            pipeline.to_owned(),
            checkpoint_seen,
            work.interruption.clone(),
        ));
        Self {
            pipeline: pipeline.to_owned(),
            progress,
            checkpoint,
            checkpoints,
            uploads: work.folder.uploads(pipeline),
            saving,
            _writing: writing,
            series: Series::new(work, pipeline),
        }
    }

    /// One event.
    pub(super) fn see(&mut self, event: Event) {
        match event {
            Event::Progress {
                phase,
                step,
                of,
                loss,
                samples_per_second,
                tokens_per_second,
                ..
            } => {
                if phase == "train" {
                    self.series.trained(step, loss, tokens_per_second);
                }
                self.progress.send_replace(Some(Progress {
                    pipeline: self.pipeline.clone(),
                    phase,
                    step,
                    of,
                    loss: loss.filter(|loss| loss.is_finite()),
                    samples_per_second: Some(samples_per_second).filter(|rate| rate.is_finite()),
                }));
            }
            Event::Checkpoint { step, folder } => self.keep(step, &folder),
            Event::Evaluated { scores, .. } => self.series.evaluated(&scores),
            Event::Exported { files, bytes } => tracing::debug!(files, bytes, "exported"),
            Event::Ready {
                startup_ms,
                resident_bytes,
            } => {
                tracing::debug!(startup_ms, resident_bytes, "the trainer is ready");
            }
            // `Failed` is told by the trainer's end; later versions may say more.
            _ => {}
        }
    }

    /// Keeps a checkpoint as it is now: the trainer removes old ones when it likes.
    fn keep(&self, step: u64, folder: &str) {
        // Said twice where it was saved and then interrupted at once.
        if self
            .checkpoint
            .borrow()
            .as_ref()
            .is_some_and(|known| known.step == step)
        {
            return;
        }
        let kept = Kept {
            step,
            folder: self.uploads.join(step.to_string()),
        };
        match checkpoint_files::keep(&self.checkpoints, folder, &kept.folder) {
            // One that nobody began to save goes here: saving may be slower than training.
            Ok(()) => drop(self.checkpoint.send_replace(Some(Arc::new(kept)))),
            Err(error) => tracing::warn!(folder, error = %Chain(&error), "a checkpoint was not kept"),
        }
    }

    /// Waits until the newest checkpoint is saved, or the time is over.
    pub(super) async fn finish(self, interruption: &Interruption) {
        let Self {
            checkpoint, mut saving, ..
        } = self;
        drop(checkpoint);
        tokio::select! {
            _ = saving.join_next() => {}
            () = interruption.hard().cancelled() => tracing::warn!("the last checkpoint may not be saved"),
        }
    }
}

async fn write_progress(claim: Claim, mut seen: watch::Receiver<Option<Progress>>) {
    while seen.changed().await.is_ok() {
        let Some(progress) = seen.borrow_and_update().clone() else {
            continue;
        };
        if let Err(error) = claim.write(LedgerEvent::Progress(progress)).await {
            // The lease's keeper decides what a lost job or store means.
            tracing::debug!(job = %claim.id(), error = %Chain(&error), "progress was not written");
        }
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

/// A checkpoint on its way to the store; its folder goes when nobody needs it any more.
#[derive(Debug)]
struct Kept {
    step: u64,
    folder: PathBuf,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What stays goes with the claim's folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn save_checkpoints(
    claim: Claim,
    pipeline: String,
    mut seen: watch::Receiver<Option<Arc<Kept>>>,
    interruption: Interruption,
) {
    while seen.changed().await.is_ok() {
        let Some(kept) = seen.borrow_and_update().clone() else {
            continue;
        };
        let (step, started) = (kept.step, Instant::now());
        match checkpoint::save(&claim, &pipeline, step, &kept.folder).await {
            Ok(saved) => {
                if saved {
                    interruption.note_saving(started.elapsed());
                }
                tracing::info!(job = %claim.id(), pipeline, step, saved, "checkpoint");
            }
            // The next one is coming.
            Err(error) => {
                tracing::warn!(job = %claim.id(), pipeline, step, error = %Chain(&error), "a checkpoint was not saved")
            }
        }
    }
}

/// The series of one pipeline's training.
#[derive(Debug)]
struct Series {
    metrics: Metrics,
    project: String,
    /// Steps up to here were done before by a claim that was lost.
    reached: u64,
    step: u64,
    seen: Instant,
}

impl Series {
    fn new(work: &Work<'_>, pipeline: &str) -> Self {
        let before = &work.before.state;
        let reached = before
            .progress
            .as_ref()
            .filter(|it| it.pipeline == pipeline && it.phase == "train");
        let resumed = before.checkpoints.iter().find(|it| it.pipeline == pipeline);
        Self {
            metrics: work.context.metrics.clone(),
            project: work.job.content.project.clone(),
            reached: reached.map_or(0, |it| it.step),
            step: resumed.map_or(0, |it| it.step),
            seen: Instant::now(),
        }
    }

    fn trained(&mut self, step: u64, loss: Option<f64>, tokens_per_second: f64) {
        let project = self.project.as_str();
        let redone = step.min(self.reached).saturating_sub(self.step);
        let useful = step.saturating_sub(self.step).saturating_sub(redone);
        self.metrics
            .steps
            .with_label_values(&[project, "redone"])
            .inc_by(redone);
        self.metrics
            .steps
            .with_label_values(&[project, "useful"])
            .inc_by(useful);
        let tokens = tokens_per_second * self.seen.elapsed().as_secs_f64();
        if tokens.is_finite() && tokens > 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "finite and positive"
            )]
            self.metrics
                .training_tokens
                .with_label_values(&[project])
                .inc_by(tokens as u64);
        }
        if let Some(loss) = loss {
            self.metrics.training_loss.with_label_values(&[project]).set(loss);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics
            .last_step_timestamp
            .with_label_values(&[project])
            .set(now.as_secs_f64());
        self.step = self.step.max(step);
        self.seen = Instant::now();
    }

    fn evaluated(&self, scores: &std::collections::BTreeMap<String, f64>) {
        for (name, value) in scores {
            self.metrics
                .evaluation_score
                .with_label_values(&[self.project.as_str(), name])
                .set(*value);
        }
    }
}
