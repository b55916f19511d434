//! scikit-learn and seqeval give the same scores.

mod python;

use serde::Deserialize;
use std::collections::BTreeMap;
use trainer::scores::{Scores, classification, entities};

const SEED: &str = "20240611";

#[derive(Deserialize)]
struct Judged {
    classification: Vec<Texts>,
    entities: Vec<Sentences>,
}

#[derive(Deserialize)]
struct Texts {
    labels: Vec<String>,
    gold: Vec<usize>,
    predicted: Vec<usize>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Sentences {
    gold: Vec<Vec<String>>,
    predicted: Vec<Vec<String>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    scores: BTreeMap<String, f64>,
    /// Precision, recall, F1, support.
    per_label: BTreeMap<String, (f64, f64, f64, u64)>,
}

impl Expected {
    #[track_caller]
    fn assert_equal(&self, ours: &Scores, case: usize) {
        let names: Vec<_> = ours.scores.keys().collect();
        assert_eq!(
            names,
            self.scores.keys().collect::<Vec<_>>(),
            "case {case} of seed {SEED}"
        );
        for (name, theirs) in &self.scores {
            assert_close(
                ours.scores[name],
                *theirs,
                &format!("{name} of case {case} of seed {SEED}"),
            );
        }
        for (label, (precision, recall, f1, support)) in &self.per_label {
            let what = format!("{label} of case {case} of seed {SEED}");
            let found = ours
                .per_label
                .get(label)
                .unwrap_or_else(|| panic!("no scores for {what}"));
            assert_close(found.precision, *precision, &what);
            assert_close(found.recall, *recall, &what);
            assert_close(found.f1, *f1, &what);
            assert_eq!(found.support, *support, "{what}");
        }
    }
}

#[track_caller]
fn assert_close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() < 1e-12, "{what}: {ours} here, {theirs} there");
}

#[test]
fn scores_equal_those_of_scikit_learn_and_seqeval() {
    let judged: Judged = python::judge("scores.py", &[SEED]);
    assert_eq!((judged.classification.len(), judged.entities.len()), (400, 600));
    for (case, texts) in judged.classification.iter().enumerate() {
        let ours = classification(&texts.labels, &texts.gold, &texts.predicted);
        texts.expected.assert_equal(&ours, case);
    }
    for (case, sentences) in judged.entities.iter().enumerate() {
        let ours = entities(&sentences.gold, &sentences.predicted);
        sentences.expected.assert_equal(&ours, case);
        let types = |scores: &Scores| scores.per_label.len();
        assert_eq!(
            types(&ours),
            sentences.expected.per_label.len(),
            "types of case {case} of seed {SEED}"
        );
    }
}
