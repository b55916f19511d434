//! Writing single objects, blocking: everything up to the link that decides, and the look behind it.

use super::errors::{conflict, failed};
use super::generations::{self, KEPT, folder_name, generation_name};
use super::objects::{Objects, etag};
use super::root::open_folder;
use super::stream;
use super::temporary::{self, Temporary};
use crate::crash;
use crate::store::{Conflict, Etag, Key, StoreError};
use rustix::fs::{AtFlags, fsync, linkat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

/// A folder that vanished under our feet, emptied by a deletion, is made again so often.
const FOLDER_ATTEMPTS: u32 = 16;

/// A replacement whose condition held when it was prepared.
pub(super) struct Replacement {
    file: Temporary,
    /// The content that is to be replaced. Held open, so that no other file gets its inode.
    before: File,
    folder: OwnedFd,
    number: u64,
    etag: Etag,
}

impl Objects {
    pub(super) fn put_new(&self, key: &Key, bytes: &[u8]) -> Result<Etag, StoreError> {
        self.refuse_existing(key)?;
        let file = self.temporary(key, bytes)?;
        self.create(key, |folder, name| file.name(folder, name))?;
        etag(&file.file, 0, bytes).map_err(|error| failed(key, error))
    }

    pub(super) fn replace(&self, key: &Key, etag: &Etag, bytes: &[u8]) -> Result<Etag, StoreError> {
        self.commit(key, self.prepare(key, etag, bytes)?)
    }

    /// Everything about a replacement but the link that decides it.
    pub(super) fn prepare(&self, key: &Key, expected: &Etag, bytes: &[u8]) -> Result<Replacement, StoreError> {
        let Some((mut before, number)) = self.open(key)? else {
            return Err(conflict(key, Conflict::Gone));
        };
        let mut content = Vec::new();
        before.read_to_end(&mut content).map_err(|error| failed(key, error))?;
        if etag(&before, number, &content).map_err(|error| failed(key, error))? != *expected {
            return Err(conflict(key, Conflict::Changed));
        }
        let number = number + 1;
        let file = self.temporary(key, bytes)?;
        let etag = etag(&file.file, number, bytes).map_err(|error| failed(key, error))?;
        let folder = self.root.folder_of(key).map_err(|error| failed(key, error))?;
        let folder = folder.ok_or_else(|| conflict(key, Conflict::Gone))?;
        Ok(Replacement {
            file,
            before,
            folder,
            number,
            etag,
        })
    }

    /// Decides a replacement.
    pub(super) fn commit(&self, key: &Key, replacement: Replacement) -> Result<Etag, StoreError> {
        let Replacement {
            file,
            before,
            folder,
            number,
            etag,
        } = replacement;
        let gone = || conflict(key, Conflict::Gone);
        let name = folder_name(key.name());
        let (generations, undurable) = if number == 1 {
            // Durable for as long as the inode lives, hence the path need not tell whose generations they are.
            match self.root.make(&folder, &name, Path::new(key.as_str())) {
                // The folder above was emptied by a deletion and removed.
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(gone()),
                made => made.map_err(|error| failed(key, error))?,
            }
        } else {
            let there = open_folder(&folder, &name).map_err(|error| failed(key, error))?;
            (there.ok_or_else(gone)?, None)
        };
        let own = generation_name(number);
        crash::point("store-before-link");
        match file.name(&generations, &own) {
            Err(Errno::EXIST) => return Err(conflict(key, Conflict::Changed)),
            Err(Errno::NOENT) => return Err(gone()),
            linked => linked.map_err(|error| failed(key, error))?,
        }
        crash::point("store-after-link");
        // From here the write has happened: whatever fails, the caller must not hear that it did not.
        let unknown = |_| conflict(key, Conflict::Unknown);
        // Before the slow wait for the disk, so that no more than a stop can get between the link and this look.
        let mut is_still = generations::is_still(&folder, &name, &generations).map_err(unknown)?;
        if number == 1 {
            is_still &= generations::is_still(&folder, key.name(), &before).map_err(unknown)?;
        }
        let newest = generations::newest_number(&folder, key.name()).map_err(unknown)?;
        let lost = match newest {
            // We were stopped, and the number may have been free again: see `generations`.
            Some(newest) if newest >= number + KEPT => Some(Conflict::Unknown),
            // Deleted meanwhile, and perhaps created anew.
            _ if !is_still => Some(Conflict::Gone),
            _ => None,
        };
        if let Some(lost) = lost {
            let _ = unlinkat(&generations, own.as_str(), AtFlags::empty());
            return Err(conflict(key, lost));
        }
        let new = undurable.map(|known| (&folder, known));
        self.root.sync_with_new(&generations, new).map_err(unknown)?;
        generations::clean(&folder, key.name(), newest.unwrap_or(number));
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
        let newest = newest.ok_or_else(gone)?;
        let mut source = newest.open().map_err(|error| failed(from, error))?.ok_or_else(gone)?;
        self.refuse_existing(to)?;
        let linked = self.create(to, |folder, name| {
            match linkat(&newest.folder, newest.name.as_str(), folder, name, AtFlags::empty()) {
                // The source's name, for the target's folder is open; told apart from a folder that vanished below.
                Err(Errno::NOENT) if matches!(newest.open(), Ok(None)) => Err(Errno::STALE),
                // Too many links, another file system below a mount point, or none that knows links at all.
                Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOSYS) => Err(Errno::XDEV),
                other => other,
            }
        });
        match linked {
            Ok(()) => Ok(()),
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
        self.create(to, |folder, name| file.name(folder, name))
    }

    pub(super) fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let Some(folder) = self.root.folder_of(key).map_err(|error| failed(key, error))? else {
            return Ok(());
        };
        while let Some(newest) = generations::newest(&folder, key.name()).map_err(|error| failed(key, error))? {
            // The plain file goes first: behind the newest generation nobody sees it, without one it would be back.
            match unlinkat(&folder, key.name(), AtFlags::empty()) {
                Ok(()) => fsync(&folder).map_err(|error| failed(key, error))?,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(key, error)),
            }
            if newest.number > 0 {
                crash::point("store-in-delete");
                match temporary::discard(&self.root, &folder, &folder_name(key.name())) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    discarded => discarded.map_err(|error| failed(key, error))?,
                }
            }
        }
        drop(folder);
        self.root.prune(key);
        Ok(())
    }

    /// Creates `key` as generation 0 by `link`, which is the decision.
    pub(super) fn create(
        &self,
        key: &Key,
        link: impl Fn(&OwnedFd, &str) -> Result<(), Errno>,
    ) -> Result<(), StoreError> {
        let mut attempt = 0;
        let (folder, undurable) = loop {
            attempt += 1;
            let (folder, undurable) = self.root.make_folder_of(key).map_err(|error| failed(key, error))?;
            if generations::newest(&folder, key.name())
                .map_err(|error| failed(key, error))?
                .is_some()
            {
                return Err(conflict(key, Conflict::Changed));
            }
            crash::point("store-before-link");
            match link(&folder, key.name()) {
                Ok(()) => break (folder, undurable),
                Err(Errno::EXIST) => return Err(conflict(key, Conflict::Changed)),
                // The folder was empty and is removed.
                Err(Errno::NOENT) if attempt < FOLDER_ATTEMPTS => {}
                Err(error) => return Err(failed(key, error)),
            }
        };
        crash::point("store-after-link");
        // From here the write has happened, see `commit`.
        let unknown = |_| conflict(key, Conflict::Unknown);
        if generations::newest_number(&folder, key.name())
            .map_err(unknown)?
            .is_some()
        {
            // Others have replaced it since; or it was there before, and only its plain file was gone. The file may
            // stay either way: behind a replacement nobody sees it.
            return Err(conflict(key, Conflict::Unknown));
        }
        // Behind the link, when nothing is left but to wait for the disk. Nobody hears of the object before.
        let new = undurable.iter().rev().map(|new| (&new.parent, new.known.clone()));
        self.root.sync_with_new(&folder, new).map_err(unknown)
    }
}

fn is(error: &anyhow::Error, errno: Errno) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.raw_os_error() == Some(errno.raw_os_error()))
}
