//! Reading single objects, and files in and out, blocking. What decides a write is in [`super::writes`].

use super::errors::{conflict, failed};
use super::generations;
use super::root::Root;
use super::stream;
use super::temporary::{self, Temporary};
use crate::store::{Conflict, Etag, Key, Object, StoreError};
use anyhow::Context;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// The temporary folder is swept at the first of so many writes of a process.
const WRITES_PER_SWEEP: u32 = 4096;

/// The objects below a root.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) root: Root,
    writes: AtomicU32,
}

impl Objects {
    pub(super) fn new(root: Root) -> Self {
        Self {
            root,
            writes: AtomicU32::new(0),
        }
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The newest content of `key`, opened, and its number.
    pub(super) fn open(&self, key: &Key) -> Result<Option<(File, u64)>, StoreError> {
        let Some(folder) = self.root.folder_of(key).map_err(|error| failed(key, error))? else {
            return Ok(None);
        };
        loop {
            let newest = generations::newest(&folder, key.name()).map_err(|error| failed(key, error))?;
            let Some(newest) = newest else {
                return Ok(None);
            };
            if let Some(file) = newest.open().map_err(|error| failed(key, error))? {
                return Ok(Some((file, newest.number)));
            }
            // Removed since we looked: replaced many times, or deleted. The next look tells.
        }
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        let Some((mut file, number)) = self.open(key)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| failed(key, error))?;
        let etag = etag(&file, number, &bytes).map_err(|error| failed(key, error))?;
        Ok(Some(Object {
            bytes: bytes.into(),
            etag,
        }))
    }

    pub(super) fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        let Some((file, _)) = self.open(key)? else {
            return Ok(None);
        };
        Ok(Some(file.metadata().map_err(|error| failed(key, error))?.len()))
    }

    pub(super) fn sha256(&self, key: &Key) -> Result<Option<String>, StoreError> {
        let Some((mut file, _)) = self.open(key)? else {
            return Ok(None);
        };
        stream::digest(&mut file).map(Some).map_err(|error| failed(key, error))
    }

    pub(super) fn put_file_new(&self, key: &Key, path: &Path, sha256: &str) -> Result<(), StoreError> {
        self.refuse_existing(key)?;
        let open = File::open(path).with_context(|| format!("failed to open {}", path.display()));
        let mut from = open.map_err(|source| StoreError::Unavailable {
            key: key.clone(),
            source,
        })?;
        let mut file = Temporary::create(&self.root).map_err(|error| failed(key, error))?;
        let found = stream::copy(&mut from, &mut file.file).map_err(|error| failed(key, error))?;
        verify(key, sha256, found)?;
        file.file.sync_all().map_err(|error| failed(key, error))?;
        self.create(key, |folder, name| file.name(folder, name))
    }

    pub(super) fn get_file(&self, key: &Key, path: &Path, sha256: &str) -> Result<(), StoreError> {
        let Some((mut from, _)) = self.open(key)? else {
            return Err(conflict(key, Conflict::Gone));
        };
        let folder = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".part-")
            .tempfile_in(folder)
            .map_err(|error| failed(key, error))?;
        let found = stream::copy(&mut from, file.as_file_mut()).map_err(|error| failed(key, error))?;
        verify(key, sha256, found)?;
        // Not synced: what is fetched for work can be fetched again.
        file.persist(path).map(drop).map_err(|error| failed(key, error.error))
    }

    /// A temporary file with `bytes`, on disk.
    pub(super) fn temporary(&self, key: &Key, bytes: &[u8]) -> Result<Temporary, StoreError> {
        let write = || {
            let mut temporary = Temporary::create(&self.root)?;
            if self
                .writes
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(WRITES_PER_SWEEP)
            {
                temporary::sweep(&self.root, temporary.written()?);
            }
            temporary.file.write_all(bytes)?;
            self.root.sync(&[temporary.file.as_fd()])?;
            Ok(temporary)
        };
        write().map_err(|error: std::io::Error| failed(key, error))
    }

    /// Spares the work of a write that has lost already; the link decides.
    pub(super) fn refuse_existing(&self, key: &Key) -> Result<(), StoreError> {
        match self.open(key)? {
            Some(_) => Err(conflict(key, Conflict::Changed)),
            None => Ok(()),
        }
    }
}

/// Generation, time of writing and content: the same bytes written anew are another content.
pub(super) fn etag(file: &File, number: u64, bytes: &[u8]) -> Result<Etag, Errno> {
    let stat = rustix::fs::fstat(file)?;
    let digest = hex::encode(&Sha256::digest(bytes)[..16]);
    Ok(Etag(format!(
        "{number}-{}.{:09}-{digest}",
        stat.st_mtime, stat.st_mtime_nsec
    )))
}

fn verify(key: &Key, expected: &str, found: String) -> Result<(), StoreError> {
    if expected == found {
        return Ok(());
    }
    Err(StoreError::Digest {
        key: key.clone(),
        expected: expected.to_owned(),
        found,
    })
}
