//! What a network and a full disk do to a request.

use crate::store::{Conflict, Key, StoreError};
use std::collections::VecDeque;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `get`, `size`, `list`, `list_names`, `sha256`, `get_file`.
    Read,
    /// `put_new`, `put_file_new`.
    PutNew,
    /// `replace`.
    Replace,
    /// `copy_new`, by its target.
    CopyNew,
    /// `delete`.
    Delete,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is done, but the caller hears [`Conflict::Unknown`].
    LostReply,
    /// It is never done, and the caller hears [`Conflict::Unknown`].
    LostRequest,
    /// The caller hears [`Conflict::Unknown`]; it is done when the test says so
    /// ([`MemoryStore::deliver_late`](super::MemoryStore::deliver_late)), if its condition holds then.
    Late,
    /// [`Conflict::Retry`]; not done.
    Raced,
    /// [`StoreError::Unavailable`]; not done.
    Unavailable,
    /// [`StoreError::NoSpace`]; not done.
    NoSpace,
    /// [`StoreError::Denied`]; not done.
    Denied,
}

impl Fault {
    /// What the caller gets where the request is no conditional write.
    pub(super) fn error(self, key: &Key) -> StoreError {
        let key = key.clone();
        match self {
            Self::Raced => StoreError::Conflict {
                key,
                conflict: Conflict::Retry,
            },
            Self::NoSpace => StoreError::NoSpace { key },
            Self::Denied => StoreError::Denied { key },
            Self::Unavailable | Self::LostReply | Self::LostRequest | Self::Late => StoreError::Unavailable {
                key,
                source: anyhow::anyhow!("injected: {self:?}"),
            },
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<(Operation, String, Fault)>);

impl Faults {
    pub(super) fn push(&mut self, operation: Operation, key_part: &str, fault: Fault) {
        self.0.push_back((operation, key_part.to_owned(), fault));
    }

    pub(super) fn take(&mut self, operation: Operation, key: &Key) -> Option<Fault> {
        let fits =
            |(of, part, _): &(Operation, String, Fault)| *of == operation && key.as_str().contains(part.as_str());
        let at = self.0.iter().position(fits)?;
        self.0.remove(at).map(|(_, _, fault)| fault)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
