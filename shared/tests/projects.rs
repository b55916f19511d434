//! Projects as they are shipped, as the component wrote them, and everything that can be wrong with one.

use shared::job::{Accelerator, Job, Lineage};
use shared::project::{Facts, ModelReference, Project, Request, Resolved, load};
use shared::settings::{Fleet, SettingsError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
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

/// A folder `config` with one project whose dotenv file is given.
struct Config(TempDir);

impl Config {
    fn new(project: &str, dotenv: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(project).join("data")).unwrap();
        std::fs::write(
            folder.path().join(project).join("data/train.jsonl"),
            "{\"text\": \"a\", \"label\": \"b\"}\n",
        )
        .unwrap();
        std::fs::write(folder.path().join(project).join("dev.env"), dotenv).unwrap();
        Self(folder)
    }

    fn load(
        &self,
        project: &str,
        set: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<Project, SettingsError> {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect::<Vec<_>>()
        };
        load(&Request {
            config: self.0.path().to_owned(),
            project: project.into(),
            env_file: None,
            set: owned(set),
            environment: owned(environment).into_iter().collect(),
        })
    }
}

const SENTIMENT: &str = "PROJECT=onclusive/sentiment\nMODEL=SEN-TRAINED\nHUGGINGFACE_PIPELINE_TASK=sentiment-analysis\nHUGGINGFACE_MODEL_REFERENCE=acme/tiny\n";

/// The error of a sentiment project with these lines added; the first of them is line 5.
fn error(lines: &str) -> String {
    let config = Config::new("sentiment", &format!("{SENTIMENT}{lines}\n"));
    config.load("sentiment", &[], &[]).unwrap_err().to_string()
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
fn variables_that_the_task_does_not_know_are_read_over_in_the_environment_only() {
    let config = Config::new("sentiment", SENTIMENT);
    assert!(
        config
            .load(
                "sentiment",
                &[],
                &[("TOP_N", "many"), ("PATH", "/bin"), ("EPOCSH", "1")]
            )
            .is_ok()
    );
    let said = config
        .load("sentiment", &[("TOP_N", "5")], &[])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("TOP_N") && said.contains("--set") && said.contains("sentiment-analysis"),
        "{said}"
    );
}

#[test]
fn unknown_variables_are_named_with_file_line_and_the_likely_one() {
    let said = error("SEED=1\nEPOCSH=3");
    assert!(
        said.contains("EPOCSH") && said.contains("dev.env, line 6") && said.contains("did you mean EPOCHS?"),
        "{said}"
    );
    let said = error("COMPLETELY_DIFFERENT=1");
    assert!(
        said.contains("COMPLETELY_DIFFERENT") && !said.contains("did you mean"),
        "{said}"
    );
    let said = error("TOP_N=5");
    assert!(said.contains("TOP_N") && said.contains("sentiment-analysis"), "{said}");
}

#[test]
fn every_wrong_value_is_named_with_file_line_and_what_is_expected() {
    let trained = "TRAIN=true\nTRAIN_DATA=data/train.jsonl\n";
    let cases = [
        ("EPOCHS=many", "\"many\" is not a number from 1 to 1000"),
        ("EPOCHS=0", "from 1 to 1000"),
        ("EPOCHS=1.5", "from 1 to 1000"),
        ("TRAIN_BATCH_SIZE=-1", "from 1 to 4096"),
        ("GRADIENT_ACCUMULATION_STEPS=0", "from 1 to"),
        ("LEARNING_RATE=fast", "a number"),
        ("LEARNING_RATE=NaN", "a number"),
        ("WEIGHT_DECAY=2", "from 0 to 1"),
        ("MAX_GRAD_NORM=-1", "a number"),
        ("WARMUP_STEPS=-5", "a number"),
        ("TEST_SIZE=1", "a number from 0"),
        ("EVALUATION_STRATEGY=daily", "no, epoch, steps"),
        ("SAVE_STRATEGY=best", "no, epoch, steps"),
        ("SAVE_STEPS=0", "from 1"),
        ("SAVE_TOTAL_LIMIT=0", "from 1"),
        ("LOAD_BEST_MODEL_AT_END=perhaps", "true or false"),
        ("METRIC_FOR_BEST_MODEL=f1", "macro_recall"),
        ("EARLY_STOPPING_PATIENCE=-1", "none or a number"),
        ("MAX_LENGTH=1", "from 3"),
        ("SEED=-1", "a number from 0"),
        ("SEED=99999999999999999999", "a number from 0"),
        ("PRECISION=fp16", "auto, fp32, bf16"),
        ("TRAIN_DATA=data/absent.jsonl", "data/absent.jsonl"),
        ("TRAIN_DATA=data/train.xlsx", ".jsonl, .csv, .conll, .parquet"),
        ("TRAIN_DATA=data", "ends with none"),
        ("TRAIN_DATA=s3://bucket/train.jsonl", "not in this version"),
        ("VALIDATION_DATA=hf://datasets/x/y.parquet", "not in this version"),
        ("GATE=good", "is no condition"),
        ("GATE=f1>=0.5", "no score \"f1\""),
        ("GATE=macro_recall>=0.5,main.loss<1", "no score \"main.loss\""),
        ("SAMPLE_DOCUMENTS=one", "a list of texts"),
        ("SAMPLE_DOCUMENTS=[1]", "a list of texts"),
        ("SAMPLE_DOCUMENTS=[[\"a\"], [\"b\"]]", "2 lists of texts for 1 model"),
        ("HUGGINGFACE_MODEL_REVISION=../main", "a branch, tag or commit"),
        (
            "ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT=production",
            "dev, stage, prod",
        ),
        ("MODEL_TYPE=fresh", "base, trained, compiled"),
        ("TRAIN=maybe", "true or false"),
    ];
    for (line, expected) in cases {
        let name = line.split('=').next().unwrap();
        let before = if line.starts_with("TRAIN_DATA") {
            "TRAIN=true\n\n"
        } else {
            trained
        };
        let said = error(&format!("{before}{line}"));
        assert!(
            said.contains(name) && said.contains("dev.env, line 7") && said.contains(expected),
            "{line}: {said}"
        );
    }
}

#[test]
fn keywords_have_their_own_variables() {
    let head = "PROJECT=onclusive/keywords\nMODEL=KEYWORDS-TRAINED\nHUGGINGFACE_PIPELINE_TASK=feature-extraction\nHUGGINGFACE_MODEL_REFERENCE=acme/tiny\n";
    let error = |line: &str| {
        Config::new("keywords", &format!("{head}{line}\n"))
            .load("keywords", &[], &[])
            .unwrap_err()
            .to_string()
    };
    let cases = [
        ("KEYPHRASE_NGRAM_RANGE=[2, 1]", "fewest first"),
        ("KEYPHRASE_NGRAM_RANGE=(1, 1)", "for example [1, 2]"),
        ("KEYPHRASE_NGRAM_RANGE=[1, 50]", "within 1 to 10"),
        ("STOP_WORDS=german", "english, none"),
        ("TOP_N=0", "from 1 to"),
        ("DIVERSITY=1.5", "from 0 to 1"),
        ("USE_MMR=5", "true or false"),
        ("TRAIN=true", "not trained"),
        ("EPOCHS=3", "knows no such variable"),
        ("GATE=accuracy>0.5", "f1_at_k"),
    ];
    for (line, expected) in cases {
        let said = error(line);
        assert!(
            said.contains(line.split('=').next().unwrap()) && said.contains("line 5") && said.contains(expected),
            "{line}: {said}"
        );
    }
}

#[test]
fn settings_that_exclude_each_other_are_both_named() {
    let trained = "TRAIN=true\nTRAIN_DATA=data/train.jsonl\n";
    let cases = [
        (format!("{trained}EVALUATION_STRATEGY=no"), "LOAD_BEST_MODEL_AT_END", "EVALUATION_STRATEGY"),
        (format!("{trained}TEST_SIZE=0"), "TEST_SIZE", "VALIDATION_DATA"),
        ("MODEL_NAME=acme/other".to_owned(), "HUGGINGFACE_MODEL_REFERENCE", "MODEL_NAME"),
        ("TRAIN=true".to_owned(), "TRAIN_DATA", "line 5"),
        ("AWS_ACCESS_KEY_ID=AKIA".to_owned(), "AWS_SECRET_ACCESS_KEY", "line 5"),
        (
            "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_BUCKET=onclusive-model-store-prod\nONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT=stage".to_owned(),
            "line 5",
            "line 6",
        ),
    ];
    for (lines, first, second) in cases {
        let said = error(&lines);
        assert!(said.contains(first) && said.contains(second), "{lines}: {said}");
    }
}

#[test]
fn a_project_registers_only_where_it_belongs() {
    let load = |folder: &str, project: &str, model: &str| {
        let dotenv = format!(
            "PROJECT={project}\nMODEL={model}\nHUGGINGFACE_PIPELINE_TASK=text-classification\nMODEL_NAME=acme/tiny\nTRAIN=false\n"
        );
        Config::new(folder, &dotenv)
            .load(folder, &[], &[])
            .map_err(|e| e.to_string())
    };
    assert!(load("sentiment", "onclusive/sentiment", "SEN-TRAINED").is_ok());
    assert!(load("iptc", "onclusive/iptc-04000000", "IP04000000-TRAINED").is_ok());
    assert!(load("fresh", "acme/fresh", "FRESH-TRAINED").is_ok());
    for (folder, project, model, named) in [
        ("sentiment", "onclusive/ner", "SEN-TRAINED", "PROJECT"),
        ("sentiment", "onclusive/sentiments", "SEN-TRAINED", "PROJECT"),
        ("sentiment", "sentiment", "SEN-TRAINED", "PROJECT"),
        ("sentiment", "onclusive/../sentiment", "SEN-TRAINED", "PROJECT"),
        ("sentiment", "onclusive/sentiment", "NER-TRAINED", "MODEL"),
        ("sentiment", "onclusive/sentiment", "SEN/TRAINED", "MODEL"),
        ("iptc", "onclusive/iptc-0400000", "IP0400000-TRAINED", "PROJECT"),
        ("iptc", "onclusive/iptc-04000000", "IP05000000-TRAINED", "MODEL"),
        ("iptc", "onclusive/iptc-04000000", "X04000000-TRAINED", "MODEL"),
        ("iptc", "onclusive/sentiment", "SEN-TRAINED", "PROJECT"),
    ] {
        let said = load(folder, project, model).unwrap_err();
        assert!(
            said.contains(named) && said.contains("dev.env, line"),
            "{folder} {project} {model}: {said}"
        );
    }
}

#[test]
fn what_has_no_default_is_asked_for() {
    let complete = "PROJECT=acme/fresh\nMODEL=FRESH-TRAINED\nHUGGINGFACE_PIPELINE_TASK=ner\nHUGGINGFACE_MODEL_REFERENCE=acme/tiny\n";
    assert!(Config::new("fresh", complete).load("fresh", &[], &[]).is_ok());
    for missing in [
        "PROJECT",
        "MODEL",
        "HUGGINGFACE_PIPELINE_TASK",
        "HUGGINGFACE_MODEL_REFERENCE",
    ] {
        let dotenv: String = complete
            .lines()
            .filter(|line| line.split('=').next() != Some(missing))
            .map(|line| format!("{line}\n"))
            .collect();
        let error = Config::new("fresh", &dotenv).load("fresh", &[], &[]).unwrap_err();
        assert!(
            matches!(&error, SettingsError::Missing { variable, .. } if variable == missing),
            "{error}"
        );
    }
}

#[test]
fn a_project_or_file_that_is_not_there_is_named() {
    let config = Config::new("sentiment", SENTIMENT);
    for absent in ["sentimnet", "../sentiment", "", "/etc"] {
        let said = config.load(absent, &[], &[]).unwrap_err().to_string();
        assert!(
            said.contains("sentiment") && said.contains("failed to find the project"),
            "{said}"
        );
    }
    std::fs::remove_file(config.0.path().join("sentiment/dev.env")).unwrap();
    let said = config.load("sentiment", &[], &[]).unwrap_err().to_string();
    assert!(said.contains("sentiment/dev.env"), "{said}");
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
