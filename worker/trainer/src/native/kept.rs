//! Operations that keep less for the way back than libtorch's do, at the same bits but for the layer behind GELU of bf16.

use super::{linear, owned};
use std::ffi::{CStr, c_char};
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn trainer_dropout(x: *const C_tensor, mask: *const C_tensor, scale: f64, out: *mut *mut C_tensor) -> *mut c_char;
    fn trainer_mix(
        weights: *const C_tensor,
        mask: *const C_tensor,
        scale: f64,
        value: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn trainer_gelu_linear(
        x: *const C_tensor,
        approximate: *const c_char,
        weight: *const C_tensor,
        bias: *const C_tensor,
        in_tiles: bool,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// What dropout keeps: a byte a value, 1 where it stays, and what the rest is multiplied by.
#[derive(Debug)]
pub(crate) struct Mask {
    pub(crate) kept: Tensor,
    pub(crate) scale: f64,
}

/// `x`, fp32 or bf16 on the CPU, times the mask. For the way back the bytes are kept, and nothing of `x`.
pub(crate) fn dropout(x: &Tensor, mask: &Mask) -> Tensor {
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers are of tensors that live as long as the call; where no message comes, `out` is a new tensor,
    // which nobody else owns.
    unsafe {
        let message = trainer_dropout(x.as_ptr(), mask.kept.as_ptr(), mask.scale, &raw mut out);
        owned(message, out)
    }
}

/// `weights` `[rows, heads, queries, keys]`, fp32, times the mask, as numbers of `value`'s kind, times `value`
/// `[rows, heads, keys, size]`. For the way back the weights are kept as they came, and not what the mask left of them.
pub(crate) fn mix(weights: &Tensor, mask: Option<&Mask>, value: &Tensor) -> Tensor {
    let mut out = std::ptr::null_mut();
    let kept = mask.map_or(std::ptr::null(), |mask| mask.kept.as_ptr());
    let scale = mask.map_or(1.0, |mask| mask.scale);
    // SAFETY: as in `dropout`; the mask may be null.
    unsafe {
        let message = trainer_mix(weights.as_ptr(), kept, scale, value.as_ptr(), &raw mut out);
        owned(message, out)
    }
}

/// The linear layer of `weight` and `bias` on what GELU (`approximate` is `none` or `tanh`) makes of `x`. For the way back
/// `x` is kept, and not what GELU made of it. The products are those of [`linear::linear`].
/// GELU of bf16 with the error function is our own, of fewer digits.
pub(crate) fn gelu_linear(x: &Tensor, approximate: &CStr, weight: &Tensor, bias: &Tensor) -> Tensor {
    let mut out = std::ptr::null_mut();
    // SAFETY: as in `dropout`; the text ends with a zero.
    unsafe {
        let message = trainer_gelu_linear(
            x.as_ptr(),
            approximate.as_ptr(),
            weight.as_ptr(),
            bias.as_ptr(),
            linear::is_in_tiles(x, weight),
            &raw mut out,
        );
        owned(message, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const KINDS: [Kind; 2] = [Kind::Float, Kind::BFloat16];

    /// Numbers that a gradient is wanted of. A sum over them has an order that can be seen in the bits.
    fn leaf(sizes: &[i64], kind: Kind) -> Tensor {
        Tensor::randn(sizes, (Kind::Float, Device::Cpu))
            .to_kind(kind)
            .set_requires_grad(true)
    }

    fn mask(sizes: &[i64], kind: Kind) -> (Mask, Tensor) {
        let kept = Tensor::rand(sizes, (Kind::Float, Device::Cpu))
            .gt(0.3)
            .to_kind(Kind::Uint8);
        let scale = if kind == Kind::BFloat16 {
            1.4296875
        } else {
            f64::from(1.0_f32 / 0.7)
        };
        let table = kept.to_kind(Kind::Float) * scale;
        (Mask { kept, scale }, table.to_kind(kind))
    }

    /// Both give the same bits, and so does the way back to each of `leaves`.
    fn assert_same(what: &str, leaves: &[&Tensor], one: impl Fn() -> Tensor, other: impl Fn() -> Tensor) {
        let both = [one(), other()].map(|out| {
            // Another number for each value: a gradient of ones hides which is whose.
            let weights = Tensor::arange(out.numel() as i64, (Kind::Float, Device::Cpu))
                .cos()
                .view_as(&out);
            let loss = (out.to_kind(Kind::Float) * weights).sum(Kind::Float);
            let mut all = Tensor::run_backward(&[loss], leaves, false, false);
            all.push(out);
            all
        });
        for (number, (one, other)) in both[0].iter().zip(&both[1]).enumerate() {
            assert_eq!(
                (one.size(), one.kind()),
                (other.size(), other.kind()),
                "{what}: {number}"
            );
            assert!(one.equal(other), "{what}: {number}");
        }
    }

    #[test]
    fn dropout_by_bytes_gives_the_bits_of_a_product_with_a_mask() {
        tch::manual_seed(5);
        for kind in KINDS {
            let x = leaf(&[3, 50, 70], kind);
            let (mask, table) = mask(&[3, 50, 70], kind);
            let plain = || &x * &table;
            assert_same(&format!("{kind:?}"), &[&x], || dropout(&x, &mask), plain);
            let kept = mask.kept.transpose(1, 2).contiguous();
            let turned = Mask {
                kept,
                scale: mask.scale,
            };
            let (one, other) = (
                || dropout(&x.transpose(1, 2), &turned).transpose(1, 2).contiguous(),
                plain,
            );
            assert_same(&format!("{kind:?} turned"), &[&x], one, other);
        }
    }

    #[test]
    fn mixing_gives_the_bits_of_dropout_and_a_product() {
        tch::manual_seed(6);
        let sizes = [2, 3, 20, 30];
        let (mask, table) = mask(&sizes, Kind::Float);
        for kind in KINDS {
            let scores = leaf(&sizes, Kind::Float);
            let rows = leaf(&[2, 30, 3, 8], kind);
            let value = || rows.transpose(1, 2);
            for (what, mask, table) in [
                ("dropped", Some(&mask), table.shallow_clone()),
                ("whole", None, table.ones_like()),
            ] {
                let one = || mix(&scores.softmax(-1, Kind::Float), mask, &value());
                let other = || {
                    (scores.softmax(-1, Kind::Float) * &table)
                        .to_kind(kind)
                        .matmul(&value())
                };
                assert_same(&format!("{kind:?} {what}"), &[&scores, &rows], one, other);
            }
        }
    }

    #[test]
    fn a_layer_behind_gelu_gives_the_bits_of_both() {
        tch::manual_seed(7);
        for kind in KINDS {
            let (x, weight, bias) = (leaf(&[2, 9, 40], kind), leaf(&[24, 40], kind), leaf(&[24], kind));
            for form in [c"none", c"tanh"] {
                if (kind, form) == (Kind::BFloat16, c"none") {
                    continue; // Not libtorch's bits: see below.
                }
                let one = || gelu_linear(&x, form, &weight, &bias);
                let other = || x.gelu(form.to_str().expect("a name")).linear(&weight, Some(&bias));
                assert_same(&format!("{kind:?} {form:?}"), &[&x, &weight, &bias], one, other);
            }
        }
    }

    #[test]
    fn a_layer_behind_gelu_of_bf16_is_as_near_as_libtorchs() {
        tch::manual_seed(8);
        // The last are for tiles, where the CPU has some.
        for (form, rows, inputs, outputs) in [
            (c"none", 9, 40, 24),
            (c"none", 9, 64, 32),
            (c"none", 20, 96, 64),
            (c"tanh", 20, 64, 96),
        ] {
            let sizes: [&[i64]; 3] = [&[2, rows, inputs], &[outputs, inputs], &[outputs]];
            let leaves = sizes.map(|sizes| leaf(sizes, Kind::BFloat16));
            let exact = leaves
                .each_ref()
                .map(|x| x.detach().to_kind(Kind::Double).set_requires_grad(true));
            let all = |[x, weight, bias]: &[Tensor; 3], out: Tensor| {
                let weights = Tensor::arange(out.numel() as i64, (Kind::Double, Device::Cpu)).cos();
                let loss = (out.to_kind(Kind::Double) * weights.view_as(&out)).sum(Kind::Double);
                let mut all = Tensor::run_backward(&[loss], &[x, weight, bias], false, false);
                all.push(out);
                all
            };
            let name = form.to_str().expect("a name");
            let plain = |[x, weight, bias]: &[Tensor; 3]| x.gelu(name).linear(weight, Some(bias));
            let [x, weight, bias] = &leaves;
            let ours = all(&leaves, gelu_linear(x, form, weight, bias));
            let theirs = all(&leaves, plain(&leaves));
            let truth = all(&exact, plain(&exact));
            for ((ours, theirs), truth) in ours.iter().zip(&theirs).zip(&truth) {
                let off = |x: &Tensor| (x.to_kind(Kind::Double) - truth).norm().double_value(&[]);
                assert_eq!(ours.kind(), theirs.kind());
                let what = format!("{name}, {rows} x {inputs} x {outputs}");
                assert!(
                    off(ours) <= 1.02 * off(theirs),
                    "{what}: {} beside {}",
                    off(ours),
                    off(theirs)
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "neither fp32 nor bf16")]
    fn dropout_of_other_numbers_is_refused() {
        let x = Tensor::ones([2], (Kind::Double, Device::Cpu));
        let kept = Tensor::ones([2], (Kind::Uint8, Device::Cpu));
        let _refused = dropout(&x, &Mask { kept, scale: 1.0 });
    }
}
