//! Attention of bf16 numbers on a CPU.

mod rows;

use super::kept::Mask;
use super::{owned, tiles};
use std::ffi::c_char;
use tch::Tensor;
use torch_sys::C_tensor;

pub(crate) use rows::LANES;

unsafe extern "C" {
    fn trainer_attend(
        query: *const C_tensor,
        key: *const C_tensor,
        value: *const C_tensor,
        heads: i64,
        bias: *const C_tensor,
        mask: *const C_tensor,
        scale: f64,
        in_tiles: bool,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// Is attention with heads of `size` numbers computed in the tiles of AMX? It keeps no table then.
pub(crate) fn is_in_tiles(size: i64) -> bool {
    tiles::fit(&[size])
}

/// Attention of `query`, `key` and `value`, each `[rows, tokens, hidden]`, bf16, in `heads` parts of the hidden size. `bias`,
/// contiguous fp32 `[rows, keys]`, is added to the scores; `keys` is a multiple of [`LANES`], no fewer than there are tokens,
/// and behind those the bias is the smallest number. `mask`, contiguous `[rows, heads, queries, keys]`, is on the weights.
/// What softmax computes with is fp32. For the way back the weights are kept once, as softmax gave them, or computed again
/// ([`is_in_tiles`]).
pub(crate) fn attend([query, key, value]: [&Tensor; 3], heads: i64, bias: &Tensor, mask: Option<&Mask>) -> Tensor {
    let [rows, queries, hidden] = [query.size()[0], query.size()[1], query.size()[2]];
    let keys = bias.size()[1];
    assert!(
        keys > 0 && keys % LANES as i64 == 0 && keys >= key.size()[1] && hidden % heads == 0,
        "tables of {keys} keys, {hidden} values in {heads} parts"
    );
    assert!(
        bias.size()[0] == rows && bias.is_contiguous(),
        "bias of {:?}",
        bias.size()
    );
    if let Some(Mask { kept, .. }) = mask {
        let sizes = kept.size();
        assert!(
            sizes == [rows, heads, queries, keys] && kept.is_contiguous(),
            "mask of {sizes:?}"
        );
    }
    let mut out = std::ptr::null_mut();
    let kept = mask.map_or(std::ptr::null(), |mask| mask.kept.as_ptr());
    let scale = mask.map_or(1.0, |mask| mask.scale);
    // SAFETY: the pointers are of tensors that live as long as the call, the mask's may be null; where no message comes,
    // `out` is a new tensor, which nobody else owns.
    unsafe {
        let message = trainer_attend(
            query.as_ptr(),
            key.as_ptr(),
            value.as_ptr(),
            heads,
            bias.as_ptr(),
            kept,
            scale,
            is_in_tiles(hidden / heads),
            &raw mut out,
        );
        owned(message, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// By libtorch's operations, in the kind of what comes in.
    fn plain([query, key, value]: [&Tensor; 3], heads: i64, bias: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let (rows, tokens, hidden) = query.size3().unwrap();
        let split = |x: &Tensor| x.view([rows, -1, heads, hidden / heads]).transpose(1, 2);
        let [query, key, value] = [query, key, value].map(split);
        let keys = key.size()[2];
        let scores = query.matmul(&key.transpose(-2, -1)) / ((hidden / heads) as f64).sqrt();
        let bias = bias.narrow(1, 0, keys).view([rows, 1, 1, keys]);
        let kind = match value.kind() {
            Kind::Double => Kind::Double,
            _ => Kind::Float,
        };
        let weights = (scores + bias).softmax(-1, kind);
        let left = match mask {
            Some(mask) => weights * mask.narrow(3, 0, keys),
            None => weights,
        };
        let mixed = left.to_kind(value.kind()).matmul(&value);
        mixed.transpose(1, 2).reshape([rows, tokens, hidden])
    }

    /// The result and the gradients of what came in.
    fn all(leaves: &[Tensor; 3], out: Tensor) -> Vec<Tensor> {
        let weights = Tensor::arange(out.numel() as i64, (Kind::Double, Device::Cpu))
            .cos()
            .view_as(&out);
        let loss = (out.to_kind(Kind::Double) * weights).sum(Kind::Double);
        let mut all = Tensor::run_backward(&[loss], &leaves.each_ref(), false, false);
        all.push(out);
        all
    }

    #[test]
    fn it_is_as_near_to_the_truth_as_libtorchs_operations() {
        tch::manual_seed(9);
        for (queries, tokens, keys, size) in [
            (1, 1, 16, 8),
            (5, 5, 16, 8),
            (16, 16, 16, 8),
            (1, 30, 32, 8),
            (30, 30, 32, 8),
            (70, 70, 80, 8),
            // In tiles, where the CPU has some.
            (1, 1, 16, 32),
            (5, 5, 16, 32),
            (16, 16, 16, 64),
            (1, 30, 32, 32),
            (33, 33, 48, 32),
            (70, 70, 80, 64),
        ] {
            let (rows, heads) = (3, 4);
            let leaf = |tokens: i64| {
                // As parts of one product lie: rows that are not side by side.
                let joined = Tensor::randn([rows, tokens, 3 * heads * size], (Kind::Float, Device::Cpu));
                joined
                    .to_kind(Kind::BFloat16)
                    .narrow(2, heads * size, heads * size)
                    .detach()
                    .set_requires_grad(true)
            };
            let leaves = [leaf(queries), leaf(tokens), leaf(tokens)];
            let exact = leaves
                .each_ref()
                .map(|x| x.detach().to_kind(Kind::Double).set_requires_grad(true));
            let bias = Tensor::zeros([rows, keys], (Kind::Float, Device::Cpu));
            let _ = bias.narrow(1, tokens, keys - tokens).fill_(f64::from(f32::MIN));
            if tokens > 4 {
                let _ = bias.narrow(0, 1, 1).narrow(1, tokens - 3, 3).fill_(f64::from(f32::MIN));
            }
            let kept = Tensor::rand([rows, heads, queries, keys], (Kind::Float, Device::Cpu))
                .gt(0.3)
                .to_kind(Kind::Uint8);
            let mask = Mask { kept, scale: 1.25 };
            let table = mask.kept.to_kind(Kind::Float) * mask.scale;
            for (mask, table) in [(None, None), (Some(&mask), Some(&table))] {
                let ours = all(&leaves, attend(leaves.each_ref(), heads, &bias, mask));
                let theirs = all(&leaves, plain(leaves.each_ref(), heads, &bias, table));
                let truth = all(&exact, plain(exact.each_ref(), heads, &bias, table));
                for (number, ((ours, theirs), truth)) in ours.iter().zip(&theirs).zip(&truth).enumerate() {
                    let off = |x: &Tensor| (x.to_kind(Kind::Double) - truth).norm().double_value(&[]);
                    let what = format!("{queries} x {tokens} x {size}, {}, {number}", mask.is_some());
                    assert_eq!((ours.size(), ours.kind()), (theirs.size(), theirs.kind()), "{what}");
                    // Errors are draws of chance: of few numbers those of one way may be a little larger.
                    let allowed = 1.3 * off(theirs) + 1e-6 * truth.norm().double_value(&[]);
                    assert!(off(ours) <= allowed, "{what}: {} beside {}", off(ours), off(theirs));
                    assert!(
                        truth.norm().double_value(&[]) > 0.0 || number < 2,
                        "{what}: nothing to compare"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let ones = || Tensor::ones([2, 3, 8], (Kind::BFloat16, Device::Cpu));
        let query = ones();
        // Of the first text's second token and second head.
        let _ = query.narrow(0, 0, 1).narrow(1, 1, 1).narrow(2, 4, 1).fill_(f64::NAN);
        let bias = Tensor::full([2, 16], f64::from(f32::MIN), (Kind::Float, Device::Cpu));
        let _ = bias.narrow(1, 0, 3).fill_(0.0);
        let out = attend([&query, &ones(), &ones()], 2, &bias, None).to_kind(Kind::Float);
        let mut expected = vec![1.0_f32; 2 * 3 * 8];
        expected[12..16].fill(f32::NAN);
        let found = Vec::<f32>::try_from(out.reshape([-1])).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                found == expected || (found.is_nan() && expected.is_nan()),
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        tch::manual_seed(10);
        let leaves = [(); 3].map(|()| {
            let x = Tensor::randn([7, 21, 64], (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
            x.set_requires_grad(true)
        });
        let bias = Tensor::zeros([7, 32], (Kind::Float, Device::Cpu));
        let _ = bias.narrow(1, 21, 11).fill_(f64::from(f32::MIN));
        let before = tch::get_num_threads();
        let [one, other] = [1, 2].map(|threads| {
            tch::set_num_threads(threads);
            all(&leaves, attend(leaves.each_ref(), 8, &bias, None))
        });
        tch::set_num_threads(before);
        assert!(one.iter().zip(&other).all(|(one, other)| one.equal(other)));
    }
}
