//! Dying at a named point, for tests of what survives; in builds with debug assertions only.

use rustix::process::{Signal, getpid, kill_process};
use std::path::Path;

/// A step of `total` is done. What `TRAINYARD_CRASH_AT` can name, once for one folder of checkpoints:
///
/// * `train-1of3`, `train-2of3`, `train-3of3`: `SIGKILL` at the first step in that third,
/// * `killed-at-step-<step>`: `SIGKILL`, and `stopped-at-step-<step>`: `SIGTERM`, from the process to itself.
pub fn after_step(step: u64, total: u64, checkpoints: &Path) {
    let begun = ["train-1of3", "train-2of3", "train-3of3"]
        .into_iter()
        .zip([0, total / 3, total * 2 / 3])
        .filter(|(_, begins)| step > *begins);
    for (point, _) in begun {
        at(point, Signal::KILL, checkpoints);
    }
    at(&format!("killed-at-step-{step}"), Signal::KILL, checkpoints);
    at(&format!("stopped-at-step-{step}"), Signal::TERM, checkpoints);
}

/// The checkpoint of `step` is half written: `torn-at-step-<step>`.
pub fn in_checkpoint(step: u64, checkpoints: &Path) {
    at(&format!("torn-at-step-{step}"), Signal::KILL, checkpoints);
}

fn at(point: &str, signal: Signal, checkpoints: &Path) {
    if !cfg!(debug_assertions) || std::env::var("TRAINYARD_CRASH_AT").as_deref() != Ok(point) {
        return;
    }
    let marker = checkpoints.join("crashed");
    if !marker.exists() && std::fs::write(&marker, point).is_ok() {
        let _ = kill_process(getpid(), signal);
    }
}
