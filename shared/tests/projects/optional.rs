//! Settings that came later: a job has them only where somebody asked for them, so that all others keep their ids.

use crate::config_folder::{Config, SENTIMENT};
use crate::into_job;
use shared::job::Job;
use shared::project::Project;
use shared::settings::SettingsError;
use trainer_protocol::{CheckpointEvery, PhraseRule, Precision};

/// The project where somebody set `name` to `text`, or nobody did.
fn asked(config: &Config, project: &str, name: &str, text: Option<&str>) -> Result<Project, SettingsError> {
    let set: Vec<_> = text.into_iter().map(|text| (name, text)).collect();
    config.load(project, &set, &[])
}

#[test]
fn a_checkpoint_interval_is_in_the_job_only_where_somebody_asked_for_one() {
    let config = Config::new("sentiment", &format!("{SENTIMENT}TRAIN_DATA=data/train.jsonl\n"));
    let job = |text| into_job(asked(&config, "sentiment", "CHECKPOINT_EVERY", text).unwrap());
    let plain = job(None);
    assert_eq!((plain.schema, job(Some("AUTO")).id()), (1, plain.id()));
    for (text, expected) in [
        ("500", CheckpointEvery::Steps(500)),
        ("10m", CheckpointEvery::Seconds(600)),
        ("90s", CheckpointEvery::Seconds(90)),
    ] {
        let job = job(Some(text));
        let training = job.content.pipelines["main"].training.as_ref().unwrap();
        assert_eq!((job.schema, training.checkpoint_every), (2, expected));
        assert_ne!(job.id(), plain.id());
    }
}

#[test]
fn what_is_frozen_is_in_the_job_only_where_somebody_asked_for_it() {
    let config = Config::new("sentiment", &format!("{SENTIMENT}TRAIN_DATA=data/train.jsonl\n"));
    let load = |text| asked(&config, "sentiment", "FREEZE", text);
    let job = |text| into_job(load(text).unwrap());
    let plain = job(None);
    assert_eq!((plain.schema, job(Some("none")).id()), (1, plain.id()));
    for (text, expected) in [("embeddings", 0), ("embeddings+2", 2)] {
        let job = job(Some(text));
        let training = job.content.pipelines["main"].training.as_ref().unwrap();
        assert_eq!((job.schema, training.freeze), (3, Some(expected)));
        assert_ne!(job.id(), plain.id());
    }
    for text in ["2", "embeddings+", "embeddings+-1", "embeddings+1001", "layers"] {
        let error = load(Some(text)).unwrap_err().to_string();
        assert!(error.contains("FREEZE") && error.contains("embeddings+N"), "{error}");
    }
}

#[test]
fn that_layers_are_computed_again_is_in_the_job_only_where_somebody_asked_for_it() {
    let config = Config::new("sentiment", &format!("{SENTIMENT}TRAIN_DATA=data/train.jsonl\n"));
    let load = |text| asked(&config, "sentiment", "GRADIENT_CHECKPOINTING", text);
    let job = |text| into_job(load(text).unwrap());
    let plain = job(None);
    assert_eq!((plain.schema, job(Some("false")).id()), (1, plain.id()));
    let asked = job(Some("true"));
    assert_eq!(asked.schema, 3);
    assert!(
        asked.content.pipelines["main"]
            .training
            .as_ref()
            .unwrap()
            .gradient_checkpointing
    );
    assert_ne!(asked.id(), plain.id());
    let error = load(Some("layers")).unwrap_err().to_string();
    assert!(error.contains("GRADIENT_CHECKPOINTING"), "{error}");
    let mut old = serde_json::to_value(&asked).unwrap();
    old["schema"] = 2.into();
    let error = Job::from_slice(old.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("training.gradient_checkpointing"), "{error}");
}

#[test]
fn the_rule_of_phrases_is_in_the_job_only_where_it_is_not_keyberts() {
    let config = Config::new("keywords", "SAMPLE_DOCUMENTS=[\"x\"]\n");
    let load = |text| asked(&config, "keywords", "CANDIDATES", text);
    let plain = into_job(load(None).unwrap());
    assert_eq!(into_job(load(Some("keybert")).unwrap()).id(), plain.id());
    let job = into_job(load(Some("contiguous")).unwrap());
    assert_eq!((plain.schema, job.schema), (1, 3));
    assert_eq!(
        job.content.pipelines["main"].keywords.candidates,
        PhraseRule::Contiguous
    );
    assert!(load(Some("noun")).unwrap_err().to_string().contains("CANDIDATES"));
}

#[test]
fn what_keywords_are_computed_in_can_be_asked_for() {
    let config = Config::new("keywords", "SAMPLE_DOCUMENTS=[\"x\"]\n");
    let job = |text| into_job(asked(&config, "keywords", "PRECISION", text).unwrap());
    let plain = job(None);
    assert_eq!(job(Some("auto")).id(), plain.id());
    let fast = job(Some("bf16"));
    assert_eq!(
        (fast.schema, fast.content.pipelines["main"].precision),
        (1, Precision::Bf16)
    );
    assert_ne!(fast.id(), plain.id());
}

#[test]
fn what_is_frozen_needs_its_schema_and_bounds() {
    let config = Config::new("sentiment", &format!("{SENTIMENT}TRAIN_DATA=data/train.jsonl\n"));
    let job = into_job(config.load("sentiment", &[("FREEZE", "embeddings+1")], &[]).unwrap());
    let mut value = serde_json::to_value(&job).unwrap();
    for (schema, layers, is_fine) in [(3, 1, true), (2, 1, false), (3, 1001, false)] {
        value["schema"] = schema.into();
        value["content"]["pipelines"]["main"]["training"]["freeze"] = layers.into();
        match Job::from_slice(value.to_string().as_bytes()) {
            Ok(job) => assert!(is_fine && job.content.schema() == 3, "{schema}: {layers}"),
            Err(error) => assert!(!is_fine && error.to_string().contains("training.freeze"), "{error}"),
        }
    }
}
