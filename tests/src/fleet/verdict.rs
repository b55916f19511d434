//! What must be true of a site, whatever died: exactly one version a job, whole; no orphans after the sweep.

use super::Site;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::job::JobId;
use shared::ledger::Status;
use shared::store::{Key, Store};
use shared::sweeper::Sweeper;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Names from the store's root to a version's folder: root, workspace, project, model, version.
const DEPTH: usize = 5;

/// Everything that a consumer can see: key and bytes.
pub type Visible = BTreeMap<String, Vec<u8>>;

/// Reads everything below the registry's root.
///
/// # Panics
/// If the store is away.
pub async fn visible(store: &dyn Store) -> Visible {
    let root = Key::new("neptune-ai-model-registry").expect("a key");
    let mut all = Visible::new();
    for entry in store.list(&root).await.expect("lists") {
        if let Some(object) = store.get(&entry.key).await.expect("reads") {
            all.insert(entry.key.as_str().to_owned(), object.bytes.to_vec());
        }
    }
    all
}

/// One version's files by their paths below its folder.
type Version<'a> = BTreeMap<&'a str, &'a [u8]>;

fn versions(visible: &Visible) -> BTreeMap<&str, Version<'_>> {
    let mut found: BTreeMap<&str, Version<'_>> = BTreeMap::new();
    for (key, bytes) in visible {
        let (at, _) = key.match_indices('/').nth(DEPTH - 1).expect("a file of a version");
        found.entry(&key[..at]).or_default().insert(&key[at + 1..], bytes);
    }
    found
}

/// Every file that the manifest names is there with its bytes, and nothing else is (I2).
fn assert_whole(folder: &str, version: &Version<'_>) {
    let name = folder.rsplit('/').next().unwrap_or_default();
    let manifest = version
        .get("model/manifest")
        .unwrap_or_else(|| panic!("{folder} has no manifest"));
    let manifest: Value = serde_json::from_slice(manifest).expect("the manifest is JSON");
    let mut expected = BTreeSet::from(["model/manifest".to_owned(), "model/model_card".to_owned()]);
    for file in manifest["files"].as_array().expect("the manifest lists files") {
        let path = file["path"].as_str().expect("a path").replace("{version}", name);
        let bytes = version
            .get(path.as_str())
            .unwrap_or_else(|| panic!("{folder} has no {path}"));
        assert_eq!(
            hex::encode(Sha256::digest(bytes)),
            file["sha256"],
            "{folder}: {path} has other bytes"
        );
        expected.insert(path);
    }
    let found: BTreeSet<String> = version.keys().map(|path| (*path).to_owned()).collect();
    assert_eq!(found, expected, "{folder} holds other files than its manifest names");
}

/// Nothing that a consumer takes for a version is half.
///
/// # Panics
/// Says what is.
pub async fn assert_nothing_half(site: &Site<'_>) {
    let visible = visible(site.store()).await;
    for (folder, version) in versions(&visible) {
        if version.contains_key("model/model_card") {
            assert_whole(folder, &version);
        }
    }
}

/// These jobs are registered, each with one whole version of its own, numbered without a hole; there is no other version,
/// seen or unseen.
///
/// # Panics
/// Says what is not so.
pub async fn assert_registered(site: &Site<'_>, ids: &[JobId]) {
    let visible = visible(site.store()).await;
    let versions = versions(&visible);
    let mut numbers = BTreeSet::new();
    for id in ids {
        let state = site.state(id).await.state;
        assert_eq!(state.status, Status::Registered, "{state:#?}");
        let number = state.version.expect("a registered job has a version");
        assert!(numbers.insert(number), "version {number} has two jobs");
        let (folder, version) = versions
            .iter()
            .find(|(folder, _)| folder.ends_with(&format!("-{number}")))
            .unwrap_or_else(|| panic!("no version {number}"));
        assert_whole(folder, version);
        let card = version
            .get("model/model_card")
            .unwrap_or_else(|| panic!("{folder} has no card"));
        let card: Value = serde_json::from_slice(card).expect("the card is JSON");
        assert_eq!(card["job"], id.as_str(), "{folder}");
    }
    let names: Vec<&&str> = versions.keys().collect();
    assert_eq!(
        versions.len(),
        ids.len(),
        "{} jobs made these versions: {names:?}",
        ids.len()
    );
    assert_eq!(numbers, (1..=ids.len() as u64).collect(), "numbers have holes");
}

/// Sweeps until nothing is left to do, and looks for what nobody needs.
///
/// # Panics
/// Says what is left.
pub async fn assert_swept(site: &Site<'_>, ids: &[JobId]) {
    let sweeper = Sweeper::new(site.ledger.clone(), Arc::clone(&site.queue));
    // moto's uploads are of 2010: old enough for any sweeper that looks.
    let mut sweeper = sweeper.looking_for_uploads_every(Duration::ZERO);
    loop {
        let swept = sweeper.sweep().await.expect("sweeps");
        assert_eq!(swept.failed, 0, "{swept:?}");
        if swept.deleted == 0 {
            break;
        }
    }
    for id in ids {
        for kind in ["staged", "checkpoints"] {
            let folder = Key::new(format!("trainyard/jobs/{id}/{kind}")).expect("a key");
            let left = site.store().list(&folder).await.expect("lists");
            assert!(left.is_empty(), "{kind} are left behind: {left:?}");
        }
    }
    let uploads = site.uploads().await;
    assert!(uploads.is_empty(), "uploads are left behind: {uploads:?}");
}
