//! What a job is computed in: fp32 or bf16, asked for or chosen.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use judge::json;
use serde_json::{Value, json};
use std::path::Path;

/// Of models that are sure of little: many of their labels are decided in fp32.
#[test]
fn an_evaluation_in_bf16_gives_the_scores_of_fp32_and_predictions_are_fp32() {
    for (model, task, data) in [
        ("bert-old-names", "text-classification", "texts.jsonl"),
        ("distilbert-token", "token-classification", "sentences.conll"),
    ] {
        let mut job = Job::new(model, task);
        job.description["validation_data"] = job.description["training"]["data"].clone();
        job.description["training"] = Value::Null;
        let exact = job.done("fp32");
        job.description["precision"] = json!("bf16");
        let fast = job.done("bf16");
        let read = |outputs: &Path, name: &str| json(&outputs.join(name));
        assert_eq!(
            read(&exact, "predictions.json"),
            read(&fast, "predictions.json"),
            "{data}"
        );
        let [exact, fast] = [exact, fast].map(|outputs| read(&outputs, "report.json"));
        assert_eq!(fast["environment"]["precision"], "bf16");
        if data == "texts.jsonl" {
            assert_ne!(
                exact["scores"]["loss"], fast["scores"]["loss"],
                "nothing was computed in bf16"
            );
        }
        for (name, score) in exact["scores"].as_object().unwrap() {
            let off = (score.as_f64().unwrap() - fast["scores"][name].as_f64().unwrap()).abs();
            // The loss is of what each label got, and no share of labels.
            let most = if name == "loss" { 5e-3 } else { 1e-3 };
            assert!(
                off < most,
                "{name} of {data}: {} and {}",
                exact["scores"],
                fast["scores"]
            );
        }
    }
}

#[test]
fn keywords_in_bf16_are_nearly_those_of_fp32_and_the_encoder_is_exported_as_it_came() {
    let mut job = Job::of_keywords();
    // So many that each document's are all there.
    job.description["keywords"]["top_n"] = json!(100);
    let exact = job.done("fp32");
    job.description["precision"] = json!("bf16");
    let fast = job.done("bf16");
    assert_eq!(json(&fast.join("report.json"))["environment"]["precision"], "bf16");
    let keywords = |outputs: &Path| {
        let found: Vec<std::collections::BTreeMap<String, f64>> =
            serde_json::from_value::<Vec<Vec<(String, f64)>>>(json(&outputs.join("predictions.json")))
                .unwrap()
                .into_iter()
                .map(|document| document.into_iter().collect())
                .collect();
        found
    };
    let (exact_found, fast_found) = (keywords(&exact), keywords(&fast));
    assert_ne!(exact_found, fast_found);
    for (exact, fast) in exact_found.iter().zip(&fast_found) {
        assert!(exact.keys().eq(fast.keys()), "{exact:?} {fast:?}");
        for (word, score) in exact {
            assert!((score - fast[word]).abs() < 0.02, "{word}: {score} {}", fast[word]);
        }
    }
    let weights = |outputs: &Path| std::fs::read(outputs.join("model_artifacts/model.safetensors")).unwrap();
    assert!(weights(&exact) == weights(&fast), "other weights");
}

#[test]
fn bf16_trains_to_nearly_the_same_and_is_recorded() {
    let mut job = Job::new("bert-text", "text-classification");
    let loss = |outputs: &Path| json(&outputs.join("report.json"))["scores"]["loss"].as_f64().unwrap();
    let whole = loss(&job.done("fp32"));
    job.description["precision"] = json!("bf16");
    let outputs = job.done("bf16");
    assert_eq!(json(&outputs.join("report.json"))["environment"]["precision"], "bf16");
    let half = loss(&outputs);
    assert!(half != whole && (half - whole).abs() < 0.1, "{half} {whole}");
}

/// Where the CPU has AMX, unless oneDNN may not use it.
#[test]
fn precision_is_chosen_by_what_multiplies_bf16_and_recorded() {
    let mut job = Job::new("bert-text", "text-classification");
    job.description["precision"] = json!("auto");
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let here = if cpu.contains(" amx_bf16 ") { "bf16" } else { "fp32" };
    for (name, variable, expected) in [
        ("all", ("ONEDNN_MAX_CPU_ISA", "ALL"), here),
        ("less", ("ONEDNN_MAX_CPU_ISA", "AVX2"), "fp32"),
    ] {
        let done = job.command(name).envs([variable]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let report = json(&job.folder.path().join(format!("outputs-{name}/report.json")));
        assert_eq!(report["environment"]["precision"], expected, "{name}");
    }
}
