//! The trainer with all-MiniLM-L6-v2, from job file to `predictions.json`: KeyBERT over sentence-transformers finds the
//! same keywords in the same order with the same scores.

mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use trainer_protocol::{
    DataColumns, DataFormat, DataSource, Device, KeywordOptions, Precision, Report, SCHEMA, Task, TrainerJob,
};

const REPOSITORY: &str = "models--sentence-transformers--all-MiniLM-L6-v2";

/// The model's folder in the hub cache, where `make setup` puts it.
fn minilm() -> PathBuf {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = folder("HF_HUB_CACHE")
        .or_else(|| folder("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/huggingface/hub")))
        .expect("one of HF_HUB_CACHE, HF_HOME and HOME is set");
    let snapshots = cache.join(REPOSITORY).join("snapshots");
    let entries = fs::read_dir(&snapshots)
        .unwrap_or_else(|error| panic!("no {}; `make setup` fetches it: {error}", snapshots.display()));
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|snapshot| snapshot.join("model.safetensors").exists())
        .unwrap_or_else(|| panic!("no snapshot in {} holds model.safetensors", snapshots.display()))
}

/// Lines of `tests/data/documents.jsonl`.
fn documents() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents.jsonl");
    let lines = fs::read_to_string(file).expect("the documents can be read");
    let text = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).ok()?["text"]
            .as_str()
            .map(String::from)
    };
    lines
        .lines()
        .map(|line| text(line).expect("a line has a text"))
        .collect()
}

fn job(keywords: KeywordOptions, documents: &[String]) -> TrainerJob {
    TrainerJob {
        schema: SCHEMA,
        pipeline: "main".into(),
        task: Task::FeatureExtraction,
        model: "model".into(),
        seed: 1,
        precision: Precision::Fp32,
        device: Device::Cpu,
        max_rows: None,
        training: None,
        validation_data: Some(DataSource {
            path: "validation.jsonl".into(),
            format: DataFormat::Jsonl,
            name: "validation.jsonl".into(),
        }),
        columns: DataColumns::default(),
        max_length: None,
        eval_batch_size: 32,
        keywords,
        sample_documents: documents.to_vec(),
    }
}

/// The keywords that the binary predicts for the sample documents, and its report.
fn run_trainer(job: &TrainerJob, model: &Path) -> (Vec<Vec<(String, f64)>>, Report) {
    let folder = tempfile::tempdir().expect("a folder for the job");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("inputs")).expect("a folder for the inputs");
    std::os::unix::fs::symlink(model, at("inputs/model")).expect("a link to the model");
    let gold = r#"{"text": "The red tram stops at the harbour.", "keyphrases": ["tram", "no such phrase"]}"#;
    fs::write(at("inputs/validation.jsonl"), gold).expect("the validation data can be written");
    fs::write(at("job.json"), serde_json::to_vec(job).expect("a job is JSON")).expect("the job can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .arg(at("job.json"))
        .args([
            Path::new("--inputs"),
            &at("inputs"),
            Path::new("--outputs"),
            &at("outputs"),
        ])
        .args([Path::new("--checkpoints"), &at("checkpoints")])
        .output()
        .expect("the trainer starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read = |name: &str| fs::read(at("outputs").join(name)).expect("the output is there");
    (
        serde_json::from_slice(&read("predictions.json")).expect("predictions are lists of keyword and score"),
        serde_json::from_slice(&read("report.json")).expect("the report can be read"),
    )
}

#[test]
fn keywords_of_minilm_equal_those_of_keybert() {
    let (model, documents) = (minilm(), documents());
    let all_options = [
        KeywordOptions::default(),
        KeywordOptions {
            top_n: 10,
            use_mmr: true,
            diversity: 0.6,
            ..KeywordOptions::default()
        },
    ];
    let folder = tempfile::tempdir().expect("a folder for the request");
    let request = folder.path().join("request.json");
    let asked = serde_json::json!({"documents": documents, "options": all_options});
    fs::write(&request, asked.to_string()).expect("the request can be written");
    let arguments = [model.to_string_lossy(), request.to_string_lossy()];
    let judged: Vec<Vec<Vec<(String, f64)>>> =
        python::judge("minilm_keywords.py", &arguments.each_ref().map(AsRef::as_ref));
    for (options, theirs) in all_options.into_iter().zip(judged) {
        let (ours, report) = run_trainer(&job(options, &documents), &model);
        assert_eq!((ours.len(), theirs.len()), (50, 50));
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let names = |keywords: &[(String, f64)]| keywords.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            assert_eq!(
                names(ours),
                names(theirs),
                "document {index}: {ours:?} here, {theirs:?} there"
            );
            for ((name, score), (_, their_score)) in ours.iter().zip(theirs) {
                let difference = (score - their_score).abs();
                assert!(
                    difference < 1.01e-4,
                    "`{name}` of document {index}: {score} here, {their_score} there"
                );
            }
        }
        assert_eq!(report.validation_rows, 1);
        assert_eq!(
            report.scores["recall_at_k"], 0.5,
            "one of two gold keyphrases is in the text"
        );
    }
}
