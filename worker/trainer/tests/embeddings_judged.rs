//! Sentence embeddings against those of sentence-transformers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::table::furthest;
use judge::{copy, json, models, python};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use trainer::encoder::{Classifier, HeadKind, Pooling};
use trainer::export;
use trainer::failure::Failure;
use trainer::interruption::Interruption;
use trainer::model::Repository;
use trainer::sentence_config;
use trainer::task::embedding::Embedder;

const MODELS: [&str; 8] = [
    "bert-bare",
    "distilbert-bare",
    "bert-max",
    "mpnet-bare",
    "xlm-roberta-bare",
    "bert-dense",
    "roberta-dense",
    "electra-pooled",
];

/// Our vectors of `documents`; the model is exported to `export`.
fn embed(name: &str, documents: &[String], export: &Path) -> Vec<Vec<f64>> {
    let at = models().join(name);
    let mut repository = Repository::open(at.clone(), name).unwrap();
    sentence_config::apply(&mut repository, None).unwrap();
    let model = repository
        .build(HeadKind::Bare, Classifier::FromCheckpoint, None)
        .unwrap();
    export::model(&repository, &model, &[], false, export).unwrap();
    let embedder = Embedder {
        model: &model,
        tokenizer: &repository.tokenizer,
        pooling: &Pooling::open(&at, name, &repository.config).unwrap(),
        batch_size: 3,
        interruption: &Interruption::default(),
    };
    let vectors = embedder.embed(documents).unwrap().into_iter();
    vectors
        .map(|vector| vector.into_iter().map(f64::from).collect())
        .collect()
}

#[test]
fn sentence_embeddings_equal_those_of_sentence_transformers_before_and_after_export() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("documents.json");
    let documents: Vec<String> = [
        "A fox.",
        "",
        "the lazy dog and the quick brown fox and again over the dog, again",
        "東京",
    ]
    .map(str::to_owned)
    .into();
    std::fs::write(&file, json!(documents).to_string()).unwrap();
    let originals: Vec<PathBuf> = MODELS.iter().map(|name| models().join(name)).collect();
    let exports: Vec<PathBuf> = MODELS.iter().map(|name| folder.path().join(name)).collect();
    let ours: Vec<_> = MODELS
        .iter()
        .zip(&exports)
        .map(|(name, export)| embed(name, &documents, export))
        .collect();
    let mut arguments = vec![file.as_path()];
    arguments.extend(originals.iter().chain(&exports).map(PathBuf::as_path));
    let theirs: Vec<Vec<Vec<f64>>> = serde_json::from_str(&python("sentence_embeddings.py", &arguments)).unwrap();
    for (place, theirs) in theirs.iter().enumerate() {
        let place = place % MODELS.len();
        assert_eq!(theirs.len(), documents.len());
        for (ours, theirs) in ours[place].iter().zip(theirs) {
            let distance = furthest(ours, theirs);
            assert!(distance < 1e-5, "{}: {distance}", MODELS[place]);
        }
    }
    assert!(exports[6].join("2_Dense/model.safetensors").is_file());
    assert!(
        !exports[6].join("2_Dense/pytorch_model.bin").exists(),
        "only as safetensors"
    );
}

/// Why `name` with other `fields` in the config.json of its `module` cannot be used.
fn refused(name: &str, module: &str, fields: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    copy(name, folder.path());
    for module in ["1_Pooling", "2_Dense"] {
        copy(&format!("{name}/{module}"), &folder.path().join(module));
    }
    judge::configure(&folder.path().join(module), fields.clone());
    let config = Repository::open(folder.path().to_owned(), "model").unwrap().config;
    match Pooling::open(folder.path(), "model", &config) {
        Err(Failure::User(message)) => message,
        other => panic!("{fields}: {other:?}"),
    }
}

#[test]
fn modules_that_cannot_be_used_are_refused_by_field() {
    for (module, fields, wanted) in [
        (
            "1_Pooling",
            json!({"pooling_mode": "median"}),
            "pooling_mode `median` is not known",
        ),
        (
            "1_Pooling",
            json!({"pooling_mode": ["mean", "cls"]}),
            "in_features must be 64",
        ),
        ("2_Dense", json!({"in_features": 31}), "in_features must be 32"),
        (
            "2_Dense",
            json!({"out_features": 19}),
            "linear.weight has the shape [20, 32], not [19, 32]",
        ),
        ("2_Dense", json!({"out_features": "many"}), "invalid type"),
        ("2_Dense", json!({"use_residual": true}), "residual.weight is missing"),
        (
            "2_Dense",
            json!({"activation_function": "os.system"}),
            "`os.system` is not known",
        ),
        (
            "2_Dense",
            json!({"module_input_name": "token_embeddings"}),
            "must be sentence_embedding",
        ),
    ] {
        let message = refused("bert-dense", module, &fields);
        assert!(
            message.starts_with(&format!("model/{module}")) || message.contains("2_Dense"),
            "{message}"
        );
        assert!(message.contains(wanted), "{message}");
    }
    let modules = json(&models().join("bert-dense/modules.json"));
    assert_eq!(modules[2]["type"], "sentence_transformers.models.Dense");
}
