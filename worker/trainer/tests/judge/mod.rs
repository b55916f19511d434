//! Python as an independent judge, and small jobs for it to judge.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub(crate) mod job;
pub(crate) mod table;
pub(crate) mod tokenizers;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Runs `tests/python/<script>` and gives what it printed. There is no test without the judge: where Python is missing,
/// this fails.
pub(crate) fn python(script: &str, arguments: &[&Path]) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../.tools/python/bin/python");
    assert!(python.exists(), "{} is missing: run `make setup`", python.display());
    let output = Command::new(python)
        .arg(here.join("tests/python").join(script))
        .args(arguments)
        .env("OMP_NUM_THREADS", "2")
        .output()
        .expect("python starts");
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("python prints UTF-8")
}

/// The JSON in a file.
pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// A folder with the tiny models of `write_models.py`, written once a test binary.
pub(crate) fn models() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        python("write_models.py", &[&folder]);
        folder
    })
}

/// Copies a model so that it can be changed.
pub(crate) fn copy(name: &str, to: &Path) {
    copy_folder(&models().join(name), to);
}

/// The files of a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            std::fs::create_dir_all(to).unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Sets fields of a config.json.
pub(crate) fn configure(folder: &Path, fields: Value) {
    let file = folder.join("config.json");
    let mut config = json(&file);
    for (key, value) in fields.as_object().unwrap() {
        config[key] = value.clone();
    }
    std::fs::write(file, config.to_string()).unwrap();
}
