//! Reading and writing single objects, blocking.

use super::errors::{conflict, failed};
use super::generations::{self, KEPT, Newest, folder_name, generation_name};
use super::root::Root;
use super::stream;
use super::temporary::{self, Temporary};
use crate::crash;
use crate::store::{Conflict, Etag, Key, Object, StoreError};
use anyhow::Context;
use rustix::fs::{AtFlags, fsync, linkat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// The temporary folder is swept at the first of so many writes of a process.
const WRITES_PER_SWEEP: u32 = 4096;

/// The objects below a root.
#[derive(Debug)]
pub(super) struct Objects {
    root: Root,
    writes: AtomicU32,
}

/// A folder that vanished under our feet, emptied by a deletion, is made again so often.
const FOLDER_ATTEMPTS: u32 = 16;

/// A replacement whose condition held when it was prepared.
pub(super) struct Replacement {
    file: Temporary,
    folder: OwnedFd,
    number: u64,
    etag: Etag,
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
    fn open(&self, key: &Key) -> Result<Option<(File, u64)>, StoreError> {
        let Some(folder) = self.root.folder_of(key).map_err(|error| failed(key, error))? else {
            return Ok(None);
        };
        loop {
            let newest = generations::newest(&folder, key.name()).map_err(|error| failed(key, error))?;
            let Some(newest @ Newest { place: Some(_), .. }) = newest else {
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

    pub(super) fn put_new(&self, key: &Key, bytes: &[u8]) -> Result<Etag, StoreError> {
        self.refuse_existing(key)?;
        let file = self.temporary(key, bytes)?;
        let number = self.create(key, |folder, name| file.name(folder, name))?;
        etag(&file.file, number, bytes).map_err(|error| failed(key, error))
    }

    pub(super) fn replace(&self, key: &Key, etag: &Etag, bytes: &[u8]) -> Result<Etag, StoreError> {
        self.commit(key, self.prepare(key, etag, bytes)?)
    }

    /// Everything about a replacement but the link that decides it.
    pub(super) fn prepare(&self, key: &Key, expected: &Etag, bytes: &[u8]) -> Result<Replacement, StoreError> {
        let Some((mut current, number)) = self.open(key)? else {
            return Err(conflict(key, Conflict::Gone));
        };
        let mut content = Vec::new();
        current.read_to_end(&mut content).map_err(|error| failed(key, error))?;
        if etag(&current, number, &content).map_err(|error| failed(key, error))? != *expected {
            return Err(conflict(key, Conflict::Changed));
        }
        let number = number + 1;
        let file = self.temporary(key, bytes)?;
        let etag = etag(&file.file, number, bytes).map_err(|error| failed(key, error))?;
        let folder = self.root.make_folder_of(key).map_err(|error| failed(key, error))?;
        Ok(Replacement {
            file,
            folder,
            number,
            etag,
        })
    }

    /// Decides a replacement.
    pub(super) fn commit(&self, key: &Key, replacement: Replacement) -> Result<Etag, StoreError> {
        let Replacement {
            file,
            folder,
            number,
            etag,
        } = replacement;
        self.link(key, &folder, number, |folder, name| file.name(folder, name))?;
        Ok(etag)
    }

    pub(super) fn copy_new(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        let gone = || conflict(to, Conflict::Gone);
        let source_folder = self
            .root
            .folder_of(from)
            .map_err(|error| failed(from, error))?
            .ok_or_else(gone)?;
        let newest = generations::newest(&source_folder, from.name()).map_err(|error| failed(from, error))?;
        let Some(newest @ Newest { place: Some(_), .. }) = newest else {
            return Err(gone());
        };
        let mut source = newest.open().map_err(|error| failed(from, error))?.ok_or_else(gone)?;
        self.refuse_existing(to)?;
        let Some((place, place_name)) = &newest.place else {
            return Err(gone());
        };
        let linked = self.create(to, |folder, name| {
            match linkat(place, place_name.as_str(), folder, name, AtFlags::empty()) {
                // The source's name, for the target's folder is open; told apart from a folder that vanished below.
                Err(Errno::NOENT) if matches!(newest.open(), Ok(None)) => Err(Errno::STALE),
                // Too many links, another file system below a mount point, or none that knows links at all.
                Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOSYS) => Err(Errno::XDEV),
                other => other,
            }
        });
        match linked {
            Ok(_) => Ok(()),
            Err(StoreError::Unavailable { source: error, .. }) if is(&error, Errno::STALE) => Err(gone()),
            Err(StoreError::Unavailable { source: error, .. }) if is(&error, Errno::XDEV) => {
                self.copy_bytes(&mut source, to)
            }
            Err(error) => Err(error),
        }
    }

    /// What a link does, where links cannot.
    pub(super) fn copy_bytes(&self, source: &mut File, to: &Key) -> Result<(), StoreError> {
        let mut file = Temporary::create(&self.root).map_err(|error| failed(to, error))?;
        stream::copy(source, &mut file.file).map_err(|error| failed(to, error))?;
        file.file.sync_all().map_err(|error| failed(to, error))?;
        self.create(to, |folder, name| file.name(folder, name)).map(drop)
    }

    pub(super) fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let Some(folder) = self.root.folder_of(key).map_err(|error| failed(key, error))? else {
            return Ok(());
        };
        loop {
            let newest = generations::newest(&folder, key.name()).map_err(|error| failed(key, error))?;
            let Some(Newest { number, place: Some(_) }) = newest else {
                break;
            };
            let deleted = match number {
                0 => unlinkat(&folder, key.name(), AtFlags::empty()).and_then(|()| fsync(&folder)),
                _ => generations::bury(&folder, key.name(), number + 1),
            };
            match deleted {
                // Look again: somebody may have replaced it meanwhile.
                Ok(()) | Err(Errno::NOENT | Errno::EXIST) => {}
                Err(error) => return Err(failed(key, error)),
            }
        }
        drop(folder);
        self.root.prune(key);
        Ok(())
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
        self.create(key, |folder, name| file.name(folder, name)).map(drop)
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
    fn temporary(&self, key: &Key, bytes: &[u8]) -> Result<Temporary, StoreError> {
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
            temporary.file.sync_all()?;
            Ok(temporary)
        };
        write().map_err(|error: std::io::Error| failed(key, error))
    }

    /// Spares the work of a write that has lost already; the link decides.
    fn refuse_existing(&self, key: &Key) -> Result<(), StoreError> {
        match self.open(key)? {
            Some(_) => Err(conflict(key, Conflict::Changed)),
            None => Ok(()),
        }
    }

    /// Creates `key` by `link`, as the generation after its deletion or as generation 0; the generation's number.
    fn create(&self, key: &Key, link: impl Fn(&OwnedFd, &str) -> Result<(), Errno>) -> Result<u64, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let folder = self.root.make_folder_of(key).map_err(|error| failed(key, error))?;
            let number = match generations::newest(&folder, key.name()).map_err(|error| failed(key, error))? {
                None => 0,
                Some(Newest { number, place: None }) => number + 1,
                Some(_) => return Err(conflict(key, Conflict::Changed)),
            };
            match self.link(key, &folder, number, &link) {
                Ok(()) => return Ok(number),
                Err(StoreError::Unavailable { source, .. })
                    if is(&source, Errno::NOENT) && attempt < FOLDER_ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The decision: `link` makes generation `number` of `key` in `folder`.
    fn link(
        &self,
        key: &Key,
        folder: &OwnedFd,
        number: u64,
        link: impl Fn(&OwnedFd, &str) -> Result<(), Errno>,
    ) -> Result<(), StoreError> {
        let own_folder;
        let (place, name) = if number == 0 {
            (folder, key.name().to_owned())
        } else {
            let generations = folder_name(key.name());
            // Durable for as long as the inode lives, hence the path need not tell whose generations they are.
            let made = self.root.make(folder, &generations, Path::new(key.as_str()));
            own_folder = made.map_err(|error| failed(key, error))?;
            (&own_folder, generation_name(number))
        };
        crash::point("store-before-link");
        match link(place, &name) {
            Err(Errno::EXIST) => return Err(conflict(key, Conflict::Changed)),
            linked => linked.map_err(|error| failed(key, error))?,
        }
        crash::point("store-after-link");
        // From here the write has happened: whatever fails, the caller must not hear that it did not.
        let unknown = |_| conflict(key, Conflict::Unknown);
        // Before the slow wait for the disk, so that no more than a stop can get between the link and this look.
        let newest = generations::newest_number(folder, key.name())
            .map_err(unknown)?
            .unwrap_or(0);
        if newest >= number + KEPT {
            // We were stopped, and the number may have been free again: see `generations`.
            let _ = unlinkat(place, name.as_str(), AtFlags::empty());
            return Err(conflict(key, Conflict::Unknown));
        }
        fsync(place).map_err(unknown)?;
        generations::clean(folder, key.name(), newest);
        Ok(())
    }
}

/// Generation, time of writing and content: the same bytes written anew are another content.
fn etag(file: &File, number: u64, bytes: &[u8]) -> Result<Etag, Errno> {
    let stat = rustix::fs::fstat(file)?;
    let digest = hex::encode(&Sha256::digest(bytes)[..16]);
    Ok(Etag(format!(
        "{number}-{}.{:09}-{digest}",
        stat.st_mtime, stat.st_mtime_nsec
    )))
}

fn is(error: &anyhow::Error, errno: Errno) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.raw_os_error() == Some(errno.raw_os_error()))
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
