//! Transformer encoders. One file a family; adding one is that file and its line in [`FAMILIES`].

mod activation;
mod attention;
mod bert;
mod config;
mod distilbert;
mod layers;
mod loader;
mod pooling;
pub(crate) mod weights;

pub use config::Config;
pub use loader::{Classifier, Loader};
pub use pooling::Pooling;
pub use weights::Weights;

use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::{Failure, Result};
use tch::Tensor;

/// Every family that is known.
const FAMILIES: &[&Family] = &[&bert::FAMILY, &distilbert::FAMILY];

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
    /// What the names of the encoder's tensors begin with in a checkpoint with a head.
    pub prefix: &'static str,
    /// Name of the layer over the labels.
    pub classifier: &'static str,
    /// What the names of its classes begin with.
    class_stem: &'static str,
    /// Builds the encoder from a checkpoint.
    pub(crate) load: fn(&Config, &mut Loader<'_>, HeadKind) -> Result<Box<dyn Encoder>>,
}

impl Family {
    /// The family that config.json names.
    ///
    /// # Errors
    ///
    /// Where `model_type` is absent or not known: a user's failure that names it and what is known.
    pub fn of(config: &Config) -> Result<&'static Self> {
        let model_type = config.model_type()?;
        let known = || FAMILIES.iter().map(|f| f.model_type).collect::<Vec<_>>().join(", ");
        FAMILIES
            .iter()
            .copied()
            .find(|f| f.model_type == model_type)
            .ok_or_else(|| {
                Failure::user(format!(
                    "{}: model_type `{model_type}` is not known (known: {})",
                    config.file(),
                    known()
                ))
            })
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
    /// Hidden states of the last layer: `[rows, tokens, hidden]`, fp32.
    fn hidden(&self, batch: &Batch, dropout: &mut Dropout) -> Tensor;

    /// From hidden states: `[rows, labels]` with a text head, `[rows, tokens, labels]` with a token head, and the hidden
    /// states themselves without one.
    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor;
}
