//! What a user does with one machine, through the real binaries.

use serde_json::json;
use std::fs;
use tests::{python::python, registry, sandbox::Sandbox, tiny_model};

const PUBLISH: [&str; 6] = ["publish", "--project", "sentiment", "--tag", "t1", "--wait"];

#[test]
fn publishing_twice_gives_one_job_and_one_version() {
    let machine = Sandbox::new();
    let first = machine.run("dispatcher", &PUBLISH);
    assert_eq!(first.code(), 0, "{}", first.output());
    let second = machine.run("dispatcher", &PUBLISH);
    assert_eq!(second.code(), 0, "{}", second.output());
    assert_eq!(
        first.stdout.lines().last(),
        second.stdout.lines().last(),
        "the last line is the job's id"
    );
    let versions = registry::visible_versions(&machine.store());
    assert_eq!(versions.len(), 1, "{versions:?}");
    registry::assert_whole(&versions[0]);
}

#[test]
fn another_tag_is_another_version_and_the_same_bytes() {
    let machine = Sandbox::new();
    for tag in ["t1", "t2"] {
        let done = machine.run(
            "dispatcher",
            &["publish", "--project", "sentiment", "--tag", tag, "--wait"],
        );
        assert_eq!(done.code(), 0, "{}", done.output());
    }
    let versions = registry::visible_versions(&machine.store());
    assert_eq!(versions.len(), 2, "{versions:?}");
    let weights = |index: usize| fs::read(versions[index].join("model/model_artifacts/model.safetensors")).unwrap();
    assert!(weights(0) == weights(1), "the same job twice gave other weights");
    let predictions = |index: usize| fs::read(versions[index].join("model/test_files/predictions")).unwrap();
    assert_eq!(predictions(0), predictions(1));
}

#[test]
fn a_reader_that_has_read_enough_changes_no_exit_code() {
    let machine = Sandbox::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = machine.command("dispatcher", &PUBLISH);
    let done = command.stdout(writer).output().expect("starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(!said.contains("roken pipe"), "{said}");
    assert_eq!(registry::visible_versions(&machine.store()).len(), 1);
}

#[test]
fn a_pull_request_leaves_no_trace_in_the_registry() {
    let machine = Sandbox::new();
    let publish = [
        "publish",
        "--project",
        "sentiment",
        "--tag",
        "pr",
        "--sample",
        "--no-register",
        "--wait",
    ];
    let done = machine.run("dispatcher", &publish);
    assert_eq!(done.code(), 0, "{}", done.output());
    assert!(
        done.stderr.contains("acme/tiny at "),
        "nobody tells what is read: {}",
        done.stderr
    );
    let job = done.stdout.lines().last().unwrap_or_default();
    assert_eq!(machine.status(job)["status"], "completed");
    assert!(!machine.store().join("neptune-ai-model-registry").exists());
    assert!(!machine.store().join("trainyard/versions").exists());
}

#[test]
fn forcing_makes_another_job_and_a_key_makes_it_repeatable() {
    let machine = Sandbox::new();
    let ids: Vec<String> = [None, Some("--force=ci-7"), Some("--force=ci-7"), Some("--force")]
        .into_iter()
        .map(|force| {
            let mut arguments = vec!["publish", "--project", "sentiment", "--tag", "t1"];
            arguments.extend(force);
            let done = machine.run("dispatcher", &arguments);
            assert_eq!(done.code(), 0, "{}", done.output());
            done.stdout.lines().last().unwrap_or_default().to_owned()
        })
        .collect();
    assert_eq!(ids[1], ids[2]);
    assert_ne!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[3]);
    assert_ne!(ids[1], ids[3]);
}

#[test]
fn a_queued_job_can_be_cancelled_and_published_again() {
    let machine = Sandbox::new();
    let job = machine.publish("sentiment");
    let cancelled = machine.run("dispatcher", &["cancel", &job]);
    assert_eq!(cancelled.code(), 0, "{}", cancelled.output());
    assert_eq!(machine.run("dispatcher", &["wait", &job]).code(), 40);
    assert_eq!(machine.status(&job)["status"], "cancelled");
    let again = machine.run("dispatcher", &PUBLISH);
    assert_eq!(again.code(), 0, "{}", again.output());
    assert_eq!(machine.status(&job)["status"], "registered");
}

#[test]
fn waiting_ends_with_75_when_the_time_is_over() {
    let machine = Sandbox::new();
    let job = machine.publish("sentiment");
    let waited = machine.run("dispatcher", &["wait", &job, "--timeout", "1s"]);
    assert_eq!(waited.code(), 75, "{}", waited.output());
    assert!(
        waited.output().contains("worker run"),
        "nobody is told what to start: {}",
        waited.output()
    );
}

#[test]
fn the_card_tells_where_the_model_came_from() {
    let machine = Sandbox::new();
    let done = machine.run("dispatcher", &PUBLISH);
    assert_eq!(done.code(), 0, "{}", done.output());
    let card = registry::card(&registry::visible_versions(&machine.store())[0]);
    assert_eq!(card["model_type"], "trained");
    assert_eq!(card["model_artifact_attribute_path"], "model/model_artifacts");
    assert_eq!(card["model_test_files"]["predictions"], "model/test_files/predictions");
    assert_eq!(card["model_params"]["huggingface_pipeline_task"], "sentiment-analysis");
    assert_eq!(card["model_params"]["huggingface_model_reference"], "acme/tiny");
    assert_eq!(
        card["github_action_context"].as_object().map(serde_json::Map::len),
        Some(15)
    );
    let text = card.to_string();
    for word in ["macro_recall", "libtorch", "sha256", "t1"] {
        assert!(text.contains(word), "the card does not tell {word}: {card:#}");
    }
}

#[test]
fn a_model_that_only_pytorch_saved_is_registered_and_its_card_says_so() {
    let machine = Sandbox::new();
    python("save_as_torch.py", &machine.repository("acme/tiny"));
    let done = machine.run("dispatcher", &PUBLISH);
    assert_eq!(done.code(), 0, "{}", done.output());
    let version = &registry::visible_versions(&machine.store())[0];
    registry::assert_whole(version);
    let card = registry::card(version);
    let pipelines = card["pipelines"].as_object().expect("pipelines");
    assert_eq!(pipelines.len(), 1, "{card:#}");
    for pipeline in pipelines.values() {
        let shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
        let new = ["classifier.weight", "classifier.bias"];
        assert_eq!(
            pipeline["checkpoint"],
            json!({"format": "pytorch", "files": shards, "initialised": new, "unused": ["qa_outputs.weight"]})
        );
    }
}

/// As the component's ner: two models of one job, each in a folder of its own, under one card.
#[test]
fn two_pipelines_are_registered_together() {
    let machine = Sandbox::new();
    for (name, seed) in [("acme/tiny", 7), ("acme/other", 8)] {
        let repository = machine.repository(name);
        if !repository.exists() {
            tiny_model::write(&repository, seed).expect("a second model");
        }
        let labels = ["O", "B-PER", "B-LOC"];
        tiny_model::add_head(&repository, "BertForTokenClassification", &labels, seed).expect("a head");
    }
    machine.write_project(
        "ner",
        &[
            ("MODEL", "NER-TRAINED"),
            ("HUGGINGFACE_PIPELINE_TASK", "token-classification"),
            ("HUGGINGFACE_PIPELINE_TASK_KJ", "token-classification"),
            ("HUGGINGFACE_MODEL_REFERENCE_KJ", "acme/other"),
            (
                "SAMPLE_DOCUMENTS",
                r#"[["john went to london"], ["mary is in paris", "it is new"]]"#,
            ),
            ("TRAIN", "false"),
            ("TRAIN_DATA", ""),
            ("VALIDATION_DATA", ""),
            ("EPOCHS", ""),
            ("TRAIN_BATCH_SIZE", ""),
            ("WARMUP_STEPS", ""),
            ("LEARNING_RATE", ""),
        ],
    );
    let done = machine.run("dispatcher", &["publish", "--project", "ner", "--tag", "t1", "--wait"]);
    assert_eq!(done.code(), 0, "{}", done.output());
    let versions = registry::visible_versions(&machine.store());
    assert_eq!(versions.len(), 1, "{versions:?}");
    registry::assert_whole(&versions[0]);
    let weights = |folder: &str| {
        fs::read(
            versions[0]
                .join("model/model_artifacts")
                .join(folder)
                .join("model.safetensors"),
        )
    };
    let (base, other) = (
        weights("base_ner").expect("base_ner"),
        weights("korean_japanese_ner").expect("the other"),
    );
    assert!(base != other, "both folders hold the same model");
    let predictions = fs::read(versions[0].join("model/test_files/predictions")).expect("predictions");
    let predictions: serde_json::Value = serde_json::from_slice(&predictions).expect("JSON");
    let documents: Vec<usize> = predictions
        .as_array()
        .expect("a list")
        .iter()
        .map(|of| of.as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(documents, [1, 2], "one list of documents a pipeline: {predictions:#}");
}
