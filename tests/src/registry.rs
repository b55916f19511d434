//! What a consumer sees in a directory store, and whether it is whole.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders `<MODEL-n>` below the registry's root, visible or not, in order of their names.
#[must_use]
pub fn version_folders(store: &Path) -> Vec<PathBuf> {
    let mut level = vec![store.join("neptune-ai-model-registry")];
    for _ in 0..4 {
        level = level.iter().flat_map(|folder| children(folder)).collect();
    }
    level.sort();
    level
}

/// Those of them that have a card.
#[must_use]
pub fn visible_versions(store: &Path) -> Vec<PathBuf> {
    version_folders(store)
        .into_iter()
        .filter(|folder| folder.join("model/model_card").exists())
        .collect()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

/// A version's card.
///
/// # Panics
/// If it is no JSON.
#[must_use]
pub fn card(version: &Path) -> Value {
    let bytes = fs::read(version.join("model/model_card")).expect("a card");
    serde_json::from_slice(&bytes).expect("a card is JSON")
}

/// Every file that the manifest names is there with its bytes, and nothing else is (I2).
///
/// # Panics
/// Says which file is not.
pub fn assert_whole(version: &Path) {
    let bytes =
        fs::read(version.join("model/manifest")).unwrap_or_else(|error| panic!("{}: {error}", version.display()));
    let manifest: Value = serde_json::from_slice(&bytes).expect("the manifest is JSON");
    let name = version.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut expected = vec!["model/manifest".to_owned(), "model/model_card".to_owned()];
    for file in manifest["files"].as_array().expect("the manifest lists files") {
        let path = file["path"].as_str().expect("a path").replace("{version}", name);
        let bytes = fs::read(version.join(&path)).unwrap_or_else(|error| panic!("{name}: {path}: {error}"));
        assert_eq!(
            hex::encode(Sha256::digest(&bytes)),
            file["sha256"],
            "{name}: {path} has other bytes than the manifest says"
        );
        expected.push(path);
    }
    expected.sort();
    assert_eq!(
        files(version),
        expected,
        "{name} holds other files than its manifest names"
    );
}

/// Relative paths of all files below a folder, in order.
#[must_use]
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for path in children(&next) {
            if path.is_dir() {
                open.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
