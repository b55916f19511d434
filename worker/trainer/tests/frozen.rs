//! `FREEZE`: what of an encoder stays as it came, and that the rest is trained as if nothing were frozen.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use judge::models;
use serde_json::json;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};
use trainer::batches::Example;
use trainer::dropout::Dropout;
use trainer::encoder::{Classifier, HeadKind};
use trainer::model::{Model, Repository};
use trainer::optimizer;
use trainer::recompute::Tape;

const HEAD: HeadKind = HeadKind::Text { labels: 3 };

fn built(name: &str) -> (Repository, Model) {
    let mut repository = Repository::open(models().join(name), name).unwrap();
    let model = repository.build(HEAD, Classifier::New, Some(1)).unwrap();
    (repository, model)
}

/// Gradients by name, of the same rows and the same dropout every time.
fn gradients(repository: &Repository, model: &Model) -> BTreeMap<String, Tensor> {
    let rows = repository.tokenizer.texts(&["A fox jumps".into(), "x".into()]).unwrap();
    let examples: Vec<_> = rows.into_iter().map(|row| Example { row, targets: vec![] }).collect();
    let batch = model.training_batch(&examples.iter().collect::<Vec<_>>());
    let mut tape = Tape::new(false);
    let logits = model.logits(&batch, &mut Dropout::of_step(1, 1, 0), &mut tape);
    let loss = (&logits * logits.cos()).sum(Kind::Float);
    let gradients = optimizer::gradients(&loss, tape, model.trained()).unwrap();
    let names = model.trained().iter().map(|p| p.name.clone());
    names
        .zip(gradients.iter().map(|g| {
            if g.is_sparse() {
                g.to_dense(None, false)
            } else {
                g.shallow_clone()
            }
        }))
        .collect()
}

#[test]
fn what_is_left_has_the_gradients_that_it_has_when_all_is_trained() {
    let families = [
        ("bert-text", ["embeddings.", "encoder.layer.0."]),
        ("roberta-text", ["embeddings.", "encoder.layer.0."]),
        ("distilbert-text", ["embeddings.", "transformer.layer.0."]),
        ("electra-token", ["embeddings", "encoder.layer.0."]),
        ("mpnet-bare", ["embeddings.", "encoder.layer.0."]),
    ];
    for (name, lowest) in families {
        let (repository, whole) = built(name);
        let all = gradients(&repository, &whole);
        let (repository, mut model) = built(name);
        repository.freeze(&mut model, 1).unwrap();
        let left = gradients(&repository, &model);
        for (parameter, gradient) in &left {
            assert!(gradient.equal(&all[parameter]), "{name}: {parameter}");
        }
        let is_low = |parameter: &&String| {
            lowest.iter().any(|part| parameter.contains(part)) || parameter.contains("relative_attention_bias")
        };
        let expected: Vec<&String> = all.keys().filter(|parameter| !is_low(parameter)).collect();
        assert_eq!(left.keys().collect::<Vec<_>>(), expected, "{name}");
        assert!(left.len() < all.len() && !left.is_empty(), "{name}");
    }
}

#[test]
fn frozen_weights_are_exported_as_they_came_and_the_others_are_not() {
    for freeze in [0, 2] {
        let mut job = Job::new("bert-text", "text-classification");
        job.description["training"]["freeze"] = json!(freeze);
        let outputs = job.done("frozen");
        let read = |file| {
            Tensor::read_safetensors(file)
                .unwrap()
                .into_iter()
                .collect::<BTreeMap<_, _>>()
        };
        let before = read(job.folder.path().join("inputs/model/model.safetensors"));
        let after = read(outputs.join("model_artifacts/model.safetensors"));
        let mut seen = [0, 0];
        for (name, value) in &after {
            let layer = |number: u32| name.contains(&format!("encoder.layer.{number}."));
            let frozen = name.contains(".embeddings.") || (freeze == 2 && (layer(0) || layer(1)));
            let Some(before) = before.get(name) else { continue };
            // A key's bias has no gradient but rounding.
            if !name.ends_with("key.bias") {
                assert_eq!(before.equal(value), frozen, "embeddings+{freeze}: {name}");
                seen[usize::from(frozen)] += 1;
            }
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    }
}

#[test]
fn what_cannot_be_frozen_is_named() {
    let (repository, mut model) = built("bert-text");
    let error = repository.freeze(&mut model, 99).unwrap_err().to_string();
    assert!(
        error.contains("FREEZE=embeddings+99: bert-text has 2 layers"),
        "{error}"
    );
    let (repository, mut model) = built("albert-bare");
    let error = repository.freeze(&mut model, 1).unwrap_err().to_string();
    assert!(error.contains("share their weights"), "{error}");
    repository.freeze(&mut model, 0).unwrap();
    assert!(model.trained().iter().all(|p| !p.name.contains("embedding")));
}
