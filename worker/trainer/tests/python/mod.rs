//! Runs the scripts beside this file: the Python libraries that judge what the trainer computes.

use serde::de::DeserializeOwned;
use std::path::Path;
use std::process::Command;

/// What `script` with `arguments` writes to stdout as JSON. `make setup` installs the interpreter.
pub(crate) fn judge<T: DeserializeOwned>(script: &str, arguments: &[&str]) -> T {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = crate_folder.join("../../.tools/python/bin/python");
    let output = Command::new(&interpreter)
        .arg(crate_folder.join("tests/python").join(script))
        .args(arguments)
        .env("HF_HUB_OFFLINE", "1")
        .env("TRANSFORMERS_VERBOSITY", "error")
        .env("TOKENIZERS_PARALLELISM", "false")
        .env("OMP_NUM_THREADS", "2")
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "failed to run {}; `make setup` installs it: {error}",
                interpreter.display()
            )
        });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script} wrote no JSON: {error}\n{errors}"))
}
