//! Checkpoints in the store: `<job>/checkpoints/<token>/<pipeline>/<step>/`. Only what the state lists exists.

use super::claim::{Claim, ClaimError};
use super::error::LedgerError;
use super::event::Event;
use super::snapshot::decode;
use super::state::{CheckpointRef, State};
use super::{Ledger, digest, keys, once};
use crate::job::JobId;
use crate::store::{Conflict, Key, StoreError};
use crate::telemetry::Chain;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SCHEMA: u32 = 1;
/// Files that are sent or fetched at once.
const AT_ONCE: usize = 4;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    schema: u32,
    files: Vec<File>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Below the checkpoint's folder, names joined by `/`.
    path: String,
    sha256: String,
    size: u64,
}

/// Uploads a trainer's checkpoint folder and lists it in the state, then deletes what the state no longer lists.
/// `false`: the state already lists one of this pipeline that is as new; nothing was written.
///
/// # Errors
/// [`ClaimError`]: nothing that the state lists is touched.
pub async fn save(claim: &Claim, pipeline: &str, step: u64, folder: &Path) -> Result<bool, ClaimError> {
    let before = claim.snapshot().await.state.checkpoints;
    if before
        .iter()
        .any(|known| known.pipeline == pipeline && known.step >= step)
    {
        return Ok(false);
    }
    let place = keys::checkpoint(claim.id(), claim.token(), pipeline, step).map_err(LedgerError::from)?;
    let manifest_sha256 = upload(claim.ledger(), &place, folder).await?;
    let reference = CheckpointRef {
        token: claim.token(),
        pipeline: pipeline.to_owned(),
        step,
        manifest_sha256,
    };
    let after = claim.write(Event::Checkpoint(reference)).await?.state.checkpoints;
    for dropped in before.iter().filter(|known| !after.contains(known)) {
        if let Err(error) = delete(claim.ledger(), claim.id(), dropped).await {
            tracing::warn!(job = %claim.id(), error = %Chain(&error), "an old checkpoint stays for the sweeper");
        }
    }
    Ok(true)
}

/// Fetches the newest whole checkpoint of a pipeline that the state lists into the folder `into`, and says its step;
/// a damaged one gives way to the one before. `None`: there is none, and `into` is not there.
///
/// # Errors
/// [`LedgerError::Store`] if the store is away, [`LedgerError::File`] if the folder cannot be written.
pub async fn restore(
    ledger: &Ledger,
    id: &JobId,
    state: &State,
    pipeline: &str,
    into: &Path,
) -> Result<Option<u64>, LedgerError> {
    for listed in state.checkpoints.iter().filter(|listed| listed.pipeline == pipeline) {
        let place = place(id, listed)?;
        match download(ledger, &place, &listed.manifest_sha256, into).await {
            Ok(()) => return Ok(Some(listed.step)),
            Err(error) if is_damage(&error) => {
                tracing::warn!(job = %id, pipeline, step = listed.step, error = %Chain(&error), "a damaged checkpoint is passed over");
                remove(into).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Where a listed checkpoint lies.
pub(crate) fn place(id: &JobId, listed: &CheckpointRef) -> Result<Key, LedgerError> {
    Ok(keys::checkpoint(id, listed.token, &listed.pipeline, listed.step)?)
}

/// Deletes a checkpoint that no state lists any more.
async fn delete(ledger: &Ledger, id: &JobId, dropped: &CheckpointRef) -> Result<(), LedgerError> {
    let place = place(id, dropped)?;
    // The manifest goes first: a checkpoint without one is none.
    ledger.store().delete(&place.join("manifest")?).await?;
    for entry in ledger.store().list(&place).await? {
        ledger.store().delete(&entry.key).await?;
    }
    Ok(())
}

async fn upload(ledger: &Ledger, place: &Key, folder: &Path) -> Result<String, LedgerError> {
    let paths = files_below(folder).await?;
    let mut files: Vec<File> = futures::stream::iter(paths)
        .map(|path| send(ledger, place, folder, path))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let key = place.join("manifest")?;
    let manifest = serde_json::to_vec(&Manifest { schema: SCHEMA, files }).map_err(|source| LedgerError::Encode {
        key: key.clone(),
        source,
    })?;
    let sha256 = digest::of_bytes(&manifest);
    once::put(ledger.store().as_ref(), &key, &Bytes::from(manifest)).await?;
    Ok(sha256)
}

async fn send(ledger: &Ledger, place: &Key, folder: &Path, path: String) -> Result<File, LedgerError> {
    let source = folder.join(&path);
    let (sha256, size) = digest::of_file(&source).await?;
    once::put_file(
        ledger.store().as_ref(),
        &place.join(&format!("files/{path}"))?,
        &source,
        &sha256,
    )
    .await?;
    Ok(File { path, sha256, size })
}

async fn download(ledger: &Ledger, place: &Key, manifest_sha256: &str, into: &Path) -> Result<(), LedgerError> {
    let key = place.join("manifest")?;
    let invalid = |reason: &str| LedgerError::Invalid {
        key: key.clone(),
        reason: reason.to_owned(),
    };
    let object = ledger
        .store()
        .get(&key)
        .await?
        .ok_or_else(|| invalid("it is not there"))?;
    if digest::of_bytes(&object.bytes) != manifest_sha256 {
        return Err(invalid("its SHA-256 is not the one in the state"));
    }
    let manifest: Manifest = decode(&key, &object.bytes, SCHEMA)?;
    create_folder(into).await?;
    futures::stream::iter(manifest.files)
        .map(|file| fetch(ledger, place, file, into))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

async fn fetch(ledger: &Ledger, place: &Key, file: File, into: &Path) -> Result<(), LedgerError> {
    // A key has no `..`, so neither has the path on disk.
    let key = place.join(&format!("files/{}", file.path))?;
    let target = into.join(&file.path);
    if let Some(parent) = target.parent() {
        create_folder(parent).await?;
    }
    Ok(ledger.store().get_file(&key, &target, &file.sha256).await?)
}

/// Of the checkpoint itself, not of the store or the disk.
fn is_damage(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::Invalid { .. }
            | LedgerError::Newer { .. }
            | LedgerError::Key(_)
            | LedgerError::Store(
                StoreError::Digest { .. }
                    | StoreError::Conflict {
                        conflict: Conflict::Gone,
                        ..
                    }
            )
    )
}

async fn create_folder(path: &Path) -> Result<(), LedgerError> {
    tokio::fs::create_dir_all(path)
        .await
        .map_err(|source| LedgerError::File {
            path: path.to_owned(),
            source,
        })
}

async fn remove(path: &Path) -> Result<(), LedgerError> {
    match tokio::fs::remove_dir_all(path).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(LedgerError::File {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Paths of all files below a folder, relative to it, in order.
async fn files_below(folder: &Path) -> Result<Vec<String>, LedgerError> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(relative) = folders.pop() {
        let path = folder.join(&relative);
        let failed = |source| LedgerError::File {
            path: path.clone(),
            source,
        };
        let mut entries = tokio::fs::read_dir(&path).await.map_err(failed)?;
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let below = relative.join(entry.file_name());
            if entry.file_type().await.map_err(failed)?.is_dir() {
                folders.push(below);
            } else {
                let name = below
                    .to_str()
                    .ok_or_else(|| failed(std::io::Error::other("a name that is not UTF-8")))?;
                found.push(name.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
