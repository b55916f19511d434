//! Data at the edges of what there can be: a clear error or the result that is said here, and never a hang.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use judge::json;
use serde_json::{Value, json};

fn rows(rows: &[(&str, &str)]) -> String {
    let row = |(text, label): &(&str, &str)| json!({"text": text, "label": label}).to_string() + "\n";
    rows.iter().map(row).collect()
}

/// A job whose texts are `train`, judged by `validation`.
fn of_texts(train: &str, validation: &str) -> Job {
    let mut job = Job::new("bert-text", "text-classification");
    let inputs = job.folder.path().join("inputs");
    std::fs::write(inputs.join("texts.jsonl"), train).unwrap();
    std::fs::write(inputs.join("held-out.jsonl"), validation).unwrap();
    job.description["validation_data"] = json!({"path": "held-out.jsonl", "format": "jsonl", "name": "held-out"});
    job.description["training"]["test_size"] = json!(0.0);
    job
}

fn report(job: &Job) -> Value {
    json(&job.done("one").join("report.json"))
}

const FEW: [(&str, &str); 3] = [
    ("good dog", "positive"),
    ("bad fox", "negative"),
    ("the city", "neutral"),
];

#[test]
fn a_text_of_a_million_characters_is_cut() {
    let long = "dog ".repeat(250_000);
    let train = rows(&FEW) + &rows(&[(&long, "positive")]);
    let mut job = of_texts(&train, &rows(&FEW));
    job.description["sample_documents"] = json!([long]);
    let report = report(&job);
    assert_eq!((&report["train_rows"], &report["steps"]), (&json!(4), &json!(2)));
}

#[test]
fn an_empty_text_is_refused_with_its_place() {
    for blank in ["", " \n"] {
        let train = rows(&FEW) + &rows(&[(blank, "positive")]);
        let message = of_texts(&train, &rows(&FEW)).refused();
        assert_eq!(message, "failed to read texts.jsonl, line 4, field `text`: it is blank");
    }
}

#[test]
fn a_single_class_is_refused() {
    let same = rows(&[("good dog", "positive"), ("fine fox", "positive")]);
    let message = of_texts(&same, &same).refused();
    assert!(
        message.contains("has 1 label (positive), a classifier needs at least two"),
        "{message}"
    );
}

#[test]
fn a_batch_may_be_larger_than_the_data() {
    let mut job = of_texts(&rows(&FEW), &rows(&FEW));
    job.description["training"]["train_batch_size"] = json!(1000);
    job.description["eval_batch_size"] = json!(1000);
    assert_eq!(report(&job)["steps"], 2);
}

#[test]
fn a_label_of_the_validation_data_alone_is_a_label_that_is_never_right() {
    let report = report(&of_texts(
        &rows(&FEW),
        &rows(&[("a dog", "joy"), ("good dog", "positive")]),
    ));
    assert_eq!(report["labels"], json!(["joy", "negative", "neutral", "positive"]));
    assert_eq!(report["per_label"]["joy"]["support"], 1);
}

#[test]
fn a_label_that_the_validation_data_never_has_counts_nothing() {
    let report = report(&of_texts(&rows(&FEW), &rows(&[("good dog", "positive")])));
    assert!(report["scores"]["macro_recall"].is_f64(), "{report}");
}

#[test]
fn tags_that_do_not_follow_each_other_are_learned_as_they_stand() {
    let job = Job::new("bert-token", "token-classification");
    // I- without a B- before it, and behind another type's.
    let sentence = "Anna\tI-PER\nlazy\tO\nBonn\tI-LOC\ncity\tI-PER\n\nthe\tO\nfox\tB-LOC\ndog\tI-PER\n\n";
    std::fs::write(job.folder.path().join("inputs/sentences.conll"), sentence.repeat(6)).unwrap();
    let report = report(&job);
    // The model's own, which hold all of them.
    assert_eq!(report["labels"], json!(["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]));
    assert_eq!(
        report["per_label"]["PER"]["support"]
            .as_u64()
            .map(|support| support > 0),
        Some(true),
        "{report}"
    );
}

#[test]
fn a_weight_that_is_not_a_number_is_the_users_failure() {
    let job = of_texts(&rows(&FEW), &rows(&FEW));
    let file = job.folder.path().join("inputs/model/model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for value in bytes[8 + header..].chunks_exact_mut(4) {
        value.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    std::fs::write(&file, bytes).unwrap();
    let message = job.refused();
    assert!(
        message.contains("holds values that are no numbers, or infinite, in "),
        "{message}"
    );
}
