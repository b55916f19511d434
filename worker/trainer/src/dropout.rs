//! Dropout whose mask depends on (seed, step, place) alone, so that a resumed training drops the same values.

use crate::memory;
use crate::random::Random;
use tch::{Device, Kind, Tensor};

/// Zeroes values at random while training; does nothing otherwise.
#[derive(Debug)]
pub struct Dropout {
    /// Seed, optimizer step and batch within the step; `None` outside training.
    at: Option<[u64; 3]>,
    /// How many masks this forward pass has drawn: which place of the model asks.
    place: u64,
}

impl Dropout {
    /// No dropout: evaluation and prediction.
    #[must_use]
    pub fn off() -> Self {
        Self { at: None, place: 0 }
    }

    /// The masks of one forward pass in training: of batch `part` of the optimizer step `step`.
    #[must_use]
    pub fn of_step(seed: u64, step: u64, part: u64) -> Self {
        Self {
            at: Some([seed, step, part]),
            place: 0,
        }
    }

    /// The probability for an operation that drops out by itself, which is a place as those of [`Dropout::apply`] are.
    pub fn within(&mut self, probability: f64) -> f64 {
        if self.at.is_none() {
            return 0.0;
        }
        self.place += 1;
        probability
    }

    /// On a GPU the masks are drawn there, by libtorch's generator of the device; it is counter-based, so that a seed for
    /// each pass is all of its state.
    pub fn seed_gpu(&self) {
        if let Some([seed, step, part]) = self.at {
            tch::Cuda::manual_seed_all(Random::at(seed, &[step, part]).bits());
        }
    }

    /// How many masks were drawn, those of a probability of zero too.
    #[must_use]
    pub fn places(&self) -> u64 {
        self.place
    }

    /// `x` with each value zeroed with `probability` and the others scaled up, so that the expectation stays.
    /// The probability is rounded to 1/65536. `None` is a place without dropout, which is not counted.
    pub fn apply(&mut self, x: Tensor, probability: impl Into<Option<f64>>) -> Tensor {
        let (Some([seed, step, part]), Some(probability)) = (self.at, probability.into()) else {
            return x;
        };
        self.place += 1;
        let dropped = (probability * 65536.0).round() as u16;
        if dropped == 0 {
            return x;
        }
        if x.device().is_cuda() {
            return x.dropout(f64::from(dropped) / 65536.0, true);
        }
        let mut mask = Tensor::empty(x.size(), (Kind::Float, Device::Cpu));
        fill(
            memory::floats_mut(&mut mask),
            dropped,
            Random::at(seed, &[step, part, self.place]),
        );
        let kind = x.kind();
        x * mask.to_kind(kind)
    }
}

/// 0 with probability `dropped`/65536, else what keeps the expectation; four values from 64 random bits.
fn fill(mask: &mut [f32], dropped: u16, mut random: Random) {
    let scale = 65536.0 / (65536.0 - f32::from(dropped));
    for four in mask.chunks_mut(4) {
        let bits = random.bits();
        for (i, value) in four.iter_mut().enumerate() {
            *value = if (bits >> (16 * i)) as u16 >= dropped {
                scale
            } else {
                0.0
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(dropout: &mut Dropout) -> Vec<f32> {
        memory::floats(&dropout.apply(Tensor::ones([100, 100], (Kind::Float, Device::Cpu)), 0.1)).to_vec()
    }

    #[test]
    fn the_mask_depends_on_seed_step_and_place_alone() {
        let mut first = Dropout::of_step(1, 2, 0);
        let mut again = Dropout::of_step(1, 2, 0);
        let (a, b) = (dropped(&mut first), dropped(&mut first));
        assert_ne!(a, b);
        assert_eq!(a, dropped(&mut again));
        assert_eq!(b, dropped(&mut again));
        assert_ne!(a, dropped(&mut Dropout::of_step(1, 3, 0)));
        assert_ne!(a, dropped(&mut Dropout::of_step(1, 2, 1)));
    }

    #[test]
    fn a_tenth_is_zero_and_the_mean_stays() {
        let values = dropped(&mut Dropout::of_step(5, 1, 0));
        let zeros = values.iter().filter(|v| **v == 0.0).count();
        assert!((900..1100).contains(&zeros), "{zeros}");
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn outside_training_nothing_is_dropped() {
        assert!(dropped(&mut Dropout::off()).iter().all(|v| *v == 1.0));
    }
}
