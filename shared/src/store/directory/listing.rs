//! What lies below a prefix.

use super::generations::{self, MARK};
use super::root::{Root, absent, open_folder};
use super::temporary::Temporary;
use crate::store::{Entry, Key};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// Every object below `prefix`, in order of keys.
pub(super) fn entries(root: &Root, prefix: &Key) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    if let Some(folder) = root.folder_at(prefix)? {
        collect(&folder, prefix, &mut found)?;
    }
    if !found.is_empty() {
        let now = now(root);
        for entry in &mut found {
            // Until here the age holds the time of writing.
            entry.age_seconds = now.saturating_sub(entry.age_seconds);
        }
    }
    // A folder's objects do not sort where its name does: `a-b` is before `a/b`, but `a` before `a-b`.
    found.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

/// Names of objects, and of folders that hold any, one level below `prefix`.
pub(super) fn names(root: &Root, prefix: &Key) -> io::Result<Vec<String>> {
    let Some(folder) = root.folder_at(prefix)? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for (name, kind) in candidates(&folder)? {
        if holds(&folder, &name, kind)? {
            names.push(name);
        }
    }
    Ok(names)
}

/// The highest `rank` of the names that [`names`] gives: from the top, so that few folders are looked into.
pub(super) fn highest(root: &Root, prefix: &Key, rank: &dyn Fn(&str) -> Option<u64>) -> io::Result<Option<u64>> {
    let Some(folder) = root.folder_at(prefix)? else {
        return Ok(None);
    };
    let candidates = candidates(&folder)?.into_iter();
    let mut ranked: Vec<_> = candidates
        .filter_map(|(name, kind)| Some((rank(&name)?, name, kind)))
        .collect();
    ranked.sort_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
    for (rank, name, kind) in ranked {
        if holds(&folder, &name, kind)? {
            return Ok(Some(rank));
        }
    }
    Ok(None)
}

/// The file system's own clock, by a file written now; the host's where the store cannot be written.
fn now(root: &Root) -> u64 {
    let written = Temporary::create(root).and_then(|probe| probe.written()).ok();
    let host = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    written
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or_else(host)
}

fn collect(folder: &OwnedFd, prefix: &Key, found: &mut Vec<Entry>) -> io::Result<()> {
    for name in candidates(folder)?.into_keys() {
        // Files that somebody else put there under names that are no keys are not in the store.
        let Ok(key) = prefix.join(&name) else { continue };
        if let Some((size, written)) = object(folder, &name)? {
            found.push(Entry {
                key,
                size,
                age_seconds: written,
            });
        } else if let Some(below) = open_folder(folder, &name)? {
            collect(&below, &key, found)?;
        }
    }
    Ok(())
}

fn holds_any(folder: &OwnedFd) -> io::Result<bool> {
    for (name, kind) in candidates(folder)? {
        if holds(folder, &name, kind)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `name` is an object, or a folder that holds one.
fn holds(folder: &OwnedFd, name: &str, kind: Candidate) -> io::Result<bool> {
    match kind {
        Candidate::Plain => return Ok(true),
        Candidate::Generations if object(folder, name)?.is_some() => return Ok(true),
        Candidate::Generations | Candidate::Folder => {}
    }
    open_folder(folder, name)?.map_or(Ok(false), |below| holds_any(&below))
}

/// What the folder itself says of a name, so that a listing of many versions looks at each file no second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Candidate {
    /// No object: generations would lie beside it.
    Folder,
    /// A file that was never replaced.
    Plain,
    /// What it is, its generations tell.
    Generations,
}

/// Names that may be objects or folders, in order: generations under their object's name, links and the store's own
/// files left out.
fn candidates(folder: &OwnedFd) -> io::Result<BTreeMap<String, Candidate>> {
    let mut names = BTreeMap::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(whole) = entry.file_name().to_str() else {
            continue;
        };
        let name = whole.strip_suffix(MARK).unwrap_or(whole);
        if Key::new(name).is_err() {
            continue;
        }
        let kind = match entry.file_type() {
            // Not every file system says it here.
            FileType::Unknown => absent(statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW))?
                .map(|stat| FileType::from_raw_mode(stat.st_mode)),
            kind => Some(kind),
        };
        let found = match kind {
            Some(FileType::RegularFile | FileType::Directory) if name != whole => Candidate::Generations,
            Some(FileType::RegularFile) => Candidate::Plain,
            Some(FileType::Directory) => Candidate::Folder,
            _ => continue,
        };
        names
            .entry(name.to_owned())
            .and_modify(|known: &mut Candidate| *known = found.max(*known))
            .or_insert(found);
    }
    Ok(names)
}

/// Size and time of writing (seconds since the epoch) of the object `name`, if it is one.
fn object(folder: &OwnedFd, name: &str) -> Result<Option<(u64, u64)>, Errno> {
    loop {
        let Some(newest) = generations::newest(folder, name)? else {
            return Ok(None);
        };
        let stat = statat(&newest.folder, newest.name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let Some(stat) = absent(stat)? else {
            // Gone since we looked: replaced many times, or deleted. The next look tells.
            continue;
        };
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        return Ok(Some((size, u64::try_from(stat.st_mtime).unwrap_or_default())));
    }
}
