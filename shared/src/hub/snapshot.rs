//! A fetched model that nobody may remove.

use super::lock::Lock;
use super::manifest::HubFile;
use std::path::{Path, PathBuf};

/// A complete, verified snapshot in the cache. While it lives, in whatever process, eviction leaves the files alone.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) folder: PathBuf,
    pub(super) files: Vec<HubFile>,
    pub(super) _in_use: Lock,
}

impl Snapshot {
    /// The repository's files at the commit, as links into the cache. It may hold more than was asked for.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that were asked for and verified.
    #[must_use]
    pub fn files(&self) -> &[HubFile] {
        &self.files
    }
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file that is being fetched, as in the repository.
    pub file: &'a str,
    /// Bytes of the needed files that are in the cache, from before included.
    pub done: u64,
    /// Bytes of the needed files.
    pub total: u64,
    /// Bytes that came over the network since the last report.
    pub received: u64,
}
