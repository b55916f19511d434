//! What a trainer leaves in `--outputs`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names below `--outputs`.
#[derive(Debug, Clone, Copy)]
pub struct OutputFiles {
    /// Folder that `transformers.pipeline(task, model=…)` loads.
    pub artifacts: &'static str,
    /// Predictions on the sample documents, in the component's JSON shape.
    pub predictions: &'static str,
    /// [`Report`].
    pub report: &'static str,
    /// One JSON object a line: every logged step and every evaluation.
    pub loss_curve: &'static str,
    /// The rows that were trained on, canonical; only where the pipeline trained.
    pub training_data: &'static str,
}

/// The names.
pub const OUTPUT_FILES: OutputFiles = OutputFiles {
    artifacts: "model_artifacts",
    predictions: "predictions.json",
    report: "report.json",
    loss_curve: "loss_curve.jsonl",
    training_data: "train.parquet",
};

/// What came out, for gate, card and people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name -> value on the validation data of the exported weights; empty where nothing was evaluated.
    pub scores: BTreeMap<String, f64>,
    /// Label (or entity type) -> its scores; empty where the task has none.
    pub per_label: BTreeMap<String, LabelScores>,
    /// Labels in the order of their ids.
    pub labels: Vec<String>,
    /// Rows trained on; 0 without training.
    pub train_rows: u64,
    /// Rows evaluated on.
    pub validation_rows: u64,
    /// Optimizer steps done.
    pub steps: u64,
    /// Step whose weights were exported.
    pub best_step: Option<u64>,
    /// What it ran on.
    pub environment: Environment,
    /// Environments of earlier parts of an interrupted training that the last one could not match: its bits may not be
    /// those of a training in one go. Empty: they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched_environments: Vec<Environment>,
    /// Where the weights came from; empty in reports of trainers that do not say.
    #[serde(default)]
    pub checkpoint: Checkpoint,
}

/// The checkpoint that a model was loaded from, and how it fitted the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// `safetensors`, or `pytorch` for files of `torch.save`.
    pub format: String,
    /// The files with tensors that were read, relative to the model's folder.
    pub files: Vec<String>,
    /// Tensors of the model that the checkpoint does not have: they began as random numbers or zeros.
    pub initialised: Vec<String>,
    /// Tensors of the checkpoint, under today's names, that the model has no place for.
    pub unused: Vec<String>,
}

/// Scores of one label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LabelScores {
    /// Of what was predicted, the part that is right.
    pub precision: f64,
    /// Of what is right, the part that was predicted.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Rows (or entities) with this label.
    pub support: u64,
}

/// What decides the bits of a training besides its inputs. No times here: the same job gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the trainer.
    pub trainer: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// `fp32` or `bf16`, as resolved.
    pub precision: String,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Threads of the math libraries.
    pub threads: u32,
    /// libtorch's name of the CPU's capability, for example `AVX512`; of a training in bf16 with the instructions that
    /// multiply: `AVX512+AMX_BF16`.
    pub cpu_capability: String,
    /// Name and compute capability of the GPU, for example `NVIDIA H100 80GB HBM3 (9.0)`; absent where the CPU computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}
