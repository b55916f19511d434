//! One label a text, as `transformers.pipeline("text-classification")` gives it.

use crate::batches::Example;
use crate::encoder::Config;
use crate::failure::Result;
use crate::inference::Predictor;
use crate::labels::Labels;
use crate::memory;
use crate::scores::{self, Scores};
use crate::tokens::Tokenizer;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

/// Names of the scores that [`scores()`] and the evaluation give.
pub const SCORES: &[&str] = &[
    "accuracy",
    "loss",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "weighted_f1",
    "weighted_precision",
    "weighted_recall",
];

/// Texts with their labels, tokenized.
///
/// # Errors
///
/// A user's failure where a label is not among `labels`.
pub fn examples(tokenizer: &Tokenizer, texts: &[String], gold: &[String], labels: &Labels) -> Result<Vec<Example>> {
    let rows = tokenizer.texts(texts)?;
    let example = |(row, label): (_, &String)| {
        Ok(Example {
            row,
            targets: vec![labels.id(label)?],
        })
    };
    rows.into_iter().zip(gold).map(example).collect()
}

/// Accuracy, precision, recall and F1 of predicted label ids, one a text.
#[must_use]
pub fn scores(names: &[String], examples: &[Example], predicted: &[Vec<i64>]) -> Scores {
    let id = |target: Option<&i64>| target.map_or(0, |id| id.unsigned_abs() as usize);
    let gold: Vec<usize> = examples.iter().map(|e| id(e.targets.first())).collect();
    let predicted: Vec<usize> = predicted.iter().map(|p| id(p.first())).collect();
    scores::classification(names, &gold, &predicted)
}

/// The best label of each document: a list of `{label, score}`.
///
/// # Errors
///
/// Where a document cannot be tokenized.
pub fn predictions(predictor: &Predictor<'_>, config: &Config, documents: &[String]) -> Result<Value> {
    let names = predictor.names;
    let score = Function::of(config, names.len());
    let rows = predictor.tokenizer.texts(documents)?;
    let all = predictor.of_each(rows, |_, logits| {
        let scores = score.apply(&logits).to_device(Device::Cpu).contiguous();
        let best = scores.argmax(-1, false).int64_value(&[]) as usize;
        json!({"label": names[best], "score": f64::from(memory::floats(&scores)[best])})
    })?;
    Ok(Value::Array(all))
}

/// What the pipeline applies to the model's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sigmoid,
    Softmax,
    Nothing,
}

impl Function {
    /// As `TextClassificationPipeline.postprocess` chooses it.
    fn of(config: &Config, labels: usize) -> Self {
        match config.fields().get("problem_type").and_then(Value::as_str) {
            Some("regression") => Self::Nothing,
            Some("multi_label_classification") => Self::Sigmoid,
            _ if labels == 1 => Self::Sigmoid,
            _ => Self::Softmax,
        }
    }

    fn apply(self, logits: &Tensor) -> Tensor {
        match self {
            Self::Sigmoid => logits.sigmoid(),
            Self::Softmax => logits.softmax(-1, Kind::Float),
            Self::Nothing => logits.shallow_clone(),
        }
    }
}
