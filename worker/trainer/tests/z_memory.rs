//! What a training is said to need at least, beside what it takes. The only test of its file: the peak is the process's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use serde_json::json;
use trainer::batches::Example;
use trainer::encoder::{Classifier, HeadKind};
use trainer::environment::peak_resident_bytes;
use trainer::failure::Failure;
use trainer::memory_need::Need;
use trainer::model::Repository;
use trainer_protocol::TrainerJob;

/// A job of `rows` texts of as many tokens as the model takes, in one batch, and what it is said to need.
fn job(rows: usize, checkpointing: bool) -> (Job, Need, trainer_protocol::Training) {
    let mut job = Job::new("bert-text", "text-classification");
    let text = "the quick brown fox jumps over the lazy dog ".repeat(20);
    let labels = ["good", "bad"];
    let row = |number: usize| json!({"text": text, "label": labels[number % 2]}).to_string() + "\n";
    let texts: String = (0..rows).map(row).collect();
    std::fs::write(job.folder.path().join("inputs/texts.jsonl"), texts).unwrap();
    job.description["max_length"] = json!(64);
    let training = &mut job.description["training"];
    training["train_batch_size"] = json!(rows);
    training["epochs"] = json!(1);
    training["test_size"] = json!(0.0);
    training["save_strategy"] = json!("no");
    training["evaluation_strategy"] = json!("no");
    training["load_best_model_at_end"] = json!(false);
    training["early_stopping_patience"] = json!(null);
    if checkpointing {
        training["gradient_checkpointing"] = json!(true);
    }
    let parsed: TrainerJob = serde_json::from_value(job.description.clone()).unwrap();
    let training = parsed.training.unwrap();
    let mut repository = Repository::open(job.folder.path().join("inputs/model"), "model").unwrap();
    let model = repository
        .build(HeadKind::Text { labels: 2 }, Classifier::New, Some(1))
        .unwrap();
    let row = repository
        .tokenizer
        .cut_to(64)
        .unwrap()
        .texts(&[text])
        .unwrap()
        .remove(0);
    let examples = vec![Example { row, targets: vec![0] }; rows];
    let need = Need::of(&repository.config, &model, &training, &examples).unwrap();
    (job, need, training)
}

#[test]
fn a_training_takes_at_least_what_it_is_said_to_need_and_not_many_times_as_much() {
    job(16, false).0.done("warm");
    let before = peak_resident_bytes();
    // The larger one later: a peak never falls.
    for (rows, checkpointing) in [(1000, true), (2000, false)] {
        let (job, need, training) = job(rows, checkpointing);
        assert_eq!((need.rows, need.tokens), (rows as u64, 64));
        job.done("measured");
        let taken = peak_resident_bytes() - before;
        let (taken, said) = (taken >> 20, need.bytes >> 20);
        println!("{rows} rows, checkpointing {checkpointing}: {taken} MiB taken, {said} MiB said");
        assert!(
            said <= taken && taken <= 3 * said,
            "{rows} rows: {taken} MiB taken, {said} MiB said"
        );
        assert!(need.check(&training, Some(need.bytes)).is_ok() && need.check(&training, None).is_ok());
        let refused = need.check(&training, Some(need.bytes - 1)).unwrap_err();
        assert!(matches!(refused, Failure::OutOfMemory(_)), "{refused:?}");
        let text = refused.to_string();
        assert!(
            text.contains(&format!("{rows} rows of up to 64 tokens")) && text.contains("TRAIN_BATCH_SIZE"),
            "{text}"
        );
        assert_eq!(text.contains("GRADIENT_CHECKPOINTING"), !checkpointing, "{text}");
    }
}
