//! Rows of attention's tables, of which `native/attention.cpp` has many: one pass each way.

use crate::bf16::{self, Bf16, Number};
use crate::native::loops::{exponential, read, written};

/// Values that are computed side by side. Rows are as long as a multiple of it, so that no rest is left, and sums have the
/// same order however wide the CPU's vectors are.
pub(crate) const LANES: usize = 16;

type Lanes = [f32; LANES];

/// `of` all lanes, in an order of its own.
#[inline(always)]
fn folded(lanes: &Lanes, of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut all = *lanes;
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            all[i] = of(all[i], all[i + width]);
        }
    }
    all[0]
}

/// What dropout leaves of `weights`, as numbers of bf16.
#[inline(always)]
fn drop_out(weights: &[f32], kept: Option<&[u8]>, scale: f32, left: &mut [Bf16]) {
    match kept {
        Some(kept) => {
            for ((left, weight), kept) in left.iter_mut().zip(weights).zip(kept) {
                *left = Bf16::nearest(weight * (f32::from(*kept) * scale));
            }
        }
        None => bf16::narrow(weights, left),
    }
}

/// Softmax of `scores * by + bias` for each row of as many keys as `bias` has; and what dropout leaves of it, in bf16.
/// Where numbers are widened, narrowed or dropped the rows do not matter: long loops become better instructions.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn weigh(
    scores: &[Bf16],
    bias: &[f32],
    kept: Option<&[u8]>,
    (by, scale): (f32, f32),
    weights: &mut [f32],
    left: &mut [Bf16],
) {
    for (to, score) in weights.iter_mut().zip(scores) {
        *to = score.wide() * by;
    }
    for row in weights.chunks_exact_mut(bias.len()) {
        let row = row.as_chunks_mut::<LANES>().0;
        let mut largest = [f32::MIN; LANES];
        for (row, bias) in row.iter_mut().zip(bias.as_chunks::<LANES>().0) {
            for i in 0..LANES {
                row[i] += bias[i];
                largest[i] = if row[i] > largest[i] { row[i] } else { largest[i] };
            }
        }
        let largest = folded(&largest, f32::max);
        let mut sums = [0.0; LANES];
        for row in row.iter_mut() {
            for i in 0..LANES {
                row[i] = exponential(row[i] - largest);
                sums[i] += row[i];
            }
        }
        let share = 1.0 / folded(&sums, |one, other| one + other);
        for row in row.iter_mut() {
            for weight in row {
                *weight *= share;
            }
        }
    }
    drop_out(weights, kept, scale, left);
}

/// The gradient of what dropout leaves of `weights` becomes that of the scores before they are multiplied by `by`; and what
/// dropout leaves of them, again.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn back(
    gradient: &mut [Bf16],
    weights: &[f32],
    kept: Option<&[u8]>,
    (by, scale): (f32, f32),
    keys: usize,
    left: &mut [Bf16],
) {
    drop_out(weights, kept, scale, left);
    // Of the weights before dropout, each times its weight.
    let mut products = vec![0.0; weights.len()];
    for ((product, gradient), weight) in products.iter_mut().zip(&*gradient).zip(weights) {
        *product = gradient.wide() * weight;
    }
    if let Some(kept) = kept {
        for (product, kept) in products.iter_mut().zip(kept) {
            *product *= f32::from(*kept) * scale;
        }
    }
    for (products, weights) in products.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
        let products = products.as_chunks_mut::<LANES>().0;
        let mut sums = [0.0; LANES];
        for products in products.iter() {
            for i in 0..LANES {
                sums[i] += products[i];
            }
        }
        let sum = folded(&sums, |one, other| one + other);
        for (products, weights) in products.iter_mut().zip(weights.as_chunks::<LANES>().0) {
            for i in 0..LANES {
                products[i] = (products[i] - weights[i] * sum) * by;
            }
        }
    }
    bf16::narrow(&products, gradient);
}

/// # Safety
///
/// `scores`, `weights` and `left` point to `rows * keys` values each, and so does `kept`, unless it is null; `bias` points to
/// `keys`, a multiple of [`LANES`] above 0. Nobody else has `weights` or `left`.
#[unsafe(no_mangle)]
unsafe extern "C" fn trainer_attention_weights(
    scores: *const Bf16,
    bias: *const f32,
    kept: *const u8,
    rows: usize,
    keys: usize,
    size: f32,
    scale: f32,
    weights: *mut f32,
    left: *mut Bf16,
) {
    let count = rows * keys;
    // SAFETY: as the caller promises.
    unsafe {
        let kept = (!kept.is_null()).then(|| read(kept, count));
        let (weights, left) = (written(weights, count), written(left, count));
        weigh(
            read(scores, count),
            read(bias, keys),
            kept,
            (1.0 / size.sqrt(), scale),
            weights,
            left,
        );
    }
}

/// # Safety
///
/// As [`trainer_attention_weights`]; nobody else has `gradient` or `left`.
#[unsafe(no_mangle)]
unsafe extern "C" fn trainer_attention_back(
    gradient: *mut Bf16,
    weights: *const f32,
    kept: *const u8,
    rows: usize,
    keys: usize,
    size: f32,
    scale: f32,
    left: *mut Bf16,
) {
    let count = rows * keys;
    // SAFETY: as the caller promises.
    unsafe {
        let kept = (!kept.is_null()).then(|| read(kept, count));
        let (gradient, left) = (written(gradient, count), written(left, count));
        back(
            gradient,
            read(weights, count),
            kept,
            (1.0 / size.sqrt(), scale),
            keys,
            left,
        );
    }
}
