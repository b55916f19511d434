//! The one pretrained model at hand: all-MiniLM-L6-v2, in the hub cache of this machine, where `make setup` puts it.

use std::path::{Path, PathBuf};

/// Its repository.
pub const NAME: &str = "sentence-transformers/all-MiniLM-L6-v2";

fn snapshot() -> PathBuf {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = folder("HF_HUB_CACHE")
        .or_else(|| folder("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/huggingface/hub")))
        .expect("one of HF_HUB_CACHE, HF_HOME and HOME is set");
    let snapshots = cache
        .join(format!("models--{}", NAME.replace('/', "--")))
        .join("snapshots");
    let entries = std::fs::read_dir(&snapshots)
        .unwrap_or_else(|error| panic!("no {}; `make setup` fetches it: {error}", snapshots.display()));
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|snapshot| snapshot.join("model.safetensors").exists())
        .unwrap_or_else(|| panic!("no snapshot in {} holds model.safetensors", snapshots.display()))
}

/// Copies it into a folder, as a repository of a test's hub.
///
/// # Panics
/// If it is not there.
pub fn copy_to(folder: &Path) {
    copy(&snapshot(), folder);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("lists").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            // The cache holds links; `copy` follows them.
            std::fs::copy(&source, &target).expect("copies");
        }
    }
}
