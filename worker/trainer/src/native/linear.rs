//! Linear layers of bf16 numbers on a CPU.

use super::{owned, tiles};
use std::ffi::c_char;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn trainer_linear_in_tiles(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// Rows up to which tiles are as fast as oneDNN or faster; for many more they do not use the second cache as well as it does
/// (docs/performance.md).
const MOST: i64 = 4096;

/// Is the linear layer of `weight` `[outputs, inputs]` on `x` `[…, inputs]` computed in the tiles of AMX?
pub(super) fn is_in_tiles(x: &Tensor, weight: &Tensor) -> bool {
    let is_narrow = |x: &Tensor| x.kind() == Kind::BFloat16 && x.device() == Device::Cpu;
    let rows: i64 = x.size().iter().rev().skip(1).product();
    let fits = is_narrow(x) && is_narrow(weight) && weight.is_contiguous() && (1..=MOST).contains(&rows);
    fits && tiles::fit(&weight.size())
}

/// `torch.nn.functional.linear` on a CPU. In tiles the bias is added, and its gradient summed up, where the products pass; the
/// sums are fp32, and each number is rounded once.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    if !is_in_tiles(x, weight) {
        return x.linear(weight, Some(bias));
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers are of tensors that live as long as the call; where no message comes, `out` is a new tensor,
    // which nobody else owns.
    unsafe {
        let message = trainer_linear_in_tiles(x.as_ptr(), weight.as_ptr(), bias.as_ptr(), &raw mut out);
        owned(message, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(sizes: &[i64], kind: Kind) -> Tensor {
        Tensor::randn(sizes, (Kind::Float, Device::Cpu))
            .to_kind(kind)
            .set_requires_grad(true)
    }

    /// The gradients of `leaves`, and what came out.
    fn all(leaves: &[Tensor; 3], layer: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor) -> Vec<Tensor> {
        let [x, weight, bias] = leaves;
        let out = layer(x, weight, bias);
        let weights = Tensor::arange(out.numel() as i64, (Kind::Double, Device::Cpu))
            .cos()
            .view_as(&out);
        let loss = (out.to_kind(Kind::Double) * weights).sum(Kind::Double);
        let mut all = Tensor::run_backward(&[loss], &[x, weight, bias], false, false);
        all.push(out);
        all
    }

    fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        x.linear(weight, Some(bias))
    }

    #[test]
    fn it_is_as_near_to_the_truth_as_libtorchs_product() {
        tch::manual_seed(11);
        for (rows, inputs, outputs) in [
            (1, 32, 32),
            (31, 64, 96),
            (32, 96, 64),
            (33, 128, 32),
            (200, 384, 160),
            (1500, 64, 32),
            // Too many for tiles.
            (4097, 32, 32),
            (40, 1536, 64),
        ] {
            let leaves =
                [[rows, inputs].as_slice(), &[outputs, inputs], &[outputs]].map(|sizes| leaf(sizes, Kind::BFloat16));
            let exact = leaves
                .each_ref()
                .map(|x| x.detach().to_kind(Kind::Double).set_requires_grad(true));
            let (ours, theirs, truth) = (all(&leaves, linear), all(&leaves, plain), all(&exact, plain));
            for (number, ((ours, theirs), truth)) in ours.iter().zip(&theirs).zip(&truth).enumerate() {
                let off = |x: &Tensor| (x.to_kind(Kind::Double) - truth).norm().double_value(&[]);
                let what = format!("{rows} x {inputs} x {outputs}, {number}");
                assert_eq!((ours.size(), ours.kind()), (theirs.size(), theirs.kind()), "{what}");
                // Of few numbers those of one way may be a little farther off by chance.
                let allowed = 1.1 * off(theirs) + 1e-6 * truth.norm().double_value(&[]);
                assert!(off(ours) <= allowed, "{what}: {} beside {}", off(ours), off(theirs));
            }
        }
    }

    #[test]
    fn rows_may_lie_apart_and_what_comes_out_may_be_changed_in_place() {
        tch::manual_seed(12);
        let leaves = [
            leaf(&[5, 7, 96], Kind::BFloat16),
            leaf(&[64, 96], Kind::BFloat16),
            leaf(&[64], Kind::BFloat16),
        ];
        let views: [fn(&Tensor) -> Tensor; 3] = [
            |x| x.narrow(1, 0, 1),
            |x| x.transpose(0, 1),
            |x| Tensor::cat(&[x, x], -1).narrow(-1, 96, 96),
        ];
        for view in views {
            let apart = |x: &Tensor, weight: &Tensor, bias: &Tensor| linear(&view(x), weight, bias).g_add_scalar_(1.0);
            let near = |x: &Tensor, weight: &Tensor, bias: &Tensor| linear(&view(x).contiguous(), weight, bias) + 1.0;
            let [one, other] = [all(&leaves, apart), all(&leaves, near)];
            assert!(one.iter().zip(&other).all(|(one, other)| one.equal(other)));
        }
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        tch::manual_seed(13);
        let leaves = [
            leaf(&[1100, 384], Kind::BFloat16),
            leaf(&[160, 384], Kind::BFloat16),
            leaf(&[160], Kind::BFloat16),
        ];
        let before = tch::get_num_threads();
        let [one, two, many] = [1, 2, 7].map(|threads| {
            tch::set_num_threads(threads);
            all(&leaves, linear)
        });
        tch::set_num_threads(before);
        for other in [two, many] {
            assert!(one.iter().zip(&other).all(|(one, other)| one.equal(other)));
        }
    }

    #[test]
    #[should_panic(expected = "64")]
    fn sizes_that_do_not_fit_are_refused() {
        let [x, weight, bias] = [&[3, 32][..], &[32, 64], &[32]].map(|sizes| leaf(sizes, Kind::BFloat16));
        let _refused = linear(&x, &weight, &bias);
    }

    #[test]
    fn frozen_parameters_get_no_gradient() {
        let [x, weight, bias] = [
            leaf(&[3, 32], Kind::BFloat16),
            leaf(&[32, 32], Kind::BFloat16),
            leaf(&[32], Kind::BFloat16),
        ];
        let [weight, bias] = [weight, bias].map(|frozen| frozen.detach());
        linear(&x, &weight, &bias).sum(Kind::Float).backward();
        assert!(x.grad().defined() && !weight.grad().defined() && !bias.grad().defined());
        let out = linear(&x.detach(), &weight, &bias);
        assert!(!out.requires_grad());
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let x = Tensor::ones([40, 32], (Kind::BFloat16, Device::Cpu));
        let _ = x.narrow(0, 35, 1).narrow(1, 3, 1).fill_(f64::NAN);
        let (weight, bias) = (x.narrow(0, 0, 32).copy(), x.narrow(0, 0, 1).reshape([32]).copy());
        let rows = linear(&x, &weight, &bias).isnan().all_dim(1, false);
        assert_eq!(
            Vec::<bool>::try_from(&rows).unwrap(),
            (0..40).map(|row| row == 35).collect::<Vec<_>>()
        );
        assert_eq!(linear(&x, &weight, &bias).isnan().sum(Kind::Int64).int64_value(&[]), 32);
    }
}
