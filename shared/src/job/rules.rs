//! What a job must be, whoever wrote it.

use super::{Content, Data, GITHUB_FIELDS, Job, JobError, Pipeline, SCHEMA, Target, TrainingSettings, limits, names};
use crate::gate::{self, Condition};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use trainer_protocol::{DataColumns, KeywordOptions, Strategy, Task};

type Checked = Result<(), JobError>;

impl Job {
    /// Holds a job against every rule: names that stay in their folders, numbers in their ranges, counts and lengths.
    /// Whatever passes is safe to act upon.
    ///
    /// # Errors
    /// [`JobError::Newer`] or [`JobError::Invalid`], which names the first field that breaks a rule.
    pub fn validate(&self) -> Checked {
        if self.schema > SCHEMA {
            return Err(JobError::Newer {
                found: self.schema.into(),
                known: SCHEMA,
            });
        }
        require(
            self.schema == SCHEMA,
            "schema",
            "is older than any that was ever written",
        )?;
        content(&self.content)?;
        let floats = serde_json::to_value(&self.content).map_err(|e| JobError::Malformed(e.to_string()))?;
        exact_floats(&floats, "content")?;
        for (name, value) in &self.lineage.github_action_context {
            let field = format!("lineage.github_action_context.{}", shown(name));
            require(
                GITHUB_FIELDS.contains(&name.as_str()),
                &field,
                "is none of the fifteen that a card records",
            )?;
            text(value, 1000, &field)?;
        }
        text(&self.lineage.dispatcher, 64, "lineage.dispatcher")?;
        text(&self.lineage.published_at, 64, "lineage.published_at")
    }
}

fn content(content: &Content) -> Checked {
    require(
        names::project(&content.project),
        "content.project",
        "is no name of a project's folder",
    )?;
    require(names::tag(&content.tag), "content.tag", "is no image tag")?;
    target(&content.target)?;
    let count = content.pipelines.len();
    require(
        (1..=limits::PIPELINES).contains(&count),
        "content.pipelines",
        "has none or too many",
    )?;
    let mut folders = BTreeSet::new();
    for (name, item) in &content.pipelines {
        let path = format!("content.pipelines.{}", shown(name));
        require(names::pipeline(name), &path, "is no name of a pipeline")?;
        pipeline(item, &path)?;
        let folder = format!("{path}.artifact_folder");
        require(
            count == 1 || !item.artifact_folder.is_empty(),
            &folder,
            "is empty although there are several pipelines",
        )?;
        require(
            folders.insert(&item.artifact_folder),
            &folder,
            "is another pipeline's, too",
        )?;
    }
    if let Some(nonce) = &content.nonce {
        require(!nonce.is_empty(), "content.nonce", "is empty")?;
        text(nonce, 128, "content.nonce")?;
    }
    conditions(content)?;
    text(&content.local_output_dir, 255, "content.local_output_dir")?;
    text(&content.logging_level, 32, "content.logging_level")?;
    require(
        content.model_params.len() <= 100,
        "content.model_params",
        "has more than 100 entries",
    )?;
    for name in content.model_params.keys() {
        let field = format!("content.model_params.{}", shown(name));
        require(names::score(name), &field, "is no lower-case name of a variable")?;
    }
    Ok(())
}

fn target(target: &Target) -> Checked {
    let environments = ["dev", "stage", "prod"];
    require(
        environments.contains(&target.environment.as_str()),
        "content.target.environment",
        "is none of dev, stage, prod",
    )?;
    require(
        names::root(&target.root),
        "content.target.root",
        "is no folder for registered versions",
    )?;
    require(
        names::folder(&target.workspace),
        "content.target.workspace",
        "is no name of a workspace",
    )?;
    require(
        names::folder(&target.project),
        "content.target.project",
        "is no name of a project",
    )?;
    require(names::model(&target.model), "content.target.model", "is no model id")?;
    let kinds = ["base", "trained", "compiled"];
    require(
        kinds.contains(&target.model_type.as_str()),
        "content.target.model_type",
        "is none of base, trained, compiled",
    )
}

fn conditions(content: &Content) -> Checked {
    require(
        content.gate.len() <= limits::CONDITIONS,
        "content.gate",
        "has too many conditions",
    )?;
    for (index, text) in content.gate.iter().enumerate() {
        let field = format!("content.gate.{index}");
        let condition: Condition = text
            .parse()
            .map_err(|e: gate::InvalidCondition| invalid(&field, &e.to_string()))?;
        let known = content.score_names().contains(&condition.score);
        require(known, &field, "is about a score that the job's tasks do not have")?;
    }
    Ok(())
}

impl Content {
    /// The names under which this job's scores are known: those of its task, with several pipelines each as
    /// `<pipeline>.<score>`.
    #[must_use]
    pub fn score_names(&self) -> Vec<String> {
        gate::names_of(
            self.pipelines
                .iter()
                .map(|(name, pipeline)| (name.as_str(), pipeline.task)),
        )
    }
}

fn pipeline(pipeline: &Pipeline, path: &str) -> Checked {
    let at = |field: &str| format!("{path}.{field}");
    let known: &[&str] = match pipeline.task {
        Task::TextClassification => &["text-classification", "sentiment-analysis"],
        Task::TokenClassification => &["token-classification", "ner"],
        Task::FeatureExtraction => &["feature-extraction"],
    };
    require(
        known.contains(&pipeline.task_name.as_str()),
        &at("task_name"),
        "is no name of the pipeline's task",
    )?;
    require(
        names::repository(&pipeline.model.repository),
        &at("model.repository"),
        "is no repository (owner/name)",
    )?;
    require(
        names::revision(&pipeline.model.revision),
        &at("model.revision"),
        "is no revision",
    )?;
    require(
        names::hexadecimal(&pipeline.model.commit, 40),
        &at("model.commit"),
        "is not 40 hexadecimal digits",
    )?;
    let folder = &pipeline.artifact_folder;
    require(
        folder.is_empty() || names::folder(folder),
        &at("artifact_folder"),
        "is no name of a folder",
    )?;
    if let Some(settings) = &pipeline.training {
        let trains = pipeline.task != Task::FeatureExtraction;
        require(
            trains,
            &at("training"),
            "is given although feature-extraction is not trained",
        )?;
        training(settings, &at("training"))?;
        let known = gate::score_names(pipeline.task).contains(&settings.metric_for_best_model.as_str());
        require(known, &at("training.metric_for_best_model"), "is no score of the task")?;
    }
    if let Some(item) = &pipeline.validation_data {
        data(item, &at("validation_data"))?;
    }
    columns(&pipeline.columns, &at("columns"))?;
    if let Some(length) = pipeline.max_length {
        within(length, &limits::MAX_LENGTH, &at("max_length"))?;
    }
    within(pipeline.eval_batch_size, &limits::BATCH_SIZE, &at("eval_batch_size"))?;
    within(pipeline.seed, &limits::SEED, &at("seed"))?;
    keywords(&pipeline.keywords, &at("keywords"))?;
    documents(&pipeline.sample_documents, &at("sample_documents"))
}

fn training(training: &TrainingSettings, path: &str) -> Checked {
    let at = |field: &str| format!("{path}.{field}");
    data(&training.data, &at("data"))?;
    within(training.epochs, &limits::EPOCHS, &at("epochs"))?;
    within(training.train_batch_size, &limits::BATCH_SIZE, &at("train_batch_size"))?;
    within(
        training.gradient_accumulation_steps,
        &limits::ACCUMULATION,
        &at("gradient_accumulation_steps"),
    )?;
    within(training.learning_rate, &limits::LEARNING_RATE, &at("learning_rate"))?;
    within(training.warmup_steps, &limits::WARMUP_STEPS, &at("warmup_steps"))?;
    within(training.weight_decay, &limits::WEIGHT_DECAY, &at("weight_decay"))?;
    within(training.max_grad_norm, &limits::MAX_GRAD_NORM, &at("max_grad_norm"))?;
    within(training.test_size, &limits::TEST_SIZE, &at("test_size"))?;
    within(training.save_steps, &limits::SAVE_STEPS, &at("save_steps"))?;
    within(
        training.save_total_limit,
        &limits::SAVE_TOTAL_LIMIT,
        &at("save_total_limit"),
    )?;
    let evaluates = training.evaluation_strategy != Strategy::No;
    let best = &at("load_best_model_at_end");
    require(
        evaluates || !training.load_best_model_at_end,
        best,
        "needs an evaluation strategy other than no",
    )?;
    match training.early_stopping_patience {
        Some(patience) => within(patience, &limits::PATIENCE, &at("early_stopping_patience")),
        None => Ok(()),
    }
}

fn data(data: &Data, path: &str) -> Checked {
    require(
        names::data(&data.name),
        &format!("{path}.name"),
        "is no relative name of a file",
    )?;
    require(
        names::hexadecimal(&data.sha256, 64),
        &format!("{path}.sha256"),
        "is not 64 hexadecimal digits",
    )?;
    within(data.size, &limits::SEED, &format!("{path}.size"))
}

fn columns(columns: &DataColumns, path: &str) -> Checked {
    let DataColumns {
        text: texts,
        label,
        tokens,
        tags,
        keyphrases,
    } = columns;
    let all = [
        ("text", texts),
        ("label", label),
        ("tokens", tokens),
        ("tags", tags),
        ("keyphrases", keyphrases),
    ];
    for (name, column) in all {
        let field = format!("{path}.{name}");
        require(!column.is_empty(), &field, "is empty")?;
        text(column, 128, &field)?;
    }
    Ok(())
}

fn keywords(options: &KeywordOptions, path: &str) -> Checked {
    let at = |field: &str| format!("{path}.{field}");
    let (fewest, most) = options.keyphrase_ngram_range;
    within(fewest, &limits::NGRAM, &at("keyphrase_ngram_range.0"))?;
    within(most, &limits::NGRAM, &at("keyphrase_ngram_range.1"))?;
    require(fewest <= most, &at("keyphrase_ngram_range"), "ends before it begins")?;
    let known = options.stop_words.as_deref().is_none_or(|words| words == "english");
    require(known, &at("stop_words"), "is neither english nor absent")?;
    within(options.top_n, &limits::TOP_N, &at("top_n"))?;
    within(options.diversity, &limits::DIVERSITY, &at("diversity"))
}

fn documents(documents: &[String], path: &str) -> Checked {
    require(documents.len() <= limits::DOCUMENTS, path, "has too many documents")?;
    let long = documents
        .iter()
        .position(|text| text.chars().count() > limits::DOCUMENT_CHARS);
    long.map_or(Ok(()), |index| {
        Err(invalid(&format!("{path}.{index}"), "is longer than 100000 characters"))
    })
}

/// A float must come out of JSON with the bits that went in, or the id of a job would depend on who computes it. An
/// integer of at most 15 digits times or through a power of ten up to 22 is exact in every reader (both are exact
/// doubles, so there is one rounding; Clinger, "How to read floating point numbers accurately", 1990).
fn exact_floats(value: &Value, path: &str) -> Checked {
    match value {
        Value::Object(map) => map
            .iter()
            .try_for_each(|(key, item)| exact_floats(item, &format!("{path}.{}", shown(key)))),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| exact_floats(item, &format!("{path}.{index}"))),
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            require(
                is_exact(float),
                path,
                "has more digits, or is larger or smaller, than every reader of JSON reads exactly",
            )
        }
        _ => Ok(()),
    }
}

fn is_exact(float: f64) -> bool {
    let scientific = format!("{:e}", float.abs());
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return false;
    };
    let significant = i32::try_from(digits.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i32::MAX);
    let exponent: i32 = exponent.parse().unwrap_or(i32::MAX);
    significant <= 15 && (-22..=22).contains(&exponent.saturating_sub(significant - 1))
}

/// `NaN` is within nothing; `serde_json` writes it as `null`, so it cannot come from outside.
fn within<T: PartialOrd + std::fmt::Display>(value: T, range: &RangeInclusive<T>, field: &str) -> Checked {
    let reason = || format!("is {value}, not from {} to {}", range.start(), range.end());
    if range.contains(&value) {
        Ok(())
    } else {
        Err(invalid(field, &reason()))
    }
}

fn text(text: &str, longest: usize, field: &str) -> Checked {
    require(
        text.chars().count() <= longest,
        field,
        &format!("is longer than {longest} characters"),
    )?;
    require(!names::has_control(text), field, "holds a control character")
}

fn require(holds: bool, field: &str, reason: &str) -> Checked {
    if holds { Ok(()) } else { Err(invalid(field, reason)) }
}

fn invalid(field: &str, reason: &str) -> JobError {
    JobError::Invalid {
        field: field.to_owned(),
        reason: reason.to_owned(),
    }
}

/// A key that came from outside, fit for a message.
fn shown(key: &str) -> String {
    key.chars().take(64).flat_map(char::escape_default).collect()
}
