//! What the encoder families say of themselves against transformers' classes, and which checkpoints they take.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::{configure, copy, json, models, python};
use serde_json::{Map, Value, json};
use std::path::Path;
use tch::Tensor;
use trainer::batches::Example;
use trainer::dropout::Dropout;
use trainer::encoder::{Classifier, Config, Family, HeadKind};
use trainer::failure::Failure;
use trainer::model::{Model, Repository};
use trainer::recompute::Tape;
use trainer::tokens::Row;

const TEXT: HeadKind = HeadKind::Text { labels: 3 };
const TOKEN: HeadKind = HeadKind::Token { labels: 5 };

#[test]
fn defaults_classes_and_prefixes_are_those_of_transformers() {
    let names: Vec<&Path> = Family::all().map(|family| Path::new(family.model_type)).collect();
    let facts: Value = serde_json::from_str(&python("family_facts.py", &names)).unwrap();
    for family in Family::all() {
        let (name, theirs) = (family.model_type, &facts[family.model_type]);
        let defaults: Map<String, Value> = serde_json::from_str(family.defaults).unwrap();
        for (key, ours) in defaults {
            let same = match (ours.as_f64(), theirs["defaults"][&key].as_f64()) {
                (Some(ours), Some(theirs)) => (ours - theirs).abs() <= f64::EPSILON * theirs.abs(),
                _ => ours == theirs["defaults"][&key],
            };
            assert!(same, "{name}: {key} is {ours}, not {}", theirs["defaults"][&key]);
        }
        assert_eq!(theirs["prefix"], family.prefix, "{name}");
        let classes = [HeadKind::Bare, TEXT, TOKEN].map(|head| family.class(head));
        assert_eq!(theirs["classes"], json!(classes), "{name}");
    }
}

fn config(fields: &Value) -> Config {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), fields.to_string()).unwrap();
    Config::open(folder.path(), "model").unwrap()
}

#[test]
fn a_family_takes_as_many_tokens_as_it_has_positions_for() {
    let taken = |fields| config(&fields).max_positions().unwrap();
    assert_eq!(taken(json!({"model_type": "bert"})), 512);
    assert_eq!(
        taken(json!({"model_type": "distilbert", "max_position_embeddings": 64})),
        64
    );
    for model_type in ["roberta", "xlm-roberta", "camembert", "mpnet"] {
        let fields = json!({"model_type": model_type, "max_position_embeddings": 514});
        assert_eq!(taken(fields), 512, "{model_type}");
    }
    assert_eq!(taken(json!({"model_type": "roberta", "pad_token_id": 5})), 506);
    // MPNet counts from behind 1 whatever the padding token is.
    assert_eq!(taken(json!({"model_type": "mpnet", "pad_token_id": 5})), 510);
}

#[test]
fn what_no_model_can_be_is_refused_by_field() {
    let wrong = [
        (
            json!({"model_type": "roberta", "max_position_embeddings": 2}),
            "max_position_embeddings",
        ),
        (json!({"model_type": "roberta", "pad_token_id": -1}), "pad_token_id"),
        (
            json!({"model_type": "xlm-roberta", "pad_token_id": 30522}),
            "pad_token_id",
        ),
        (
            json!({"model_type": "bert", "max_position_embeddings": "many"}),
            "max_position_embeddings",
        ),
    ];
    for (fields, field) in wrong {
        let error = config(&fields)
            .max_positions()
            .and(config(&fields).pad_token_id())
            .unwrap_err();
        let Failure::User(message) = error else {
            panic!("{error}")
        };
        assert!(
            message.starts_with("model/config.json: ") && message.contains(field),
            "{message}"
        );
    }
}

/// The tiny model `name` with other fields in its config.json, with `head`, to be trained.
fn build(name: &str, fields: Value, head: HeadKind, classifier: Classifier) -> Result<Model, Failure> {
    let folder = tempfile::tempdir().unwrap();
    copy(name, folder.path());
    configure(folder.path(), fields);
    Repository::open(folder.path().to_owned(), "model")?.build(head, classifier, Some(1))
}

fn refused(name: &str, fields: Value) -> String {
    match build(name, fields, HeadKind::Bare, Classifier::FromCheckpoint) {
        Err(Failure::User(message)) => message,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused_by_tensor() {
    let layers = |key: &str, count: i64| json!({ (key): count });
    for (name, key, stack) in [
        ("bert-bare", "num_hidden_layers", "encoder.layer"),
        ("distilbert-bare", "n_layers", "transformer.layer"),
        ("roberta-token", "num_hidden_layers", "encoder.layer"),
        ("roberta-no-prefix-text", "num_hidden_layers", "encoder.layer"),
        ("albert-groups-text", "num_hidden_groups", "encoder.albert_layer_groups"),
        ("mpnet-with-prefix-bare", "num_hidden_layers", "encoder.layer"),
        ("electra-text", "num_hidden_layers", "encoder.layer"),
        ("deberta-v2-text", "num_hidden_layers", "encoder.layer"),
    ] {
        let message = refused(name, layers(key, 1));
        assert!(message.contains("no place for "), "{message}");
        assert!(message.contains(&format!("{stack}.1.")), "{message}");
        let message = refused(name, layers(key, 3));
        assert!(
            message.contains(&format!("{stack}.2.")) && message.contains("is missing"),
            "{message}"
        );
    }
    // Sizes that no memory holds are not asked for.
    for key in [
        "hidden_size",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ] {
        let message = refused("bert-text", layers(key, 1 << 24));
        assert!(message.contains("has the shape"), "{message}");
    }
    let message = refused("bert-text", layers("num_hidden_layers", 1 << 20));
    assert!(
        message.contains("num_hidden_layers must be a whole number from 1 to 1024"),
        "{message}"
    );
    assert!(refused("bert-text", layers("num_attention_heads", 3)).contains("a divisor of 32"));
    assert!(refused("bert-text", json!({"is_decoder": true})).contains("is_decoder must be false"));
    assert!(refused("bert-text", json!({"hidden_act": "quick"})).contains("hidden_act must be one of gelu"));
    assert!(refused("bert-text", json!({"hidden_dropout_prob": 1.5})).contains("hidden_dropout_prob must be"));
    assert!(refused("distilbert-text", json!({"attention_dropout": "x"})).contains("attention_dropout must be"));
    assert!(refused("mpnet-text", layers("relative_attention_num_buckets", 8)).contains("at least 32"));
}

#[test]
fn what_deberta_cannot_be_is_refused_by_field() {
    for (key, value, wanted) in [
        ("pos_att_type", json!("p2p"), "c2p and p2c"),
        ("pos_att_type", json!([]), "where relative_attention is true"),
        ("pos_att_type", json!({"c2p": true}), "c2p and p2c"),
        (
            "relative_attention",
            json!(false),
            "none where relative_attention is false",
        ),
        ("position_buckets", json!(1), "at least 2"),
        ("max_relative_positions", json!("far"), "a whole number"),
        ("norm_rel_ebd", json!("batch_norm"), "none or layer_norm"),
        ("share_att_key", json!("yes"), "true or false"),
        ("attention_head_size", json!(16), "8"),
        ("pooler_hidden_size", json!(16), "32"),
        ("conv_kernel_size", json!(4), "odd"),
        ("cls_dropout", json!(1), "below 1"),
    ] {
        let message = refused("deberta-v2-convolution-text", json!({ (key): value }));
        assert!(message.contains(key) && message.contains(wanted), "{message}");
    }
    for (key, value) in [("conv_groups", json!(3)), ("conv_act", json!("quick"))] {
        let message = refused("deberta-v2-convolution-text", json!({ (key): value }));
        assert!(message.contains(&format!("{key} must be")), "{message}");
    }
}

#[test]
fn heads_of_other_tasks_are_left_over_and_new_ones_initialised() {
    let new = |name: &str, head| build(name, json!({}), head, Classifier::New).unwrap();
    let model = new("roberta-text", TOKEN);
    assert_eq!(model.initialised, ["classifier.weight", "classifier.bias"]);
    let left = ["dense.bias", "dense.weight", "out_proj.bias", "out_proj.weight"];
    assert_eq!(model.unused, left.map(|part| format!("classifier.{part}")));
    let model = new("electra-token", TEXT);
    let parts = ["dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"];
    assert_eq!(model.initialised, parts.map(|part| format!("classifier.{part}")));
    assert_eq!(model.unused, ["classifier.bias", "classifier.weight"]);
    // A pooler is used by a text head, carried by the bare model, and not missed by a token head.
    let model = new("albert-bare", TEXT);
    assert_eq!((model.initialised.len(), model.unused.len()), (2, 0));
    let model = new("albert-bare", TOKEN);
    assert_eq!(model.unused, ["pooler.bias", "pooler.weight"]);
    let model = new("mpnet-with-prefix-bare", HeadKind::Bare);
    assert_eq!(model.unused, ["lm_head.bias"]);
    assert!(
        model
            .named_tensors()
            .iter()
            .any(|(name, _)| name == "pooler.dense.weight")
    );
}

#[test]
fn the_vector_of_padding_is_not_trained() {
    for name in ["roberta-token", "mpnet-token", "bert-token"] {
        let mut repository = Repository::open(models().join(name), name).unwrap();
        let model = repository.build(TOKEN, Classifier::FromCheckpoint, Some(1)).unwrap();
        let rows = repository.tokenizer.texts(&["A fox jumps".into(), "x".into()]).unwrap();
        let examples = rows.into_iter().map(|row| Example { row, targets: vec![] });
        let examples: Vec<_> = examples.collect();
        let batch = model.batch(&examples.iter().collect::<Vec<_>>());
        // Of all positions, padding's too, which a training would not ask for.
        let mut tape = Tape::new(false);
        let logits = model.logits(&batch, &mut Dropout::off(), &mut tape);
        let loss = logits.square().sum(tch::Kind::Float);
        let gradients = trainer::optimizer::gradients(&loss, tape, &model.parameters).unwrap();
        let of = |name: &str| {
            let place = model.parameters.iter().position(|p| p.name.ends_with(name)).unwrap();
            gradients[place].abs().sum_dim_intlist(1, false, tch::Kind::Float)
        };
        let padding = repository.config.pad_token_id().unwrap();
        let is_zero = |rows: &Tensor| rows.double_value(&[padding]) == 0.0;
        assert!(is_zero(&of("word_embeddings.weight")), "{name}");
        assert_eq!(
            is_zero(&of("position_embeddings.weight")),
            name != "bert-token",
            "{name}"
        );
    }
}

#[test]
fn a_model_with_one_token_type_has_that_one_whatever_the_tokenizer_says() {
    let model = build("xlm-roberta-token", json!({}), TOKEN, Classifier::FromCheckpoint).unwrap();
    let said = [0, 1].map(|of_all| {
        let (ids, types, words) = (vec![0, 7, 8, 2], vec![of_all; 4], vec![]);
        let row = Row { ids, types, words };
        model.predict(&model.batch(&[&Example { row, targets: vec![] }]))
    });
    assert_eq!(said[0], said[1]);
}

/// The head that a tiny model came with.
fn head_of(name: &str) -> HeadKind {
    match name {
        _ if name.ends_with("-token") => TOKEN,
        _ if name.ends_with("-text") || name == "bert-old-names" => TEXT,
        _ => HeadKind::Bare,
    }
}

#[test]
fn dropout_is_where_transformers_has_it_with_the_same_fields() {
    let expected = json(&models().join("expected.json"));
    let names: Vec<&str> = expected["models"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut arguments = vec![models()];
    arguments.extend(names.iter().map(Path::new));
    let judged: Value = serde_json::from_str(&python("dropout_places.py", &arguments)).unwrap();
    for name in names {
        let said = judged[name]["fields"].as_object().unwrap();
        // What a training pass says with these dropouts, how far that is from none, and how often it dropped out.
        let run = |alone: Option<&str>| {
            let on = |field: &str| alone.is_none_or(|alone| alone == field);
            let fields: Map<String, Value> = said
                .keys()
                .map(|field| (field.clone(), json!(if on(field) { 0.5 } else { 0.0 })))
                .collect();
            let model = build(name, fields.into(), head_of(name), Classifier::FromCheckpoint).unwrap();
            let row = Row {
                ids: vec![0, 7, 8, 9, 2],
                types: vec![0; 5],
                words: vec![],
            };
            let batch = model.batch(&[&Example { row, targets: vec![] }]);
            let mut dropout = Dropout::of_step(1, 1, 0);
            let distance = (model.logits(&batch, &mut dropout, &mut Tape::new(false)) - model.predict(&batch))
                .abs()
                .max();
            (distance.double_value(&[]) > 0.0, dropout.places())
        };
        assert_eq!(json!(run(None).1), judged[name]["places"], "{name}");
        for (field, has_effect) in said {
            assert_eq!(json!(run(Some(field)).0), *has_effect, "{name}: {field}");
        }
    }
}
