//! The first rows of a data set, with every label among them where there is room.

use super::Dataset;
use std::collections::HashSet;

/// At most `limit` rows in their order: rows that bring a label not seen before come first, then the earliest others.
pub(super) fn first_rows(dataset: Dataset, limit: usize) -> Dataset {
    if dataset.len() <= limit {
        return dataset;
    }
    let mut seen = HashSet::new();
    let (bringing, others): (Vec<usize>, Vec<usize>) = (0..dataset.len()).partition(|&row| {
        dataset
            .labels_of(row)
            .iter()
            // Counts to the end: every label of the row is seen from here on.
            .filter(|label| seen.insert(*label))
            .count()
            > 0
    });
    let mut chosen: Vec<usize> = bringing.into_iter().chain(others).take(limit).collect();
    chosen.sort_unstable();
    dataset.select(&chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(labels: &[&str]) -> Dataset {
        Dataset::Texts {
            texts: (0..labels.len()).map(|row| row.to_string()).collect(),
            labels: labels.iter().map(ToString::to_string).collect(),
        }
    }

    fn texts(dataset: Dataset) -> Vec<String> {
        match dataset {
            Dataset::Texts { texts, .. } => texts,
            other => panic!("expected texts, found {other:?}"),
        }
    }

    #[test]
    fn a_label_that_comes_late_is_in_the_sample() {
        let sample = first_rows(labelled(&["a", "a", "a", "b", "a", "c"]), 4);
        assert_eq!(texts(sample), ["0", "1", "3", "5"]);
    }

    #[test]
    fn fewer_rows_than_labels_are_the_first_labels() {
        let sample = first_rows(labelled(&["a", "b", "c"]), 2);
        assert_eq!(texts(sample), ["0", "1"]);
    }

    #[test]
    fn a_sentence_counts_for_each_of_its_tags() {
        let tags = [vec!["O"], vec!["O"], vec!["O", "B-x", "I-x"]];
        let tags: Vec<Vec<String>> = tags
            .iter()
            .map(|row| row.iter().map(ToString::to_string).collect())
            .collect();
        let sample = first_rows(
            Dataset::Sentences {
                tokens: tags.clone(),
                tags,
            },
            2,
        );
        assert_eq!(sample.label_names(), ["B-x", "I-x", "O"]);
    }

    #[test]
    fn a_small_data_set_stays_whole() {
        let whole = labelled(&["a", "a"]);
        assert_eq!(first_rows(whole.clone(), 2), whole);
    }
}
