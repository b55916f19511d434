//! Gradients: whole ones, and those of large tables by rows.

use super::Parameter;
use crate::bf16::{Number, Numbers};
use crate::failure::Result;
use crate::memory;
use crate::native::threads;
use crate::recompute::Tape;
use tch::{Kind, Tensor, no_grad};

/// What is not zero of a gradient.
pub(super) struct Gradient {
    /// In rising order, where the gradient comes by rows.
    pub(super) rows: Option<Vec<usize>>,
    pub(super) values: Tensor,
}

impl Gradient {
    pub(super) fn of(gradient: &Tensor) -> Self {
        let ids = |gradient: &Tensor| {
            let indices = gradient.internal_indices();
            let mut ids = vec![0_i64; indices.numel()];
            indices.copy_data(&mut ids, indices.numel());
            ids.into_iter().map(|id| id as usize).collect()
        };
        Self {
            rows: gradient.is_sparse().then(|| ids(gradient)),
            values: values(gradient),
        }
    }
}

/// Values whose squares are summed in fp32.
const BLOCK: usize = 1 << 14;

/// The global 2-norm of `gradients`. Sums of fixed blocks are added in f64, so the bits do not depend on threads.
pub(super) fn norm(gradients: &[Tensor]) -> f64 {
    let values: Vec<Tensor> = gradients.iter().map(values).collect();
    let count = |values: &Tensor| values.numel().div_ceil(BLOCK);
    let mut sums: Vec<Vec<f64>> = values.iter().map(|values| vec![0.0; count(values)]).collect();
    let all = values.iter().zip(&mut sums);
    let all = all.flat_map(|(values, sums)| memory::numbers(values).chunks(BLOCK).zip(sums));
    threads::for_each(all, |(block, sum)| {
        *sum = match block {
            Numbers::Fp32(block) => sum_of_squares(block),
            Numbers::Bf16(block) => sum_of_squares(block),
        };
    });
    sums.iter().map(|sums| sums.iter().sum::<f64>()).sum::<f64>().sqrt()
}

/// What gradients of this norm are multiplied by so that it is at most `limit` (`torch.nn.utils.clip_grad_norm_`); 1 where
/// `limit` is 0.
pub(super) fn clipping(norm: f64, limit: f64) -> f32 {
    let scale = limit / (norm + 1e-6);
    match limit > 0.0 && scale < 1.0 {
        true => scale as f32,
        false => 1.0,
    }
}

/// Those of a gradient that may not be zero.
fn values(gradient: &Tensor) -> Tensor {
    match gradient.is_sparse() {
        true => gradient.internal_values(),
        false => gradient.shallow_clone(),
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn sum_of_squares<T: Number>(block: &[T]) -> f64 {
    let mut lanes = [0.0_f32; 16];
    for chunk in block.chunks(16) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x.wide() * x.wide();
        }
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum()
}

/// Adds the gradients of another batch of the same step, in fp32.
pub fn accumulate(sum: &mut [Tensor], more: &[Tensor]) {
    no_grad(|| {
        for (sum, more) in sum.iter_mut().zip(more) {
            match sum.is_sparse() {
                true => *sum = (&*sum + more).coalesce(),
                false => {
                    *sum = sum.to_kind(Kind::Float);
                    *sum += more;
                }
            }
        }
    });
}

/// Gradients of `loss` in the order of `parameters`, contiguous; zero for a parameter that `loss` does not depend on. They are
/// fp32, or bf16 where a training computes with numbers of bf16 that its parameter keeps. That of a large table is a coalesced
/// sparse tensor of the rows that were used.
/// `tape` is that of the forward pass.
pub fn gradients(loss: &Tensor, tape: Tape<'_>, parameters: &[Parameter]) -> Result<Vec<Tensor>> {
    let leaves: Vec<&Tensor> = parameters.iter().map(Parameter::leaf).collect();
    let gradients = tape.backward(loss, &leaves)?;
    let gradient = |(gradient, parameter): (&Tensor, &Parameter)| match gradient.defined() {
        true if gradient.is_sparse() => gradient.coalesce(),
        true if parameter.narrow.is_some() => gradient.contiguous(),
        true => gradient.to_kind(Kind::Float).contiguous(),
        false => no_grad(|| parameter.value.zeros_like()),
    };
    Ok(gradients.iter().zip(parameters).map(gradient).collect())
}

/// A gradient for three rows of `table`, two of them the same row.
#[cfg(test)]
pub(super) fn by_rows(table: &Tensor, step: i64) -> Tensor {
    let ids = Tensor::from_slice(&[step, 2, step]);
    let values = Tensor::arange(3 * 4, (Kind::Float, tch::Device::Cpu))
        .cos()
        .view([3, 4])
        * step as f64;
    Tensor::sparse_coo_tensor_indices_size(
        &ids.unsqueeze(0),
        &values,
        table.size(),
        (Kind::Float, tch::Device::Cpu),
        false,
    )
    .coalesce()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_clipped_to_the_global_norm() {
        let norm = norm(&[Tensor::from_slice(&[3.0_f32, 0.0]), Tensor::from_slice(&[4.0_f32])]);
        assert!((norm - 5.0).abs() < 1e-12);
        for (limit, expected) in [(0.0, 1.0), (6.0, 1.0), (1.0, 0.2)] {
            assert!((clipping(norm, limit) - expected).abs() < 1e-6, "{limit}");
        }
    }

    #[test]
    fn gradients_by_rows_have_the_norm_of_whole_ones_and_are_added_as_they_are() {
        let table = Tensor::zeros([9, 4], (Kind::Float, tch::Device::Cpu));
        let mut rows = vec![by_rows(&table, 1)];
        accumulate(&mut rows, &[by_rows(&table, 5)]);
        let dense = |g: &Tensor| g.to_dense(None, false);
        let whole = vec![dense(&by_rows(&table, 1)) + dense(&by_rows(&table, 5))];
        assert!(dense(&rows[0]).equal(&whole[0]));
        assert!((norm(&rows) - norm(&whole)).abs() < 1e-6 && norm(&rows) > 0.5);
    }
}
