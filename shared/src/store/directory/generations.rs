//! How an object changes without a lock.
//!
//! An object that was never replaced is the plain file `<key>`. Its n-th replacement is the file `<key>.~/<n>` (eight
//! digits or more), made by link(2): whoever finds that name taken has lost. The plain file is generation 0, the
//! newest generation is the object, and a *folder* of that name says that the object was deleted. Nothing is ever
//! written in place, so a writer that is stopped or killed at any moment stops nobody.
//!
//! **Why a late writer cannot win.** A generation is removed only when [`KEPT`] newer ones exist. A writer that was
//! stopped before its link may find its number free again, but then at least [`KEPT`] newer ones exist; so a link that
//! is followed by fewer is certainly a win, and otherwise the writer takes its file back and hears
//! [`Conflict::Unknown`](crate::store::Conflict::Unknown). Readers never saw it: they take the newest.
//!
//! **Why a listing shows the newest.** The folder has so few entries that the kernel lists it in one call, which on a
//! local file system excludes a link or a removal in the middle.

use super::root::{absent, open_folder};
use rustix::fs::{AtFlags, Dir, FileType, fsync, mkdirat, statat, unlinkat};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;

/// Newer generations that protect one from removal.
pub(super) const KEPT: u64 = 16;

/// What the folder of generations is called behind the key's last name.
pub(super) const MARK: &str = ".~";

/// The newest generation of an object.
#[derive(Debug)]
pub(super) struct Newest {
    /// 0 is the plain file.
    pub(super) number: u64,
    /// The folder and the name in it of the file; `None`: it was deleted.
    pub(super) place: Option<(OwnedFd, String)>,
}

impl Newest {
    /// Opens the content. `None`: removed meanwhile, since newer ones exist.
    pub(super) fn open(&self) -> Result<Option<File>, Errno> {
        let Some((folder, name)) = &self.place else {
            return Ok(None);
        };
        // Without NONBLOCK a planted pipe would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        absent(openat(folder, name.as_str(), flags, Mode::empty())).map(|file| file.map(File::from))
    }
}

/// The folder of generations of `name`.
pub(super) fn folder_name(name: &str) -> String {
    format!("{name}{MARK}")
}

/// A generation's name.
pub(super) fn generation_name(number: u64) -> String {
    format!("{number:08}")
}

/// The newest generation of `name` in `folder`; `None`: it was never there, or deleted before it was ever replaced.
pub(super) fn newest(folder: &OwnedFd, name: &str) -> Result<Option<Newest>, Errno> {
    loop {
        if let Some(found) = newest_replacement(folder, name)? {
            return Ok(Some(found));
        }
        let plain = absent(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
        if let Some(stat) = plain {
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {}
                FileType::Directory => return Ok(None),
                _ => return Err(Errno::LOOP),
            }
            let place = Some((folder.try_clone().map_err(|_| Errno::MFILE)?, name.to_owned()));
            return Ok(Some(Newest { number: 0, place }));
        }
        // The plain file may have been removed for its age between the two looks: then there are replacements now.
        if newest_number(folder, name)?.is_none() {
            return Ok(None);
        }
    }
}

fn newest_replacement(folder: &OwnedFd, name: &str) -> Result<Option<Newest>, Errno> {
    let Some(generations) = open_folder(folder, &folder_name(name))? else {
        return Ok(None);
    };
    loop {
        let Some(number) = numbers(&generations)?.into_iter().max() else {
            return Ok(None);
        };
        let name = generation_name(number);
        let Some(stat) = absent(statat(&generations, name.as_str(), AtFlags::SYMLINK_NOFOLLOW))? else {
            continue;
        };
        let place = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Some((generations, name)),
            FileType::Directory => None,
            _ => return Err(Errno::LOOP),
        };
        return Ok(Some(Newest { number, place }));
    }
}

/// The number of the newest replacement, deleted or not.
pub(super) fn newest_number(folder: &OwnedFd, name: &str) -> Result<Option<u64>, Errno> {
    match open_folder(folder, &folder_name(name))? {
        Some(generations) => Ok(numbers(&generations)?.into_iter().max()),
        None => Ok(None),
    }
}

fn numbers(generations: &OwnedFd) -> Result<Vec<u64>, Errno> {
    let mut numbers = Vec::new();
    for entry in Dir::read_from(generations)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let number = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        // Only names that we make: `+1` and `1` are numbers too.
        numbers.extend(number.filter(|number| generation_name(*number).as_bytes() == name));
    }
    Ok(numbers)
}

/// Removes what [`KEPT`] newer generations have outlived. Thrift only: failures are ignored.
pub(super) fn clean(folder: &OwnedFd, name: &str, newest: u64) {
    if newest < KEPT {
        return;
    }
    let Ok(Some(generations)) = open_folder(folder, &folder_name(name)) else {
        return;
    };
    for number in numbers(&generations).unwrap_or_default() {
        if number + KEPT <= newest {
            remove(&generations, &generation_name(number));
        }
    }
    // A win at generation 0 is over only where it is a file; a folder of this name is another key's.
    let _ = unlinkat(folder, name, AtFlags::empty());
}

fn remove(generations: &OwnedFd, name: &str) {
    if unlinkat(generations, name, AtFlags::empty()).is_err() {
        let _ = unlinkat(generations, name, AtFlags::REMOVEDIR);
    }
}

/// Marks generation `number` of `name` as "deleted"; [`Errno::EXIST`] if it is taken. Durable when it returns.
pub(super) fn bury(folder: &OwnedFd, name: &str, number: u64) -> Result<(), Errno> {
    let generations = open_folder(folder, &folder_name(name))?.ok_or(Errno::NOENT)?;
    mkdirat(
        &generations,
        generation_name(number).as_str(),
        Mode::from_raw_mode(0o777),
    )?;
    fsync(&generations)
}
