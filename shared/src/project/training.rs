//! Fine-tuning: the component's variables for its iptc projects, for every task that can be trained.

use super::{DataFile, TrainingPlan};
use crate::gate;
use crate::job::limits;
use crate::settings::{SettingsError, Variables};
use std::path::Path;
use trainer_protocol::{CheckpointEvery, Strategy, Task};

const STRATEGIES: [(&str, Strategy); 3] = [
    ("no", Strategy::No),
    ("epoch", Strategy::Epoch),
    ("steps", Strategy::Steps),
];

/// The plan, if `TRAIN` says so; without `TRAIN`, if there is `TRAIN_DATA`. Defaults are the component's, and where it
/// has none those of `transformers.TrainingArguments`.
pub(super) fn read(variables: &Variables, task: Task, folder: &Path) -> Result<Option<TrainingPlan>, SettingsError> {
    let wanted = variables
        .boolean("TRAIN")?
        .unwrap_or(variables.get("TRAIN_DATA").is_some());
    if !wanted {
        return Ok(None);
    }
    if task == Task::FeatureExtraction {
        return Err(variables.invalid(
            "TRAIN",
            "feature-extraction is not trained: the model is used as it comes; expected false",
        ));
    }
    let data = DataFile::read(variables, "TRAIN_DATA", folder)?.ok_or_else(|| SettingsError::Missing {
        variable: "TRAIN_DATA".to_owned(),
        reason: format!(
            "TRAIN is true (from {}), so it must name a file below {}",
            variables.origin("TRAIN"),
            folder.display()
        ),
    })?;
    let number = |name, range| variables.number::<u32>(name, &range);
    let float = |name, range| variables.number::<f64>(name, &range);
    let plan = TrainingPlan {
        data,
        epochs: number("EPOCHS", limits::EPOCHS)?.unwrap_or(3),
        train_batch_size: number("TRAIN_BATCH_SIZE", limits::BATCH_SIZE)?.unwrap_or(32),
        gradient_accumulation_steps: number("GRADIENT_ACCUMULATION_STEPS", limits::ACCUMULATION)?.unwrap_or(1),
        learning_rate: float("LEARNING_RATE", limits::LEARNING_RATE)?.unwrap_or(5e-5),
        warmup_steps: number("WARMUP_STEPS", limits::WARMUP_STEPS)?.unwrap_or(500),
        weight_decay: float("WEIGHT_DECAY", limits::WEIGHT_DECAY)?.unwrap_or(0.0),
        max_grad_norm: float("MAX_GRAD_NORM", limits::MAX_GRAD_NORM)?.unwrap_or(1.0),
        test_size: float("TEST_SIZE", limits::TEST_SIZE)?.unwrap_or(0.2),
        evaluation_strategy: variables
            .word("EVALUATION_STRATEGY", &STRATEGIES)?
            .unwrap_or(Strategy::Epoch),
        save_strategy: variables.word("SAVE_STRATEGY", &STRATEGIES)?.unwrap_or(Strategy::Epoch),
        save_steps: number("SAVE_STEPS", limits::SAVE_STEPS)?.unwrap_or(5000),
        save_total_limit: number("SAVE_TOTAL_LIMIT", limits::SAVE_TOTAL_LIMIT)?.unwrap_or(10),
        load_best_model_at_end: variables.boolean("LOAD_BEST_MODEL_AT_END")?.unwrap_or(true),
        metric_for_best_model: metric(variables, task)?,
        early_stopping_patience: patience(variables)?,
        checkpoint_every: checkpoint_every(variables)?,
        freeze: freeze(variables)?,
        gradient_checkpointing: variables.boolean("GRADIENT_CHECKPOINTING")?.unwrap_or(false),
    };
    agree(variables, &plan)?;
    Ok(Some(plan))
}

fn metric(variables: &Variables, task: Task) -> Result<String, SettingsError> {
    let known = gate::score_names(task);
    let metric = variables.read("METRIC_FOR_BEST_MODEL", |text| {
        // `Trainer` puts `eval_` before the names of scores.
        let name = text.strip_prefix("eval_").unwrap_or(text);
        known
            .contains(&name)
            .then(|| name.to_owned())
            .ok_or_else(|| format!("one of {}", known.join(", ")))
    })?;
    Ok(metric.unwrap_or_else(|| "loss".to_owned()))
}

fn patience(variables: &Variables) -> Result<Option<u32>, SettingsError> {
    let (fewest, most) = (limits::PATIENCE.start(), limits::PATIENCE.end());
    let patience = variables.read("EARLY_STOPPING_PATIENCE", |text| match text {
        "none" | "null" | "0" => Ok(None),
        number => match number.parse() {
            Ok(number) if limits::PATIENCE.contains(&number) => Ok(Some(number)),
            _ => Err(format!("none or a number from {fewest} to {most}")),
        },
    })?;
    Ok(patience.unwrap_or(Some(1)))
}

/// `auto`, steps, or a time with its unit.
fn checkpoint_every(variables: &Variables) -> Result<CheckpointEvery, SettingsError> {
    let every = variables.read("CHECKPOINT_EVERY", |text| {
        let steps = || {
            text.parse()
                .ok()
                .filter(|steps| limits::CHECKPOINT_STEPS.contains(steps))
        };
        let seconds = || {
            let duration = humantime::parse_duration(text).ok()?;
            let seconds = u32::try_from(duration.as_secs()).ok()?;
            limits::CHECKPOINT_SECONDS.contains(&seconds).then_some(seconds)
        };
        if text.eq_ignore_ascii_case("auto") {
            return Ok(CheckpointEvery::Auto);
        }
        steps()
            .map(CheckpointEvery::Steps)
            .or_else(|| seconds().map(CheckpointEvery::Seconds))
            .ok_or_else(|| "auto, a number of steps, or a time up to a day with its unit, for example 10m".to_owned())
    })?;
    Ok(every.unwrap_or_default())
}

/// `none`, `embeddings`, or `embeddings+N`: with the N lowest layers.
fn freeze(variables: &Variables) -> Result<Option<u32>, SettingsError> {
    let frozen = variables.read("FREEZE", |text| {
        let layers = match text {
            "none" => return Ok(None),
            "embeddings" => Some(0),
            text => text.strip_prefix("embeddings+").and_then(|layers| layers.parse().ok()),
        };
        layers
            .filter(|layers| limits::FROZEN_LAYERS.contains(layers))
            .map(Some)
            .ok_or_else(|| "none, embeddings, or embeddings+N with the N lowest layers".to_owned())
    })?;
    Ok(frozen.flatten())
}

/// What each value allows alone and all of them together do not.
fn agree(variables: &Variables, plan: &TrainingPlan) -> Result<(), SettingsError> {
    let evaluates = plan.evaluation_strategy != Strategy::No;
    if plan.load_best_model_at_end && !evaluates {
        let reason = "the best model is found by evaluating";
        return Err(variables.contradiction("LOAD_BEST_MODEL_AT_END", "EVALUATION_STRATEGY", reason));
    }
    if evaluates && plan.test_size == 0.0 && variables.get("VALIDATION_DATA").is_none() {
        let reason =
            "there is nothing to evaluate on; expected VALIDATION_DATA, or a part of the training data held out";
        return Err(variables.contradiction("TEST_SIZE", "EVALUATION_STRATEGY", reason));
    }
    Ok(())
}
