//! The candidates most like the document.

use std::cmp::Reverse;

/// Indices and rounded scores of the `top_n` greatest similarities, greatest first; of equals the later one first.
pub(super) fn best(similarities: &[f32], top_n: usize) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..similarities.len()).collect();
    order.sort_by(|&a, &b| {
        similarities[b]
            .total_cmp(&similarities[a])
            .then(Reverse(a).cmp(&Reverse(b)))
    });
    order.truncate(top_n);
    order
        .into_iter()
        .map(|index| (index, rounded(similarities[index])))
        .collect()
}

/// Python's `round(float(score), 4)`: the decimal number of 4 digits that is nearest, the even one of two.
pub(super) fn rounded(score: f32) -> f64 {
    let exact = f64::from(score);
    // Formatting rounds the exact binary value, which scaling by 10000 and back would not.
    format!("{exact:.4}").parse().unwrap_or(exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greatest_comes_first_and_the_rest_is_left_out() {
        assert_eq!(best(&[0.5, 0.75, 0.25], 2), [(1, 0.75), (0, 0.5)]);
    }

    #[test]
    fn of_equals_the_later_comes_first() {
        assert_eq!(best(&[0.5, 0.5], 5), [(1, 0.5), (0, 0.5)]);
    }

    #[test]
    fn rounds_as_python_does() {
        // 0.00005 as a 32-bit float lies below it, 0.15625 is exact.
        assert_eq!(rounded(0.00005), 0.0);
        assert_eq!(rounded(0.15625), 0.1562);
        assert_eq!(rounded(0.343_75), 0.3438);
        assert_eq!(rounded(-0.000_01), 0.0);
    }
}
