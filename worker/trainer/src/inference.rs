//! A model over many rows: no gradients, rows of near lengths together.

use crate::batches::{self, Batch, Example};
use crate::failure::Result;
use crate::interruption::Interruption;
use crate::model::Model;
use crate::tokens::{Row, Tokenizer};
use serde_json::Value;
use tch::{Kind, Tensor};

/// Gives `each` of the `batches` of `examples`: the rows' places among them, the batch, and what the model makes of it,
/// computed in `kind`, as fp32.
///
/// # Errors
///
/// [`crate::failure::Failure::Interrupted`] between two batches, and what `each` fails with.
pub fn in_batches(
    model: &Model,
    examples: &[Example],
    batches: &[Vec<usize>],
    kind: Kind,
    interruption: &Interruption,
    mut each: impl FnMut(&[usize], Batch, Tensor) -> Result<()>,
) -> Result<()> {
    for rows in batches {
        interruption.check()?;
        let examples: Vec<&Example> = rows.iter().map(|row| &examples[*row]).collect();
        let batch = Batch {
            kind,
            ..model.batch(&examples)
        };
        let output = model.predict(&batch).to_kind(Kind::Float);
        each(rows, batch, output)?;
    }
    Ok(())
}

/// How many tokens each of `examples` has.
#[must_use]
pub fn lengths(examples: &[Example]) -> Vec<usize> {
    examples.iter().map(|example| example.row.ids.len()).collect()
}

/// Who says what a classifier makes of documents.
#[derive(Debug)]
pub struct Predictor<'a> {
    /// With a head.
    pub model: &'a Model,
    /// Its tokenizer, which cuts at what the model takes.
    pub tokenizer: &'a Tokenizer,
    /// Names of the labels in the order of their ids.
    pub names: &'a [String],
    /// Documents at once.
    pub batch_size: usize,
    /// Asked between two batches.
    pub interruption: &'a Interruption,
}

impl Predictor<'_> {
    /// What `describe` says of each of `rows`, in their order, from its place and its scores before softmax: `[labels]`, or
    /// `[tokens, labels]` with those of padding at the end.
    ///
    /// # Errors
    ///
    /// [`crate::failure::Failure::Interrupted`] between two batches.
    pub fn of_each(&self, rows: Vec<Row>, describe: impl Fn(usize, Tensor) -> Value) -> Result<Vec<Value>> {
        let example = |row| Example {
            row,
            targets: Vec::new(),
        };
        let examples: Vec<Example> = rows.into_iter().map(example).collect();
        let mut all = vec![Value::Null; examples.len()];
        let batches = batches::by_length(&lengths(&examples), self.batch_size);
        let (model, interruption) = (self.model, self.interruption);
        in_batches(
            model,
            &examples,
            &batches,
            Kind::Float,
            interruption,
            |rows, _, logits| {
                for (place, row) in rows.iter().enumerate() {
                    all[*row] = describe(*row, logits.select(0, place as i64));
                }
                Ok(())
            },
        )?;
        Ok(all)
    }
}
