//! Calls into `native/` beside `src/`: what tch does not bind.
#![expect(
    unsafe_code,
    reason = "functions of C++ are foreign; every block says why the call is sound"
)]

pub(crate) mod allocator;
pub(crate) mod attention;
pub(crate) mod gpu;
pub(crate) mod kept;
pub(crate) mod linear;
mod loops;
pub(crate) mod profile;
pub(crate) mod threads;
mod tiles;

use std::ffi::{CStr, c_char, c_int};
use std::io::Write;
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn trainer_free(message: *mut c_char);
    fn trainer_end(code: c_int) -> !;
    fn trainer_may_use_amx() -> bool;
}

/// Has the CPU AMX, and does the system let this process use it? A sandbox may not, though `/proc/cpuinfo` shows it.
pub(crate) fn may_use_amx() -> bool {
    // SAFETY: it takes nothing, and asks the kernel.
    unsafe { trainer_may_use_amx() }
}

/// Ends the process at once: what was written is flushed, and no destructor runs. Those of libtorch take a fifth of a second
/// to tidy up memory that the system takes back anyway.
pub fn end(code: u8) -> ! {
    // Nobody may read any more, which is no reason to end in another way.
    let _closed = std::io::stdout().flush();
    // SAFETY: it takes a number and does not come back; files are flushed where they are written, and stdout above.
    unsafe { trainer_end(c_int::from(code)) }
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
