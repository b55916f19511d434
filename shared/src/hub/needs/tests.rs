use super::*;
use crate::hub::digest::Digest;
use serde_json::json;

fn manifest(paths: &[&str]) -> Manifest {
    let digest = Digest::try_from("0".repeat(40)).expect("a digest");
    let files = paths.iter().map(|path| HubFile {
        path: (*path).into(),
        size: 1,
        digest: digest.clone(),
    });
    Manifest::new("a/b", &"1".repeat(40), files.collect()).expect("plain paths")
}

fn selected(paths: &[&str], sentences: bool) -> Result<Vec<String>, String> {
    let found = select(&manifest(paths), Needs { sentences, head: None });
    found
        .map(|s| s.files.into_iter().map(|f| f.path).collect())
        .map_err(|e| e.to_string())
}

#[test]
fn only_needed_files_are_selected() {
    let all = [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "2_Dense/pytorch_model.bin",
        "3_Dense/pytorch_model.bin",
        "README.md",
        "config.json",
        "flax_model.msgpack",
        "model.onnx",
        "model.safetensors",
        "modules.json",
        "onnx/config.json",
        "onnx/model.onnx",
        "openvino/openvino_model.bin",
        "pytorch_model.bin",
        "rust_model.ot",
        "tf_model.h5",
        "tokenizer.json",
        "training_args.bin",
        "vocab.txt",
        "x/model.safetensors",
    ];
    let plain = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"];
    assert_eq!(selected(&all, false).expect("complete"), plain);
    let with_sentences = [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "3_Dense/pytorch_model.bin",
        "config.json",
        "model.safetensors",
        "modules.json",
        "tokenizer.json",
        "vocab.txt",
    ];
    assert_eq!(selected(&all, true).expect("complete"), with_sentences);
}

#[test]
fn of_several_formats_the_first_that_the_trainer_reads_is_selected() {
    let formats = [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ];
    for first in 0..formats.len() {
        let mut all = vec!["config.json", "spiece.model", "tf_model.h5"];
        all.extend(&formats[first..]);
        let mut expected = vec!["config.json", formats[first], "spiece.model"];
        expected.sort_unstable();
        assert_eq!(selected(&all, false).expect("complete"), expected);
        let index = select(&manifest(&all), Needs::default()).expect("complete").index;
        assert_eq!(index.is_some(), formats[first].ends_with("index.json"));
    }
}

#[test]
fn what_is_missing_is_said_with_what_is_there() {
    let error = selected(&["config.json", "tf_model.h5", "vocab.txt"], false).expect_err("no weights");
    assert!(
        error.contains("no weights that can be read") && error.contains("tf_model.h5"),
        "{error}"
    );
    for others in [&[][..], &["vocab.json"], &["tokenizer.model", "tokenizer_config.json"]] {
        let files = [&["config.json", "model.safetensors"], others].concat();
        let error = selected(&files, false).expect_err("no tokenizer");
        assert!(error.contains("no tokenizer that can be read"), "{error}");
    }
    let error = selected(&[], false).expect_err("nothing");
    assert!(
        error.contains("no config.json") && error.contains("holds no files"),
        "{error}"
    );
}

#[test]
fn shards_are_those_of_the_index_and_must_be_there() {
    for (index, ending, other) in [
        ("model.safetensors.index.json", "safetensors", "bin"),
        ("pytorch_model.bin.index.json", "bin", "safetensors"),
    ] {
        let shard = |number: u32| format!("shard-{number}.{ending}");
        let evil = format!("evil.{other}");
        let of = manifest(&["config.json", index, "vocab.txt", &shard(1), &shard(2), &evil]);
        let selection = select(&of, Needs::default()).expect("complete");
        let named = |map: serde_json::Value| selection.shards(&of, json!({ "weight_map": map }).to_string().as_bytes());
        let found = named(json!({"a": shard(1), "b": shard(1)})).expect("shards");
        assert_eq!(found.iter().map(|f| &f.path).collect::<Vec<_>>(), [&shard(1)]);
        assert_eq!(selection.at_most(&of).len(), 5, "both shards, and not the other format");
        for bad in [shard(3), format!("../{}", shard(1)), evil] {
            assert!(
                matches!(named(json!({ "a": bad })), Err(HubError::Lacks { .. })),
                "{bad}"
            );
        }
        for bad in ["[]", ""] {
            let found = selection.shards(&of, bad.as_bytes());
            assert!(matches!(found, Err(HubError::Lacks { .. })), "{bad}");
        }
    }
}

#[test]
fn what_must_be_read_whole_has_a_limit() {
    for (path, limit) in [
        ("config.json", CONFIG_LIMIT),
        ("model.safetensors.index.json", INDEX_LIMIT),
    ] {
        for (size, fits) in [(limit, true), (limit + 1, false)] {
            let mut of = manifest(&["config.json", "model.safetensors.index.json", "vocab.txt"]);
            let file = of.files.iter_mut().find(|file| file.path == path).expect("it is there");
            file.size = size;
            assert_eq!(select(&of, Needs::default()).is_ok(), fits, "{path} of {size} bytes");
        }
    }
}

#[test]
fn only_a_job_that_trains_no_classifier_needs_a_head() {
    for (task, trains, head) in [
        (Task::TextClassification, false, Some(Head::Text)),
        (Task::TokenClassification, false, Some(Head::Token)),
        (Task::TextClassification, true, None),
        (Task::TokenClassification, true, None),
        (Task::FeatureExtraction, false, None),
    ] {
        assert_eq!(Needs::of(task, trains).head, head, "{task:?}");
    }
}
