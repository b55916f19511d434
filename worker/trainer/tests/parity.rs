//! The trainer's arithmetic against Python's transformers and PyTorch.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::table::{Judged, floats, furthest, furthest_of_tokens, judged};
use judge::{configure, copy, json, models, python};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Kind, Tensor};
use trainer::batches::Example;
use trainer::checkpoint::Checkpoints;
use trainer::dropout::Dropout;
use trainer::encoder::{Classifier, HeadKind};
use trainer::events::Events;
use trainer::export;
use trainer::fine_tune::{Plan, fine_tune};
use trainer::interruption::Interruption;
use trainer::labels::Labels;
use trainer::model::Repository;
use trainer::optimizer::{self, Parameter};
use trainer::recompute::Tape;
use trainer::task::text_classification;
use trainer::tokens::Row;
use trainer_protocol::Training;

fn texts(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn examples(rows: Vec<Row>) -> Vec<Example> {
    let plain = |row| Example {
        row,
        targets: Vec::new(),
    };
    rows.into_iter().map(plain).collect()
}

#[test]
fn logits_equal_those_of_transformers() {
    for judged in judged() {
        let model = judged.model(None);
        let batch = judged.batch(&model);
        let distance = furthest_of_tokens(&model.predict(&batch), &judged.tensors("logits")[""], &batch.mask);
        assert!(distance < 1e-5, "{}: {distance}", judged.name);
    }
}

#[test]
fn texts_become_the_ids_and_logits_of_transformers() {
    let expected = json(&models().join("expected.json"));
    let documents = texts(&expected["texts"]);
    for (name, theirs) in expected["models"].as_object().unwrap() {
        let judged = judged().iter().find(|judged| judged.name == *name).unwrap();
        let model = judged.model(None);
        let examples = examples(judged.repository().tokenizer.texts(&documents).unwrap());
        let batch = model.batch(&examples.iter().collect::<Vec<_>>());
        let integers = |value: &Value| serde_json::from_value::<Vec<Vec<i64>>>(value.clone()).unwrap();
        assert_eq!(
            Vec::<Vec<i64>>::try_from(&batch.mask).unwrap(),
            integers(&theirs["mask"]),
            "{name}"
        );
        assert_eq!(
            Vec::<Vec<i64>>::try_from(&batch.ids).unwrap(),
            integers(&theirs["ids"]),
            "{name}"
        );
        let shape: Vec<i64> = serde_json::from_value(theirs["shape"].clone()).unwrap();
        let theirs: Vec<f32> = serde_json::from_value(theirs["logits"].clone()).unwrap();
        let theirs = Tensor::from_slice(&theirs).view(shape.as_slice());
        let distance = furthest_of_tokens(&model.predict(&batch), &theirs, &batch.mask);
        assert!(distance < 1e-5, "{name}: {distance}");
    }
}

/// How far a gradient may be off: 1e-4, and less where the largest gradient of its parameter is less than 1.
fn allowed(theirs: &[f64]) -> f64 {
    1e-4 * theirs.iter().map(|x| x.abs()).fold(1e-3, f64::max).min(1.0)
}

#[test]
fn the_gradient_of_every_parameter_equals_that_of_pytorch() {
    for judged in judged() {
        let (name, model) = (&judged.name, judged.model(Some(1)));
        let batch = judged.batch(&model);
        let logits = model.logits(&batch, &mut Dropout::off(), &mut Tape::new(false));
        let loss = judged.loss_of(&logits, &batch);
        assert!((loss.double_value(&[]) - judged.loss).abs() < 1e-5, "{name}");
        // Tensors that are only carried over to the export are no parameters of ours.
        let used: Vec<Parameter> = model
            .parameters
            .into_iter()
            .filter(|p| p.value.requires_grad())
            .collect();
        let ours = optimizer::gradients(&loss, Tape::new(false), &used).unwrap();
        let mut theirs = judged.tensors("gradient");
        for (parameter, ours) in used.iter().zip(&ours) {
            let ours = floats(ours);
            // Where PyTorch has no gradient, ours is zero.
            let theirs = theirs
                .remove(&parameter.name)
                .map_or(vec![0.0; ours.len()], |g| floats(&g));
            let distance = furthest(&ours, &theirs);
            assert!(distance < allowed(&theirs), "{name}: {} {distance}", parameter.name);
        }
        assert!(theirs.is_empty(), "{name}: no parameter {:?}", theirs.keys());
    }
}

#[test]
fn three_steps_equal_those_of_pytorch() {
    for judged in judged().iter().filter(|judged| judged.head != HeadKind::Bare) {
        let (name, folder) = (&judged.name, tempfile::tempdir().unwrap());
        let mut repository = judged.without_dropout(&folder.path().join("model"));
        let mut model = repository
            .build(judged.head, Classifier::FromCheckpoint, Some(1))
            .unwrap();
        let before = model
            .named_tensors()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.copy()));
        let before: BTreeMap<String, Tensor> = before.collect();
        let training = training(3, 1e-3, 1);
        let plan = Plan {
            training: &training,
            seed: 1,
            train: judged.examples.clone(),
            validation: None,
            names: &[],
            eval_batch_size: 8,
            checkpoints: Checkpoints::new(folder.path(), "job".into(), 1, 2),
            profile: None,
        };
        let mut events = Events::new(Box::new(std::io::sink()));
        let state = fine_tune(&mut model, &plan, &mut events, &Interruption::default()).unwrap();
        let losses: Vec<f64> = state.curve.iter().map(|point| point.loss.unwrap()).collect();
        assert!(
            furthest(&losses, &judged.losses) < 1e-4,
            "{name}: {losses:?} {:?}",
            judged.losses
        );
        let theirs = judged.tensors("stepped");
        for (parameter, ours) in model.named_tensors() {
            // Rounding noise, which Adam blows up to whole steps; it changes no output.
            if judged.still.contains(&parameter) {
                continue;
            }
            let (ours, theirs) = (floats(&ours), floats(&theirs[&parameter]));
            let distance = furthest(&ours, &theirs);
            let allowed = 1e-4 + 2.0 * judged.rounding[&parameter];
            assert!(distance < allowed, "{name}: {parameter} {distance} {allowed}");
            let moved = furthest(&floats(&before[&parameter]), &theirs);
            assert!(
                moved > 1e-3,
                "{name}: {parameter} moved {moved} only: that would prove nothing"
            );
        }
    }
}

/// A model that is exported, with what it says about `documents`.
struct Export {
    name: String,
    class: String,
    ids: Vec<Vec<u32>>,
    logits: Tensor,
    mask: Tensor,
}

/// Builds `head` on the model of `judged` and exports it below `folder`.
fn export_of(judged: &Judged, head: HeadKind, documents: &[String], folder: &Path) -> Export {
    let new = head != judged.head;
    let mut repository = judged.repository();
    let (classifier, training) = match new {
        true => (Classifier::New, Some(3)),
        false => (Classifier::FromCheckpoint, None),
    };
    let model = repository.build(head, classifier, training).unwrap();
    let class = repository.family.class(head);
    let name = format!("{}-{class}", judged.name);
    let labels = match head {
        HeadKind::Bare => Vec::new(),
        HeadKind::Text { labels } | HeadKind::Token { labels } => (0..labels).map(|id| format!("label {id}")).collect(),
    };
    export::model(&repository, &model, &labels, new, &folder.join(&name)).unwrap();
    let examples = examples(repository.tokenizer.texts(documents).unwrap());
    let batch = model.batch(&examples.iter().collect::<Vec<_>>());
    Export {
        name,
        class,
        ids: examples.into_iter().map(|example| example.row.ids).collect(),
        logits: model.predict(&batch),
        mask: batch.mask,
    }
}

#[test]
fn transformers_loads_what_is_exported_from_every_family_and_head() {
    let folder = tempfile::tempdir().unwrap();
    let documents: Vec<String> = ["A fox.", "the lazy dog and the quick brown fox, again", "東京", ""]
        .map(str::to_owned)
        .into();
    let texts = folder.path().join("texts.json");
    std::fs::write(&texts, json!(documents).to_string()).unwrap();
    let mut exports = Vec::new();
    for judged in judged() {
        exports.push(export_of(judged, judged.head, &documents, folder.path()));
        if judged.head == HeadKind::Bare {
            for head in [HeadKind::Text { labels: 3 }, HeadKind::Token { labels: 5 }] {
                exports.push(export_of(judged, head, &documents, folder.path()));
            }
        }
    }
    python("load_exports.py", &[folder.path(), &texts]);
    let loaded = json(&folder.path().join("loaded.json"));
    for export in exports {
        let (name, theirs) = (&export.name, &loaded[&export.name]);
        assert_eq!(theirs["class"], export.class, "{name}");
        for (kind, found) in theirs["loading"].as_object().unwrap() {
            assert_eq!(found, &json!([]), "{name}: {kind}");
        }
        assert_eq!(theirs["ids"], json!(export.ids), "{name}");
        let said: Vec<f32> = serde_json::from_value(theirs["logits"].clone()).unwrap();
        let said = Tensor::from_slice(&said).view(export.logits.size().as_slice());
        let distance = furthest_of_tokens(&export.logits, &said, &export.mask);
        assert!(distance < 1e-5, "{name}: {distance}");
    }
}

#[test]
fn gradients_have_the_same_bits_every_time_in_two_threads() {
    tch::set_num_threads(2);
    for judged in judged() {
        let (name, mut model) = (&judged.name, judged.model(Some(1)));
        model.parameters.retain(|parameter| parameter.value.requires_grad());
        // So many rows that libtorch shares the work out.
        let rows = judged.examples.iter().cycle().take(48).collect::<Vec<_>>();
        let batch = model.batch(&rows);
        let gradients = || {
            let mut tape = Tape::new(false);
            let logits = model.logits(&batch, &mut Dropout::of_step(1, 1, 0), &mut tape);
            let loss = (&logits * logits.cos()).sum(Kind::Float);
            let gradients = optimizer::gradients(&loss, tape, &model.parameters).unwrap();
            let bits = gradients
                .iter()
                .map(|g| floats(g).into_iter().map(f64::to_bits).collect::<Vec<_>>());
            bits.collect::<Vec<_>>()
        };
        let first = gradients();
        for _ in 0..4 {
            assert!(first == gradients(), "{name}");
        }
    }
}

#[test]
fn with_dropout_off_training_computes_what_prediction_does() {
    for judged in judged() {
        let (name, model) = (&judged.name, judged.model(Some(1)));
        let batch = judged.batch(&model);
        let (off, on) = (&mut Dropout::off(), &mut Dropout::of_step(1, 1, 0));
        let predicted = model.predict(&batch);
        assert_eq!(
            furthest_of_tokens(
                &model.logits(&batch, off, &mut Tape::new(false)),
                &predicted,
                &batch.mask
            ),
            0.0,
            "{name}"
        );
        assert!(
            furthest_of_tokens(
                &model.logits(&batch, on, &mut Tape::new(false)),
                &predicted,
                &batch.mask
            ) > 1e-3,
            "{name}"
        );
    }
}

/// Training as `train_steps.py` does it: one batch an epoch.
fn training(steps: u32, rate: f64, warmup: u32) -> Training {
    serde_json::from_value(json!({
        "data": {"path": "rows", "format": "jsonl", "name": "rows"},
        "epochs": steps, "train_batch_size": 8, "gradient_accumulation_steps": 1, "learning_rate": rate,
        "warmup_steps": warmup, "weight_decay": 0.01, "max_grad_norm": 1.0, "test_size": 0.0,
        "evaluation_strategy": "no", "save_strategy": "no", "save_steps": 1, "save_total_limit": 2,
        "load_best_model_at_end": false, "metric_for_best_model": "accuracy", "early_stopping_patience": null
    }))
    .unwrap()
}

#[test]
fn twenty_steps_equal_those_of_pytorch() {
    let rows = [
        "The fox",
        "jumps over",
        "good dog",
        "bad dog again",
        "fine city",
        "the Bonn fox",
        "x",
        "and again",
    ];
    let labels = [0, 1, 2, 0, 2, 1, 1, 0];
    let no_dropout = json!({"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout": 0.0,
                            "attention_dropout": 0.0, "seq_classif_dropout": 0.0});
    for (name, freeze) in [("bert-text", None), ("distilbert-text", None), ("bert-text", Some(1))] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("model");
        copy(name, &at);
        configure(&at, no_dropout.clone());
        let file = folder.path().join("rows.json");
        std::fs::write(&file, json!({"texts": rows, "labels": labels}).to_string()).unwrap();
        let (steps, out) = (Path::new("20"), folder.path().join("theirs.safetensors"));
        let frozen = Path::new(if freeze.is_some() {
            "bert.embeddings.,bert.encoder.layer.0."
        } else {
            ""
        });
        let said = python("train_steps.py", &[&at, &file, steps, &out, frozen]);
        let losses: Vec<f64> = serde_json::from_str(&said).unwrap();

        let mut repository = Repository::open(at, name).unwrap();
        let head = HeadKind::Text { labels: 3 };
        let mut model = repository.build(head, Classifier::FromCheckpoint, Some(1)).unwrap();
        if let Some(layers) = freeze {
            repository.freeze(&mut model, layers).unwrap();
        }
        let own = Labels {
            names: repository.config.labels().unwrap().unwrap(),
            classifier: Classifier::FromCheckpoint,
        };
        let gold: Vec<String> = labels.iter().map(|id| own.names[*id].clone()).collect();
        let training = training(20, 5e-5, 2);
        let plan = Plan {
            training: &training,
            seed: 1,
            train: text_classification::examples(&repository.tokenizer, &rows.map(str::to_owned), &gold, &own).unwrap(),
            validation: None,
            names: &own.names,
            eval_batch_size: 8,
            checkpoints: Checkpoints::new(folder.path(), "job".into(), 1, 2),
            profile: None,
        };
        let mut events = Events::new(Box::new(std::io::sink()));
        let state = fine_tune(&mut model, &plan, &mut events, &Interruption::default()).unwrap();
        let ours: Vec<f64> = state.curve.iter().map(|point| point.loss.unwrap()).collect();
        assert!(furthest(&ours, &losses) < 1e-5, "{name}: {ours:?} {losses:?}");
        assert!(losses[19] < losses[0], "it learns: {losses:?}");
        let theirs = Tensor::read_safetensors(out).unwrap();
        for (tensor_name, ours) in model.named_tensors() {
            // The bias of the keys adds the same to every score of a row, which softmax takes out again: its gradient is
            // zero but for rounding, which Adam blows up to whole steps. It changes no output.
            if tensor_name.ends_with("key.bias") || tensor_name.ends_with("k_lin.bias") {
                continue;
            }
            let (_, theirs) = theirs.iter().find(|(other, _)| *other == tensor_name).unwrap();
            let distance = furthest(&floats(&ours), &floats(theirs));
            assert!(distance < 1e-5, "{name}: {tensor_name} {distance}");
        }
    }
}
