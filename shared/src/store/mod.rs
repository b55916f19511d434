//! Objects with compare-and-swap: the model store, the ledger's ground.

mod connect;
pub mod directory;
mod key;
pub mod memory;
pub mod s3;

pub use connect::connect;
pub use key::{InvalidKey, Key};

use async_trait::async_trait;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Names one content of one key, as the backend sees it. Opaque; equal only if nothing was written in between, or, in
/// S3, the same bytes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(pub String);

/// A whole object.
#[derive(Debug, Clone)]
pub struct Object {
    /// The content.
    pub bytes: Bytes,
    /// For [`Store::replace`].
    pub etag: Etag,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its whole key.
    pub key: Key,
    /// Bytes.
    pub size: u64,
    /// Seconds since it was written, by the store's own clock and nothing else's; for thrift only, never for safety.
    pub age_seconds: u64,
}

/// Why a conditional write did not win. What to do with each: the job protocol, section 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Conflict {
    /// 412: the object exists (`put_new`, `copy_new`) or has another etag (`replace`).
    #[error("the object is there already or was changed")]
    Changed,
    /// 409: writers raced and nobody has won yet.
    #[error("writers raced, nobody has won yet")]
    Retry,
    /// 404: the object (or the source of a copy) is not there.
    #[error("the object is gone")]
    Gone,
    /// No answer: the write may have happened, may still happen, or never will.
    #[error("the store gave no answer, the write may have happened")]
    Unknown,
}

/// What a store can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A conditional write did not win.
    #[error("failed to write {key}: {conflict}")]
    Conflict {
        /// Where.
        key: Key,
        /// Why.
        conflict: Conflict,
    },
    /// No space is left.
    #[error("failed to write {key}: no space left")]
    NoSpace {
        /// Where.
        key: Key,
    },
    /// The bytes are not those that were promised.
    #[error("failed to verify {key}: expected SHA-256 {expected}, found {found}")]
    Digest {
        /// Where.
        key: Key,
        /// Promised, hexadecimal.
        expected: String,
        /// Found, hexadecimal.
        found: String,
    },
    /// Not allowed.
    #[error("failed to access {key}: permission denied")]
    Denied {
        /// Where.
        key: Key,
    },
    /// The backend is away or broken; a later attempt may succeed.
    #[error("failed to reach the store for {key}")]
    Unavailable {
        /// Where.
        key: Key,
        /// What happened.
        #[source]
        source: anyhow::Error,
    },
}

impl StoreError {
    /// The conflict, if it is one.
    #[must_use]
    pub fn conflict(&self) -> Option<Conflict> {
        match self {
            Self::Conflict { conflict, .. } => Some(*conflict),
            _ => None,
        }
    }
}

/// The number that a name stands for, if it does.
pub type Rank = Arc<dyn Fn(&str) -> Option<u64> + Send + Sync>;

/// Objects with conditional writes.
///
/// * **Atomic:** a reader sees a whole object or none; a won write survives the loss of power.
/// * **Strongly consistent:** `get` and `list` show every write that was answered before they began.
/// * **Cancel safe:** a dropped future leaves nothing that a reader can see half; like [`Conflict::Unknown`], the
///   write may have happened.
/// * **Retries:** conditional writes are never repeated by a backend, only by the caller, who alone knows what a lost
///   answer means. Reads may be repeated by the backend.
/// * A key is either written once (`put_new`, `copy_new`, `put_file_new`) or starts with `put_new` and changes by
///   `replace`; it must not be a prefix folder of another key.
/// * Backends differ in: the cost of `copy_new` (a hard link in a directory, a server-side copy in S3), whether
///   `Conflict::Retry` occurs (never in a directory), and when `Conflict::Unknown` does (in a directory only to a writer
///   that was stopped in the middle of its write while others went on).
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The object, or `None`.
    async fn get(&self, key: &Key) -> Result<Option<Object>, StoreError>;
    /// Size of an object in bytes, or `None`.
    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError>;
    /// Creates the object (`If-None-Match: *`).
    async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<Etag, StoreError>;
    /// Replaces exactly the content that `etag` names (`If-Match`).
    async fn replace(&self, key: &Key, etag: &Etag, bytes: Bytes) -> Result<Etag, StoreError>;
    /// Creates `to` with the bytes of `from`. [`Conflict::Gone`]: no `from`; [`Conflict::Changed`]: `to` exists.
    async fn copy_new(&self, from: &Key, to: &Key) -> Result<(), StoreError>;
    /// Every object whose key begins with `prefix` + `/`, in order of keys.
    async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError>;
    /// Names of the next level below `prefix` (objects and folders alike, without `/`), in order.
    async fn list_names(&self, prefix: &Key) -> Result<Vec<String>, StoreError>;
    /// The highest number that `rank` gives to any of the names that [`Store::list_names`] gives; names without one do not
    /// count. Cheaper than a list where a backend has to look into every folder for one.
    async fn highest(&self, prefix: &Key, rank: Rank) -> Result<Option<u64>, StoreError> {
        let names = self.list_names(prefix).await?;
        Ok(names.iter().filter_map(|name| rank(name)).max())
    }
    /// Deletes the object; that it is not there is fine.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;
    /// Creates the object from a file, whose SHA-256 is checked as it is read.
    async fn put_file_new(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError>;
    /// Writes the object to a new file (temporary name, then rename) and checks its SHA-256. [`Conflict::Gone`]: no object.
    async fn get_file(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError>;
    /// SHA-256 of an object's bytes in hexadecimal, or `None`; reads it where the backend keeps no digest.
    async fn sha256(&self, key: &Key) -> Result<Option<String>, StoreError>;
    /// Removes what is left of uploads to keys below `prefix` that began longer ago than `older_than` and were never
    /// completed. How many; a backend in which none can be left does nothing.
    async fn sweep_uploads(&self, _prefix: &Key, _older_than: Duration) -> Result<u64, StoreError> {
        Ok(0)
    }
    /// Where an object lies, for people: a path or `s3://…`.
    fn location(&self, key: &Key) -> String;
}
