//! How good predictions are: pure functions from gold and predicted to numbers between 0 and 1.

mod classification;
mod entities;
mod keyphrases;

pub use classification::classification;
pub use entities::entities;
pub use keyphrases::keyphrases;

use std::collections::BTreeMap;
use trainer_protocol::LabelScores;

/// Scores of one set of predictions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Name of the score -> value.
    pub scores: BTreeMap<String, f64>,
    /// Label (or entity type) -> its scores; empty where the task has none.
    pub per_label: BTreeMap<String, LabelScores>,
}

impl Scores {
    fn new<const N: usize>(scores: [(&str, f64); N], per_label: BTreeMap<String, LabelScores>) -> Self {
        Self {
            scores: scores.map(|(name, value)| (name.to_owned(), value)).into(),
            per_label,
        }
    }
}

/// `part / whole`, 0 where there is no whole (`zero_division=0`).
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Precision, recall and F1 from counts: `right` of `predicted` are among the `support` that should be found.
fn label_scores(right: u64, predicted: u64, support: u64) -> LabelScores {
    LabelScores {
        precision: ratio(right, predicted),
        recall: ratio(right, support),
        f1: ratio(2 * right, predicted + support),
        support,
    }
}
