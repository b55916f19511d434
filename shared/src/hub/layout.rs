//! Where things lie in the cache: the layout of Python's `huggingface_hub`, so that both use the same files.
//!
//! `models--OWNER--NAME/blobs/DIGEST` holds the bytes, `snapshots/COMMIT/PATH` links to them, `refs/REVISION` names the
//! commit that was last fetched under that name, and `.locks/models--OWNER--NAME/DIGEST.lock` is what whoever downloads
//! a blob has locked, Python included. Trainyard's own files are `models--OWNER--NAME/trainyard/COMMIT.json` (the
//! manifest; not among the snapshots, where Python takes a file for corruption), what is not whole yet beside it, and its own
//! locks.

use super::digest::Digest;
use super::error::HubError;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How the names begin of what is not whole yet.
pub(super) const BEGUN: &str = ".trainyard-";

/// The part of a cache that belongs to one repository.
#[derive(Debug, Clone)]
pub(super) struct RepositoryFolder {
    root: PathBuf,
    locks: PathBuf,
}

impl RepositoryFolder {
    /// `repository` must have been checked.
    pub(super) fn new(cache: &Path, repository: &str) -> Self {
        Self::named(cache, &format!("models--{}", repository.replace('/', "--")))
    }

    /// By the folder's own name, as a listing of the cache gives it.
    pub(super) fn named(cache: &Path, folder: &str) -> Self {
        Self {
            root: cache.join(folder),
            locks: cache.join(".locks").join(folder),
        }
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.as_str())
    }

    /// What has come of a blob so far. hf-hub uses the same name; newer Pythons use one of their own per download.
    pub(super) fn incomplete(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(format!("{digest}.incomplete"))
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.snapshots().join(commit)
    }

    pub(super) fn references(&self) -> PathBuf {
        self.root.join("refs")
    }

    pub(super) fn reference(&self, revision: &str) -> PathBuf {
        self.references().join(revision)
    }

    pub(super) fn manifests(&self) -> PathBuf {
        self.root.join("trainyard")
    }

    pub(super) fn manifest(&self, commit: &str) -> PathBuf {
        self.manifests().join(format!("{commit}.json"))
    }

    /// Held exclusively while a blob is downloaded; the same file as Python's and hf-hub's.
    pub(super) fn blob_lock(&self, digest: &Digest) -> PathBuf {
        self.locks.join(format!("{digest}.lock"))
    }

    /// Held shared while a snapshot is fetched or read; its modification time is the snapshot's last use.
    pub(super) fn use_lock(&self, commit: &str) -> PathBuf {
        self.locks.join(format!("trainyard-{commit}.use"))
    }

    /// Held shared while a snapshot is put together from blobs, exclusively while one is removed.
    pub(super) fn repository_lock(&self) -> PathBuf {
        self.locks.join("trainyard.lock")
    }

    /// The commit that was last fetched as `revision`, if that is known.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.reference(revision)).ok()?;
        let commit = text.trim();
        super::names::is_commit(commit).then(|| commit.to_owned())
    }

    /// Makes the snapshot's `path` a relative link to the blob, replacing whatever else is there.
    pub(super) fn link(&self, commit: &str, path: &str, digest: &Digest) -> Result<(), HubError> {
        let pointer = self.snapshot(commit).join(path);
        let depth = path.matches('/').count() + 2;
        let target = PathBuf::from("../".repeat(depth)).join("blobs").join(digest.as_str());
        if std::fs::read_link(&pointer).is_ok_and(|found| found == target) {
            return Ok(());
        }
        create_folder(pointer.parent().unwrap_or(&self.root))?;
        let temporary = self.begun()?.join(format!("{BEGUN}{}", uuid::Uuid::new_v4()));
        std::os::unix::fs::symlink(target, &temporary).map_err(|e| HubError::io("link", &pointer, e))?;
        crate::crash::point("in-link");
        std::fs::rename(&temporary, &pointer).map_err(|e| HubError::io("link", &pointer, e))
    }

    /// Writes a small file of this folder whole or not at all, whoever reads or kills meanwhile.
    pub(super) fn write_whole(&self, path: &Path, content: &[u8]) -> Result<(), HubError> {
        create_folder(path.parent().unwrap_or(&self.root))?;
        let begun = self.begun()?;
        let put = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(BEGUN).tempfile_in(begun)?;
            file.write_all(content)?;
            std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
            file.persist(path)?;
            Ok(())
        };
        put().map_err(|e| HubError::io("write", path, e))
    }

    /// Where what is not whole yet lies. Not in the snapshot nor among the references: whoever lists those, we and
    /// Python, may be in the middle of it, and takes each name for one of the repository's.
    fn begun(&self) -> Result<PathBuf, HubError> {
        let folder = self.manifests();
        create_folder(&folder)?;
        Ok(folder)
    }
}

/// `mkdir -p`.
pub(super) fn create_folder(path: &Path) -> Result<(), HubError> {
    std::fs::create_dir_all(path).map_err(|e| HubError::io("create", path, e))
}
