//! The store's folder and the way from it to a key's folder, which no symbolic link can divert.

use super::together::Together;
use crate::store::Key;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fsync, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Folders are opened one by one, none of them through a link.
const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// More folders than one process touches between two restarts; beyond, they are made durable once more.
const DURABLE_LIMIT: usize = 4096;

/// The folder of a store; it need not exist yet.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Folders whose entries this process knows to survive the loss of power.
    durable: Mutex<HashSet<Known>>,
    together: Together,
}

/// A folder: its inode and its path below the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Known(u64, PathBuf);

/// A folder that may be gone after the loss of power.
#[derive(Debug)]
pub(super) struct Undurable {
    pub(super) parent: OwnedFd,
    pub(super) known: Known,
}

impl Root {
    /// Checks that `path` is, or can become, a folder that we may write.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let mut place: &Path = &path;
        let found = loop {
            match std::fs::metadata(place) {
                Ok(found) => break found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    place = place.parent().ok_or(error)?;
                }
                Err(error) => return Err(error),
            }
        };
        if !found.is_dir() {
            return Err(io::Error::other(format!("{} is no folder", place.display())));
        }
        let allowed = rustix::fs::access(place, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
        allowed.map_err(|error| io::Error::other(format!("{} cannot be written: {error}", place.display())))?;
        Ok(Self {
            path,
            durable: Mutex::default(),
            together: Together::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The root folder, or `None` before the first write.
    pub(super) fn existing(&self) -> Result<Option<OwnedFd>, Errno> {
        // The root itself may be a link: it is the owner's own setting.
        absent(openat(
            CWD,
            &self.path,
            FOLDER.difference(OFlags::NOFOLLOW),
            Mode::empty(),
        ))
    }

    /// The root folder, created if need be.
    pub(super) fn created(&self) -> io::Result<OwnedFd> {
        if let Some(root) = self.existing()? {
            return Ok(root);
        }
        // From the first folder that exists, each new one is made durable in its parent.
        let mut missing = vec![self.path.as_path()];
        while let Some(parent) = missing.last().and_then(|path| path.parent()) {
            if parent.exists() {
                break;
            }
            missing.push(parent);
        }
        for path in missing.into_iter().rev() {
            let made = mkdirat(CWD, path, FOLDER_MODE);
            if made != Err(Errno::EXIST) {
                made?;
            }
            if let Some(parent) = path.parent() {
                fsync(openat(CWD, parent, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())?)?;
            }
        }
        Ok(openat(
            CWD,
            &self.path,
            FOLDER.difference(OFlags::NOFOLLOW),
            Mode::empty(),
        )?)
    }

    /// The folder that holds `key`'s last name, or `None` where it is missing.
    pub(super) fn folder_of(&self, key: &Key) -> Result<Option<OwnedFd>, Errno> {
        let Some(root) = self.existing()? else { return Ok(None) };
        let names = key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        walk(root, names)
    }

    /// The folder named by the whole of `key`, or `None` where it is missing.
    pub(super) fn folder_at(&self, key: &Key) -> Result<Option<OwnedFd>, Errno> {
        let Some(root) = self.existing()? else { return Ok(None) };
        walk(root, key.as_str())
    }

    /// The folder that holds `key`'s last name, created if need be, and the folders on the way to it that are to be made
    /// durable before anybody hears that something lies there.
    pub(super) fn make_folder_of(&self, key: &Key) -> io::Result<(OwnedFd, Vec<Undurable>)> {
        let mut folder = self.created()?;
        let names = key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        let (mut path, mut undurable) = (PathBuf::new(), Vec::new());
        for name in names.split('/').filter(|name| !name.is_empty()) {
            path.push(name);
            let (next, known) = self.make(&folder, name, &path)?;
            let parent = std::mem::replace(&mut folder, next);
            undurable.extend(known.map(|known| Undurable { parent, known }));
        }
        Ok((folder, undurable))
    }

    /// The folder `name` in `parent`, created if need be; `path` is its path below the root. With it comes what
    /// [`Self::sync_with_new`] wants where the folder is not known to survive the loss of power: also where another
    /// process made it, which may have died before it came to that.
    pub(super) fn make(&self, parent: &OwnedFd, name: &str, path: &Path) -> io::Result<(OwnedFd, Option<Known>)> {
        let (folder, new) = make_folder(parent, name)?;
        let known = Known(rustix::fs::fstat(&folder)?.st_ino, path.to_owned());
        let durable = !new && self.durable().contains(&known);
        Ok((folder, (!durable).then_some(known)))
    }

    /// What was written to the files and folders `open` survives the loss of power. Without a lock: many writers wait for
    /// the disk at once, which it serves together.
    pub(super) fn sync(&self, open: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        self.together.sync(open)
    }

    /// The same of `folder` and of the folders that [`Self::make`] returned, each with its parent.
    pub(super) fn sync_with_new<'a>(
        &self,
        folder: &'a OwnedFd,
        new: impl IntoIterator<Item = (&'a OwnedFd, Known)>,
    ) -> Result<(), Errno> {
        let (parents, known): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let all: Vec<BorrowedFd<'_>> = std::iter::once(folder).chain(parents).map(AsFd::as_fd).collect();
        self.sync(&all)?;
        let mut durable = self.durable();
        if durable.len() >= DURABLE_LIMIT {
            durable.clear();
        }
        durable.extend(known);
        Ok(())
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<Known>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the folders on the way to `key` that are empty, from the deepest up. Thrift only: failures are ignored.
    pub(super) fn prune(&self, key: &Key) {
        let mut names = key.as_str();
        while let Some((folder, _)) = names.rsplit_once('/') {
            names = folder;
            let (above, name) = folder.rsplit_once('/').unwrap_or(("", folder));
            let Ok(Some(root)) = self.existing() else { return };
            let Ok(Some(parent)) = walk(root, above) else { return };
            if unlinkat(parent, name, AtFlags::REMOVEDIR).is_err() {
                return;
            }
        }
    }
}

fn walk(root: OwnedFd, names: &str) -> Result<Option<OwnedFd>, Errno> {
    let mut folder = root;
    for name in names.split('/').filter(|name| !name.is_empty()) {
        match open_folder(&folder, name)? {
            Some(next) => folder = next,
            None => return Ok(None),
        }
    }
    Ok(Some(folder))
}

/// The folder `name` in `parent`, and whether it was made now. It may not survive the loss of power.
pub(super) fn make_folder(parent: &OwnedFd, name: &str) -> io::Result<(OwnedFd, bool)> {
    // Somebody may remove the empty folder between the two calls; then the loop makes it again.
    loop {
        if let Some(folder) = open_folder(parent, name)? {
            return Ok((folder, false));
        }
        match mkdirat(parent, name, FOLDER_MODE) {
            Err(Errno::EXIST) => {}
            made => made?,
        }
        if let Some(folder) = open_folder(parent, name)? {
            return Ok((folder, true));
        }
        if statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(io::Error::other(format!("{name} is no folder")));
        }
    }
}

/// The folder `name` in `parent`; `None` where there is none or a file, an error where there is a link.
pub(super) fn open_folder(parent: impl AsFd, name: &str) -> Result<Option<OwnedFd>, Errno> {
    let parent: BorrowedFd<'_> = parent.as_fd();
    match openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Err(Errno::LOOP),
            _ => Ok(None),
        },
        other => absent(other),
    }
}

/// "No such file" as `None`.
pub(super) fn absent<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
