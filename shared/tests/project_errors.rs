//! Everything that can be wrong with a project: the error names the variable, the file, the line and what is expected.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod config_folder;

use config_folder::{Config, SENTIMENT};
use shared::settings::SettingsError;

/// The error of a sentiment project with these lines added; the first of them is line 5.
fn error(lines: &str) -> String {
    let config = Config::new("sentiment", &format!("{SENTIMENT}{lines}\n"));
    config.load("sentiment", &[], &[]).unwrap_err().to_string()
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
        ("CHECKPOINT_EVERY=0", "auto, a number of steps"),
        ("CHECKPOINT_EVERY=2days", "a time up to a day"),
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
        ("TIME_LIMIT=6", "none, or whole seconds up to a year"),
        ("TIME_LIMIT=0s", "none, or whole seconds up to a year"),
        ("TIME_LIMIT=500ms", "none, or whole seconds up to a year"),
        ("TIME_LIMIT=2years", "none, or whole seconds up to a year"),
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
