//! A folder of repositories, as the hub sees them: commits, git's blob ids, files in LFS.

use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// What the hub keeps in LFS: large files, and these kinds of any size.
const LARGE: u64 = 10 << 20;
const IN_LFS: [&str; 8] = [
    ".safetensors",
    ".bin",
    ".h5",
    ".msgpack",
    ".onnx",
    ".ot",
    ".model",
    ".parquet",
];

#[derive(Debug, Clone)]
pub(super) struct RepositoryFile {
    pub(super) path: String,
    pub(super) size: u64,
    /// git's blob id, of the pointer if the file is in LFS.
    pub(super) oid: String,
    /// Of a file in LFS.
    pub(super) sha256: Option<String>,
    pub(super) location: PathBuf,
}

#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) files: Vec<RepositoryFile>,
    /// The token that may read it, if not everybody may.
    pub(super) gate: Option<String>,
}

/// Digests of one content of one file: git's blob id, and SHA-256 if it is in LFS.
type Digests = (String, Option<String>);

#[derive(Debug)]
pub(super) struct Repositories {
    root: PathBuf,
    /// Digests by file, modification time and size.
    known: Mutex<HashMap<(PathBuf, SystemTime, u64), Digests>>,
}

impl Repositories {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            known: Mutex::default(),
        }
    }

    /// Whether any revision of it exists.
    pub(super) fn exists(&self, repository: &str) -> bool {
        is_name(repository) && !self.revisions(repository).is_empty()
    }

    /// Where a repository is asked for by a name that it had before: the same path with its name of today, relative to
    /// the host, as the hub has it.
    pub(super) fn path_of_today(&self, segments: &[String]) -> Option<String> {
        let api = segments.first().is_some_and(|first| first == "api");
        let (before, rest) = segments.split_at_checked(if api { 2 } else { 0 })?;
        // The oldest repositories have no owner.
        let (parts, today) = [1, 2].into_iter().find_map(|parts| {
            let old = rest.get(..parts)?.join("/");
            Some((parts, self.renamed(&old)?))
        })?;
        let path = before.iter().chain([&today]).chain(&rest[parts..]);
        Some(path.fold(String::new(), |all, part| all + "/" + part))
    }

    /// The name of today of a repository that had this one before.
    fn renamed(&self, repository: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(repository).join(".renamed"));
        text.ok()
            .filter(|_| is_name(repository))
            .map(|name| name.trim().to_owned())
    }

    /// The commit that a revision, or a commit's id or its beginning, names.
    pub(super) fn commit(&self, repository: &str, revision: &str) -> Option<Commit> {
        let revisions = self.revisions(repository);
        if let Some((_, folder)) = revisions.iter().find(|(name, _)| name == revision) {
            return self.read(folder).ok();
        }
        let commits = revisions.iter().filter_map(|(_, folder)| self.read(folder).ok());
        commits
            .into_iter()
            .find(|commit| revision.len() >= 7 && commit.id.starts_with(revision))
    }

    /// The file in LFS with this SHA-256, of whatever repository.
    pub(super) fn large(&self, sha256: &str) -> Option<PathBuf> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = known.iter().filter(|(_, digests)| digests.1.as_deref() == Some(sha256));
        found.next().map(|((path, _, _), _)| path.clone())
    }

    fn revisions(&self, repository: &str) -> Vec<(String, PathBuf)> {
        let folder = self.root.join(repository);
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name().and_then(|n| n.to_str())) else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
        let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
        let of_it = named.filter_map(|(found, path)| match found.strip_prefix(name)?.strip_prefix('@') {
            Some(revision) => Some((revision.to_owned(), path)),
            None => (found == name).then_some(("main".to_owned(), path)),
        });
        of_it.filter(|(_, path)| path.is_dir()).collect()
    }

    fn read(&self, folder: &Path) -> io::Result<Commit> {
        let mut paths = Vec::new();
        collect(folder, folder, &mut paths)?;
        paths.sort();
        let mut files = Vec::new();
        let mut hasher = Sha1::new();
        for path in paths.into_iter().filter(|path| path != ".gated") {
            let location = folder.join(&path);
            let found = std::fs::metadata(&location)?;
            let (oid, sha256) = self.digests(&path, &location, found.modified()?, found.len())?;
            hasher.update(format!("{oid} {path}\n"));
            files.push(RepositoryFile {
                path,
                size: found.len(),
                oid,
                sha256,
                location,
            });
        }
        let gate = std::fs::read_to_string(folder.join(".gated")).ok();
        let gate = gate.map(|text| text.lines().next().unwrap_or_default().to_owned());
        Ok(Commit {
            id: hex::encode(hasher.finalize()),
            files,
            gate,
        })
    }

    fn digests(&self, path: &str, location: &Path, modified: SystemTime, size: u64) -> io::Result<Digests> {
        let key = (location.to_owned(), modified, size);
        if let Some(found) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(found.clone());
        }
        let content = std::fs::read(location)?;
        let digests = if size > LARGE || IN_LFS.iter().any(|end| path.ends_with(end)) {
            let sha256 = hex::encode(Sha256::digest(&content));
            let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n");
            (git_blob(pointer.as_bytes()), Some(sha256))
        } else {
            (git_blob(&content), None)
        };
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, digests.clone());
        Ok(digests)
    }
}

/// The commit that the hub will name for the repository in this folder.
///
/// # Errors
/// The folder cannot be read.
pub fn commit_of(folder: &Path) -> io::Result<String> {
    Ok(Repositories::new(folder).read(folder)?.id)
}

fn is_name(repository: &str) -> bool {
    repository
        .split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('@'))
}

fn git_blob(content: &[u8]) -> String {
    hex::encode(
        Sha1::new_with_prefix(format!("blob {}\0", content.len()))
            .chain_update(content)
            .finalize(),
    )
}

fn collect(root: &Path, folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, paths)?;
        } else if let Some(text) = path.strip_prefix(root).ok().and_then(|path| path.to_str()) {
            paths.push(text.to_owned());
        }
    }
    Ok(())
}
