//! Scores of keyphrases against those that a person gave.

use super::Scores;
use std::collections::{BTreeMap, HashSet};

/// `precision_at_k`, `recall_at_k` and `f1_at_k`: means over the documents that have gold keyphrases, none without
/// such a document. Per document the first `k` predictions count, each once; a prediction is right if it equals a gold
/// keyphrase, both in lower case and without outer white space. Precision is of the predictions made, which may be
/// fewer than `k`.
#[must_use]
pub fn keyphrases(gold: &[Vec<String>], predicted: &[Vec<String>], k: usize) -> Scores {
    debug_assert_eq!(gold.len(), predicted.len(), "one prediction a document");
    let documents: Vec<[f64; 3]> = gold
        .iter()
        .zip(predicted)
        .filter_map(|(gold, predicted)| {
            let gold: HashSet<String> = gold.iter().map(|phrase| normal(phrase)).collect();
            let predicted: HashSet<String> = predicted.iter().take(k).map(|phrase| normal(phrase)).collect();
            let scores = super::label_scores(
                gold.intersection(&predicted).count() as u64,
                predicted.len() as u64,
                gold.len() as u64,
            );
            (!gold.is_empty()).then_some([scores.precision, scores.recall, scores.f1])
        })
        .collect();
    if documents.is_empty() {
        return Scores::default();
    }
    let mean = |index: usize| documents.iter().map(|scores| scores[index]).sum::<f64>() / documents.len() as f64;
    Scores::new(
        [
            ("precision_at_k", mean(0)),
            ("recall_at_k", mean(1)),
            ("f1_at_k", mean(2)),
        ],
        BTreeMap::new(),
    )
}

fn normal(phrase: &str) -> String {
    phrase.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrases(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn case_does_not_matter_and_only_the_first_k_count() {
        let gold = [phrases(&["Neural Network", "tram"])];
        let scores = keyphrases(&gold, &[phrases(&["neural network", "bus", "tram"])], 2).scores;
        assert_eq!(scores["precision_at_k"], 0.5);
        assert_eq!(scores["recall_at_k"], 0.5);
        assert_eq!(scores["f1_at_k"], 0.5);
    }

    #[test]
    fn a_document_without_gold_keyphrases_is_left_out() {
        let gold = [phrases(&["a"]), vec![]];
        let scores = keyphrases(&gold, &[phrases(&["a"]), phrases(&["b"])], 5).scores;
        assert_eq!(scores["f1_at_k"], 1.0);
    }

    #[test]
    fn a_document_without_predictions_counts_as_zero() {
        let gold = [phrases(&["a"]), phrases(&["b"])];
        assert_eq!(keyphrases(&gold, &[phrases(&["a"]), vec![]], 5).scores["f1_at_k"], 0.5);
    }
}
