//! Calls into `native/`: what tch does not bind.
#![expect(
    unsafe_code,
    reason = "functions of C++ are foreign; every block says why the call is sound"
)]

use crate::failure::{Failure, Result};
use std::ffi::{CStr, c_char, c_int};
use std::io::Write;
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn trainer_free(message: *mut c_char);
    fn trainer_end(code: c_int) -> !;
    fn trainer_profile_begin();
    fn trainer_profile_enter(name: *const c_char);
    fn trainer_profile_leave();
    fn trainer_profile_end() -> *mut c_char;
    fn trainer_load_cuda() -> *mut c_char;
    fn trainer_card(name: *mut c_char, size: c_int, major: *mut c_int, minor: *mut c_int) -> *mut c_char;
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
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn trainer_norm(tensors: *const *const C_tensor, count: usize, norm: *mut *mut C_tensor) -> *mut c_char;
    fn trainer_adamw(
        values: *const *const C_tensor,
        gradients: *const *const C_tensor,
        first: *const *const C_tensor,
        second: *const *const C_tensor,
        steps: *const *const C_tensor,
        count: usize,
        rate: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        epsilon: f64,
        scale: *const C_tensor,
        skip: *const C_tensor,
    ) -> *mut c_char;
}

/// Ends the process at once: what was written is flushed, and no destructor runs. Those of libtorch take a fifth of a second
/// to tidy up memory that the system takes back anyway.
pub fn end(code: u8) -> ! {
    // Nobody may read any more, which is no reason to end in another way.
    let _closed = std::io::stdout().flush();
    // SAFETY: it takes a number and does not come back; files are flushed where they are written, and stdout above.
    unsafe { trainer_end(c_int::from(code)) }
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) name: String,
    /// Compute capability.
    pub(crate) capability: (i32, i32),
}

/// Makes libtorch able to use GPUs; what is missing otherwise.
pub(crate) fn load_cuda() -> std::result::Result<(), String> {
    // SAFETY: it takes nothing; it is called before other threads begin, as it may set a variable of the environment.
    said(unsafe { trainer_load_cuda() })
}

/// The first GPU that this process may see.
pub(crate) fn card() -> std::result::Result<Card, String> {
    let mut name = [0_u8; 128];
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the name's buffer is as long as is said, and the others are of the types that the function writes.
    said(unsafe {
        trainer_card(
            name.as_mut_ptr().cast(),
            name.len() as c_int,
            &raw mut major,
            &raw mut minor,
        )
    })?;
    let name = CStr::from_bytes_until_nul(&name).map_or_else(|_| "GPU".into(), CStr::to_string_lossy);
    Ok(Card {
        name: name.into_owned(),
        capability: (major, minor),
    })
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
/// `x` is kept, and not what GELU made of it.
pub(crate) fn gelu_linear(x: &Tensor, approximate: &CStr, weight: &Tensor, bias: &Tensor) -> Tensor {
    let mut out = std::ptr::null_mut();
    // SAFETY: as in `dropout`; the text ends with a zero.
    unsafe {
        let message = trainer_gelu_linear(
            x.as_ptr(),
            approximate.as_ptr(),
            weight.as_ptr(),
            bias.as_ptr(),
            &raw mut out,
        );
        owned(message, out)
    }
}

/// The tensor that a function of C++ gave. It panics as tch's functions do where shapes do not fit.
///
/// # Safety
///
/// `message` and `tensor` are what the function gave, and neither is owned by anybody else.
unsafe fn owned(message: *mut c_char, tensor: *mut C_tensor) -> Tensor {
    if let Err(text) = said(message) {
        panic!("{text}");
    }
    // SAFETY: no message came, so that this is a tensor; it is this caller's, as asked for above.
    unsafe { Tensor::from_ptr(tensor) }
}

/// The 2-norm over all values of `tensors`, an fp32 scalar on their device.
pub(crate) fn norm(tensors: &[Tensor]) -> Result<Tensor> {
    let pointers = pointers(tensors);
    let mut norm = std::ptr::null_mut();
    // SAFETY: `pointers` are of tensors that live as long as the call; where no message comes, `norm` is a new tensor,
    // which nobody else owns.
    unsafe {
        said(trainer_norm(pointers.as_ptr(), pointers.len(), &raw mut norm))
            .map_err(|text| Failure::from_text(&text))?;
        Ok(Tensor::from_ptr(norm))
    }
}

/// The numbers of one step of AdamW.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) betas: (f64, f64),
    pub(crate) decay: f64,
    pub(crate) epsilon: f64,
}

/// Tensors of one kind, one a parameter.
pub(crate) struct Group {
    pub(crate) values: Vec<Tensor>,
    pub(crate) gradients: Vec<Tensor>,
    pub(crate) first: Vec<Tensor>,
    pub(crate) second: Vec<Tensor>,
}

/// One step of AdamW over `group`, number `step` (an fp32 scalar); `scale` divides the gradients; where `skip` is 1,
/// nothing is done.
pub(crate) fn adamw(group: &Group, step: &Tensor, numbers: Step, scale: &Tensor, skip: &Tensor) -> Result<()> {
    let count = group.values.len();
    let all = [&group.gradients, &group.first, &group.second];
    assert!(all.iter().all(|tensors| tensors.len() == count), "not one a parameter");
    let steps = vec![step.as_ptr(); count];
    // SAFETY: every pointer is of a tensor that lives as long as the call, and every list has `count` of them.
    let message = unsafe {
        trainer_adamw(
            pointers(&group.values).as_ptr(),
            pointers(&group.gradients).as_ptr(),
            pointers(&group.first).as_ptr(),
            pointers(&group.second).as_ptr(),
            steps.as_ptr(),
            count,
            numbers.rate,
            numbers.betas.0,
            numbers.betas.1,
            numbers.decay,
            numbers.epsilon,
            scale.as_ptr(),
            skip.as_ptr(),
        )
    };
    said(message).map_err(|text| Failure::from_text(&text))
}

/// Every operation of libtorch is recorded from now on.
pub(crate) fn profile_begin() {
    // SAFETY: it takes nothing.
    unsafe { trainer_profile_begin() }
}

/// A part of a step begins, if anything is recorded.
pub(crate) fn profile_enter(name: &'static CStr) {
    // SAFETY: the name is copied.
    unsafe { trainer_profile_enter(name.as_ptr()) }
}

/// The part that began last ends.
pub(crate) fn profile_leave() {
    // SAFETY: it takes nothing, and leaves nothing where nothing has begun.
    unsafe { trainer_profile_leave() }
}

/// Ends the recording. Lines of callers (`a;b;c`), calls, nanoseconds and floating-point operations, with tabs between.
pub(crate) fn profile_end() -> String {
    // SAFETY: it gives a text that is this caller's to free, which `said` does.
    said(unsafe { trainer_profile_end() }).err().unwrap_or_default()
}

fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// The message that a function gives, freed; none is success.
fn said(message: *mut c_char) -> std::result::Result<(), String> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message is a C string from `strdup`, which is this caller's to free.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        trainer_free(message);
        Err(text)
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
                let one = || gelu_linear(&x, form, &weight, &bias);
                let other = || x.gelu(form.to_str().expect("a name")).linear(&weight, Some(&bias));
                assert_same(&format!("{kind:?} {form:?}"), &[&x, &weight, &bias], one, other);
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
