//! Loops that `native/kept.cpp` calls: here the compiler makes vector instructions of them, as wide as the CPU has them.
//! Nothing is contracted, so the bits do not depend on the width.

use crate::bf16::{Bf16, Number};

/// `x` times `by` where the byte of the mask is 1, and times 0 where it is 0.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn scale_floats(out: &mut [f32], x: &[f32], kept: &[u8], by: f32) {
    for ((out, x), kept) in out.iter_mut().zip(x).zip(kept) {
        *out = x * (f32::from(*kept) * by);
    }
}

/// The same of bf16.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn scale_bf16(out: &mut [Bf16], x: &[Bf16], kept: &[u8], by: f32) {
    for ((out, x), kept) in out.iter_mut().zip(x).zip(kept) {
        *out = Bf16::nearest(x.wide() * (f32::from(*kept) * by));
    }
}

/// e to the power of `x`, which is not above 0, to 4e-6 of it; 0 below -87. What is no number stays none.
#[inline(always)]
pub(super) fn exponential(x: f32) -> f32 {
    let power = x.max(-87.0) * std::f32::consts::LOG2_E;
    // The last bits of the sum with 1.5 * 2^23 are the whole number.
    let shifted = power + 12_582_912.0;
    let whole = shifted.to_bits().wrapping_sub(0x4b40_0000);
    let rest = power - (shifted - 12_582_912.0);
    let mut sum = 1.540_353e-4;
    for coefficient in [
        1.333_355_8e-3,
        9.618_129e-3,
        5.550_411e-2,
        0.240_226_5,
        std::f32::consts::LN_2,
        1.0_f32,
    ] {
        sum = sum * rest + coefficient;
    }
    let power = f32::from_bits(sum.to_bits().wrapping_add(whole << 23));
    let power = if x < -87.0 { 0.0 } else { power };
    if x.is_nan() { x } else { power }
}

/// The share of the standard normal distribution below `x`, to 1.5e-7 (Abramowitz and Stegun, 7.1.26); `density` is e to
/// the power of -x²/2.
#[inline(always)]
fn below(x: f32, density: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * (x.abs() * std::f32::consts::FRAC_1_SQRT_2));
    let mut sum = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_73, 0.254_829_6_f32] {
        sum = sum * t + coefficient;
    }
    let tail = 0.5 * sum * t * density;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// GELU (Hendrycks and Gimpel, 2016) with the error function.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn gelu(out: &mut [Bf16], x: &[Bf16]) {
    for (out, x) in out.iter_mut().zip(x) {
        let x = x.wide();
        *out = Bf16::nearest(x * below(x, exponential(-0.5 * x * x)));
    }
}

/// The same, and the gradient of what comes out becomes that of `x`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn gelu_both_ways(out: &mut [Bf16], gradient: &mut [Bf16], x: &[Bf16]) {
    const ROOT_OF_TWO_PI: f32 = 2.506_628_3;
    for ((out, gradient), x) in out.iter_mut().zip(gradient).zip(x) {
        let x = x.wide();
        let density = exponential(-0.5 * x * x);
        let below = below(x, density);
        *out = Bf16::nearest(x * below);
        *gradient = Bf16::nearest(gradient.wide() * (below + x * density * (1.0 / ROOT_OF_TWO_PI)));
    }
}

/// # Safety
///
/// `out`, `x` and `kept` point to `count` values each, of which nobody else has those of `out`.
#[unsafe(no_mangle)]
unsafe extern "C" fn trainer_scale_floats(out: *mut f32, x: *const f32, kept: *const u8, count: usize, by: f32) {
    // SAFETY: as the caller promises.
    unsafe { scale_floats(written(out, count), read(x, count), read(kept, count), by) }
}

/// # Safety
///
/// As [`trainer_scale_floats`].
#[unsafe(no_mangle)]
unsafe extern "C" fn trainer_scale_bf16(out: *mut Bf16, x: *const Bf16, kept: *const u8, count: usize, by: f32) {
    // SAFETY: as the caller promises.
    unsafe { scale_bf16(written(out, count), read(x, count), read(kept, count), by) }
}

/// # Safety
///
/// As [`trainer_scale_floats`].
#[unsafe(no_mangle)]
unsafe extern "C" fn trainer_gelu_bf16(out: *mut Bf16, x: *const Bf16, count: usize) {
    // SAFETY: as the caller promises.
    unsafe { gelu(written(out, count), read(x, count)) }
}

/// # Safety
///
/// As [`trainer_scale_floats`], with `gradient` as `out`.
#[unsafe(no_mangle)]
unsafe extern "C" fn trainer_gelu_both_ways_bf16(out: *mut Bf16, gradient: *mut Bf16, x: *const Bf16, count: usize) {
    // SAFETY: as the caller promises.
    unsafe { gelu_both_ways(written(out, count), written(gradient, count), read(x, count)) }
}

/// # Safety
///
/// As [`std::slice::from_raw_parts`], but for a count of zero, where the pointer may be anything.
pub(super) unsafe fn read<'a, T>(values: *const T, count: usize) -> &'a [T] {
    match count {
        0 => &[],
        // SAFETY: as the caller promises.
        _ => unsafe { std::slice::from_raw_parts(values, count) },
    }
}

/// # Safety
///
/// As [`std::slice::from_raw_parts_mut`], but for a count of zero, where the pointer may be anything.
pub(super) unsafe fn written<'a, T>(values: *mut T, count: usize) -> &'a mut [T] {
    match count {
        0 => &mut [],
        // SAFETY: as the caller promises.
        _ => unsafe { std::slice::from_raw_parts_mut(values, count) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_and_its_gradient_are_those_of_mathematics_to_the_last_digit_of_bf16() {
        // Up to where 1 + erf, as libtorch computes it, has lost most of its digits.
        let x: Vec<Bf16> = (-4000..4000).map(|x| Bf16::nearest(x as f32 / 1000.0)).collect();
        let mut out = x.clone();
        let mut gradient = vec![Bf16::nearest(1.0); x.len()];
        gelu_both_ways(&mut out, &mut gradient, &x);
        let mut alone = x.clone();
        gelu(&mut alone, &x);
        assert_eq!(out, alone);
        let wide = |values: &[Bf16]| {
            let values: Vec<f32> = values.iter().map(|value| value.wide()).collect();
            tch::Tensor::from_slice(&values).to_kind(tch::Kind::Double)
        };
        let exact = wide(&x).set_requires_grad(true);
        let expected = exact.gelu("none");
        let slope = tch::Tensor::run_backward(&[expected.sum(tch::Kind::Double)], &[&exact], false, false);
        for (what, found, expected) in [("out", out, expected.detach()), ("gradient", gradient, slope[0].copy())] {
            let off = (wide(&found) - &expected).abs() / (expected.abs() * 2_f64.powi(-8) + 1e-5);
            // A half of the last digit is a 256th at most; a little more where the error of 1.5e-7 counts.
            assert!(off.max().double_value(&[]) < 1.02, "{what}: {off:?}");
        }
    }

    #[test]
    fn gelu_of_what_is_no_number_or_far_out_is_that_of_libtorch() {
        let x = [
            f32::NAN,
            f32::INFINITY,
            1e38,
            90.0,
            14.0,
            -14.0,
            -90.0,
            -1e38,
            0.0,
            -0.0,
        ]
        .map(Bf16::nearest);
        let mut out = x;
        let mut gradient = [Bf16::nearest(1.0); 10];
        gelu_both_ways(&mut out, &mut gradient, &x);
        let [out, gradient] = [out, gradient].map(|all| all.map(Number::wide));
        assert!(out[0].is_nan() && gradient[0].is_nan());
        assert_eq!(out[1], f32::INFINITY);
        assert_eq!(out[3..], [90.0, 14.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(gradient[2..8], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(gradient[8..], [0.5, 0.5]);
    }
}
