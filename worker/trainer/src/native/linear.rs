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
    fn trainer_linear_has_threads() -> bool;
}

/// Rows up to which tiles were as fast as oneDNN or faster, two threads and a hidden size of 384; of 16,384 they took much
/// longer (docs/performance.md).
const MOST: i64 = 4096;

/// Is the linear layer of `weight` `[outputs, inputs]` on `x` `[…, inputs]` computed in the tiles of AMX?
pub(super) fn is_in_tiles(x: &Tensor, weight: &Tensor) -> bool {
    let is_narrow = |x: &Tensor| x.kind() == Kind::BFloat16 && x.device() == Device::Cpu;
    let rows: i64 = x.size().iter().rev().skip(1).product();
    let fits = is_narrow(x) && is_narrow(weight) && weight.is_contiguous() && (1..=MOST).contains(&rows);
    // SAFETY: it takes nothing and reads nothing.
    fits && tiles::fit(&weight.size()) && unsafe { trainer_linear_has_threads() }
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

    /// What goes in, a weight and a bias, of bf16.
    fn layer(rows: &[i64], inputs: i64, outputs: i64) -> [Tensor; 3] {
        let x = [rows, &[inputs]].concat();
        [x.as_slice(), &[outputs, inputs], &[outputs]].map(|sizes| leaf(sizes, Kind::BFloat16))
    }

    /// Are the bits of such layers our own? Elsewhere they are libtorch's, which promises less.
    fn are_ours(leaves: &[Tensor; 3]) -> bool {
        let are = is_in_tiles(&leaves[0], &leaves[1]);
        if !are {
            eprintln!("not tested: no AMX here, or a compiler without it");
        }
        are
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

    fn are_equal(one: &[Tensor], other: &[Tensor]) -> bool {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.equal(other))
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
            (40, 1536, 64),
            // More columns than come together.
            (70, 1056, 544),
            // Too many rows for tiles.
            (4097, 32, 32),
        ] {
            let leaves = layer(&[rows], inputs, outputs);
            let expected = rows <= MOST && tiles::fit(&[32]) && unsafe { trainer_linear_has_threads() };
            assert_eq!(is_in_tiles(&leaves[0], &leaves[1]), expected);
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
        let leaves = layer(&[5, 7], 96, 64);
        if !are_ours(&leaves) {
            return;
        }
        let views: [fn(&Tensor) -> Tensor; 3] = [
            |x| x.narrow(1, 0, 1),
            |x| x.transpose(0, 1),
            |x| Tensor::cat(&[x, x], -1).narrow(-1, 96, 96),
        ];
        for view in views {
            let apart = |x: &Tensor, weight: &Tensor, bias: &Tensor| linear(&view(x), weight, bias).g_add_scalar_(1.0);
            let near = |x: &Tensor, weight: &Tensor, bias: &Tensor| linear(&view(x).contiguous(), weight, bias) + 1.0;
            assert!(are_equal(&all(&leaves, apart), &all(&leaves, near)));
        }
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        tch::manual_seed(13);
        // Of the second, more columns than come together, whatever the threads.
        for (rows, inputs, outputs) in [(1100, 384, 160), (70, 1056, 544), (3, 64, 256)] {
            let leaves = layer(&[rows], inputs, outputs);
            if !are_ours(&leaves) {
                return;
            }
            let before = tch::get_num_threads();
            let [one, two, many] = [1, 2, 7].map(|threads| {
                tch::set_num_threads(threads);
                all(&leaves, linear)
            });
            tch::set_num_threads(before);
            assert!(
                are_equal(&one, &two) && are_equal(&one, &many),
                "{rows} x {inputs} x {outputs}"
            );
        }
    }

    #[test]
    fn each_gradient_is_the_same_whichever_are_wanted() {
        tch::manual_seed(14);
        let leaves = layer(&[40], 64, 32);
        let whole = all(&leaves, linear);
        for wanted in 1..8_usize {
            let is_wanted = |number: usize| wanted >> number & 1 == 1;
            let some: [Tensor; 3] =
                std::array::from_fn(|number| leaves[number].detach().set_requires_grad(is_wanted(number)));
            let out = linear(&some[0], &some[1], &some[2]);
            let weights = Tensor::arange(out.numel() as i64, (Kind::Double, Device::Cpu)).cos();
            (out.to_kind(Kind::Double) * weights.view_as(&out))
                .sum(Kind::Double)
                .backward();
            for (number, leaf) in some.iter().enumerate() {
                assert_eq!(leaf.grad().defined(), is_wanted(number), "{wanted}: {number}");
                assert!(
                    !is_wanted(number) || leaf.grad().equal(&whole[number]),
                    "{wanted}: {number}"
                );
            }
        }
        let none = leaves.map(|leaf| leaf.detach());
        assert!(!linear(&none[0], &none[1], &none[2]).requires_grad());
    }

    #[test]
    fn a_gradient_may_be_one_row_for_all() {
        tch::manual_seed(15);
        let leaves = layer(&[40], 64, 32);
        let of = |layer: fn(&Tensor, &Tensor, &Tensor) -> Tensor| {
            let out = layer(&leaves[0], &leaves[1], &leaves[2]);
            // The mean's gradient has no strides at all, that of a sum over rows none from row to row.
            let loss = out.sum_dim_intlist(0, false, Kind::BFloat16).select(0, 3) + out.mean(Kind::BFloat16);
            Tensor::run_backward(&[loss], &leaves.each_ref(), false, false)
        };
        for (ours, theirs) in of(linear).iter().zip(of(plain)) {
            assert!(ours.allclose(&theirs, 0.02, 0.02, false));
        }
    }

    #[test]
    #[should_panic(expected = "64")]
    fn sizes_that_do_not_fit_are_refused() {
        let [x, weight, bias] = [&[3, 32][..], &[32, 64], &[32]].map(|sizes| leaf(sizes, Kind::BFloat16));
        let _refused = linear(&x, &weight, &bias);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let x = Tensor::ones([40, 32], (Kind::BFloat16, Device::Cpu));
        let _ = x.narrow(0, 35, 1).narrow(1, 3, 1).fill_(f64::NAN);
        let (weight, bias) = (x.narrow(0, 0, 32).copy(), x.narrow(0, 0, 1).reshape([32]).copy());
        let found = linear(&x, &weight, &bias).isnan();
        let rows = Vec::<bool>::try_from(&found.all_dim(1, false)).unwrap();
        assert_eq!(rows, (0..40).map(|row| row == 35).collect::<Vec<_>>());
        assert_eq!(found.sum(Kind::Int64).int64_value(&[]), 32);
    }
}
