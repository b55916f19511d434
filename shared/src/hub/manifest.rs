//! What a commit holds, kept beside its snapshot so that later runs verify it without the hub.

use super::digest::Digest;
use super::error::HubError;
use super::layout::RepositoryFolder;
use super::names::is_plain_path;
use serde::{Deserialize, Serialize};
use std::path::Path;

const SCHEMA: u32 = 1;

/// A file of a repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    /// Relative to the repository's root; checked to stay below it.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Of its bytes.
    pub digest: Digest,
}

/// All files of a repository at a commit, wanted or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    schema: u32,
    /// `owner/name`.
    pub(super) repository: String,
    /// 40 hexadecimal digits.
    pub(super) commit: String,
    /// In the order of their paths.
    pub(super) files: Vec<HubFile>,
}

impl Manifest {
    /// `files` as the hub sent them: refused if one could leave the snapshot's folder.
    pub(super) fn new(repository: &str, commit: &str, mut files: Vec<HubFile>) -> Result<Self, HubError> {
        if let Some(file) = files.iter().find(|file| !is_plain_path(&file.path)) {
            let path = file.path.chars().take(200).collect();
            return Err(HubError::HostileFileName {
                repository: repository.to_owned(),
                path,
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            schema: SCHEMA,
            repository: repository.to_owned(),
            commit: commit.to_owned(),
            files,
        })
    }

    /// The file of this path.
    pub(super) fn find(&self, path: &str) -> Option<&HubFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The one beside the snapshot; `None` if there is none that can be used, which is as good as none.
    pub(super) fn read(folder: &RepositoryFolder, commit: &str) -> Option<Self> {
        let path = folder.manifest(commit);
        let text = std::fs::read(&path).ok()?;
        let usable = |found: &Self| {
            found.schema == SCHEMA && found.commit == commit && found.files.iter().all(|file| is_plain_path(&file.path))
        };
        let found = serde_json::from_slice::<Self>(&text).ok().filter(usable);
        if found.is_none() {
            tracing::warn!(path = %path.display(), "ignored a manifest that cannot be read");
        }
        found
    }

    /// Made from a snapshot that another program (Python) put into the cache: its links name blobs, and blobs are named
    /// by their digests. It may lack files of the commit. `None` without a snapshot.
    pub(super) fn adopt(folder: &RepositoryFolder, repository: &str, commit: &str) -> Option<Self> {
        let root = folder.snapshot(commit);
        let mut files = Vec::new();
        collect(&root, &root, &mut files).ok()?;
        Self::new(repository, commit, files)
            .ok()
            .filter(|found| !found.files.is_empty())
    }

    /// Puts it beside the snapshot.
    pub(super) fn write(&self, folder: &RepositoryFolder) -> Result<(), HubError> {
        let path = folder.manifest(&self.commit);
        let text = serde_json::to_vec_pretty(self).map_err(|e| HubError::io("write", &path, e.into()))?;
        folder.write_whole(&path, &text)
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<HubFile>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_symlink()
            && let Some(file) = linked(root, &path)
        {
            files.push(file);
        }
    }
    Ok(())
}

fn linked(root: &Path, pointer: &Path) -> Option<HubFile> {
    let target = std::fs::read_link(pointer).ok()?;
    let digest = Digest::try_from(target.file_name()?.to_str()?.to_owned()).ok()?;
    let size = std::fs::metadata(pointer).ok()?.len();
    let path = pointer.strip_prefix(root).ok()?.to_str()?.to_owned();
    Some(HubFile { path, size, digest })
}
