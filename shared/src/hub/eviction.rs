//! The cache's size limit: whole snapshots are removed, the least recently used first, never one that is in use.
//!
//! Only snapshots that Trainyard has fetched or used (they have its manifest) are removed: the cache may be a person's,
//! and what other programs put there is theirs. It counts against the limit all the same. The limit is looked at before and after a download; downloads
//! of several processes at once can exceed it until the last of them ends.

use super::error::HubError;
use super::layout::{BEGUN, RepositoryFolder};
use super::lock::Lock;
use super::manifest::Manifest;
use super::names::is_commit;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Removes snapshots until `needed` more bytes fit below `limit`. Serialised over all processes; asks for the locks of
/// snapshots without waiting, so it can neither wait for a running job nor stop one.
///
/// # Errors
/// [`HubError::CacheFull`] if they do not fit beside what is in use.
pub(super) async fn make_room(cache: &Path, limit: u64, needed: u64) -> Result<(), HubError> {
    let _one_at_a_time = Lock::exclusive(&cache.join(".locks").join("trainyard-eviction.lock")).await?;
    let mut candidates = candidates(cache);
    candidates.sort_by_key(|candidate| candidate.last_use);
    for candidate in candidates {
        if size(cache) + needed <= limit {
            return Ok(());
        }
        if candidate.remove()? {
            tracing::info!(
                repository = candidate.manifest.repository,
                commit = candidate.manifest.commit,
                "removed a snapshot from the hub cache to keep its limit"
            );
        }
    }
    let kept = size(cache);
    if kept + needed <= limit {
        return Ok(());
    }
    Err(HubError::CacheFull {
        cache: cache.to_owned(),
        needed,
        limit,
        kept,
    })
}

/// Bytes of all blobs, half-downloaded ones included.
fn size(cache: &Path) -> u64 {
    let blobs = repositories(cache).into_iter().flat_map(|folder| {
        names(&folder.blobs())
            .into_iter()
            .map(move |name| folder.blobs().join(name))
    });
    blobs
        .filter_map(|path| std::fs::symlink_metadata(path).ok())
        .map(|found| found.len())
        .sum()
}

struct Candidate {
    folder: RepositoryFolder,
    manifest: Manifest,
    last_use: SystemTime,
}

fn candidates(cache: &Path) -> Vec<Candidate> {
    let mut found = Vec::new();
    for folder in repositories(cache) {
        for name in names(&folder.manifests()) {
            let commit = name
                .to_str()
                .and_then(|name| name.strip_suffix(".json"))
                .filter(|commit| is_commit(commit));
            let Some(manifest) = commit.and_then(|commit| Manifest::read(&folder, commit)) else {
                continue;
            };
            let modified = |path: PathBuf| std::fs::metadata(path).and_then(|found| found.modified()).ok();
            let last_use =
                modified(folder.use_lock(&manifest.commit)).or_else(|| modified(folder.manifest(&manifest.commit)));
            found.push(Candidate {
                folder: folder.clone(),
                manifest,
                last_use: last_use.unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    found
}

impl Candidate {
    /// Removes the snapshot, and its blobs that no other snapshot links to; `false` if it is in use. The manifest goes
    /// last, so that an interrupted removal is taken up again.
    fn remove(&self) -> Result<bool, HubError> {
        let Some(_alone) = Lock::try_exclusive(&self.folder.repository_lock())? else {
            return Ok(false);
        };
        let Some(_unused) = Lock::try_exclusive(&self.folder.use_lock(&self.manifest.commit))? else {
            return Ok(false);
        };
        let commit = &self.manifest.commit;
        self.remove_references(&self.folder.references())?;
        gone(
            std::fs::remove_dir_all(self.folder.snapshot(commit)),
            &self.folder.snapshot(commit),
        )?;
        let mut linked = HashSet::new();
        for other in names(&self.folder.snapshots()) {
            collect_links(&self.folder.snapshots().join(other), &mut linked);
        }
        for file in self
            .manifest
            .files
            .iter()
            .filter(|file| !linked.contains(file.digest.as_str()))
        {
            // Somebody who is downloading it, in a fetch of another commit or with Python, keeps it.
            if let Some(_idle) = Lock::try_exclusive(&self.folder.blob_lock(&file.digest))? {
                for path in [self.folder.blob(&file.digest), self.folder.incomplete(&file.digest)] {
                    gone(std::fs::remove_file(&path), &path)?;
                }
            }
        }
        // Left by those that were killed: whoever is about to make one whole holds the lock.
        for name in names(&self.folder.manifests()) {
            if name.to_string_lossy().starts_with(BEGUN) {
                let path = self.folder.manifests().join(name);
                gone(std::fs::remove_file(&path), &path)?;
            }
        }
        let manifest = self.folder.manifest(commit);
        gone(std::fs::remove_file(&manifest), &manifest)?;
        Ok(true)
    }

    fn remove_references(&self, folder: &Path) -> Result<(), HubError> {
        for name in names(folder) {
            let path = folder.join(name);
            if path.is_dir() {
                self.remove_references(&path)?;
            } else if std::fs::read_to_string(&path).is_ok_and(|text| text.trim() == self.manifest.commit) {
                gone(std::fs::remove_file(&path), &path)?;
            }
        }
        Ok(())
    }
}

fn collect_links(folder: &Path, linked: &mut HashSet<String>) {
    for name in names(folder) {
        let path = folder.join(name);
        match std::fs::read_link(&path) {
            Ok(target) => linked.extend(target.file_name().and_then(|name| name.to_str()).map(str::to_owned)),
            Err(_) => collect_links(&path, linked),
        }
    }
}

fn repositories(cache: &Path) -> Vec<RepositoryFolder> {
    let names = names(cache).into_iter().filter_map(|name| name.into_string().ok());
    names
        .filter(|name| name.starts_with("models--"))
        .map(|name| RepositoryFolder::named(cache, &name))
        .collect()
}

/// What a folder holds; nothing if it is not there (any more).
fn names(folder: &Path) -> Vec<OsString> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
}

fn gone(result: std::io::Result<()>, path: &Path) -> Result<(), HubError> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HubError::io("remove", path, error)),
        _ => Ok(()),
    }
}
