//! How an object changes without a lock.
//!
//! An object that was never replaced is the plain file `<key>`. Its n-th replacement is the file `<key>.~/<n>` (eight
//! digits or more), made by link(2): whoever finds that name taken has lost. The plain file is generation 0 and the
//! newest generation is the object. Nothing is ever written in place, so a writer that is stopped or killed at any
//! moment stops nobody. To delete the object is to move the whole folder away, in one step.
//!
//! **Why a late writer cannot win.** A generation is removed only when [`KEPT`] newer ones exist. A writer that was
//! stopped before its link may find its number free again, but then at least [`KEPT`] newer ones exist; so a link that
//! is followed by fewer is certainly a win, and otherwise the writer takes its file back and hears
//! [`Conflict::Unknown`](crate::store::Conflict::Unknown). Readers never saw it: they take the newest. A writer whose
//! folder, or for the first replacement whose plain file, is another one after its link hears that the object is gone.
//!
//! **Why a listing shows the newest.** The folder has so few entries that the kernel lists it in one call, which on a
//! local file system excludes a link or a removal in the middle.

use super::root::{absent, open_folder};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Newer generations that protect one from removal.
pub(super) const KEPT: u64 = 16;

/// What the folder of generations is called behind the key's last name.
pub(super) const MARK: &str = ".~";

/// The newest generation of an object.
#[derive(Debug)]
pub(super) struct Newest {
    /// 0 is the plain file.
    pub(super) number: u64,
    /// Where the file is.
    pub(super) folder: OwnedFd,
    /// What it is called there.
    pub(super) name: String,
}

impl Newest {
    /// Opens the content. `None`: removed meanwhile, since newer ones exist or the object was deleted.
    pub(super) fn open(&self) -> Result<Option<File>, Errno> {
        // Without NONBLOCK a planted pipe would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        absent(openat(&self.folder, self.name.as_str(), flags, Mode::empty())).map(|file| file.map(File::from))
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

/// The newest generation of `name` in `folder`; `None`: there is no such object.
pub(super) fn newest(folder: &OwnedFd, name: &str) -> Result<Option<Newest>, Errno> {
    loop {
        if let Some(found) = newest_replacement(folder, name)? {
            return Ok(Some(found));
        }
        match kind(folder, name)? {
            Some(FileType::RegularFile) => {
                let folder = folder.try_clone().map_err(|_| Errno::MFILE)?;
                return Ok(Some(Newest {
                    number: 0,
                    folder,
                    name: name.to_owned(),
                }));
            }
            Some(FileType::Directory) => return Ok(None),
            Some(_) => return Err(Errno::LOOP),
            // The plain file may have been removed for its age between the two looks: then there are replacements now.
            None if newest_number(folder, name)?.is_some() => {}
            None => return Ok(None),
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
        match kind(&generations, &name)? {
            Some(FileType::RegularFile) => {
                return Ok(Some(Newest {
                    number,
                    folder: generations,
                    name,
                }));
            }
            Some(_) => return Err(Errno::LOOP),
            // Removed since we looked.
            None => {}
        }
    }
}

fn kind(folder: &OwnedFd, name: &str) -> Result<Option<FileType>, Errno> {
    let stat = absent(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
    Ok(stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
}

/// The number of the newest replacement.
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
    // The plain file stays one longer: the first replacement looks whether it is still there.
    if newest <= KEPT {
        return;
    }
    let Ok(Some(generations)) = open_folder(folder, &folder_name(name)) else {
        return;
    };
    for number in numbers(&generations).unwrap_or_default() {
        if number + KEPT <= newest {
            let _ = unlinkat(&generations, generation_name(number).as_str(), AtFlags::empty());
        }
    }
    let _ = unlinkat(folder, name, AtFlags::empty());
}

/// Whether `name` in `folder` still is the file or folder that `open` is.
pub(super) fn is_still(folder: &OwnedFd, name: &str, open: impl AsFd) -> Result<bool, Errno> {
    let open = fstat(open)?;
    let there = absent(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
    Ok(there.is_some_and(|there| (there.st_dev, there.st_ino) == (open.st_dev, open.st_ino)))
}
