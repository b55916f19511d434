//! One vector a text, as sentence-transformers gives it.

use crate::batches::{self, Example};
use crate::encoder::Pooling;
use crate::failure::Result;
use crate::inference;
use crate::interruption::Interruption;
use crate::memory;
use crate::model::Model;
use crate::tokens::Tokenizer;
use tch::{Device, no_grad};

/// Tokens of a text that takes the room of one in a batch. Phrases have a tenth of it, documents several times as many: a
/// fixed number of texts would make small products of the former and take much memory for the latter.
const TOKENS: usize = 64;

/// A model, how it reads and how its states become vectors.
#[derive(Debug)]
pub struct Embedder<'a> {
    /// Without a head.
    pub model: &'a Model,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Its pooling.
    pub pooling: &'a Pooling,
    /// Texts of [`TOKENS`] tokens at once; as many more as they are shorter.
    pub batch_size: usize,
    /// Asked between two batches.
    pub interruption: &'a Interruption,
}

impl Embedder<'_> {
    /// The vectors of `texts`, in their order.
    ///
    /// # Errors
    ///
    /// Where a text cannot be tokenized, or told to stop.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let rows = self.tokenizer.texts(texts)?;
        let examples: Vec<Example> = rows
            .into_iter()
            .map(|row| Example {
                row,
                targets: Vec::new(),
            })
            .collect();
        let mut vectors = vec![Vec::new(); texts.len()];
        let batches = batches::by_tokens(&inference::lengths(&examples), self.batch_size * TOKENS);
        let (model, interruption) = (self.model, self.interruption);
        inference::in_batches(
            model,
            &examples,
            &batches,
            model.arithmetic.kind,
            interruption,
            |rows, batch, hidden| {
                let hidden = hidden.to_device(Device::Cpu);
                let pooled = no_grad(|| self.pooling.apply(&hidden, &batch.on(Device::Cpu))).contiguous();
                let size = pooled.numel() / rows.len();
                for (row, vector) in rows.iter().zip(memory::floats(&pooled).chunks(size)) {
                    vectors[*row] = vector.to_vec();
                }
                Ok(())
            },
        )?;
        Ok(vectors)
    }
}
