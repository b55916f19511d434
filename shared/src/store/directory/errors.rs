//! From an errno to what the caller can do about it.

use crate::store::{Conflict, Key, StoreError};
use rustix::io::Errno;
use std::io;

/// The error of an access to `key`.
pub(super) fn failed(key: &Key, error: impl Into<io::Error>) -> StoreError {
    let error = error.into();
    let key = key.clone();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => StoreError::NoSpace { key },
        // LOOP: a symbolic link, which the store neither makes nor follows.
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP) => StoreError::Denied { key },
        _ => StoreError::Unavailable {
            key,
            source: error.into(),
        },
    }
}

/// A conditional write to `key` that did not win.
pub(super) fn conflict(key: &Key, conflict: Conflict) -> StoreError {
    StoreError::Conflict {
        key: key.clone(),
        conflict,
    }
}
