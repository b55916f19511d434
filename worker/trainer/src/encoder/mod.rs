//! Transformer encoders. One file a family; adding one is that file and its line in `families!` below, as
//! docs/new-encoder.md shows.

mod activation;
mod attention;
mod config;
mod embeddings;
mod heads;
mod layers;
mod loader;
mod pooling;
mod transformer_layer;
pub(crate) mod weights;

pub use config::Config;
pub use loader::{Classifier, Loader, Used};
pub use pooling::Pooling;
pub use weights::{Weights, read_checkpoint};

use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::{Failure, Result};
use crate::recompute::Tape;
use embeddings::PositionIds;
use tch::Tensor;

/// Declares the files of families, each with its `FAMILIES`, and makes the table of all of them.
macro_rules! families {
    ($($file:ident)*) => {
        $(mod $file;)*
        /// Every family that is known, by file.
        const FILES: &[&[Family]] = &[$($file::FAMILIES),*];
    };
}

families! {
    albert
    bert
    deberta_v2
    distilbert
    electra
    mpnet
    roberta
}

/// What sits on the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// Nothing: hidden states.
    Bare,
    /// One label a text.
    Text {
        /// How many labels.
        labels: i64,
    },
    /// One label a token.
    Token {
        /// How many labels.
        labels: i64,
    },
}

/// One architecture, as `transformers` has it.
#[derive(Debug)]
pub struct Family {
    /// `model_type` in config.json.
    pub model_type: &'static str,
    /// What the names of the encoder's tensors begin with in a checkpoint with a head: `base_model_prefix` and a dot.
    pub prefix: &'static str,
    /// What the names of its classes begin with.
    class_stem: &'static str,
    /// Name of the layer over the labels of texts.
    text_classifier: &'static str,
    /// Name of the layer over the labels of tokens.
    token_classifier: &'static str,
    /// How the positions of tokens are numbered.
    positions: PositionIds,
    /// What the fields of config.json are called that have another name than in [`bert`]: the shared parts' name, then
    /// its own.
    renamed: &'static [(&'static str, &'static str)],
    /// Fields that a config.json may leave out, with the defaults of the configuration class, as JSON.
    pub defaults: &'static str,
    /// Tensors of old checkpoints below the prefix that the model has no use for (`_keys_to_ignore_on_load_unexpected`).
    ignored: &'static [&'static str],
    /// Builds the encoder from a checkpoint.
    pub(crate) load: fn(&Config, &mut Loader<'_>, HeadKind) -> Result<Box<dyn Encoder>>,
}

impl Family {
    /// Every family that is known.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        FILES.iter().copied().flatten()
    }

    /// The family called `model_type`, which stands in `file`.
    ///
    /// # Errors
    ///
    /// Where it is not known: a user's failure that names it and what is known.
    fn of(model_type: &str, file: &str) -> Result<&'static Self> {
        Self::all().find(|f| f.model_type == model_type).ok_or_else(|| {
            let known = Self::all().map(|f| f.model_type).collect::<Vec<_>>().join(", ");
            Failure::user(format!(
                "{file}: model_type `{model_type}` is not known (known: {known})"
            ))
        })
    }

    /// Name of the layer over the labels.
    #[must_use]
    pub fn classifier(&self, head: HeadKind) -> &'static str {
        match head {
            HeadKind::Token { .. } => self.token_classifier,
            HeadKind::Bare | HeadKind::Text { .. } => self.text_classifier,
        }
    }

    /// The class of `transformers` that loads this encoder with this head; `architectures` in config.json.
    #[must_use]
    pub fn class(&self, head: HeadKind) -> String {
        let suffix = match head {
            HeadKind::Bare => "Model",
            HeadKind::Text { .. } => "ForSequenceClassification",
            HeadKind::Token { .. } => "ForTokenClassification",
        };
        format!("{}{suffix}", self.class_stem)
    }
}

/// An encoder with its head.
pub trait Encoder: std::fmt::Debug {
    /// Hidden states of the last layer: `[rows, tokens, hidden]`, or `[rows, 1, hidden]` of the first tokens where the head
    /// reads no others. Each layer is a segment of the `tape`.
    fn hidden<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor;

    /// From hidden states: `[rows, labels]` with a text head, `[rows, tokens, labels]` with a token head, and the hidden
    /// states themselves without one.
    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor;
}
