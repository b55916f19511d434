//! Models of full size with random weights against transformers. Slow (about a minute), and called so that it runs last.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::table::{floats, furthest_of_tokens};
use judge::{json, python};
use std::path::Path;
use tch::Tensor;
use trainer::batches::Example;
use trainer::encoder::{Classifier, HeadKind};
use trainer::model::Repository;
use trainer::tokens::Row;

fn equals_transformers(name: &str, head: HeadKind, millions: i64) {
    // It holds more than a gigabyte and is gone when the test ends.
    let folder = tempfile::tempdir().unwrap();
    python("write_full_size.py", &[Path::new(name), folder.path()]);
    let expected = json(&folder.path().join("expected.json"));
    assert_eq!(expected["parameters"].as_i64().unwrap() / 1_000_000, millions, "{name}");
    let rows: Vec<Vec<u32>> = serde_json::from_value(expected["rows"].clone()).unwrap();
    let example = |ids: Vec<u32>| Example {
        row: Row {
            types: vec![0; ids.len()],
            words: vec![None; ids.len()],
            ids,
        },
        targets: Vec::new(),
    };
    let examples: Vec<Example> = rows.into_iter().map(example).collect();
    let mut repository = Repository::open(folder.path().join("model"), name).unwrap();
    let model = repository.build(head, Classifier::FromCheckpoint, None).unwrap();
    let batch = model.batch(&examples.iter().collect::<Vec<_>>());
    let ours = model.predict(&batch);
    let theirs: Vec<f32> = serde_json::from_value(expected["logits"].clone()).unwrap();
    let theirs = Tensor::from_slice(&theirs).view(ours.size().as_slice());
    let largest = floats(&theirs).into_iter().map(f64::abs).fold(0.0, f64::max);
    let distance = furthest_of_tokens(&ours, &theirs, &batch.mask);
    // Relative to the logits where they are larger than 1.
    assert!(
        largest > 0.1 && distance < 1e-5 * largest.max(1.0),
        "{name}: {distance} of {largest}"
    );
}

#[test]
fn slow_xlm_roberta_base_equals_transformers() {
    equals_transformers("xlm-roberta-base", HeadKind::Text { labels: 3 }, 278);
}

#[test]
fn slow_deberta_v3_base_equals_transformers() {
    equals_transformers("deberta-v3-base", HeadKind::Token { labels: 5 }, 183);
}
