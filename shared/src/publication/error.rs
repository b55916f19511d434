//! What a publication can fail with.

use crate::job::JobId;
use crate::ledger::{LedgerError, Status};
use crate::store::{InvalidKey, Key, StoreError};

/// What a publication can fail with.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// Nothing is decided, or it was decided otherwise meanwhile: act on the state as it is.
    #[error("failed to publish job {id}: it is {status}")]
    NotPublishing {
        /// The job.
        id: JobId,
        /// Its state.
        status: Status,
    },
    /// A staged file that the decision names is in the store no more: a person must look.
    #[error("failed to publish job {id}: the staged {path} is lost")]
    Lost {
        /// The job.
        id: JobId,
        /// Below the version's folder.
        path: String,
    },
    /// A file's path that a version cannot have.
    #[error("failed to stage {path:?}: {reason}")]
    Path {
        /// Below the version's folder.
        path: String,
        /// Which rule.
        reason: &'static str,
    },
    /// A number record that is none.
    #[error("failed to read {key}: {reason}")]
    Record {
        /// Which object.
        key: Key,
        /// What is wrong.
        reason: String,
    },
    /// Manifest or card cannot be written as JSON.
    #[error("failed to encode {what}")]
    Encode {
        /// Manifest, card or record.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A name that makes no key.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
