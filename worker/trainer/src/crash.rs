//! Dying at a named point, for tests of what survives; in builds with debug assertions only.

use std::path::Path;

/// Kills the process with `SIGKILL` where `TRAINYARD_CRASH_AT` is `train-1of3`, `train-2of3` or `train-3of3` and `step`
/// of `total` is the first one in that third; once for one folder of checkpoints.
pub fn after_step(step: u64, total: u64, checkpoints: &Path) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(point) = std::env::var("TRAINYARD_CRASH_AT") else {
        return;
    };
    let Some(third) = ["train-1of3", "train-2of3", "train-3of3"]
        .iter()
        .position(|name| *name == point)
    else {
        return;
    };
    let marker = checkpoints.join("crashed");
    let begins = total * third as u64 / 3;
    if step > begins && !marker.exists() && std::fs::write(&marker, &point).is_ok() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
