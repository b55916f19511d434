//! The job: read, and checked before anything else happens.

use crate::failure::{Failure, Result};
use std::path::{Component, Path};
use trainer_protocol::{CheckpointEvery, SCHEMA, Strategy, Task, TrainerJob, Training};

/// Reads `JOB.json`.
///
/// # Errors
///
/// A user's failure that names the field.
pub fn read(path: &Path) -> Result<TrainerJob> {
    let text = std::fs::read(path).map_err(|e| Failure::user(format!("{}: {e}", path.display())))?;
    let job = serde_json::from_slice(&text).map_err(|e| Failure::user(format!("{}: {e}", path.display())))?;
    validate(&job)?;
    Ok(job)
}

/// Does every field hold something that can be done?
///
/// # Errors
///
/// A user's failure that names the first field that does not.
pub fn validate(job: &TrainerJob) -> Result<()> {
    require(job.schema == SCHEMA, "schema", &format!("{SCHEMA}"), job.schema)?;
    inside("model", &job.model)?;
    require(job.max_rows != Some(0), "max_rows", "at least 1", 0)?;
    require(
        job.eval_batch_size >= 1,
        "eval_batch_size",
        "at least 1",
        job.eval_batch_size,
    )?;
    if let Some(length) = job.max_length {
        require(length >= 3, "max_length", "at least 3", length)?;
    }
    if let Some(data) = &job.validation_data {
        inside("validation_data.path", &data.path)?;
    }
    let keywords = &job.keywords;
    let (fewest, most) = keywords.keyphrase_ngram_range;
    require(
        1 <= fewest && fewest <= most,
        "keywords.keyphrase_ngram_range",
        "1 <= first <= second",
        fewest,
    )?;
    require(keywords.top_n >= 1, "keywords.top_n", "at least 1", keywords.top_n)?;
    require(
        (0.0..=1.0).contains(&keywords.diversity),
        "keywords.diversity",
        "0 to 1",
        keywords.diversity,
    )?;
    match &job.training {
        Some(_) if job.task == Task::FeatureExtraction => Err(Failure::user(
            "training: a feature-extraction model is used as it came, it cannot be trained",
        )),
        Some(training) => validate_training(training, job.validation_data.is_some()),
        None => Ok(()),
    }
}

fn validate_training(training: &Training, validated: bool) -> Result<()> {
    inside("training.data.path", &training.data.path)?;
    let positive = |field: &str, value: u32| require(value >= 1, field, "at least 1", value);
    positive("training.epochs", training.epochs)?;
    positive("training.train_batch_size", training.train_batch_size)?;
    positive(
        "training.gradient_accumulation_steps",
        training.gradient_accumulation_steps,
    )?;
    let not_negative = |value: f64| value.is_finite() && value >= 0.0;
    let rate = training.learning_rate;
    require(
        rate.is_finite() && rate > 0.0,
        "training.learning_rate",
        "above 0",
        rate,
    )?;
    require(
        not_negative(training.weight_decay),
        "training.weight_decay",
        "at least 0",
        training.weight_decay,
    )?;
    require(
        not_negative(training.max_grad_norm),
        "training.max_grad_norm",
        "at least 0",
        training.max_grad_norm,
    )?;
    require(
        (0.0..1.0).contains(&training.test_size),
        "training.test_size",
        "0 to below 1",
        training.test_size,
    )?;
    let by_steps = [training.evaluation_strategy, training.save_strategy].contains(&Strategy::Steps);
    if by_steps {
        positive("training.save_steps", training.save_steps)?;
    }
    match training.checkpoint_every {
        CheckpointEvery::Auto => {}
        CheckpointEvery::Steps(every) | CheckpointEvery::Seconds(every) => {
            positive("training.checkpoint_every", every)?;
        }
    }
    if let Some(patience) = training.early_stopping_patience {
        positive("training.early_stopping_patience", patience)?;
    }
    let choosing = training.load_best_model_at_end || training.early_stopping_patience.is_some();
    let evaluating = training.evaluation_strategy != Strategy::No && (validated || training.test_size > 0.0);
    require(
        !choosing || evaluating,
        "training.evaluation_strategy",
        "epoch or steps, with validation data, for load_best_model_at_end and early_stopping_patience",
        "no evaluation",
    )
}

fn require(holds: bool, field: &str, wanted: &str, found: impl std::fmt::Display) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Failure::user(format!("{field} must be {wanted}, found {found}")))
}

fn inside(field: &str, path: &str) -> Result<()> {
    require(
        !path.is_empty() && stays_inside(path),
        field,
        "a path below --inputs",
        format_args!("`{path}`"),
    )
}

/// Does this relative path stay below the folder that it is relative to?
pub(crate) fn stays_inside(path: &str) -> bool {
    Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
