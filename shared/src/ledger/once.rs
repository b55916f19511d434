//! Objects that are written once: whoever repeats the write writes the same bytes or is told that it does not.

use super::error::LedgerError;
use super::patience;
use crate::store::{Conflict, Key, Store, StoreError};
use bytes::Bytes;
use std::path::Path;

/// Whether the object is ours or was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Once {
    Written,
    Existed,
}

/// Writes the object, or finds the same bytes.
pub(crate) async fn put(store: &dyn Store, key: &Key, bytes: &Bytes) -> Result<Once, LedgerError> {
    let mut pauses = patience::pauses();
    loop {
        let error = match store.put_new(key, bytes.clone()).await {
            Ok(_) => return Ok(Once::Written),
            Err(error) => open(error)?,
        };
        match store.get(key).await? {
            Some(there) if there.bytes == *bytes => return Ok(Once::Existed),
            Some(_) => return Err(LedgerError::Different { key: key.clone() }),
            None => pause(&mut pauses, error).await?,
        }
    }
}

/// Bytes of a file beyond which it is asked for before it is sent: below, sending it costs no more than the question.
const ASKED_FOR: u64 = 64 << 10;

/// Writes the object from a file, or finds the same bytes. What is there is not sent again, unless it is small.
pub(crate) async fn put_file(store: &dyn Store, key: &Key, file: &Path, sha256: &str) -> Result<Once, LedgerError> {
    let mut pauses = patience::pauses();
    // A file that cannot be looked at is an error of the write, which names it.
    let large = std::fs::metadata(file).map_or(true, |file| file.len() > ASKED_FOR);
    if large && store.size(key).await?.is_some() && same(store, key, sha256).await? {
        return Ok(Once::Existed);
    }
    loop {
        let error = match store.put_file_new(key, file, sha256).await {
            Ok(()) => return Ok(Once::Written),
            Err(error) => open(error)?,
        };
        if same(store, key, sha256).await? {
            return Ok(Once::Existed);
        }
        pause(&mut pauses, error).await?;
    }
}

/// Copies the object, or finds the same bytes; either way they are verified at their place. [`Conflict::Gone`]: the
/// source is not there, and neither is the copy.
pub(crate) async fn copy(store: &dyn Store, from: &Key, to: &Key, sha256: &str) -> Result<Once, LedgerError> {
    let mut pauses = patience::pauses();
    loop {
        let (once, error) = match store.copy_new(from, to).await {
            Ok(()) => (Once::Written, None),
            Err(error) if error.conflict() == Some(Conflict::Gone) => (Once::Existed, Some(error)),
            Err(error) => (Once::Existed, Some(open(error)?)),
        };
        if same(store, to, sha256).await? {
            return Ok(once);
        }
        match error {
            Some(error) if error.conflict() != Some(Conflict::Gone) => pause(&mut pauses, error).await?,
            Some(error) => return Err(error.into()),
            // The copy was answered and is gone: somebody deletes under our hands.
            None => return Err(LedgerError::Gone { key: to.clone() }),
        }
    }
}

async fn same(store: &dyn Store, key: &Key, sha256: &str) -> Result<bool, LedgerError> {
    match store.sha256(key).await? {
        Some(found) if found == sha256 => Ok(true),
        Some(_) => Err(LedgerError::Different { key: key.clone() }),
        None => Ok(false),
    }
}

/// Passes on what leaves the outcome open or says that the object exists; everything else is an error.
fn open(error: StoreError) -> Result<StoreError, LedgerError> {
    match &error {
        StoreError::Conflict {
            conflict: Conflict::Changed | Conflict::Retry | Conflict::Unknown,
            ..
        }
        | StoreError::Unavailable { .. } => Ok(error),
        _ => Err(error.into()),
    }
}

async fn pause(
    pauses: &mut (impl Iterator<Item = std::time::Duration> + Send),
    error: StoreError,
) -> Result<(), LedgerError> {
    match pauses.next() {
        Some(pause) => {
            tokio::time::sleep(pause).await;
            Ok(())
        }
        None => Err(error.into()),
    }
}
