//! Room on the disk, asked before work begins: a job that cannot fit fails at once and says how much it needs.

use std::path::Path;
use trainer_protocol::{Strategy, Training};

/// Kept free whatever a job needs, in bytes: other processes of the host write too.
const RESERVE: u64 = 256 << 20;

/// Too little room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the disk of {folder} is too small for this job: it needs about {} MiB, {} MiB are free", needed >> 20, free >> 20)]
pub struct DiskTooSmall {
    folder: String,
    needed: u64,
    free: u64,
}

/// Bytes that a pipeline will write at most for a model of `model` bytes and training data of `data` bytes.
///
/// The export holds the weights once. A checkpoint holds them and two moments of the optimizer. Where the strategy keeps any,
/// one more is written beside those that are kept, and each can name other best weights.
#[must_use]
pub fn estimate(model: u64, data: u64, training: Option<&Training>) -> u64 {
    let best = training.is_some_and(|training| training.load_best_model_at_end);
    let strategys = training.map_or(0, kept);
    let written = if strategys == 0 { 0 } else { strategys + 1 };
    let copies = 1 + written * (3 + u64::from(best)) + training.map_or(0, |_| NEWEST * 3);
    model.saturating_mul(copies).saturating_add(data)
}

/// Checkpoints that are there because they are the newest: two, and one on its way to the store.
const NEWEST: u64 = 3;

/// Checkpoints of the strategy that lie in the folder when a training ends.
fn kept(training: &Training) -> u64 {
    let limit = u64::from(training.save_total_limit);
    match training.save_strategy {
        Strategy::No => 0,
        Strategy::Epoch => limit.min(training.epochs.into()),
        Strategy::Steps => limit,
    }
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
    use serde_json::json;
    use trainer_protocol::Training;

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

    fn training(save_strategy: &str, epochs: u32, limit: u32, best: bool) -> Training {
        serde_json::from_value(json!({
            "data": {"path": "rows", "format": "jsonl", "name": "rows"},
            "epochs": epochs, "train_batch_size": 1, "gradient_accumulation_steps": 1, "learning_rate": 1e-5,
            "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": 1.0, "test_size": 0.2,
            "evaluation_strategy": "epoch", "save_strategy": save_strategy, "save_steps": 10,
            "save_total_limit": limit, "load_best_model_at_end": best, "metric_for_best_model": "loss",
            "early_stopping_patience": null
        }))
        .unwrap()
    }

    #[test]
    fn training_needs_room_for_every_checkpoint_that_is_kept_and_the_one_being_written() {
        assert_eq!(estimate(100, 7, None), 107);
        let needed = |training: &Training| estimate(100, 7, Some(training));
        assert_eq!(needed(&training("no", 3, 10, false)), 107 + 3 * 300);
        assert_eq!(needed(&training("epoch", 3, 10, false)), 107 + 7 * 300);
        assert_eq!(needed(&training("epoch", 3, 2, false)), 107 + 6 * 300);
        assert_eq!(needed(&training("steps", 3, 10, false)), 107 + 14 * 300);
        assert_eq!(needed(&training("epoch", 3, 10, true)), 107 + 4 * 400 + 900);
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
