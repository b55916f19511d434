//! How good a model is on data that it did not learn from.

use crate::batches::{Example, IGNORED};
use crate::data::Dataset;
use crate::events::{Done, Events};
use crate::failure::Result;
use crate::inference;
use crate::interruption::Interruption;
use crate::model::Model;
use crate::scores::Scores;
use crate::task::{text_classification, token_classification};
use tch::{Device, Kind, Reduction, Tensor};

/// Data with gold labels, ready for the model.
#[derive(Debug)]
pub struct Validation {
    /// As it was read.
    pub gold: Dataset,
    /// The same, tokenized; in the same order.
    pub examples: Vec<Example>,
}

/// Scores of the model on `data`, `loss` (mean cross-entropy) among them. No dropout, fp32.
///
/// # Errors
///
/// [`crate::failure::Failure::Interrupted`] between two batches.
pub fn evaluate(
    model: &Model,
    data: &Validation,
    names: &[String],
    batch_size: usize,
    events: &mut Events,
    interruption: &Interruption,
) -> Result<Scores> {
    let mut predicted = vec![Vec::new(); data.examples.len()];
    let (mut loss, mut targets) = (0.0, 0_u64);
    let (mut done, batches) = (0, data.examples.len().div_ceil(batch_size) as u64);
    events.start_loop();
    inference::in_batches(
        model,
        &data.examples,
        batch_size,
        interruption,
        |rows, batch, logits| {
            loss += cross_entropy(&logits, &batch.targets, Reduction::Sum).double_value(&[]);
            let best: Vec<i64> = integers(&logits.argmax(-1, false));
            let width = best.len() / rows.len();
            for (row, best) in rows.iter().zip(best.chunks(width)) {
                let count = data.examples[*row].targets.len();
                targets += data.examples[*row]
                    .targets
                    .iter()
                    .filter(|target| **target != IGNORED)
                    .count() as u64;
                predicted[*row] = best[..count].to_vec();
            }
            done += 1;
            let progress = Done {
                step: done,
                of: batches,
                rows: batch.rows,
                tokens: batch.tokens,
                ..Done::default()
            };
            events.count("evaluate", progress);
            Ok(())
        },
    )?;
    let mut scores = match &data.gold {
        Dataset::Sentences { tags, .. } => token_classification::scores(names, tags, &data.examples, &predicted),
        _ => text_classification::scores(names, &data.examples, &predicted),
    };
    scores.scores.insert("loss".into(), loss / targets.max(1) as f64);
    Ok(scores)
}

/// Cross-entropy over the last dimension of `logits`; targets of [`IGNORED`] do not count.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, reduction: Reduction) -> Tensor {
    let labels = logits.size().last().copied().unwrap_or(1);
    let logits = logits.to_kind(Kind::Float).reshape([-1, labels]);
    logits.cross_entropy_loss::<Tensor>(&targets.reshape([-1]), None, reduction, IGNORED, 0.0)
}

/// The values of an integer tensor in row-major order.
fn integers(tensor: &Tensor) -> Vec<i64> {
    let mut values = vec![0; tensor.numel()];
    tensor
        .to_device(Device::Cpu)
        .contiguous()
        .copy_data(&mut values, tensor.numel());
    values
}
