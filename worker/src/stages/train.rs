//! Train: one trainer process a pipeline, in the order of their names.

use super::Work;
use super::retrieve::Prepared;
use super::train_watch::TrainWatch;
use crate::failure;
use crate::outcome::{Ending, Failure};
use crate::trainer_process::TrainerProcess;
use shared::ledger::{FailureCause, checkpoint};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trainer_protocol::{OUTPUT_FILES, Report};

/// What a trainer made of one pipeline.
#[derive(Debug)]
pub struct Trained {
    /// Its name within the job.
    pub name: String,
    /// The trainer's `--outputs`.
    pub outputs: PathBuf,
    /// Its account.
    pub report: Report,
    /// Whether it was fine-tuned.
    pub fine_tuned: bool,
}

/// Runs a trainer for every pipeline.
///
/// # Errors
/// [`Ending::Interrupted`] with the newest checkpoint saved, or the failure of a trainer.
pub async fn run(work: &Work<'_>, prepared: &[Prepared]) -> Result<Vec<Trained>, Ending> {
    let mut trained = Vec::new();
    for pipeline in prepared {
        trained.push(train(work, pipeline).await?);
    }
    Ok(trained)
}

async fn train(work: &Work<'_>, prepared: &Prepared) -> Result<Trained, Ending> {
    if work.interruption.is_stopping() {
        return Err(Ending::Interrupted);
    }
    let name = prepared.name.as_str();
    let (outputs, checkpoints) = (work.folder.outputs(name), work.folder.checkpoints(name));
    restore(work, name, &checkpoints).await?;
    for folder in [&outputs, &checkpoints] {
        std::fs::create_dir_all(folder).map_err(|error| failure::file("the working folder", &error))?;
    }
    let job = work.folder.file(&format!("{name}.json"));
    write_job(&job, prepared)?;

    let process = TrainerProcess {
        program: work.context.trainer.program.clone(),
        leading: work.context.trainer.leading.clone(),
        environment: work.context.trainer.next_environment(),
        inputs: work.folder.inputs(),
        outputs: outputs.clone(),
        checkpoints: checkpoints.clone(),
        job,
    };
    let mut watch = TrainWatch::start(work, name, checkpoints);
    let ended = process.run(work.interruption, work.log, |event| watch.see(event)).await;
    let end = ended.map_err(|error| Failure::new(FailureCause::Infrastructure, failure::chain(&error)))?;
    tracing::info!(job = %work.claim.id(), pipeline = name, end = ?end, "the trainer has ended");
    if let Some(ending) = failure::trainer(end, work.interruption.is_stopping()) {
        watch.finish(work.interruption).await;
        return Err(ending);
    }
    let report = read_report(&outputs)?;
    if !report.unmatched_environments.is_empty() {
        tracing::warn!(job = %work.claim.id(), pipeline = name, "not bit-exact: an earlier part ran on another kind of machine or build");
        work.log.line(&format!(
            "{name}: not bit-exact: parts of the training ran on {:?}, the last one on {:?}",
            report.unmatched_environments, report.environment
        ));
    }
    Ok(Trained {
        name: name.to_owned(),
        report,
        outputs,
        fine_tuned: prepared.job.training.is_some(),
    })
}

/// Lays the newest checkpoint that the state lists where the trainer looks for it.
async fn restore(work: &Work<'_>, pipeline: &str, checkpoints: &Path) -> Result<(), Ending> {
    let listed = &work.before.state;
    if !listed.checkpoints.iter().any(|it| it.pipeline == pipeline) {
        return Ok(());
    }
    let restored = checkpoint::restore(&work.context.ledger, work.claim.id(), listed, pipeline, checkpoints).await;
    match restored.map_err(Failure::from)? {
        Some(step) => work
            .log
            .line(&format!("{pipeline}: going on from the checkpoint of step {step}")),
        None => work
            .log
            .line(&format!("{pipeline}: no checkpoint is whole, starting anew")),
    }
    Ok(())
}

fn write_job(path: &Path, prepared: &Prepared) -> Result<(), Failure> {
    let json = serde_json::to_vec_pretty(&prepared.job).map_err(|error| {
        Failure::new(
            FailureCause::Internal,
            format!("failed to encode the trainer's job: {error}"),
        )
    })?;
    std::fs::write(path, json).map_err(|error| failure::file("the trainer's job", &error))
}

fn read_report(outputs: &Path) -> Result<Report, Failure> {
    let unreadable = |reason: String| {
        Failure::new(
            FailureCause::Internal,
            format!("failed to read the trainer's {}: {reason}", OUTPUT_FILES.report),
        )
    };
    let bytes = std::fs::read(outputs.join(OUTPUT_FILES.report)).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
}

/// Scores of a whole job: those of a single pipeline by their names, those of several as `<pipeline>.<score>`.
#[must_use]
pub fn scores(trained: &[Trained]) -> BTreeMap<String, f64> {
    let one = trained.len() == 1;
    let of = |it: &Trained| {
        let name = it.name.clone();
        let named = move |score: &str| {
            if one {
                score.to_owned()
            } else {
                format!("{name}.{score}")
            }
        };
        it.report
            .scores
            .iter()
            .map(|(score, value)| (named(score), *value))
            .collect::<Vec<_>>()
    };
    trained
        .iter()
        .flat_map(of)
        .filter(|(_, value)| value.is_finite())
        .collect()
}
