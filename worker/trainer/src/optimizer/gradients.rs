//! Gradients: whole ones, and those of large tables by rows.

use super::Parameter;
use crate::failure::Result;
use crate::memory;
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

/// Scales `gradients` down so that their global 2-norm is at most `limit` (`torch.nn.utils.clip_grad_norm_`); 0 leaves
/// them. Returns the norm before. Sums of fixed blocks are added in f64, so the bits do not depend on threads.
pub fn clip(gradients: &mut [Tensor], limit: f64) -> f64 {
    let square = |g: &Tensor| {
        let values = values(g);
        let blocks = memory::floats(&values).chunks(1 << 14);
        blocks.map(sum_of_squares).sum::<f64>()
    };
    let norm = gradients.iter().map(square).sum::<f64>().sqrt();
    let scale = limit / (norm + 1e-6);
    if limit > 0.0 && scale < 1.0 {
        no_grad(|| {
            for gradient in gradients {
                let _ = values(gradient).g_mul_scalar_(scale);
            }
        });
    }
    norm
}

/// Those of a gradient that may not be zero.
fn values(gradient: &Tensor) -> Tensor {
    match gradient.is_sparse() {
        true => gradient.internal_values(),
        false => gradient.shallow_clone(),
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn sum_of_squares(block: &[f32]) -> f64 {
    let mut lanes = [0.0_f32; 16];
    for chunk in block.chunks(16) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum()
}

/// Adds the gradients of another batch of the same step.
pub fn accumulate(sum: &mut [Tensor], more: &[Tensor]) {
    no_grad(|| {
        for (sum, more) in sum.iter_mut().zip(more) {
            match sum.is_sparse() {
                true => *sum = (&*sum + more).coalesce(),
                false => *sum += more,
            }
        }
    });
}

/// Gradients of `loss` in the order of `parameters`, contiguous fp32; zero for a parameter that `loss` does not depend on.
/// That of a large table is a coalesced sparse tensor of the rows that were used.
/// `tape` is that of the forward pass.
pub fn gradients(loss: &Tensor, tape: Tape<'_>, parameters: &[Parameter]) -> Result<Vec<Tensor>> {
    let leaves: Vec<&Tensor> = parameters.iter().map(|p| &p.value).collect();
    let gradients = tape.backward(loss, &leaves)?;
    let gradient = |(gradient, parameter): (&Tensor, &Parameter)| match gradient.defined() {
        true if gradient.is_sparse() => gradient.coalesce(),
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
        let mut gradients = vec![Tensor::from_slice(&[3.0_f32, 0.0]), Tensor::from_slice(&[4.0_f32])];
        assert!((clip(&mut gradients, 0.0) - 5.0).abs() < 1e-12);
        assert_eq!(memory::floats(&gradients[1]), [4.0]);
        assert!((clip(&mut gradients, 1.0) - 5.0).abs() < 1e-12);
        assert!((clip(&mut gradients, 0.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn gradients_by_rows_are_clipped_and_added_as_whole_ones_are() {
        let table = Tensor::zeros([9, 4], (Kind::Float, tch::Device::Cpu));
        let mut rows = vec![by_rows(&table, 1)];
        accumulate(&mut rows, &[by_rows(&table, 5)]);
        let dense = |g: &Tensor| g.to_dense(None, false);
        let mut whole = vec![dense(&by_rows(&table, 1)) + dense(&by_rows(&table, 5))];
        assert!(dense(&rows[0]).equal(&whole[0]));
        let (norm, same) = (clip(&mut rows, 0.5), clip(&mut whole, 0.5));
        assert!((norm - same).abs() < 1e-6 && norm > 0.5);
        assert!((dense(&rows[0]) - &whole[0]).abs().max().double_value(&[]) < 1e-6);
    }
}
