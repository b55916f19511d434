//! Holds rows out for validation.

use super::{DataError, Dataset, permutation};
use std::collections::BTreeMap;

/// Divides into (training, validation) rows, each in the order of the data set.
///
/// Validation gets `ceil(test_size * rows)` rows. Texts are stratified: each label gets the number of rows that
/// scikit-learn's `train_test_split(stratify=labels)` gives it (proportional, largest remainders first; where
/// remainders tie, scikit-learn draws and this takes the label that comes first by code point). A label with a single
/// row, where scikit-learn gives up, stays in training. Which rows of a label are held out depends on `seed` alone.
/// Sentences and documents are not stratified.
///
/// # Errors
/// [`DataError::Split`] where `test_size` is not between 0 and 1, or either part would be empty.
pub fn split(dataset: &Dataset, test_size: f64, seed: u64) -> Result<(Dataset, Dataset), DataError> {
    let refuse = |problem: String| Err(DataError::Split { problem });
    if !(test_size > 0.0 && test_size < 1.0) {
        return refuse(format!("the test size {test_size} is not between 0 and 1"));
    }
    let rows = dataset.len();
    let wanted = (test_size * rows as f64).ceil() as usize;
    let groups = groups(dataset);
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    let mut held_out = vec![false; rows];
    for (group, count) in groups.iter().zip(held_out_counts(&sizes, wanted)) {
        let order = permutation(group.len(), seed);
        for &index in order.iter().take(count) {
            held_out[group[index]] = true;
        }
    }
    let (validation, training): (Vec<usize>, Vec<usize>) = (0..rows).partition(|&row| held_out[row]);
    if validation.is_empty() || training.is_empty() {
        return refuse(format!(
            "{rows} rows of {} labels are too few for a test size of {test_size}",
            groups.len()
        ));
    }
    Ok((dataset.select(&training), dataset.select(&validation)))
}

/// The rows of each label, by label; everything in one group where there is no label a row.
fn groups(dataset: &Dataset) -> Vec<Vec<usize>> {
    let Dataset::Texts { labels, .. } = dataset else {
        return vec![(0..dataset.len()).collect()];
    };
    let mut by_label: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    for (row, label) in labels.iter().enumerate() {
        by_label.entry(label).or_default().push(row);
    }
    by_label.into_values().collect()
}

/// Rows to hold out of groups of these sizes, as `StratifiedShuffleSplit` counts: training is allotted first, then
/// validation from what is left.
fn held_out_counts(sizes: &[usize], wanted: usize) -> Vec<usize> {
    let divisible: Vec<usize> = sizes.iter().map(|&size| if size > 1 { size } else { 0 }).collect();
    let total: usize = divisible.iter().sum();
    let wanted = wanted.min(total);
    let training = proportional(&divisible, total - wanted);
    divisible.iter().zip(training).map(|(size, kept)| size - kept).collect()
}

/// `draws` shared out over groups in proportion to their sizes: scikit-learn's `_approximate_mode`.
fn proportional(sizes: &[usize], draws: usize) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    if total == 0 {
        return vec![0; sizes.len()];
    }
    // The same order of operations as numpy's, so that remainders tie where they tie there.
    let exact: Vec<f64> = sizes
        .iter()
        .map(|&size| size as f64 / total as f64 * draws as f64)
        .collect();
    let mut counts: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = draws.saturating_sub(counts.iter().sum());
    for &group in by_remainder.iter().take(missing) {
        counts[group] += 1;
    }
    counts
}
