//! Room on the disk, asked before work begins: a job that cannot fit fails at once and says how much it needs.

use std::path::Path;

/// Kept free whatever a job needs, in bytes: other processes of the host write too.
const RESERVE: u64 = 256 << 20;

/// What a pipeline writes, as multiples of its model's bytes.
///
/// A checkpoint holds the weights and two moments of the optimizer, two are kept while a third is written; the export
/// holds the weights once more.
const MODEL_COPIES_WITH_TRAINING: u64 = 3 * 3 + 1;
const MODEL_COPIES_WITHOUT: u64 = 1;

/// Too little room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the disk of {folder} is too small for this job: it needs about {} MiB, {} MiB are free", needed >> 20, free >> 20)]
pub struct DiskTooSmall {
    folder: String,
    needed: u64,
    free: u64,
}

/// Bytes that a pipeline will write for a model of `model` bytes and training data of `data` bytes.
#[must_use]
pub fn estimate(model: u64, data: u64, trains: bool) -> u64 {
    let copies = if trains {
        MODEL_COPIES_WITH_TRAINING
    } else {
        MODEL_COPIES_WITHOUT
    };
    model.saturating_mul(copies).saturating_add(data)
}

/// Checks that `needed` bytes can be written below `folder`. A file system that does not say is believed to have room.
///
/// # Errors
/// [`DiskTooSmall`].
pub fn check(folder: &Path, needed: u64) -> Result<(), DiskTooSmall> {
    let needed = needed.saturating_add(RESERVE);
    match free(folder) {
        Some(free) if free < needed => Err(DiskTooSmall {
            folder: folder.display().to_string(),
            needed,
            free,
        }),
        _ => Ok(()),
    }
}

/// Bytes that this user may still write below `folder`, where the file system says.
#[must_use]
pub fn free(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes of all files below `folder`, links followed; what cannot be read counts nothing.
#[must_use]
pub fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match std::fs::metadata(entry.path()) {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{check, estimate, size};

    #[test]
    fn too_large_a_job_is_told_both_figures() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(folder.path(), u64::MAX / 2).unwrap_err().to_string();
        assert!(
            error.contains("MiB are free") && error.contains("needs about"),
            "{error}"
        );
        assert_eq!(check(folder.path(), 1), Ok(()));
    }

    #[test]
    fn training_needs_room_for_checkpoints() {
        assert_eq!(estimate(100, 7, true), 1007);
        assert_eq!(estimate(100, 7, false), 107);
    }

    #[test]
    fn size_counts_nested_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("c"), [0; 5]).unwrap();
        assert_eq!(size(folder.path()), 15);
    }
}
