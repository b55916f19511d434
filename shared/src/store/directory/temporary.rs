//! Files on their way into the store: whole and on disk before they get their name.

use super::root::{Root, absent, make_folder, open_folder};
use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, fsync, linkat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Below the root and so on its file system. No key: the mark `.~` is the store's own.
pub(super) const FOLDER: &str = ".~tmp";

/// Left over by a process that died: nobody writes one file for longer.
const ABANDONED_SECONDS: i64 = 24 * 60 * 60;

/// A file under a temporary name, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: OwnedFd,
    name: String,
    pub(super) file: File,
}

impl Temporary {
    /// An empty file of our own.
    pub(super) fn create(root: &Root) -> io::Result<Self> {
        let (folder, _) = make_folder(&root.created()?, FOLDER)?;
        let name = format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, name.as_str(), flags, Mode::from_raw_mode(0o666))?;
        Ok(Self {
            folder,
            name,
            file: file.into(),
        })
    }

    /// Gives the file its name in `parent`; [`Errno::EXIST`] if that name is taken. Its bytes must be on disk.
    pub(super) fn name(&self, parent: &OwnedFd, name: &str) -> Result<(), Errno> {
        match linkat(&self.folder, self.name.as_str(), parent, name, AtFlags::empty()) {
            // No hard links here (FAT, some network file systems): the other atomic way that never overwrites.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                renameat_with(&self.folder, self.name.as_str(), parent, name, RenameFlags::NOREPLACE)
            }
            other => other,
        }
    }

    /// Seconds since the epoch by the file system's own clock: when this file was last written.
    pub(super) fn written(&self) -> io::Result<i64> {
        Ok(rustix::fs::fstat(&self.file)?.st_mtime)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed now is swept later.
        let _ = unlinkat(&self.folder, self.name.as_str(), AtFlags::empty());
    }
}

/// Moves the folder `name` out of `parent` in one step and removes it.
pub(super) fn discard(root: &Root, parent: &OwnedFd, name: &str) -> io::Result<()> {
    let (folder, _) = make_folder(&root.created()?, FOLDER)?;
    let discarded = format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
    renameat(parent, name, &folder, discarded.as_str())?;
    fsync(parent)?;
    remove_folder(&folder, &discarded);
    Ok(())
}

/// Removes what dead processes left more than a day before `now`. Thrift only: failures are ignored.
pub(super) fn sweep(root: &Root, now: i64) {
    let Ok(Some(root)) = root.existing() else { return };
    let Ok(Some(folder)) = open_folder(&root, FOLDER) else {
        return;
    };
    for name in names(&folder) {
        let Ok(Some(stat)) = absent(statat(&folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)) else {
            continue;
        };
        if now - stat.st_mtime <= ABANDONED_SECONDS {
            continue;
        }
        if unlinkat(&folder, name.as_str(), AtFlags::empty()).is_err() {
            remove_folder(&folder, &name);
        }
    }
}

/// A folder of generations: it has no folders in it.
fn remove_folder(parent: &OwnedFd, name: &str) {
    if let Ok(Some(folder)) = open_folder(parent, name) {
        for name in names(&folder) {
            let _ = unlinkat(&folder, name.as_str(), AtFlags::empty());
        }
    }
    let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
}

fn names(folder: &OwnedFd) -> Vec<String> {
    let Ok(entries) = Dir::read_from(folder) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    names.filter(|name| name != "." && name != "..").collect()
}
