//! scikit-learn holds out as many rows of each label.

mod python;

use serde::Deserialize;
use trainer::data::{Dataset, split};

const SEED: &str = "11";

#[derive(Debug, Deserialize)]
struct Case {
    sizes: Vec<usize>,
    test_size: f64,
    held_out: Vec<usize>,
}

#[test]
fn as_many_rows_of_each_label_are_held_out_as_by_scikit_learn() {
    let cases: Vec<Case> = python::judge("split.py", &[SEED]);
    assert_eq!(cases.len(), 200);
    for case in cases {
        let labels: Vec<String> = case
            .sizes
            .iter()
            .enumerate()
            .flat_map(|(label, &size)| vec![label.to_string(); size])
            .collect();
        let dataset = Dataset::Texts {
            texts: labels.clone(),
            labels,
        };
        let (_, validation) = split(&dataset, case.test_size, 3).expect("there are rows enough");
        let Dataset::Texts { labels, .. } = validation else {
            panic!("the parts of texts are texts")
        };
        let held_out: Vec<usize> = (0..case.sizes.len())
            .map(|label| labels.iter().filter(|found| **found == label.to_string()).count())
            .collect();
        assert_eq!(held_out, case.held_out, "{case:?} of seed {SEED}");
    }
}
