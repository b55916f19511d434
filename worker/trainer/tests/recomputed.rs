//! `GRADIENT_CHECKPOINTING`: what is computed again is what was computed before.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use judge::{json, models};
use serde_json::json;
use tch::{Kind, Tensor};
use trainer::batches::{Batch, Example};
use trainer::dropout::Dropout;
use trainer::encoder::{Classifier, HeadKind};
use trainer::model::{Model, Repository};
use trainer::optimizer;
use trainer::recompute::Tape;

const TEXT: HeadKind = HeadKind::Text { labels: 3 };
const TOKEN: HeadKind = HeadKind::Token { labels: 5 };

fn built(name: &str, head: HeadKind, frozen: Option<u32>) -> (Repository, Model) {
    let mut repository = Repository::open(models().join(name), name).unwrap();
    let mut model = repository.build(head, Classifier::New, Some(1)).unwrap();
    if let Some(layers) = frozen {
        repository.freeze(&mut model, layers).unwrap();
    }
    (repository, model)
}

/// Names with gradients, of the same rows and the same dropout every time.
fn gradients(model: &(Repository, Model), kind: Kind, recomputes: bool) -> Vec<(String, Tensor)> {
    gradients_at(1, model, kind, recomputes)
}

fn gradients_at(
    step: u64,
    (repository, model): &(Repository, Model),
    kind: Kind,
    recomputes: bool,
) -> Vec<(String, Tensor)> {
    let texts = ["A fox jumps over the lazy dog".into(), "x".into()];
    let rows = repository.tokenizer.texts(&texts).unwrap();
    let examples: Vec<_> = rows.into_iter().map(|row| Example { row, targets: vec![] }).collect();
    let batch = Batch {
        kind,
        ..model.batch(&examples.iter().collect::<Vec<_>>())
    };
    let mut tape = Tape::new(recomputes);
    let mut dropout = Dropout::of_step(1, step, 0);
    let logits = model.logits(&batch, &mut dropout, &mut tape);
    let loss = (&logits * logits.cos()).sum(Kind::Float);
    let gradients = optimizer::gradients(&loss, tape, model.trained()).unwrap();
    let whole = |gradient: Tensor| match gradient.is_sparse() {
        true => gradient.to_dense(None, false),
        false => gradient,
    };
    let names = model.trained().iter().map(|p| p.name.clone());
    names.zip(gradients.into_iter().map(whole)).collect()
}

/// Largest difference of any gradient, against the largest value of it.
fn furthest(one: &[(String, Tensor)], other: &[(String, Tensor)]) -> f64 {
    let distance = |((name, one), (same, other)): (&(String, Tensor), &(String, Tensor))| {
        assert_eq!(name, same);
        let largest = one.abs().max().double_value(&[]).max(1e-6);
        (one - other).abs().max().double_value(&[]) / largest
    };
    one.iter().zip(other).map(distance).fold(0.0, f64::max)
}

#[test]
fn gradients_are_the_same_to_the_bit_in_every_family() {
    let expected = json(&models().join("expected.json"));
    let names: Vec<&String> = expected["models"].as_object().unwrap().keys().collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        for head in [TEXT, TOKEN] {
            let model = built(name, head, None);
            for kind in [Kind::Float, Kind::BFloat16] {
                let plain = gradients(&model, kind, false);
                let again = gradients(&model, kind, true);
                assert!(
                    plain.iter().any(|(_, g)| g.abs().max().double_value(&[]) > 0.0),
                    "{name}"
                );
                // The convolution reads the embeddings as the first layer does, and their gradients add up in another order.
                let allowed = match (name.contains("convolution") || name.contains("embeddings"), kind) {
                    (false, _) => 0.0,
                    (true, Kind::Float) => 1e-5,
                    (true, _) => 2e-2,
                };
                let found = furthest(&plain, &again);
                assert!(found <= allowed, "{name} {head:?} {kind:?}: {found}");
                // Another dropout is seen.
                let other = furthest(&plain, &gradients_at(2, &model, kind, true));
                assert!(other > 0.05, "{name} {head:?} {kind:?}: {other}");
            }
        }
    }
}

#[test]
fn nothing_is_computed_again_for_what_is_frozen() {
    for layers in [0, 1, 2] {
        let model = built("bert-text", TEXT, Some(layers));
        let plain = gradients(&model, Kind::Float, false);
        assert_eq!(furthest(&plain, &gradients(&model, Kind::Float, true)), 0.0, "{layers}");
    }
}

#[test]
fn a_training_ends_with_the_same_weights() {
    for (model, task) in [
        ("bert-text", "text-classification"),
        ("electra-token", "token-classification"),
    ] {
        let mut job = Job::new(model, task);
        job.description["training"]["load_best_model_at_end"] = json!(false);
        let weights = |job: &Job, name: &str| {
            let outputs = job.done(name);
            std::fs::read(outputs.join("model_artifacts/model.safetensors")).unwrap()
        };
        let plain = weights(&job, "plain");
        job.description["training"]["gradient_checkpointing"] = json!(true);
        assert!(plain == weights(&job, "again"), "{model}");
    }
}
