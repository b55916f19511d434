//! Projects as they are shipped and as the component wrote them, and the jobs that they become.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "../config_folder/mod.rs"]
mod config_folder;
mod optional;

use config_folder::{Config, SENTIMENT};
use shared::job::{Accelerator, Job, Lineage};
use shared::project::{Facts, ModelReference, Project, Request, Resolved, load};
use shared::settings::Fleet;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trainer_protocol::{DataFormat, Strategy, Task};

fn shipped(project: &str, env_file: &str) -> Project {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let env_file = Some(config.join(project).join(env_file));
    let request = Request {
        config,
        project: project.into(),
        env_file,
        set: vec![],
        environment: BTreeMap::new(),
    };
    load(&request).unwrap_or_else(|error| panic!("{project}: {error}"))
}

/// Publishes as far as that goes without a hub: commits are made up, digests are real.
fn into_job(project: Project) -> Job {
    let commits = project
        .models()
        .into_iter()
        .map(|model| (model.clone(), "0123456789".repeat(4)))
        .collect();
    let data = project
        .data_files()
        .into_iter()
        .map(|file| (file.path.clone(), file.digest().unwrap()))
        .collect();
    project.into_job(&Resolved { commits, data }, facts()).unwrap()
}

fn facts() -> Facts {
    Facts {
        tag: "t1".into(),
        accelerator: Accelerator::Cpu,
        sample: false,
        register: true,
        exact_worker: false,
        nonce: None,
        lineage: Lineage::from_env(&BTreeMap::new(), "0.1.0", "2026-01-01T00:00:00Z"),
    }
}

#[test]
fn every_shipped_project_makes_a_job_that_is_read_back() {
    for project in ["keywords", "ner", "sentiment", "iptc"] {
        for env_file in ["dev.env", "prod.env"] {
            let loaded = shipped(project, env_file);
            assert_eq!(loaded.notices, Vec::<String>::new(), "{project}/{env_file}");
            assert_eq!(
                loaded.target.environment,
                if env_file == "prod.env" { "stage" } else { "dev" }
            );
            let job = into_job(loaded);
            let read = Job::from_slice(&job.to_vec().unwrap()).unwrap();
            assert_eq!(read, job);
            assert_eq!(read.id(), job.id());
        }
    }
}

#[test]
fn production_holds_the_components_models_and_development_the_small_one() {
    let model = |project: &Project| {
        project
            .models()
            .iter()
            .map(|m| format!("{}@{}", m.repository, m.revision))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        model(&shipped("keywords", "prod.env")),
        ["sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2@main"]
    );
    assert_eq!(
        model(&shipped("sentiment", "prod.env")),
        ["cardiffnlp/twitter-xlm-roberta-base-sentiment@main"]
    );
    assert_eq!(model(&shipped("iptc", "prod.env")), ["xlm-roberta-base@main"]);
    for project in ["keywords", "ner", "sentiment", "iptc"] {
        assert_eq!(
            model(&shipped(project, "dev.env")),
            ["sentence-transformers/all-MiniLM-L6-v2@main"]
        );
    }
    for project in ["keywords", "ner", "sentiment"] {
        let untrained = shipped(project, "prod.env")
            .pipelines
            .values()
            .all(|p| p.training.is_none());
        assert!(untrained, "{project}");
    }
}

#[test]
fn ner_registers_two_models_each_with_its_own_samples() {
    let job = into_job(shipped("ner", "prod.env"));
    let folders: Vec<_> = job
        .content
        .pipelines
        .values()
        .map(|p| (p.model.repository.as_str(), p.artifact_folder.as_str()))
        .collect();
    assert_eq!(
        folders,
        [
            ("dslim/bert-base-NER", "base_ner"),
            (
                "Davlan/distilbert-base-multilingual-cased-ner-hrl",
                "korean_japanese_ner"
            ),
        ]
    );
    let inputs = job.content.inputs();
    assert_eq!(inputs[0][0], "Google HQ is in Mountain View, CA");
    assert_eq!(inputs[1].as_array().unwrap().len(), 2);
    assert_eq!(job.content.inference_params(), serde_json::json!([{}, {}]));
    assert!(job.content.score_names().contains(&"base_ner.f1".to_owned()));
    assert_eq!(
        job.content.model_params["huggingface_model_reference_kj"],
        "Davlan/distilbert-base-multilingual-cased-ner-hrl"
    );
}

#[test]
fn keywords_has_the_components_inference_parameters() {
    let job = into_job(shipped("keywords", "prod.env"));
    let expected = serde_json::json!({"keyphrase_ngram_range": [1, 1], "stop_words": "english", "top_n": 5});
    assert_eq!(job.content.inference_params(), expected);
}

#[test]
fn a_dotenv_file_of_the_component_loads_as_it_is() {
    let dotenv = "# iptc\nPROJECT='onclusive/iptc-04000000'\nMODEL=\"IP04000000-TRAINED\"\nNEPTUNE_API_TOKEN=eyJ==\n\
        AWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=abc/+=\nexport ONCLUSIVEML_TRACKING_BACKEND_USE_S3_BACKEND=True\n\
        onclusiveml_tracking_backend_environment=stage\nEPOCHS=3\nTRAIN_BATCH_SIZE=32\nEVAL_BATCH_SIZE=64\nWARMUP_STEPS=500\n\
        MODEL_NAME=xlm-roberta-base\nLEARNING_RATE=5e-5\nEVALUATION_STRATEGY=epoch\nSAVE_STRATEGY=epoch\nSAVE_STEPS=5000\n\
        SAVE_TOTAL_LIMIT=10\nLOAD_BEST_MODEL_AT_END=True\nEARLY_STOPPING_PATIENCE=1\nREPORT_TO=neptune\nSELECTED_TEXT=content\n\
        MAX_LENGTH=128\nTEST_SIZE=0.2\nFEATURE_VIEW_NAME=iptc\nN_RECORDS_FULL=1000000\nTRAIN_DATA=data/train.jsonl\n";
    let project = Config::new("iptc", dotenv).load("iptc", &[], &[]).unwrap();
    let pipeline = &project.pipelines["main"];
    let training = pipeline.training.as_ref().unwrap();
    assert_eq!(
        (pipeline.task, pipeline.max_length, pipeline.columns.text.as_str()),
        (Task::TextClassification, Some(128), "content")
    );
    assert_eq!(
        (training.epochs, training.learning_rate, training.save_strategy),
        (3, 5e-5, Strategy::Epoch)
    );
    assert_eq!(
        (training.data.format, training.early_stopping_patience),
        (DataFormat::Jsonl, Some(1))
    );
    assert_eq!(project.target.model, "IP04000000-TRAINED");
    assert_eq!(project.notices.len(), 4, "{:?}", project.notices);
    assert!(
        project
            .notices
            .iter()
            .any(|n| n.contains("FEATURE_VIEW_NAME") && n.contains("line 25")),
        "{:?}",
        project.notices
    );
    let fleet = Fleet::load(&BTreeMap::new(), &project.fleet, None).unwrap();
    assert_eq!(fleet.store_url.expose(), "s3://onclusive-model-store-stage");
    assert_eq!(fleet.neptune_api_token.unwrap().expose(), "eyJ==");
}

#[test]
fn files_that_leave_out_what_the_component_set_in_its_code_load_too() {
    let keywords = Config::new("keywords", "SAMPLE_DOCUMENTS=[\"x\"]\n")
        .load("keywords", &[], &[])
        .unwrap();
    assert_eq!(
        (keywords.target.workspace.as_str(), keywords.target.model.as_str()),
        ("onclusive", "KEYWORDS-TRAINED")
    );
    assert_eq!(keywords.local_output_dir, "./keyword_model_artifacts");
    let ner = Config::new("ner", "TRAIN=false\n").load("ner", &[], &[]).unwrap();
    assert_eq!(ner.pipelines.len(), 2);
    let one = Config::new("ner", "HUGGINGFACE_MODEL_REFERENCE=acme/tiny\n")
        .load("ner", &[], &[])
        .unwrap();
    assert_eq!(one.pipelines.len(), 1);
}

#[test]
fn set_goes_before_the_environment_and_that_before_the_file() {
    let config = Config::new(
        "sentiment",
        &format!("{SENTIMENT}SEED=1\nMAX_LENGTH=10\nEVAL_BATCH_SIZE=8\nSEED=2\n"),
    );
    let loaded = config
        .load(
            "sentiment",
            &[("SEED", "7"), ("SEED", "8")],
            &[("SEED", "3"), ("MAX_LENGTH", "11"), ("EVAL_BATCH_SIZE", "")],
        )
        .unwrap();
    let pipeline = &loaded.pipelines["main"];
    assert_eq!(
        (pipeline.seed, pipeline.max_length, pipeline.eval_batch_size),
        (8, Some(11), 8)
    );
    let from_file = config.load("sentiment", &[], &[]).unwrap();
    assert_eq!(from_file.pipelines["main"].seed, 2);
}

#[test]
fn a_job_says_nothing_about_its_publishers_folders() {
    let config = Config::new("sentiment", &format!("{SENTIMENT}TRAIN_DATA=data/train.jsonl\n"));
    let outside = config.0.path().join("secret-place");
    std::fs::create_dir(&outside).unwrap();
    std::fs::copy(
        config.0.path().join("sentiment/data/train.jsonl"),
        outside.join("rows.jsonl"),
    )
    .unwrap();
    let absolute = outside.join("rows.jsonl");
    for path in ["../secret-place/rows.jsonl", absolute.to_str().unwrap()] {
        let job = into_job(config.load("sentiment", &[("VALIDATION_DATA", path)], &[]).unwrap());
        assert_eq!(
            job.content.pipelines["main"].validation_data.as_ref().unwrap().name,
            "rows.jsonl"
        );
        assert!(
            !String::from_utf8(job.to_vec().unwrap())
                .unwrap()
                .contains("secret-place")
        );
    }
}

#[test]
fn equal_requests_are_one_job_and_every_difference_is_another() {
    let config = Config::new(
        "sentiment",
        &format!("{SENTIMENT}TRAIN_DATA=data/train.jsonl\nSAMPLE_DOCUMENTS=[\"a\"]\n"),
    );
    let load = |set: &[(&str, &str)]| config.load("sentiment", set, &[]).unwrap();
    let id = into_job(load(&[])).id();
    assert_eq!(
        into_job(load(&[("EPOCHS", "3")])).id(),
        id,
        "a default written out changes nothing"
    );
    assert_eq!(
        into_job(load(&[("NEPTUNE_API_TOKEN", "x")])).id(),
        id,
        "a secret is no part of a job"
    );
    for set in [
        ("EPOCHS", "4"),
        ("SEED", "1"),
        ("GATE", "loss<1"),
        ("SAMPLE_DOCUMENTS", "[]"),
        ("MODEL", "OTHER"),
    ] {
        assert_ne!(into_job(load(&[set])).id(), id, "{set:?}");
    }
    let project = load(&[]);
    let commit = |digit: &str| {
        BTreeMap::from([(
            ModelReference {
                repository: "acme/tiny".into(),
                revision: "main".into(),
            },
            digit.repeat(40),
        )])
    };
    let data: BTreeMap<PathBuf, _> = project
        .data_files()
        .into_iter()
        .map(|f| (f.path.clone(), f.digest().unwrap()))
        .collect();
    let with = |digit: &str, facts: Facts| {
        project
            .clone()
            .into_job(
                &Resolved {
                    commits: commit(digit),
                    data: data.clone(),
                },
                facts,
            )
            .unwrap()
            .id()
    };
    let base = with("a", facts());
    assert_ne!(with("b", facts()), base);
    assert_ne!(
        with(
            "a",
            Facts {
                tag: "t2".into(),
                ..facts()
            }
        ),
        base
    );
    assert_ne!(
        with(
            "a",
            Facts {
                accelerator: Accelerator::Gpu,
                ..facts()
            }
        ),
        base
    );
    assert_ne!(
        with(
            "a",
            Facts {
                sample: true,
                ..facts()
            }
        ),
        base
    );
    assert_ne!(
        with(
            "a",
            Facts {
                register: false,
                ..facts()
            }
        ),
        base
    );
    assert_ne!(
        with(
            "a",
            Facts {
                nonce: Some("n".into()),
                ..facts()
            }
        ),
        base
    );
    let ci = BTreeMap::from([("GITHUB_RUN_ID".to_owned(), "7".to_owned())]);
    assert_eq!(
        with(
            "a",
            Facts {
                lineage: Lineage::from_env(&ci, "0.2.0", "later"),
                ..facts()
            }
        ),
        base,
        "a CI re-run is the same job"
    );
}
