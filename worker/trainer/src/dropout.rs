//! Dropout whose mask depends on (seed, step, place) alone, so that a resumed training drops the same values.

use crate::memory;
use crate::native::kept::{self, Mask};
use crate::native::threads;
use crate::random::Random;
use tch::{Device, Kind, Tensor};

/// Zeroes values at random while training; does nothing otherwise.
#[derive(Debug, Clone)]
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

    /// The same for what comes next in this pass, so that it can be computed again; `x` is what goes into it.
    pub(crate) fn seed_segment(&self, x: &Tensor) {
        if let (Some([seed, step, part]), true) = (self.at, x.device().is_cuda()) {
            tch::Cuda::manual_seed_all(Random::at(seed, &[step, part, self.place]).bits());
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
        kept::dropout(&x, &self.drawn(&x.size(), x.kind(), dropped, [seed, step, part]))
    }

    /// [`Dropout::apply`] of attention's `weights`, fp32 `[rows, heads, queries, keys]`, and their product with `value`
    /// `[rows, heads, keys, size]`, of whose kind the result is.
    pub(crate) fn mix(&mut self, weights: Tensor, value: &Tensor, probability: f64) -> Tensor {
        let Some(at) = self.at.filter(|_| !weights.device().is_cuda()) else {
            return self.apply(weights, probability).to_kind(value.kind()).matmul(value);
        };
        kept::mix(&weights, self.next(at, &weights.size(), probability).as_ref(), value)
    }

    /// The mask of the next place, for fp32 values of these `sizes` on the CPU; `None` where nothing is dropped.
    pub(crate) fn mask(&mut self, sizes: &[i64], probability: f64) -> Option<Mask> {
        self.next(self.at?, sizes, probability)
    }

    fn next(&mut self, at: [u64; 3], sizes: &[i64], probability: f64) -> Option<Mask> {
        self.place += 1;
        let dropped = (probability * 65536.0).round() as u16;
        (dropped > 0).then(|| self.drawn(sizes, Kind::Float, dropped, at))
    }

    /// The mask of this place for values of these `sizes` and this `kind`.
    fn drawn(&self, sizes: &[i64], kind: Kind, dropped: u16, [seed, step, part]: [u64; 3]) -> Mask {
        let random = |block: u64| Random::at(seed, &[step, part, self.place, block]);
        let mut kept = Tensor::empty(sizes, (Kind::Uint8, Device::Cpu));
        let blocks = memory::bytes_mut(&mut kept).chunks_mut(BLOCK).enumerate();
        threads::for_each(blocks, |(number, block)| fill(block, dropped, random(number as u64)));
        let scale = 65536.0 / (65536.0 - f32::from(dropped));
        Mask {
            kept,
            scale: f64::from(match kind {
                Kind::BFloat16 => bfloat(scale),
                _ => scale,
            }),
        }
    }
}

/// The nearest bf16 to a positive number.
fn bfloat(value: f32) -> f32 {
    f32::from_bits((value.to_bits() + 0x8000) & 0xffff_0000)
}

/// Values of a mask from one seed, so that a long one need not be drawn in order.
const BLOCK: usize = 1 << 16;

/// 0 with probability `dropped`/65536, else 1.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn fill(block: &mut [u8], dropped: u16, mut random: Random) {
    let mut lanes = Lanes::new(&mut random);
    let mut rounds = block.chunks_exact_mut(2 * LANES);
    for values in &mut rounds {
        select(values, &lanes.bits(), dropped);
    }
    let rest = rounds.into_remainder();
    let mut last = [1; 2 * LANES];
    select(&mut last, &lanes.bits(), dropped);
    rest.copy_from_slice(&last[..rest.len()]);
}

#[inline(always)]
fn select(values: &mut [u8], bits: &[u32; LANES], dropped: u16) {
    let (low, high) = values.split_at_mut(LANES);
    for ((low, high), bits) in low.iter_mut().zip(high).zip(bits) {
        *low = u8::from((*bits & 0xffff) as u16 >= dropped);
        *high = u8::from((*bits >> 16) as u16 >= dropped);
    }
}

const LANES: usize = 16;

/// Generators side by side (xoshiro128++: Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), of
/// which a vector instruction moves eight or sixteen.
struct Lanes([[u32; LANES]; 4]);

impl Lanes {
    fn new(seed: &mut Random) -> Self {
        // No lane may be zero throughout; 128 random bits are not.
        Self(std::array::from_fn(|_| {
            std::array::from_fn(|_| (seed.bits() >> 32) as u32)
        }))
    }

    #[inline(always)]
    fn bits(&mut self) -> [u32; LANES] {
        let [a, b, c, d] = &mut self.0;
        let mut bits = [0; LANES];
        for i in 0..LANES {
            bits[i] = a[i].wrapping_add(d[i]).rotate_left(7).wrapping_add(a[i]);
            let shifted = b[i] << 9;
            c[i] ^= a[i];
            d[i] ^= b[i];
            b[i] ^= c[i];
            a[i] ^= d[i];
            c[i] ^= shifted;
            d[i] = d[i].rotate_left(11);
        }
        bits
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
    fn values_and_their_neighbours_are_dropped_independently() {
        let values = dropped(&mut Dropout::of_step(7, 1, 0));
        let both = |apart: usize| {
            let pairs = values.iter().zip(&values[apart..]);
            pairs.filter(|(one, other)| **one == 0.0 && **other == 0.0).count()
        };
        // A hundredth of 10,000, with five deviations on either side.
        for apart in [1, 15, 16, 17, 32, 33] {
            assert!((50..150).contains(&both(apart)), "{apart}: {}", both(apart));
        }
    }

    #[test]
    fn bf16_drops_the_same_values() {
        let of = |kind| Dropout::of_step(1, 2, 0).apply(Tensor::ones([333], (kind, Device::Cpu)), 0.1);
        let (whole, half) = (of(Kind::Float), of(Kind::BFloat16));
        assert!(whole.to_kind(Kind::BFloat16).equal(&half));
    }

    #[test]
    fn outside_training_nothing_is_dropped() {
        assert!(dropped(&mut Dropout::off()).iter().all(|v| *v == 1.0));
    }
}
