//! Python programs that write what only Python writes: the trainer's judges.

use std::{path::Path, process::Command};

/// Runs a program of `worker/trainer/tests/python` on a folder, and waits for its end.
///
/// # Panics
/// Where it fails, or Python is not installed.
pub fn python(script: &str, folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let done = Command::new(root.join(".tools/python/bin/python"))
        .arg(root.join("worker/trainer/tests/python").join(script))
        .arg(folder)
        .output()
        .expect("`make setup` installs Python");
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}
