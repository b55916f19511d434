//! Checkpoints of every format, as Python writes them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use judge::{json as json_of, python};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tch::{Kind, Tensor};
use trainer::encoder::read_checkpoint;

/// The folder of `write_checkpoints.py`, written once.
fn checkpoints() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        python("write_checkpoints.py", &[&folder]);
        folder
    })
}

fn refused(folder: &Path) -> String {
    match read_checkpoint(folder, "model") {
        Err(trainer::failure::Failure::User(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_format_reads_to_the_values_that_python_wrote() {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(checkpoints()).unwrap() {
        let expected = entry.unwrap().path();
        if expected.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let case = expected.file_stem().unwrap().to_str().unwrap().to_owned();
        let theirs: BTreeMap<String, Tensor> = Tensor::read_safetensors(&expected).unwrap().into_iter().collect();
        let ours = read_checkpoint(&checkpoints().join(&case), &case).unwrap();
        assert!(!theirs.is_empty(), "{case}");
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            theirs.keys().collect::<Vec<_>>(),
            "{case}"
        );
        for (name, theirs) in &theirs {
            let ours = &ours[name];
            assert_eq!(ours.size(), theirs.size(), "{case}: {name}");
            assert!(ours.kind() == Kind::Float && ours.is_contiguous(), "{case}: {name}");
            assert!(ours.equal(theirs), "{case}: {name}");
        }
        cases.push(case);
    }
    assert!(cases.len() >= 25, "{cases:?}");
}

/// The file that is mapped where this tensor's values lie; none for memory of the process.
fn mapped_file(tensor: &Tensor) -> Option<String> {
    let at = tensor.data_ptr().addr();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let inside = (number(start)..number(end)).contains(&at);
        inside.then(|| fields.nth(4).map(str::to_owned))?
    })
}

#[test]
fn fp32_is_used_where_it_lies_in_the_file() {
    for (case, file) in [
        ("model-safetensors", "model.safetensors"),
        ("model-bin", "pytorch_model.bin"),
    ] {
        let folder = checkpoints().join(case);
        for (name, tensor) in read_checkpoint(&folder, case).unwrap() {
            let mapped = mapped_file(&tensor).unwrap_or_default();
            assert_eq!(Path::new(&mapped), folder.join(file), "{case}: {name}");
        }
    }
    let half = read_checkpoint(&checkpoints().join("model-bf16"), "half").unwrap();
    assert_eq!(mapped_file(&half["pooler.dense.weight"]), None, "converted, so copied");
}

#[test]
fn a_folder_without_weights_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let message = refused(folder.path());
    for word in [
        "model has no weights",
        "model.safetensors",
        "pytorch_model.bin.index.json",
    ] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn an_index_that_does_not_fit_its_shards_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let shards = checkpoints().join("bin-shards");
    for entry in std::fs::read_dir(&shards).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let index = folder.path().join("pytorch_model.bin.index.json");
    let last = "pytorch_model-00003-of-00003.bin";
    for (map, words) in [
        (r#"{"weight_map": {"a": "../x.bin"}}"#, ["../x.bin", "index.json"]),
        (r#"{"weight_map": {"a": "/etc/x.bin"}}"#, ["/etc/x.bin", "index.json"]),
        (
            r#"{"weight_map": {"a": "x.safetensors"}}"#,
            ["x.safetensors", "index.json"],
        ),
        (r#"{"weight_map": {"a": "./x.bin"}}"#, ["./x.bin", "index.json"]),
        (r#"{"weight_map": {"a": ""}}"#, ["``", "index.json"]),
        (
            r#"{"weight_map": {"a": "x.bin"}}"#,
            ["`x.bin` is missing", "index.json"],
        ),
        (
            &format!(r#"{{"weight_map": {{"absent": "{last}"}}}}"#),
            ["absent", last],
        ),
        (
            r#"{"weight_map": ["a"]}"#,
            ["model/pytorch_model.bin.index.json", "invalid type"],
        ),
        (
            r#"{"metadata": {}}"#,
            ["model/pytorch_model.bin.index.json", "weight_map"],
        ),
    ] {
        std::fs::write(&index, map).unwrap();
        let message = refused(folder.path());
        for word in words {
            assert!(message.contains(word), "{map}: {message}");
        }
    }
}

#[test]
fn a_job_on_a_checkpoint_of_pytorch_gives_the_same_bytes_and_reports_where_its_weights_came_from() {
    let job = Job::new("bert-bare", "text-classification");
    let model = job.folder.path().join("inputs/model");
    let before = job.done("safetensors");
    python("save_as_torch.py", &[&model]);
    assert!(!model.join("model.safetensors").exists());
    let after = job.done("torch");
    for file in ["model_artifacts/model.safetensors", "predictions.json"] {
        let bytes = |outputs: &Path| std::fs::read(outputs.join(file)).unwrap();
        assert!(bytes(&before) == bytes(&after), "{file} differs");
    }
    let head = ["classifier.weight", "classifier.bias"];
    assert_eq!(
        json_of(&before.join("report.json"))["checkpoint"],
        json!({"format": "safetensors", "files": ["model.safetensors"], "initialised": head, "unused": []})
    );
    let shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    assert_eq!(
        json_of(&after.join("report.json"))["checkpoint"],
        json!({"format": "pytorch", "files": shards, "initialised": head, "unused": ["qa_outputs.weight"]})
    );
}
