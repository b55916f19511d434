//! The memory that a training needs at least, held against what there is before its first step: without that, a batch that
//! is too large is found out by the kernel, which kills without a word.

use crate::batches::Example;
use crate::encoder::{Config, HeadKind};
use crate::failure::{Failure, Result};
use crate::model::Model;
use crate::native::attention::is_in_tiles;
use tch::Kind;
use trainer_protocol::Training;

/// Bytes of the optimizer's moments for each value that is trained.
const MOMENTS: u64 = 2 * 4;

/// A lower bound: what is certainly kept at once. Buffers of operations, the data and libtorch come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Of gradients and the optimizer's moments, and of what one batch leaves for the way back.
    pub bytes: u64,
    /// Rows of the batch that was counted.
    pub rows: u64,
    /// Tokens of its longest row.
    pub tokens: u64,
}

/// The sizes that decide.
struct Sizes {
    layers: u64,
    hidden: u64,
    wide: u64,
    heads: u64,
    drops_states: bool,
    drops_weights: bool,
    /// Are attention's weights kept, and not computed again?
    keeps_weights: bool,
}

impl Need {
    /// Of the `training` of `model`, whose config.json is `config`, on `examples`: one batch holds the longest of them.
    ///
    /// # Errors
    ///
    /// A user's failure where config.json lacks a size.
    pub fn of(config: &Config, model: &Model, training: &Training, examples: &[Example]) -> Result<Self> {
        let size = |key| config.size(key).map(i64::unsigned_abs);
        let of_head = config.size("hidden_size")? / config.size("num_attention_heads")?.max(1);
        let sizes = Sizes {
            layers: config.layers("num_hidden_layers")?.unsigned_abs(),
            hidden: size("hidden_size")?,
            wide: size("intermediate_size")?,
            heads: size("num_attention_heads")?,
            drops_states: config.dropout("hidden_dropout_prob")? > 0.0,
            drops_weights: config.dropout("attention_probs_dropout_prob")? > 0.0,
            keeps_weights: model.arithmetic.kind != Kind::BFloat16 || !is_in_tiles(of_head),
        };
        let rows = u64::from(training.train_batch_size).min(examples.len() as u64);
        let tokens = examples.iter().map(|e| e.row.ids.len()).max().unwrap_or(0) as u64;
        // Of the last layer a text's head reads one token.
        let whole = match model.head {
            HeadKind::Text { .. } => sizes.layers - 1,
            _ => sizes.layers,
        };
        let whole = whole - u64::from(training.freeze.unwrap_or(0)).min(whole);
        let value = model.arithmetic.kind.elt_size_in_bytes() as u64;
        let of_layer = sizes
            .values(tokens)
            .saturating_mul(value)
            .saturating_add(sizes.masks(tokens));
        let kept = match training.gradient_checkpointing {
            true => whole * sizes.hidden * value + whole.min(1) * of_layer,
            false => whole.saturating_mul(of_layer),
        };
        // Of a table of embeddings only the rows that occur have any.
        let trained = model.trained().iter().filter(|p| !p.name.contains("embedding"));
        let trained: u64 = trained
            .map(|p| p.value.numel() as u64 * (MOMENTS + p.bytes_of_gradient()))
            .sum();
        let bytes = [rows, tokens, kept].into_iter().fold(1, u64::saturating_mul);
        Ok(Self {
            bytes: bytes.saturating_add(trained),
            rows,
            tokens,
        })
    }

    /// # Errors
    ///
    /// [`Failure::OutOfMemory`] with what to do where more is needed than is `available`.
    pub fn check(&self, training: &Training, available: Option<u64>) -> Result<()> {
        let Some(available) = available.filter(|available| *available < self.bytes) else {
            return Ok(());
        };
        let remedy = match training.gradient_checkpointing {
            true => "",
            false => ", or set GRADIENT_CHECKPOINTING=true",
        };
        Err(Failure::OutOfMemory(format!(
            "a batch of {} rows of up to {} tokens needs at least {} MiB of memory with the optimizer, {} MiB are \
             available: lower TRAIN_BATCH_SIZE (and raise GRADIENT_ACCUMULATION_STEPS as much) or MAX_LENGTH{remedy}",
            self.rows,
            self.tokens,
            self.bytes >> 20,
            available >> 20
        )))
    }
}

impl Sizes {
    /// Values that a layer keeps for each token of rows of `tokens`: what goes into its products, normalisations and
    /// activation, and what comes out of softmax.
    fn values(&self, tokens: u64) -> u64 {
        let tables = if self.keeps_weights { 1 } else { 0 };
        8 * self.hidden + self.wide + tables * self.heads * tokens
    }

    /// The same of dropout's masks, of a byte a value.
    fn masks(&self, tokens: u64) -> u64 {
        let states = if self.drops_states { 2 } else { 0 };
        let tables = if self.drops_weights { 1 } else { 0 };
        states * self.hidden + tables * self.heads * tokens
    }
}
