//! How good a model is on data that it did not learn from.

use crate::batches::{self, Batch, Example, IGNORED};
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

/// How far ahead of the second label the first one must be, in scores before softmax, where bf16 shall decide. What is nearer
/// is computed again in fp32, so that both choose the same labels.
const MARGIN: f64 = 0.1;

/// Scores of the model on `data`, `loss` (mean cross-entropy) among them. No dropout. On a CPU in what the model's arithmetic
/// says: those of bf16 are within 0.001 of those of fp32, the loss within some thousandths of itself.
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
    let batches = batches::by_length(&inference::lengths(&data.examples), batch_size);
    let kind = match model.arithmetic.on_gpu() {
        true => Kind::Float,
        false => model.arithmetic.kind,
    };
    let margin = (kind == Kind::BFloat16).then_some(MARGIN);
    let mut judged = Judged::new(&data.examples);
    let mut done = 0;
    events.start_loop();
    inference::in_batches(
        model,
        &data.examples,
        &batches,
        kind,
        interruption,
        |rows, batch, logits| {
            done += 1;
            judged.take(rows, &batch, &logits, margin);
            if judged.unsure.len() >= batch_size || done == batches.len() {
                judged.decide(model, batch_size, interruption)?;
            }
            let progress = Done {
                step: done as u64,
                of: batches.len() as u64,
                rows: batch.rows,
                tokens: batch.tokens,
                ..Done::default()
            };
            events.count("evaluate", progress);
            Ok(())
        },
    )?;
    let mut scores = match &data.gold {
        Dataset::Sentences { tags, .. } => token_classification::scores(names, tags, &data.examples, &judged.predicted),
        _ => text_classification::scores(names, &data.examples, &judged.predicted),
    };
    scores.scores.insert("loss".into(), judged.mean_loss());
    Ok(scores)
}

/// What a model made of some examples.
#[derive(Debug)]
struct Judged<'a> {
    examples: &'a [Example],
    /// Label ids of each, one for each of its targets.
    predicted: Vec<Vec<i64>>,
    /// Sum of the cross-entropy of those that are decided.
    loss: f64,
    /// Examples that are not decided.
    unsure: Vec<usize>,
}

impl<'a> Judged<'a> {
    fn new(examples: &'a [Example]) -> Self {
        Self {
            examples,
            predicted: vec![Vec::new(); examples.len()],
            loss: 0.0,
            unsure: Vec::new(),
        }
    }

    /// Takes up the `logits` of a batch of `rows`, but for rows in which a label is not by `margin` ahead of all others.
    fn take(&mut self, rows: &[usize], batch: &Batch, logits: &Tensor, margin: Option<f64>) {
        let mut targets = batch.targets.shallow_clone();
        if let Some(margin) = margin {
            let unsure = is_unsure(logits, &targets, margin);
            let places = integers(&unsure);
            self.unsure.extend(
                rows.iter()
                    .zip(places)
                    .filter(|(_, unsure)| *unsure != 0)
                    .map(|(row, _)| row),
            );
            let unsure = if targets.dim() == 2 {
                unsure.unsqueeze(1)
            } else {
                unsure
            };
            targets = targets.masked_fill(&unsure, IGNORED);
        }
        self.loss += cross_entropy(logits, &targets, Reduction::Sum).double_value(&[]);
        let best = integers(&logits.argmax(-1, false));
        let width = best.len() / rows.len();
        for (row, best) in rows.iter().zip(best.chunks(width)) {
            self.predicted[*row] = best[..self.examples[*row].targets.len()].to_vec();
        }
    }

    /// Computes in fp32 what is not decided, `size` rows at a time.
    fn decide(&mut self, model: &Model, size: usize, interruption: &Interruption) -> Result<()> {
        let unsure = std::mem::take(&mut self.unsure);
        let batches: Vec<Vec<usize>> = unsure.chunks(size).map(<[usize]>::to_vec).collect();
        let examples = self.examples;
        inference::in_batches(
            model,
            examples,
            &batches,
            Kind::Float,
            interruption,
            |rows, batch, logits| {
                self.take(rows, &batch, &logits, None);
                Ok(())
            },
        )
    }

    fn mean_loss(&self) -> f64 {
        let targets = self.examples.iter().flat_map(|example| &example.targets);
        let counted = targets.filter(|target| **target != IGNORED).count();
        self.loss / counted.max(1) as f64
    }
}

/// Of each row: is there a label that counts and is not by `margin` ahead of all others? `[rows]`.
fn is_unsure(logits: &Tensor, targets: &Tensor, margin: f64) -> Tensor {
    let labels = logits.size().last().copied().unwrap_or(1);
    let (best, _) = logits.topk(labels.min(2), -1, true, true);
    // What is no number is not ahead of anything.
    let ahead = (best.select(-1, 0) - best.select(-1, -1)).ge(margin);
    let unsure = ahead.logical_or(&targets.eq(IGNORED)).logical_not();
    if unsure.dim() == 2 {
        unsure.any_dim(1, false)
    } else {
        unsure
    }
}

/// Cross-entropy over the last dimension of `logits`; targets of [`IGNORED`] do not count.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, reduction: Reduction) -> Tensor {
    let labels = logits.size().last().copied().unwrap_or(1);
    let logits = logits.to_kind(Kind::Float).reshape([-1, labels]);
    logits.cross_entropy_loss::<Tensor>(&targets.reshape([-1]), None, reduction, IGNORED, 0.0)
}

/// The values of a tensor of integers or of truth values in row-major order.
fn integers(tensor: &Tensor) -> Vec<i64> {
    let mut values = vec![0; tensor.numel()];
    tensor
        .to_device(Device::Cpu)
        .to_kind(Kind::Int64)
        .contiguous()
        .copy_data(&mut values, tensor.numel());
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_unsure_where_a_label_that_counts_is_not_ahead() {
        let unsure = |logits: Tensor, targets: Tensor| integers(&is_unsure(&logits, &targets, 0.25));
        // Ahead by enough, by too little, by no number.
        let logits = [[1.0_f32, 0.5, 0.0], [0.9, 0.0, 1.0], [f32::NAN, 0.0, 1.0]];
        let logits = Tensor::from_slice2(&logits);
        assert_eq!(
            unsure(logits.shallow_clone(), Tensor::from_slice(&[0_i64, 2, 1])),
            [0, 1, 1]
        );
        let tokens = logits.view([1, 3, 3]);
        for (targets, expected) in [
            ([0, 2, 1], 1),
            ([0, IGNORED, IGNORED], 0),
            ([IGNORED; 3], 0),
            ([IGNORED, 0, IGNORED], 1),
        ] {
            assert_eq!(
                unsure(tokens.shallow_clone(), Tensor::from_slice2(&[targets])),
                [expected],
                "{targets:?}"
            );
        }
        // There is no second label to be ahead of.
        assert_eq!(
            unsure(Tensor::from_slice2(&[[3.0_f32]]), Tensor::from_slice(&[0_i64])),
            [1]
        );
    }

    #[test]
    fn what_is_unsure_counts_when_it_is_decided_and_only_then() {
        let example = |target| Example {
            row: crate::tokens::Row {
                ids: vec![1],
                types: vec![0],
                words: vec![None],
            },
            targets: vec![target],
        };
        let examples = [example(0), example(1), example(1)];
        let batch = Batch::new(&examples.iter().collect::<Vec<_>>(), 0);
        let logits = Tensor::from_slice2(&[[2.0_f32, 0.0], [0.1, 0.0], [-1.0, 1.0]]);
        let mut judged = Judged::new(&examples);
        judged.take(&[0, 1, 2], &batch, &logits, Some(0.25));
        assert_eq!(judged.unsure, [1]);
        // ln(1 + exp(-2)), twice.
        assert!((judged.loss - 2.0 * 0.126_928).abs() < 1e-5, "{}", judged.loss);
        let alone = Batch::new(&[&examples[1]], 0);
        judged.take(&[1], &alone, &Tensor::from_slice2(&[[0.0_f32, 0.2]]), None);
        assert_eq!(judged.predicted, [[0], [1], [1]]);
        assert!((judged.mean_loss() - (2.0 * 0.126_928 + 0.598_139) / 3.0).abs() < 1e-5);
    }
}
