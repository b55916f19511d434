//! A project: a folder below `config/` with dotenv files, whose settings become a job.
//!
//! `--set NAME=VALUE`, then the process environment, then the dotenv file, then defaults. A dotenv file may hold only
//! variables that the project's task or the fleet knows; of the process environment only those are looked at.

mod data_file;
mod defaults;
mod into_job;
mod load;
mod model_params;
mod pipelines;
mod target;
mod training;
mod variables;

pub use data_file::{DataDigest, DataFile};
pub use into_job::{Facts, Resolved};
pub use load::{Request, load};

use crate::job::Target;
use crate::settings::Variables;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use trainer_protocol::{CheckpointEvery, DataColumns, KeywordOptions, Precision, Strategy, Task};

/// A project's settings, resolved and checked as far as that can be done without any connection.
#[derive(Debug, Clone)]
pub struct Project {
    /// Folder below `config/`.
    pub name: String,
    /// The dotenv file that was read.
    pub env_file: PathBuf,
    /// Where its versions are registered.
    pub target: Target,
    /// Its models by name.
    pub pipelines: BTreeMap<String, PipelineSettings>,
    /// Conditions on scores.
    pub gate: Vec<String>,
    /// `TIME_LIMIT`, whole seconds.
    pub time_limit: Option<Duration>,
    /// `LOCAL_OUTPUT_DIR`.
    pub local_output_dir: String,
    /// `LOGGING_LEVEL`.
    pub logging_level: String,
    /// The card's `model_params`.
    pub model_params: BTreeMap<String, Value>,
    /// The fleet's variables that the dotenv file or `--set` holds (store, tokens): for [`crate::settings::Fleet::load`].
    pub fleet: Variables,
    /// What a person should know, for example about variables that have no effect here.
    pub notices: Vec<String>,
}

/// One model of a project, before its revision is a commit and its data files are digests.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineSettings {
    /// What it does.
    pub task: Task,
    /// As the project wrote it.
    pub task_name: String,
    /// The pretrained model.
    pub model: ModelReference,
    /// Folder below `model/model_artifacts/`; empty: right there.
    pub artifact_folder: String,
    /// Fine-tuning.
    pub training: Option<TrainingPlan>,
    /// Scored on this.
    pub validation_data: Option<DataFile>,
    /// Columns of the data files.
    pub columns: DataColumns,
    /// Tokens at most.
    pub max_length: Option<u32>,
    /// Rows a batch outside training.
    pub eval_batch_size: u32,
    /// Where every random number comes from.
    pub seed: u64,
    /// Arithmetic of training.
    pub precision: Precision,
    /// `feature-extraction` only.
    pub keywords: KeywordOptions,
    /// Texts whose predictions are registered.
    pub sample_documents: Vec<String>,
}

/// A repository of the Hugging Face hub and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelReference {
    /// `owner/name`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
}

/// Fine-tuning, with the names of [`trainer_protocol::Training`].
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "every field is documented at trainer_protocol::Training")]
pub struct TrainingPlan {
    pub data: DataFile,
    pub epochs: u32,
    pub train_batch_size: u32,
    pub gradient_accumulation_steps: u32,
    pub learning_rate: f64,
    pub warmup_steps: u32,
    pub weight_decay: f64,
    pub max_grad_norm: f64,
    pub test_size: f64,
    pub evaluation_strategy: Strategy,
    pub save_strategy: Strategy,
    pub save_steps: u32,
    pub save_total_limit: u32,
    pub load_best_model_at_end: bool,
    pub metric_for_best_model: String,
    pub early_stopping_patience: Option<u32>,
    pub checkpoint_every: CheckpointEvery,
    pub freeze: Option<u32>,
    pub gradient_checkpointing: bool,
}

impl Project {
    /// The models whose revisions must be resolved to commits, each once.
    #[must_use]
    pub fn models(&self) -> Vec<&ModelReference> {
        let mut models: Vec<_> = self.pipelines.values().map(|pipeline| &pipeline.model).collect();
        models.sort();
        models.dedup();
        models
    }

    /// The data files that must be stored, each once.
    #[must_use]
    pub fn data_files(&self) -> Vec<&DataFile> {
        let training = self
            .pipelines
            .values()
            .filter_map(|p| p.training.as_ref())
            .map(|training| &training.data);
        let validation = self.pipelines.values().filter_map(|p| p.validation_data.as_ref());
        let by_path: BTreeMap<_, _> = training.chain(validation).map(|file| (&file.path, file)).collect();
        by_path.into_values().collect()
    }
}
