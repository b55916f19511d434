//! Cosine similarity.

/// A vector of length 1, or of zeros.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit(Vec<f32>);

impl Unit {
    /// `vector` scaled to length 1; zeros stay zeros, as in scikit-learn's `normalize`.
    pub(super) fn new(mut vector: Vec<f32>) -> Self {
        let squares: f64 = vector.iter().map(|&number| f64::from(number).powi(2)).sum();
        if squares > 0.0 {
            let length = squares.sqrt();
            for number in &mut vector {
                *number = (f64::from(*number) / length) as f32;
            }
        }
        Self(vector)
    }

    /// The cosine of the angle between two vectors.
    pub(super) fn dot(&self, other: &Self) -> f32 {
        // Eight sums side by side: the compiler makes vector instructions of them, and the order is always the same.
        let mut sums = [0f32; 8];
        let (left, right) = (self.0.chunks_exact(8), other.0.chunks_exact(8));
        let rest: f32 = std::iter::zip(left.remainder(), right.remainder())
            .map(|(a, b)| a * b)
            .sum();
        for (a, b) in left.zip(right) {
            for lane in 0..8 {
                sums[lane] += a[lane] * b[lane];
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_does_not_matter() {
        let one = Unit::new(vec![3.0, 4.0]);
        assert!((one.dot(&Unit::new(vec![30.0, 40.0])) - 1.0).abs() < 1e-6);
        assert!((one.dot(&Unit::new(vec![4.0, -3.0]))).abs() < 1e-6);
    }

    #[test]
    fn zeros_are_like_nothing() {
        assert_eq!(Unit::new(vec![0.0; 9]).dot(&Unit::new(vec![1.0; 9])), 0.0);
    }

    #[test]
    fn every_number_counts_once() {
        let ones = Unit::new(vec![1.0; 19]);
        assert!((ones.dot(&ones) - 1.0).abs() < 1e-6);
    }
}
