//! One file from the hub into the cache's blobs: resumed where it broke off, checked before it counts.
//!
//! By reqwest, not hf-hub: hf-hub 1.0 begins a broken download again at its first byte, checks neither status nor size
//! nor digest of what it puts into the cache, and waits for ever for a hub that says nothing.

use super::digest::Digest;
use super::error::HubError;
use super::layout::{RepositoryFolder, create_folder};
use super::lock::Lock;
use super::manifest::HubFile;
use super::online::{Asked, Online};
use super::tries::{Failure, Tries};
use anyhow::anyhow;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Bytes that are gathered before they are written and reported.
const PIECE: usize = 256 << 10;

/// Sees to it that the blob of `file` is in the cache with the right bytes. Whoever comes while another process fetches
/// it waits, and finds it done; the lock of a killed process is gone with it. `received` is told of every piece from the
/// network: the bytes of this file that are there now, and how many of them just came.
pub(super) async fn obtain(
    online: &Online,
    folder: &RepositoryFolder,
    asked: Asked<'_>,
    file: &HubFile,
    received: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<(), HubError> {
    let blob = folder.blob(&file.digest);
    let _lock = Lock::exclusive(&folder.blob_lock(&file.digest)).await?;
    if is_intact(&blob, file).await? {
        return Ok(());
    }
    create_folder(&folder.blobs())?;
    let incomplete = folder.incomplete(&file.digest);
    let what = format!("{} of model {} at {}", file.path, asked.repository, asked.revision);
    let mut tries = Tries::new(what, online.settings().patience);
    let mut spoiled = false;
    loop {
        let before = length(&incomplete);
        let attempt = transfer(online, asked, file, &incomplete, received).await;
        let failure = match attempt {
            Ok(()) if is_intact(&incomplete, file).await? => break,
            Ok(()) => {
                // Wrong from the first byte, for all that is known: nothing of it is worth resuming.
                remove(&incomplete)?;
                spoiled = true;
                Failure::again(anyhow!(
                    "its bytes are not those that the hub lists (digest {})",
                    file.digest
                ))
            }
            Err(failure) => {
                // Bytes of a hub that has sent wrong ones are no progress, or this would never end.
                if !spoiled && length(&incomplete) > before {
                    tries.progressed();
                }
                failure
            }
        };
        tries.wait_after(failure).await?;
    }
    std::fs::rename(&incomplete, &blob).map_err(|e| HubError::io("put", blob, e))
}

/// Whether the file at `path` has the right bytes.
pub(super) async fn is_intact(path: &Path, file: &HubFile) -> Result<bool, HubError> {
    let (owned, digest, size): (PathBuf, Digest, u64) = (path.to_owned(), file.digest.clone(), file.size);
    let checked = tokio::task::spawn_blocking(move || digest.matches(&owned, size)).await;
    checked
        .map_err(std::io::Error::other)
        .and_then(|result| result)
        .map_err(|e| HubError::io("read", path, e))
}

/// One attempt: what is missing of the file is appended.
async fn transfer(
    online: &Online,
    asked: Asked<'_>,
    file: &HubFile,
    incomplete: &Path,
    received: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<(), Failure> {
    let mut there = length(incomplete);
    if there > file.size {
        remove(incomplete)?;
        there = 0;
    }
    if there == file.size && there > 0 {
        return Ok(());
    }
    let mut request = online.content(asked, &file.path)?;
    if there > 0 {
        request = request.header(RANGE, format!("bytes={there}-"));
    }
    let response = request.send().await.map_err(Failure::again)?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        remove(incomplete)?;
        return Err(Failure::again(anyhow!("it cannot go on at byte {there}")));
    }
    let response = asked.checked(response, online.settings()).await?;
    if there > 0 && !continues_at(&response, there) {
        tracing::debug!(path = file.path, "the hub sends the file from its first byte");
        remove(incomplete)?;
        there = 0;
    }
    append(response, file, incomplete, there, received).await
}

async fn append(
    mut response: Response,
    file: &HubFile,
    incomplete: &Path,
    mut there: u64,
    received: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<(), Failure> {
    let failed = |source| HubError::io("write", incomplete, source);
    let mut out = File::options()
        .append(true)
        .create(true)
        .open(incomplete)
        .await
        .map_err(failed)?;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let chunk = response.chunk().await;
        let ended = !matches!(chunk, Ok(Some(_)));
        if let Ok(Some(bytes)) = &chunk {
            piece.extend_from_slice(bytes);
        }
        if ended || piece.len() >= PIECE {
            let came = piece.len() as u64;
            if there + came > file.size {
                return Err(Failure::again(anyhow!(
                    "it sends more than the {} bytes that it lists",
                    file.size
                )));
            }
            out.write_all(&piece).await.map_err(failed)?;
            out.flush().await.map_err(failed)?;
            let (before, half) = (there, file.size / 2);
            there += came;
            piece.clear();
            received(there, came);
            if before <= half && there > half && there < file.size {
                crate::crash::point("in-download");
            }
        }
        match chunk {
            Ok(Some(_)) => {}
            Ok(None) if there == file.size => return Ok(()),
            Ok(None) => return Err(Failure::again(anyhow!("it ended after {there} of {} bytes", file.size))),
            Err(error) => return Err(Failure::again(error)),
        }
    }
}

fn continues_at(response: &Response, there: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && range.is_some_and(|r| r.starts_with(&format!("bytes {there}-")))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

fn remove(path: &Path) -> Result<(), HubError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HubError::io("remove", path, error)),
        _ => Ok(()),
    }
}
