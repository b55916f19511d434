//! What a trainer is asked to do: one pipeline of a job.

use serde::{Deserialize, Serialize};

/// Version of [`TrainerJob`].
pub const SCHEMA: u32 = 1;

/// One pipeline of a job: retrieve is done, the rest (train, evaluate, predict, export) is the trainer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerJob {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the pipeline within its job, for messages.
    pub pipeline: String,
    /// What the model does.
    pub task: Task,
    /// Folder of the Hugging Face repository, relative to `--inputs`.
    pub model: String,
    /// Where every random number comes from.
    pub seed: u64,
    /// Arithmetic of training and evaluation, and of keywords where it is not `auto`; what a classifier predicts is fp32.
    pub precision: Precision,
    /// What computes.
    #[serde(default, skip_serializing_if = "Device::is_cpu")]
    pub device: Device,
    /// Train on at most so many rows of each data set (`--sample`), whole if absent.
    pub max_rows: Option<u64>,
    /// Fine-tune first; absent: the model is used as it came.
    pub training: Option<Training>,
    /// Score the model on this data; `training` without it splits `test_size` off the training data.
    pub validation_data: Option<DataSource>,
    /// Columns of the data files.
    pub columns: DataColumns,
    /// Tokens at most, special ones included; absent: what the model takes.
    pub max_length: Option<u32>,
    /// Rows a batch in evaluation and prediction.
    pub eval_batch_size: u32,
    /// `feature-extraction` only.
    pub keywords: KeywordOptions,
    /// The registered predictions are of these.
    pub sample_documents: Vec<String>,
}

/// Kinds of model. Named as the pipelines of Hugging Face are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One label a text (`sentiment-analysis` is its other name).
    TextClassification,
    /// One label a word.
    TokenClassification,
    /// Sentence embeddings; the project uses them for keywords.
    FeatureExtraction,
}

/// Arithmetic of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bf16 where it is faster: GPUs from compute capability 8.0, CPUs with AMX; else fp32.
    Auto,
    /// IEEE single.
    Fp32,
    /// bfloat16 compute over fp32 master weights.
    Bf16,
}

/// What computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU where there is one, else the CPU.
    Auto,
    /// The host's CPUs.
    #[default]
    Cpu,
    /// The first NVIDIA GPU that the process may see; it is an error where there is none.
    Cuda,
}

impl Device {
    /// Nobody asked for anything else; then it is left out of what is written.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        *self == Self::Cpu
    }
}

/// When something happens in training (`transformers.TrainingArguments` has the same three words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Never.
    No,
    /// After every epoch.
    Epoch,
    /// Every `save_steps` optimizer steps.
    Steps,
}

/// How often a training is saved so that it can go on after an interruption. Has no effect on the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointEvery {
    /// As often as costs little.
    #[default]
    Auto,
    /// So many optimizer steps.
    Steps(u32),
    /// So many seconds, at the end of a step.
    Seconds(u32),
}

impl CheckpointEvery {
    /// Nobody asked for anything else; then it is left out of what is written.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// Fine-tuning, with the names and meanings of `transformers.TrainingArguments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Rows to learn from.
    pub data: DataSource,
    /// Passes over the data.
    pub epochs: u32,
    /// Rows a batch.
    pub train_batch_size: u32,
    /// Batches that make one optimizer step.
    pub gradient_accumulation_steps: u32,
    /// Peak of the linear schedule.
    pub learning_rate: f64,
    /// Optimizer steps until the peak.
    pub warmup_steps: u32,
    /// AdamW's decoupled decay; not for bias and LayerNorm.
    pub weight_decay: f64,
    /// Global norm to which gradients are clipped; 0 = not.
    pub max_grad_norm: f64,
    /// Part of the training data held out (stratified) where no validation data is given; 0 = none.
    pub test_size: f64,
    /// When to evaluate.
    pub evaluation_strategy: Strategy,
    /// When to write a checkpoint.
    pub save_strategy: Strategy,
    /// For the strategy `steps`.
    pub save_steps: u32,
    /// Checkpoints kept.
    pub save_total_limit: u32,
    /// End with the weights of the best evaluation, not the last.
    pub load_best_model_at_end: bool,
    /// The score that says which is best, for example `macro_recall`; `loss` is better when smaller.
    pub metric_for_best_model: String,
    /// Evaluations in a row without a better score until training stops; absent: never.
    pub early_stopping_patience: Option<u32>,
    /// Checkpoints besides those of `save_strategy`, of which the newest two are kept.
    #[serde(default, skip_serializing_if = "CheckpointEvery::is_auto")]
    pub checkpoint_every: CheckpointEvery,
    /// The embeddings and so many of the lowest layers stay as they came; absent: all is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<u32>,
    /// Keep only what comes into each layer, and compute the rest again on the way back: slower, in less memory, the
    /// same weights.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gradient_checkpointing: bool,
}

/// A data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Relative to `--inputs`.
    pub path: String,
    /// How to read it.
    pub format: DataFormat,
    /// What the user called it; messages name it so.
    pub name: String,
}

/// Formats of data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataFormat {
    /// One JSON object a line.
    Jsonl,
    /// RFC 4180 with a header line.
    Csv,
    /// `token<TAB>tag` lines (first and last column), an empty line between sentences.
    Conll,
    /// Apache Parquet.
    Parquet,
}

/// Names of the columns that are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataColumns {
    /// Text (`SELECTED_TEXT`), default `text`.
    pub text: String,
    /// Label of a text, default `label`.
    pub label: String,
    /// Words of a sentence, default `tokens` (token classification in JSONL or Parquet).
    pub tokens: String,
    /// Tags of the words, default `tags`.
    pub tags: String,
    /// Gold keyphrases, default `keyphrases`.
    pub keyphrases: String,
}

impl Default for DataColumns {
    fn default() -> Self {
        Self {
            text: "text".into(),
            label: "label".into(),
            tokens: "tokens".into(),
            tags: "tags".into(),
            keyphrases: "keyphrases".into(),
        }
    }
}

/// Which neighbours in a document may make a phrase together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhraseRule {
    /// As KeyBERT's `CountVectorizer` has it: whatever was dropped between two words, or stood there, is forgotten.
    #[default]
    Keybert,
    /// Words with nothing but white space between them in the text: no stop word, no single letter, no punctuation. What
    /// hyphens join is one word.
    Contiguous,
}

impl PhraseRule {
    /// Nobody asked for anything else; then it is left out of what is written.
    #[must_use]
    pub fn is_keyberts(&self) -> bool {
        *self == Self::Keybert
    }
}

/// Arguments of `KeyBERT.extract_keywords` of the same names, and a rule of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeywordOptions {
    /// Fewest and most words of a candidate.
    pub keyphrase_ngram_range: (u32, u32),
    /// `english` or absent.
    pub stop_words: Option<String>,
    /// Keywords a document.
    pub top_n: u32,
    /// Maximal marginal relevance instead of plain cosine order.
    pub use_mmr: bool,
    /// 0 to 1, for `use_mmr`.
    pub diversity: f64,
    /// Which phrases are candidates.
    #[serde(default, skip_serializing_if = "PhraseRule::is_keyberts")]
    pub candidates: PhraseRule,
}

impl Default for KeywordOptions {
    fn default() -> Self {
        Self {
            keyphrase_ngram_range: (1, 1),
            stop_words: Some("english".into()),
            top_n: 5,
            use_mmr: false,
            diversity: 0.5,
            candidates: PhraseRule::Keybert,
        }
    }
}
