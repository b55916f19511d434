//! Checkpoints that attack their reader: refused with what they were, and nothing ran.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::python;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tch::Kind;
use trainer::encoder::read_checkpoint;
use trainer::failure::Failure;

#[derive(Deserialize)]
struct Case {
    says: Vec<String>,
    /// Python, which executes pickles, was seen to be harmed by it.
    ran: bool,
}

/// The folder of `write_hostile.py`, written once, and its cases.
fn hostile() -> &'static (PathBuf, BTreeMap<String, Case>) {
    static WRITTEN: OnceLock<(PathBuf, BTreeMap<String, Case>)> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        let printed = python("write_hostile.py", &[&folder]);
        (folder, serde_json::from_str(&printed).unwrap())
    })
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn every_attack_is_refused_with_what_it_was_and_nothing_runs() {
    let (folder, cases) = hostile();
    assert!(cases.values().filter(|case| case.ran).count() >= 15);
    let good = &read_checkpoint(&folder.join("well-made"), "model").unwrap()["a"];
    assert_eq!(
        Vec::<f32>::try_from(good).unwrap(),
        [2.0, 3.0, 4.0],
        "the attacks are built as this file is"
    );
    let before = peak();
    let mut wrong = Vec::new();
    for (name, case) in cases {
        match read_checkpoint(&folder.join(name), "model") {
            Err(Failure::User(said)) => {
                let named = said.starts_with("model/pytorch_model.bin: ");
                let silent = case.says.iter().filter(|word| !said.contains(*word));
                let silent: Vec<_> = silent.collect();
                if !named || !silent.is_empty() || said.len() > 400 {
                    wrong.push(format!("{name} does not say {silent:?}: {said}"));
                }
            }
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let canaries = std::fs::read_dir(folder.join("canaries")).unwrap();
    assert_eq!(canaries.count(), 0, "something was executed");
    let grown = (peak() - before) >> 20;
    assert!(grown < 256, "{grown} MiB for files of a few hundred kilobytes");
}

/// What was done to a file: bytes that were replaced, bytes that came in between, and how much of it is left.
#[derive(Debug, Clone)]
struct Damage {
    replaced: Vec<(prop::sample::Index, u8)>,
    inserted: Vec<(prop::sample::Index, u8)>,
    left: Option<prop::sample::Index>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = |most| vec((any::<prop::sample::Index>(), any::<u8>()), 0..most);
    let left = proptest::option::weighted(0.2, any::<prop::sample::Index>());
    (bytes(6), bytes(2), left).prop_map(|(replaced, inserted, left)| Damage {
        replaced,
        inserted,
        left,
    })
}

impl Damage {
    fn done_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for (place, byte) in &self.replaced {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        for (place, byte) in &self.inserted {
            bytes.insert(place.index(bytes.len()), *byte);
        }
        if let Some(left) = &self.left {
            bytes.truncate(left.index(bytes.len()));
        }
        bytes
    }
}

/// Reads a folder; what can be read must also be there, to its last value.
fn read(folder: &Path) -> Result<(), TestCaseError> {
    match read_checkpoint(folder, "model") {
        Ok(tensors) => {
            for tensor in tensors.values() {
                let _ = tensor.sum(Kind::Double).double_value(&[]);
            }
            Ok(())
        }
        Err(Failure::User(said)) => {
            prop_assert!(said.starts_with("model/"), "{said}");
            Ok(())
        }
        Err(other) => Err(TestCaseError::fail(format!("{other:?}"))),
    }
}

fn safetensors() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"F16","shape":[3],"data_offsets":[16,22]},"c":{"dtype":"I64","shape":[],"data_offsets":[22,30]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend([0; 30]);
    file
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 700,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damaged_files_are_read_or_refused(damage in damage()) {
        let folder = tempfile::tempdir().unwrap();
        for good in ["well-made", "ordinary", "ordinary-4"] {
            let bytes = std::fs::read(hostile().0.join(good).join("pytorch_model.bin")).unwrap();
            std::fs::write(folder.path().join("pytorch_model.bin"), damage.done_to(bytes)).unwrap();
            read(folder.path())?;
        }
        let whole = folder.path().join("model.safetensors");
        std::fs::write(&whole, damage.done_to(safetensors())).unwrap();
        read(folder.path())?;
        std::fs::rename(whole, folder.path().join("shard.safetensors")).unwrap();
        let index = br#"{"metadata": {}, "weight_map": {"a": "shard.safetensors", "b": "shard.safetensors"}}"#;
        std::fs::write(folder.path().join("model.safetensors.index.json"), damage.done_to(index.to_vec())).unwrap();
        read(folder.path())?;
    }
}
