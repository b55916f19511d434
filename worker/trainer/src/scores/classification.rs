//! Scores of one label a text, as scikit-learn counts them.

use super::{Scores, label_scores, ratio};
use std::collections::BTreeMap;
use trainer_protocol::LabelScores;

/// Accuracy, and precision, recall and F1 as unweighted mean (`macro_`) and mean by support (`weighted_`): the
/// numbers of `sklearn.metrics.classification_report(gold, predicted, zero_division=0)`, whose means are over the
/// labels that occur in `gold` or `predicted`. `per_label` has every label, one that does not occur with zeros.
///
/// `gold` and `predicted` are indices into `labels`, one a text; without texts there are no scores.
#[must_use]
pub fn classification(labels: &[String], gold: &[usize], predicted: &[usize]) -> Scores {
    debug_assert_eq!(gold.len(), predicted.len(), "one prediction a text");
    if gold.is_empty() {
        return Scores::default();
    }
    let mut counts = vec![Counts::default(); labels.len()];
    for (&right, &guess) in gold.iter().zip(predicted) {
        counts[right].support += 1;
        counts[guess].predicted += 1;
        counts[right].right += u64::from(right == guess);
    }
    let rows = gold.len() as u64;
    let right = counts.iter().map(|count| count.right).sum();
    let of_label: Vec<LabelScores> = counts.iter().map(Counts::scores).collect();
    let occurring: Vec<LabelScores> = std::iter::zip(&counts, &of_label)
        .filter(|(count, _)| count.support + count.predicted > 0)
        .map(|(_, scores)| *scores)
        .collect();
    let plain = |value: fn(&LabelScores) -> f64| occurring.iter().map(value).sum::<f64>() / occurring.len() as f64;
    let weighted = |value: fn(&LabelScores) -> f64| {
        occurring
            .iter()
            .map(|scores| value(scores) * scores.support as f64)
            .sum::<f64>()
            / rows as f64
    };
    let per_label: BTreeMap<String, LabelScores> = labels.iter().cloned().zip(of_label.iter().copied()).collect();
    Scores::new(
        [
            ("accuracy", ratio(right, rows)),
            ("macro_precision", plain(|scores| scores.precision)),
            ("macro_recall", plain(|scores| scores.recall)),
            ("macro_f1", plain(|scores| scores.f1)),
            ("weighted_precision", weighted(|scores| scores.precision)),
            ("weighted_recall", weighted(|scores| scores.recall)),
            ("weighted_f1", weighted(|scores| scores.f1)),
        ],
        per_label,
    )
}

#[derive(Debug, Clone, Default)]
struct Counts {
    right: u64,
    predicted: u64,
    support: u64,
}

impl Counts {
    fn scores(&self) -> LabelScores {
        label_scores(self.right, self.predicted, self.support)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_a_small_table_by_hand() {
        let labels = ["a", "b", "unused"].map(String::from);
        let found = classification(&labels, &[0, 0, 0, 1], &[0, 0, 1, 1]);
        assert_eq!(found.scores["accuracy"], 0.75);
        assert_eq!(found.scores["macro_precision"], 0.75);
        assert_eq!(found.scores["macro_recall"], (2.0 / 3.0 + 1.0) / 2.0);
        assert_eq!(found.scores["weighted_precision"], 0.875);
        assert_eq!(found.per_label["a"].f1, 0.8);
        assert_eq!(found.per_label["unused"].support, 0);
    }

    #[test]
    fn no_texts_give_no_scores() {
        assert_eq!(classification(&["a".into()], &[], &[]), Scores::default());
    }
}
