//! Sentence embeddings against those of sentence-transformers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::table::furthest;
use judge::{models, python};
use serde_json::json;
use std::path::Path;
use trainer::encoder::{Classifier, HeadKind, Pooling};
use trainer::interruption::Interruption;
use trainer::model::Repository;
use trainer::task::embedding::Embedder;
#[test]
fn sentence_embeddings_equal_those_of_sentence_transformers() {
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
    for name in [
        "bert-bare",
        "distilbert-bare",
        "bert-max",
        "mpnet-bare",
        "xlm-roberta-bare",
    ] {
        let at = models().join(name);
        let printed = python("load_export.py", &[Path::new("embeddings"), &at, &file]);
        let theirs: Vec<Vec<f64>> = serde_json::from_str(&printed).unwrap();
        let mut repository = Repository::open(at.clone(), name).unwrap();
        let model = repository
            .build(HeadKind::Bare, Classifier::FromCheckpoint, None)
            .unwrap();
        let embedder = Embedder {
            model: &model,
            tokenizer: &repository.tokenizer.clone().cut_to(16).unwrap(),
            pooling: &Pooling::open(&at, name).unwrap(),
            batch_size: 3,
            interruption: &Interruption::default(),
        };
        for (ours, theirs) in embedder.embed(&documents).unwrap().iter().zip(&theirs) {
            let ours: Vec<f64> = ours.iter().map(|x| f64::from(*x)).collect();
            let distance = furthest(&ours, theirs);
            assert!(distance < 1e-5, "{name}: {distance}");
        }
    }
}
