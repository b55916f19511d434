//! The card's `model_params`: what was set, by lower-case name.

use super::PipelineSettings;
use crate::settings::Variables;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trainer_protocol::Task;

/// The task and model of every pipeline, then the settings of the first: those of its keywords, or of its training.
pub(super) fn of(variables: &Variables, pipelines: &BTreeMap<String, PipelineSettings>) -> BTreeMap<String, Value> {
    let mut params = BTreeMap::new();
    let mut add = |name: &str, value: Value| {
        params.insert(name.to_owned(), value);
    };
    for (pipeline, suffix) in pipelines.values().zip(["", "_kj"]) {
        add(&format!("huggingface_pipeline_task{suffix}"), json!(pipeline.task_name));
        add(
            &format!("huggingface_model_reference{suffix}"),
            json!(pipeline.model.repository),
        );
        add(
            &format!("huggingface_model_revision{suffix}"),
            json!(pipeline.model.revision),
        );
    }
    if variables.get("MODEL_NAME").is_some() {
        add("model_name", json!(variables.text("MODEL_NAME")));
    }
    let Some(first) = pipelines.values().next() else {
        return params;
    };
    if first.task == Task::FeatureExtraction {
        add("keyphrase_ngram_range", json!(first.keywords.keyphrase_ngram_range));
        add("stop_words", json!(first.keywords.stop_words));
        add("top_n", json!(first.keywords.top_n));
        add("use_mmr", json!(first.keywords.use_mmr));
        add("diversity", json!(first.keywords.diversity));
        if !first.keywords.candidates.is_keyberts() {
            add("candidates", json!(first.keywords.candidates));
        }
        return params;
    }
    add("train", json!(first.training.is_some()));
    if let Some(training) = &first.training {
        add("train_data", json!(training.data.name));
        add("epochs", json!(training.epochs));
        add("train_batch_size", json!(training.train_batch_size));
        add("eval_batch_size", json!(first.eval_batch_size));
        add(
            "gradient_accumulation_steps",
            json!(training.gradient_accumulation_steps),
        );
        add("learning_rate", json!(training.learning_rate));
        add("warmup_steps", json!(training.warmup_steps));
        add("weight_decay", json!(training.weight_decay));
        add("max_grad_norm", json!(training.max_grad_norm));
        add("test_size", json!(training.test_size));
        add("evaluation_strategy", json!(training.evaluation_strategy));
        add("save_strategy", json!(training.save_strategy));
        add("save_steps", json!(training.save_steps));
        add("save_total_limit", json!(training.save_total_limit));
        add("load_best_model_at_end", json!(training.load_best_model_at_end));
        add("metric_for_best_model", json!(training.metric_for_best_model));
        add("early_stopping_patience", json!(training.early_stopping_patience));
        if !training.checkpoint_every.is_auto() {
            add("checkpoint_every", json!(training.checkpoint_every));
        }
        if let Some(layers) = training.freeze {
            add("freeze", json!(format!("embeddings+{layers}")));
        }
        if training.gradient_checkpointing {
            add("gradient_checkpointing", json!(true));
        }
        add("selected_text", json!(first.columns.text));
        add("max_length", json!(first.max_length));
        add("precision", json!(first.precision));
    }
    add("seed", json!(first.seed));
    params
}
