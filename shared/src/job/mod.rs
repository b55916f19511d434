//! A job: the versioned wire contract. Its id comes from its content.
//!
//! A job holds everything that a worker needs, whatever the worker's own environment: there is no secret in it and no
//! reference that may change its meaning (models by commit, data by digest).

mod accelerator;
mod error;
mod id;
pub mod limits;
mod lineage;
pub(crate) mod names;
mod read;
mod rules;
mod test_files;

pub use accelerator::{Accelerator, UnknownAccelerator};
pub use error::JobError;
pub use id::{InvalidJobId, JobId};
pub use lineage::{GITHUB_FIELDS, Lineage};
pub use read::MAX_BYTES;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trainer_protocol::{CheckpointEvery, DataColumns, DataFormat, KeywordOptions, Precision, Strategy, Task};

/// The newest version of [`Job`] that this build reads. It writes the oldest that can say what a job says
/// ([`Content::schema`]), so that workers of before take every job that they can do.
///
/// * 1: all but what follows.
/// * 2: `content.time_limit_s`, and `checkpoint_every` of a training.
/// * 3: `freeze` and `gradient_checkpointing` of a training, `candidates` of keywords.
pub const SCHEMA: u32 = 3;

/// Everything a worker needs to know, whatever its own environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// From 1 to [`SCHEMA`].
    pub schema: u32,
    /// What decides the result; hashed into the id.
    pub content: Content,
    /// Where it came from; recorded, not hashed.
    pub lineage: Lineage,
}

/// The hashed part of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Folder below `config/`.
    pub project: String,
    /// The image tag that was asked for.
    pub tag: String,
    /// Whose queue.
    pub accelerator: Accelerator,
    /// Where the version is registered.
    pub target: Target,
    /// One or more models that are registered together, by name; `main` where there is one. Their order is that of
    /// their names (`base_ner`, `korean_japanese_ner`).
    pub pipelines: BTreeMap<String, Pipeline>,
    /// Train and evaluate on a few rows only; ends `completed`.
    pub sample: bool,
    /// `false`: ends `completed`, nothing is registered.
    pub register: bool,
    /// Refuse workers of another build tag.
    pub exact_worker: bool,
    /// Makes a forced job another one (`--force`, `--force=KEY`).
    pub nonce: Option<String>,
    /// Conditions on scores, for example `macro_recall>=0.60`, all of which must hold.
    pub gate: Vec<String>,
    /// Seconds of work, over all attempts, until the result must be there; since schema 2. Without it a job has its id
    /// of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_s: Option<u64>,
    /// `LOCAL_OUTPUT_DIR`, for the card.
    pub local_output_dir: String,
    /// `LOGGING_LEVEL`, for the card.
    pub logging_level: String,
    /// Every other setting of the project by its variable, as resolved, for the card's `model_params`.
    pub model_params: BTreeMap<String, serde_json::Value>,
}

impl Content {
    /// The oldest schema that has every field of this content.
    #[must_use]
    pub fn schema(&self) -> u32 {
        self.newest_field().map_or(1, |(schema, _)| schema)
    }

    /// A field that only the newest schema of this content has, with that schema; `None`: the first has all.
    pub(crate) fn newest_field(&self) -> Option<(u32, &'static str)> {
        let trainings = || self.pipelines.values().filter_map(|it| it.training.as_ref());
        if trainings().any(|training| training.freeze.is_some()) {
            return Some((3, "training.freeze"));
        }
        if trainings().any(|training| training.gradient_checkpointing) {
            return Some((3, "training.gradient_checkpointing"));
        }
        if self.pipelines.values().any(|it| !it.keywords.candidates.is_keyberts()) {
            return Some((3, "keywords.candidates"));
        }
        if trainings().any(|training| !training.checkpoint_every.is_auto()) {
            return Some((2, "training.checkpoint_every"));
        }
        self.time_limit_s.map(|_| (2, "content.time_limit_s"))
    }
}

/// Where a version is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `dev`, `stage` or `prod`.
    pub environment: String,
    /// Root folder in the store, `neptune-ai-model-registry`.
    pub root: String,
    /// For example `onclusive`.
    pub workspace: String,
    /// For example `sentiment`.
    pub project: String,
    /// Model id, for example `SEN-TRAINED`.
    pub model: String,
    /// `trained`.
    pub model_type: String,
}

/// One model of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// What it does.
    pub task: Task,
    /// As the project wrote it (`sentiment-analysis`), for the card.
    pub task_name: String,
    /// The pretrained model.
    pub model: HubModel,
    /// Folder below `model/model_artifacts/`; empty: right there.
    pub artifact_folder: String,
    /// Fine-tuning; absent: the model is registered as it came.
    pub training: Option<TrainingSettings>,
    /// Scored on this.
    pub validation_data: Option<Data>,
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

/// A repository of the Hugging Face hub at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubModel {
    /// `owner/name`.
    pub repository: String,
    /// What the project asked for (`main`).
    pub revision: String,
    /// 40 hexadecimal digits; what `revision` was when the job was published.
    pub commit: String,
}

/// Fine-tuning, with the names of [`trainer_protocol::Training`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every field is documented at trainer_protocol::Training")]
pub struct TrainingSettings {
    pub data: Data,
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
    #[serde(default, skip_serializing_if = "CheckpointEvery::is_auto")]
    pub checkpoint_every: CheckpointEvery,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gradient_checkpointing: bool,
}

/// A data file in the store: `trainyard/data/<sha256>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// What the project called it.
    pub name: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// How to read it.
    pub format: DataFormat,
}
