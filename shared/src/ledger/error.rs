//! What the ledger can fail with.

use super::reduce::Illegal;
use crate::job::JobId;
use crate::store::{InvalidKey, Key, StoreError};

/// What the ledger can fail with.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The protocol does not allow that from the state as it is.
    #[error("failed to change job {id}")]
    Illegal {
        /// Whose state.
        id: JobId,
        /// Which rule.
        #[source]
        source: Illegal,
    },
    /// Written by a newer build: the caller puts the message back for one that can read it.
    #[error("failed to read {key}: its schema {found} is newer than {known}, the newest this build knows")]
    Newer {
        /// Which object.
        key: Key,
        /// Its schema.
        found: u64,
        /// The newest this build reads.
        known: u32,
    },
    /// The object is not what it should be.
    #[error("failed to read {key}: {reason}")]
    Invalid {
        /// Which object.
        key: Key,
        /// What is wrong, naming the field.
        reason: String,
    },
    /// A state that was there is gone: somebody deleted it. Nothing can go on; a person must look.
    #[error("failed to change {key}: the state was deleted by somebody")]
    Gone {
        /// Which object.
        key: Key,
    },
    /// An object that is written once exists with other content.
    #[error("failed to write {key}: it exists with other content")]
    Different {
        /// Which object.
        key: Key,
    },
    /// Something to be written cannot be written as JSON.
    #[error("failed to encode {key}")]
    Encode {
        /// Which object.
        key: Key,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A local file could not be read or written.
    #[error("failed to access {path}")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A name that makes no key.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
