//! What libtorch did, and for how long.

use super::said;
use std::ffi::{CStr, c_char};

unsafe extern "C" {
    fn trainer_profile_begin();
    fn trainer_profile_enter(name: *const c_char);
    fn trainer_profile_leave();
    fn trainer_profile_end() -> *mut c_char;
}

/// Every operation of libtorch is recorded from now on.
pub(crate) fn begin() {
    // SAFETY: it takes nothing.
    unsafe { trainer_profile_begin() }
}

/// A part of a step begins, if anything is recorded.
pub(crate) fn enter(name: &'static CStr) {
    // SAFETY: the name is copied.
    unsafe { trainer_profile_enter(name.as_ptr()) }
}

/// The part that began last ends.
pub(crate) fn leave() {
    // SAFETY: it takes nothing, and leaves nothing where nothing has begun.
    unsafe { trainer_profile_leave() }
}

/// Ends the recording. Lines of callers (`a;b;c`), calls, nanoseconds and floating-point operations, with tabs between.
pub(crate) fn end() -> String {
    // SAFETY: it gives a text that is this caller's to free, which `said` does.
    said(unsafe { trainer_profile_end() }).err().unwrap_or_default()
}
