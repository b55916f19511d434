//! Whole jobs: what they leave behind, that they repeat and resume bit for bit, and how they fail.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use judge::{configure, json, python};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use trainer::failure::Failure;
use trainer::interruption::Interruption;

/// Relative path -> content of every file below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((
                    path.strip_prefix(folder).unwrap().to_owned(),
                    std::fs::read(&path).unwrap(),
                ));
            }
        }
    }
    found.sort();
    found
}

fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    assert!(names(&one).contains(&"model_artifacts/model.safetensors".into()));
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        assert!(one == other, "{} differs", name.display());
    }
}

/// The pipeline of transformers, loading what was exported, says what was registered.
fn assert_pipeline_agrees(task: &str, outputs: &Path, job: &Job, class: &str) {
    let file = job.folder.path().join("documents.json");
    std::fs::write(&file, job.description["sample_documents"].to_string()).unwrap();
    let printed = python(
        "load_export.py",
        &[Path::new(task), &outputs.join("model_artifacts"), &file],
    );
    let theirs: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(theirs["class"], class);
    let report = json(&outputs.join("report.json"));
    assert_eq!(theirs["labels"], report["labels"]);
    assert_close(&json(&outputs.join("predictions.json")), &theirs["said"]);
}

fn assert_close(ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{ours} {theirs}");
            a.iter().zip(b).for_each(|(a, b)| assert_close(a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
            a.iter().for_each(|(key, a)| assert_close(a, &b[key]));
        }
        (Value::Number(a), Value::Number(b)) => {
            assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4, "{a} {b}");
        }
        _ => assert_eq!(ours, theirs),
    }
}

#[test]
fn a_trained_text_classifier_is_loaded_by_transformers_and_agrees() {
    for (model, class) in [
        ("bert-text", "BertForSequenceClassification"),
        ("distilbert-bare", "DistilBertForSequenceClassification"),
    ] {
        let job = Job::new(model, "text-classification");
        let outputs = job.done("one");
        assert_pipeline_agrees("text-classification", &outputs, &job, class);
        let report = json(&outputs.join("report.json"));
        assert_eq!(report["labels"], json!(["negative", "neutral", "positive"]));
        assert_eq!(
            (&report["train_rows"], &report["validation_rows"]),
            (&json!(15), &json!(9))
        );
        assert_eq!(report["steps"], 8);
        assert!(
            report["scores"]["macro_f1"].is_f64() && report["scores"]["loss"].is_f64(),
            "{report}"
        );
        assert_eq!(report["per_label"]["neutral"]["support"], 3);
    }
}

#[test]
fn a_trained_token_classifier_is_loaded_by_transformers_and_agrees() {
    for (model, class) in [
        ("bert-bare", "BertForTokenClassification"),
        ("distilbert-token", "DistilBertForTokenClassification"),
    ] {
        let mut job = Job::new(model, "token-classification");
        job.description["training"]["epochs"] = json!(6);
        let outputs = job.done("one");
        assert_pipeline_agrees("token-classification", &outputs, &job, class);
        let report = json(&outputs.join("report.json"));
        assert_eq!(report["labels"], json!(["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]));
        assert!(report["scores"]["f1"].is_f64(), "{report}");
    }
}

#[test]
fn a_model_that_is_used_as_it_came_is_evaluated_and_exported() {
    let mut job = Job::new("bert-old-names", "text-classification");
    job.description["validation_data"] = job.description["training"]["data"].clone();
    job.description["training"] = Value::Null;
    let outputs = job.done("one");
    assert_pipeline_agrees("text-classification", &outputs, &job, "BertForSequenceClassification");
    let report = json(&outputs.join("report.json"));
    assert_eq!(report["validation_rows"], 24);
    assert!(report["scores"]["accuracy"].is_f64());
    assert!(!outputs.join("train.parquet").exists());
    assert_eq!(report["environment"]["precision"], "fp32");
}

#[test]
fn keywords_are_found_and_the_encoder_is_exported_with_its_pooling() {
    let mut job = Job::of_keywords();
    job.description["precision"] = json!("auto");
    let outputs = job.done("one");
    let report = json(&outputs.join("report.json"));
    assert_eq!(report["environment"]["precision"], "fp32");
    let predictions = json(&outputs.join("predictions.json"));
    assert_eq!(predictions.as_array().unwrap().len(), 3);
    assert!(
        predictions[1][0][0].is_string() && predictions[1][0][1].is_f64(),
        "{predictions}"
    );
    let artifacts = outputs.join("model_artifacts");
    let file = job.folder.path().join("documents.json");
    std::fs::write(&file, job.description["sample_documents"].to_string()).unwrap();
    let embed = |at: &Path| python("load_export.py", &[Path::new("embeddings"), at, &file]);
    assert_eq!(embed(&artifacts), embed(&judge::models().join("bert-max")));
}

#[test]
fn the_same_job_twice_gives_the_same_bytes() {
    for model in ["bert-text", "deberta-v2-text", "deberta-v2-convolution-text"] {
        let job = Job::new(model, "text-classification");
        assert_same(&job.done("one"), &job.done("two"));
    }
}

#[test]
fn a_training_that_was_stopped_and_resumed_gives_the_bits_of_one_that_was_not() {
    for strategy in ["epoch", "steps"] {
        let mut job = Job::new("distilbert-text", "text-classification");
        job.description["training"]["evaluation_strategy"] = json!(strategy);
        let whole = job.done("whole");
        let told = Interruption::default();
        let (stopped, _) = job.run("parts", &told, Some(4));
        assert!(matches!(stopped, Err(Failure::Interrupted)), "{stopped:?}");
        let parts = job.done("parts");
        assert_same(&whole, &parts);
    }
}

#[test]
fn a_training_that_was_killed_resumes_with_the_same_bits() {
    let job = Job::new("bert-text", "text-classification");
    let run = |crash: &str| job.command("killed").env("TRAINYARD_CRASH_AT", crash).output().unwrap();
    let code = |output: Output| {
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(code(run("train-2of3")).0, None);
    let again = code(run("train-2of3"));
    assert_eq!(again.0, Some(0), "{}", again.1);
    assert!(again.1.contains("resumed at step 2"), "{}", again.1);
    let whole = job.command("whole").output().unwrap();
    assert_eq!(whole.status.code(), Some(0));
    let at = |name: &str| job.folder.path().join(format!("outputs-{name}"));
    assert_same(&at("whole"), &at("killed"));
}

#[test]
fn a_damaged_checkpoint_is_not_used() {
    let job = Job::new("bert-text", "text-classification");
    let whole = job.done("whole");
    let (stopped, outputs) = job.run("parts", &Interruption::default(), Some(4));
    assert!(matches!(stopped, Err(Failure::Interrupted)));
    let file = job
        .folder
        .path()
        .join("checkpoints-parts/checkpoint-00000004/moments.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    job.done("parts");
    assert_same(&whole, &outputs);
}

#[test]
fn sigterm_ends_the_step_saves_and_exits_75() {
    let mut job = Job::new("bert-text", "text-classification");
    job.description["training"]["epochs"] = json!(20_000);
    job.description["training"]["evaluation_strategy"] = json!("no");
    job.description["training"]["load_best_model_at_end"] = json!(false);
    job.description["training"]["early_stopping_patience"] = Value::Null;
    job.description["training"]["save_strategy"] = json!("no");
    let mut child = job
        .command("told")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events: Vec<Value> = Vec::new();
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["event"] == "progress" && events.last().is_none_or(|last| last["event"] != "progress") {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        events.push(event);
    }
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(events[0]["event"], "ready");
    let last = events.last().unwrap();
    assert_eq!(last["event"], "checkpoint");
    let folder = job
        .folder
        .path()
        .join("checkpoints-told")
        .join(last["folder"].as_str().unwrap());
    assert!(folder.join("digests.json").exists());
}

#[test]
fn a_loss_that_is_not_a_number_is_the_users_failure_and_names_the_step() {
    let mut job = Job::new("bert-text", "text-classification");
    job.description["training"]["learning_rate"] = json!(1e38);
    job.description["training"]["max_grad_norm"] = json!(0);
    let output = job.command("nan").output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["cause"]), (&json!("failed"), &json!("user")));
    assert!(last["message"].as_str().unwrap().contains("diverged at step"), "{last}");
}

#[test]
fn what_is_wrong_with_a_model_is_named() {
    let job = Job::new("bert-text", "text-classification");
    let model = job.folder.path().join("inputs/model");
    configure(&model, json!({"model_type": "gpt2"}));
    let message = job.refused();
    for word in ["`gpt2` is not known (known: ", "bert, ", "xlm-roberta"] {
        assert!(message.contains(word), "{message}");
    }
    configure(&model, json!({"model_type": "bert", "num_hidden_layers": 3}));
    let message = job.refused();
    assert!(
        message.contains("encoder.layer.2.attention.self.query.weight is missing"),
        "{message}"
    );
    configure(&model, json!({"num_hidden_layers": 2, "intermediate_size": "many"}));
    let message = job.refused();
    assert!(message.contains("intermediate_size must be"), "{message}");
    configure(&model, json!({"intermediate_size": 48}));
    std::fs::write(model.join("model.safetensors"), "<html>").unwrap();
    let message = job.refused();
    assert!(
        message.contains("model/model.safetensors: not safetensors"),
        "{message}"
    );
    std::fs::remove_file(model.join("model.safetensors")).unwrap();
    let message = job.refused();
    assert!(
        message.contains("model has no weights (looked for model.safetensors"),
        "{message}"
    );
}

#[test]
fn what_is_wrong_with_data_and_settings_is_named() {
    let mut job = Job::new("bert-text", "text-classification");
    let inputs = job.folder.path().join("inputs");
    std::fs::write(inputs.join("other.jsonl"), "{\"text\": \"a\", \"label\": \"joy\"}\n").unwrap();
    let other = json!({"path": "other.jsonl", "format": "jsonl", "name": "other"});
    job.description["training"]["data"] = other.clone();
    let message = job.refused();
    assert!(
        message.contains("hold out") || message.contains("at least two"),
        "{message}"
    );
    job.description["training"]["data"]["path"] = json!("../job.json");
    let message = job.refused();
    assert!(
        message.starts_with("training.data.path must be a path below --inputs"),
        "{message}"
    );
    job.description["training"]["data"] = other.clone();
    job.description["training"]["epochs"] = json!(0);
    let message = job.refused();
    assert_eq!(message, "training.epochs must be at least 1, found 0");
    job.description["training"] = Value::Null;
    job.description["validation_data"] = other;
    let message = job.refused();
    assert!(
        message.contains("does not know: joy (it knows: negative, neutral, positive)"),
        "{message}"
    );
}

#[test]
fn a_profile_says_where_the_time_goes_and_changes_nothing() {
    let job = Job::new("bert-text", "text-classification");
    let folder = job.folder.path().join("profile");
    let output = job.command("profiled").arg("--profile").arg(&folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let table = read("profile.md");
    assert!(
        table.contains("| forward | aten::addmm |") && table.contains("| optimizer |"),
        "{table}"
    );
    assert!(read("profile.folded").contains("backward;") && read("profile.svg").contains("<svg"));
    let weights = |outputs: &Path| std::fs::read(outputs.join("model_artifacts/model.safetensors")).unwrap();
    let keywords = Job::of_keywords();
    let mut command = keywords.command("keywords");
    assert!(command.arg("--profile").arg(&folder).output().unwrap().status.success());
    let table = read("profile.md");
    assert!(
        table.starts_with("3 documents of ") && table.contains("calls a document"),
        "{table}"
    );
    // By the binary too, whose matrices MKL multiplies in another way than those of a test.
    assert!(job.command("plain").output().unwrap().status.success());
    let of = |name: &str| weights(&job.folder.path().join(name));
    assert!(of("outputs-plain") == of("outputs-profiled"), "other weights");
}
