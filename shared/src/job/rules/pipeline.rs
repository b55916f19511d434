//! The rules for one model of a job.

use super::check::{Checked, invalid, require, text, within};
use crate::gate;
use crate::job::{Data, Pipeline, TrainingSettings, limits, names};
use trainer_protocol::{CheckpointEvery, DataColumns, KeywordOptions, Strategy, Task};

pub(super) fn pipeline(pipeline: &Pipeline, path: &str) -> Checked {
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
    match training.checkpoint_every {
        CheckpointEvery::Auto => {}
        CheckpointEvery::Steps(steps) => within(steps, &limits::CHECKPOINT_STEPS, &at("checkpoint_every"))?,
        CheckpointEvery::Seconds(seconds) => within(seconds, &limits::CHECKPOINT_SECONDS, &at("checkpoint_every"))?,
    }
    if let Some(layers) = training.freeze {
        within(layers, &limits::FROZEN_LAYERS, &at("freeze"))?;
    }
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
