//! GPUs, and the operations that are fast there.

use super::{pointers, said};
use crate::failure::{Failure, Result};
use std::ffi::{CStr, c_char, c_int};
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn trainer_load_cuda() -> *mut c_char;
    fn trainer_card(name: *mut c_char, size: c_int, major: *mut c_int, minor: *mut c_int) -> *mut c_char;
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
