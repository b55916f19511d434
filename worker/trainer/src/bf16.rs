//! Numbers of bf16 on the CPU, by their bits: the upper half of an fp32's.

/// One number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Bf16 {
    /// The nearest to `value`, of two that are as near the even one, as `c10::BFloat16` has it.
    #[inline(always)]
    pub(crate) fn nearest(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff).wrapping_add((bits >> 16) & 1) >> 16;
        // What is no number must stay none.
        Self(if value.is_nan() { 0x7fc0 } else { rounded as u16 })
    }
}

/// What is computed with as fp32.
pub(crate) trait Number: Copy {
    /// The same number.
    fn wide(self) -> f32;
}

impl Number for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

impl Number for Bf16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// Values of either kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbers<'a> {
    Fp32(&'a [f32]),
    Bf16(&'a [Bf16]),
}

impl<'a> Numbers<'a> {
    /// So many at a time, as [`slice::chunks`] has it.
    pub(crate) fn chunks(self, size: usize) -> impl Iterator<Item = Self> {
        let (whole, narrow): (&'a [f32], &'a [Bf16]) = match self {
            Self::Fp32(values) => (values, &[]),
            Self::Bf16(values) => (&[], values),
        };
        whole
            .chunks(size)
            .map(Self::Fp32)
            .chain(narrow.chunks(size).map(Self::Bf16))
    }
}

/// The numbers of `values`, each the nearest.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
pub(crate) fn narrow(values: &[f32], to: &mut [Bf16]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to = Bf16::nearest(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn numbers_are_those_of_libtorch() {
        let mut values: Vec<f32> = (0..1 << 16)
            .map(|bits: u32| f32::from_bits((bits << 16) | 0x7fff))
            .collect();
        values.extend((0..1 << 16).map(|bits: u32| f32::from_bits((bits << 16) | 0x8000)));
        values.extend((0..1 << 16).map(|bits: u32| f32::from_bits((bits << 16) | (bits & 0xffff))));
        let mut ours = vec![Bf16(0); values.len()];
        narrow(&values, &mut ours);
        let wide: Vec<f32> = ours.iter().map(|number| number.wide()).collect();
        let theirs = Tensor::from_slice(&values).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        let theirs = Vec::<f32>::try_from(theirs).unwrap();
        for ((value, ours), theirs) in values.iter().zip(wide).zip(theirs) {
            assert!(
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
                "{value:e}: {ours:e}, {theirs:e}"
            );
        }
    }
}
