//! Jobs that anybody may have written: golden ones keep their meaning, hostile ones are refused with the field named.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::job::{Job, JobError, MAX_BYTES};

const GOLDEN: [(&str, &str); 5] = [
    (
        include_str!("golden/job-v1-keywords.json"),
        "0456c9a561efef5c1698bf641ccb7e01",
    ),
    (
        include_str!("golden/job-v1-ner.json"),
        "f04df68f77d600278556d92e2ba246ff",
    ),
    (
        include_str!("golden/job-v1-sentiment.json"),
        "b92367680d9cb2d05a5473d51691c227",
    ),
    (
        include_str!("golden/job-v2-time-limit.json"),
        "1adce871883f069aba300762574c3d3a",
    ),
    (
        include_str!("golden/job-v2-checkpoints.json"),
        "57f6e76e9caf1c939ea5b9718463b9cf",
    ),
];

fn read(value: &Value) -> Result<Job, JobError> {
    Job::from_slice(value.to_string().as_bytes())
}

fn golden(index: usize) -> Value {
    serde_json::from_str(GOLDEN[index].0).unwrap()
}

/// Paths (as of JSON pointers) of everything in a value.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, item)| pointers(item, &format!("{at}/{key}"), out)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), out)),
        _ => {}
    }
}

#[test]
fn golden_jobs_keep_their_bytes_and_ids() {
    for (text, id) in GOLDEN {
        let job = Job::from_slice(text.as_bytes()).unwrap();
        assert_eq!(job.id().as_str(), id);
        assert_eq!(String::from_utf8(job.to_vec().unwrap()).unwrap(), text.trim_end());
    }
}

#[test]
fn lineage_is_not_part_of_the_id() {
    let mut value = golden(2);
    value["lineage"]["github_action_context"]["github_run_id"] = json!("77");
    value["lineage"]["published_at"] = json!("another day");
    assert_eq!(read(&value).unwrap().id().as_str(), GOLDEN[2].1);
}

#[test]
fn a_time_limit_needs_its_schema_and_bounds() {
    let mut value = golden(3);
    assert_eq!(read(&value).unwrap().content.time_limit_s, Some(21_600));
    value["schema"] = json!(1);
    let said = read(&value).unwrap_err().to_string();
    assert!(
        said.contains("content.time_limit_s") && said.contains("schema 2"),
        "{said}"
    );
    for wrong in [json!(0), json!(31_536_001), json!(-1), json!(1.5), json!("6h")] {
        let mut value = golden(3);
        value["content"]["time_limit_s"] = wrong;
        let said = read(&value).unwrap_err().to_string();
        assert!(said.contains("time_limit_s"), "{said}");
    }
    // The same but for the limit is another job; without it the job that it always was.
    let mut value = golden(3);
    value["content"].as_object_mut().unwrap().remove("time_limit_s");
    assert_eq!(read(&value).unwrap().id().as_str(), GOLDEN[2].1);
    value["schema"] = json!(1);
    assert_eq!(read(&value).unwrap().id().as_str(), GOLDEN[2].1);
}

#[test]
fn what_only_a_newer_schema_can_say_is_refused_in_an_older_one() {
    let mut value = golden(4);
    value["schema"] = json!(1);
    assert!(read(&value).unwrap_err().to_string().contains("schema"));
    let mut old = golden(2);
    old["schema"] = json!(2);
    assert_eq!(read(&old).unwrap().id().as_str(), GOLDEN[2].1);
}

#[test]
fn a_newer_schema_is_told_apart_before_anything_else_is_read() {
    for text in [
        r#"{"schema": 4}"#,
        r#"{"content": 5, "schema": 99, "wonder": [1]}"#,
        r#"{"schema": 4294967296}"#,
    ] {
        assert!(
            matches!(Job::from_slice(text.as_bytes()), Err(JobError::Newer { .. })),
            "{text}"
        );
    }
    for text in [
        r#"{"schema": 0}"#,
        r#"{"schema": -1}"#,
        r#"{"schema": "2"}"#,
        "{}",
        "",
        "null",
        "[]",
        "\u{0}",
    ] {
        assert!(
            matches!(Job::from_slice(text.as_bytes()), Err(JobError::Malformed(_))),
            "{text}"
        );
    }
}

#[test]
fn oversized_and_deep_jobs_are_refused_before_they_are_parsed() {
    let large = vec![b' '; MAX_BYTES + 1];
    assert!(matches!(Job::from_slice(&large), Err(JobError::TooLarge { .. })));
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(MAX_BYTES / open.len());
        let said = Job::from_slice(deep.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("deeper"), "{said}");
    }
    let mut value = golden(0);
    value["content"]["pipelines"]["main"]["sample_documents"] = json!(vec!["x".repeat(1000); 1000]);
    let job = read(&value).unwrap();
    assert!(job.to_vec().is_ok());
    value["content"]["pipelines"]["main"]["sample_documents"] = json!(vec!["x".repeat(1100); 1000]);
    assert!(matches!(read(&value), Err(JobError::TooLarge { .. })));
}

#[test]
fn every_rule_names_its_field() {
    let cases = [
        ("/content/project", json!("../x")),
        ("/content/project", json!("")),
        ("/content/tag", json!("a b")),
        ("/content/tag", json!("x".repeat(129))),
        ("/content/accelerator", json!("tpu")),
        ("/content/target/environment", json!("production")),
        ("/content/target/root", json!("../root")),
        ("/content/target/root", json!("trainyard/jobs")),
        ("/content/target/root", json!("/abs")),
        ("/content/target/workspace", json!("..")),
        ("/content/target/project", json!("a/b")),
        ("/content/target/model", json!("SEN TRAINED")),
        ("/content/target/model_type", json!("odd")),
        ("/content/pipelines", json!({})),
        ("/content/pipelines/main/task", json!("summarization")),
        ("/content/pipelines/main/task_name", json!("token-classification")),
        ("/content/pipelines/main/model/repository", json!("a/b/c")),
        ("/content/pipelines/main/model/repository", json!("../../etc")),
        ("/content/pipelines/main/model/repository", json!("a\\b")),
        ("/content/pipelines/main/model/revision", json!("a/../b")),
        ("/content/pipelines/main/model/commit", json!("main")),
        ("/content/pipelines/main/model/commit", json!("A".repeat(40))),
        ("/content/pipelines/main/artifact_folder", json!("../x")),
        ("/content/pipelines/main/artifact_folder", json!("/x")),
        ("/content/pipelines/main/training/data/name", json!("../../x")),
        ("/content/pipelines/main/training/data/name", json!("/etc/passwd")),
        ("/content/pipelines/main/training/data/name", json!("a\nb")),
        ("/content/pipelines/main/training/data/sha256", json!("../../x")),
        ("/content/pipelines/main/training/data/size", json!(-1)),
        ("/content/pipelines/main/training/data/format", json!("xml")),
        ("/content/pipelines/main/training/epochs", json!(0)),
        ("/content/pipelines/main/training/epochs", json!(1_000_000)),
        ("/content/pipelines/main/training/epochs", json!(1.5)),
        ("/content/pipelines/main/training/train_batch_size", json!(0)),
        ("/content/pipelines/main/training/learning_rate", json!(-1.0)),
        ("/content/pipelines/main/training/learning_rate", json!(null)),
        ("/content/pipelines/main/training/learning_rate", json!(1e300)),
        (
            "/content/pipelines/main/training/learning_rate",
            json!(0.123_456_789_012_345_67),
        ),
        ("/content/pipelines/main/training/test_size", json!(1.0)),
        ("/content/pipelines/main/training/weight_decay", json!(-0.1)),
        ("/content/pipelines/main/training/max_grad_norm", json!(-1)),
        (
            "/content/pipelines/main/training/warmup_steps",
            json!(4_000_000_000_u64),
        ),
        ("/content/pipelines/main/training/early_stopping_patience", json!(0)),
        (
            "/content/pipelines/main/training/metric_for_best_model",
            json!("f1_at_k"),
        ),
        ("/content/pipelines/main/max_length", json!(1_000_000)),
        ("/content/pipelines/main/eval_batch_size", json!(0)),
        ("/content/pipelines/main/seed", json!(18_446_744_073_709_551_615_u64)),
        ("/content/pipelines/main/columns/text", json!("")),
        ("/content/pipelines/main/keywords/keyphrase_ngram_range", json!([3, 2])),
        ("/content/pipelines/main/keywords/top_n", json!(0)),
        ("/content/pipelines/main/keywords/diversity", json!(2)),
        ("/content/pipelines/main/keywords/stop_words", json!("klingon")),
        ("/content/pipelines/main/sample_documents", json!(vec!["x"; 1001])),
        ("/content/pipelines/main/sample_documents/0", json!("x".repeat(100_001))),
        ("/content/gate/0", json!("macro_recall>=high")),
        ("/content/gate/0", json!("nonsense>=0.5")),
        ("/content/nonce", json!("a\nb")),
        ("/content/local_output_dir", json!("x".repeat(300))),
        ("/content/logging_level", json!("a\u{1b}[31m")),
        ("/content/model_params/epochs", json!(0.123_456_789_012_345_67)),
        ("/lineage/github_action_context/github_sha", json!("x".repeat(1001))),
        ("/lineage/published_at", json!("x".repeat(65))),
    ];
    for (pointer, bad) in cases {
        let mut value = golden(2);
        *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = bad.clone();
        let said = read(&value).unwrap_err().to_string();
        let path = pointer[1..].replace('/', ".");
        assert!(said.contains(&path), "{pointer} = {bad}: {said}");
    }
}

#[test]
fn keys_that_nobody_writes_are_refused_by_name() {
    for pointer in [
        "",
        "/content",
        "/content/target",
        "/content/pipelines/main",
        "/content/pipelines/main/training",
        "/lineage",
    ] {
        let mut value = golden(2);
        value.pointer_mut(pointer).unwrap()["evil"] = json!(1);
        let said = read(&value).unwrap_err().to_string();
        assert!(said.contains("evil"), "{pointer}: {said}");
    }
    let mut value = golden(2);
    value["content"]["model_params"]["../x"] = json!(1);
    value["lineage"]["github_action_context"]["github_token"] = json!("x");
    assert!(
        read(&value)
            .unwrap_err()
            .to_string()
            .contains("content.model_params.../x")
    );
    value["content"]["model_params"].as_object_mut().unwrap().remove("../x");
    assert!(read(&value).unwrap_err().to_string().contains("github_token"));
}

#[test]
fn pipelines_may_not_share_a_folder() {
    let mut value = golden(1);
    value["content"]["pipelines"]["korean_japanese_ner"]["artifact_folder"] = json!("base_ner");
    assert!(read(&value).unwrap_err().to_string().contains("artifact_folder"));
    value["content"]["pipelines"]["korean_japanese_ner"]["artifact_folder"] = json!("");
    assert!(read(&value).unwrap_err().to_string().contains("artifact_folder"));
}

/// What a hostile value may look like.
fn hostile() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z./\\\\]{0,12}",
        Just("../../etc/passwd".to_owned()),
        Just("\u{0}".to_owned()),
        Just("x".repeat(5000)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-10.0..10.0).prop_map(|f: f64| Value::from((f * 1000.0).round() / 1000.0)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_./]{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Whatever was accepted can be acted upon: names stay in their folders, numbers are finite, the id is stable.
fn is_harmless(job: &Job) {
    let names = [
        &job.content.project,
        &job.content.target.workspace,
        &job.content.target.project,
        &job.content.target.model,
    ];
    for name in names {
        assert!(
            !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']),
            "{name:?}"
        );
    }
    assert!(
        !job.content
            .target
            .root
            .split('/')
            .any(|step| matches!(step, "" | "." | ".." | "trainyard"))
    );
    assert!(!job.content.pipelines.is_empty());
    for pipeline in job.content.pipelines.values() {
        assert!(!pipeline.artifact_folder.contains(['/', '\\']) && !pipeline.artifact_folder.starts_with('.'));
        assert_eq!(
            (pipeline.model.commit.len(), pipeline.model.repository.contains("..")),
            (40, false)
        );
        if let Some(training) = &pipeline.training {
            assert!(training.learning_rate.is_finite() && training.epochs > 0 && training.train_batch_size > 0);
            assert!((0.0..1.0).contains(&training.test_size));
            assert!(
                !training.data.name.split(['/', '\\']).any(|step| step == "..") && training.data.sha256.len() == 64
            );
        }
    }
    let again = Job::from_slice(&job.to_vec().unwrap()).unwrap();
    assert_eq!((again.id(), &again), (job.id(), job));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_mutation_of_a_job_is_accepted_and_harmful(index in 0..4_usize, which in any::<prop::sample::Index>(), bad in hostile()) {
        let mut value = golden(index);
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        let pointer = which.get(&all).clone();
        *value.pointer_mut(&pointer).unwrap() = bad;
        if let Ok(job) = read(&value) {
            is_harmless(&job);
        }
    }

    #[test]
    fn a_job_without_any_one_key_or_with_another_is_read_or_refused(index in 0..4_usize, which in any::<prop::sample::Index>(), add in any::<bool>(), key in "[a-z_]{1,12}", bad in hostile()) {
        let mut value = golden(index);
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        all.retain(|pointer| value.pointer(pointer).is_some_and(|v| v.as_object().is_some_and(|map| !map.is_empty())));
        let map = value.pointer_mut(which.get::<String>(&all)).unwrap().as_object_mut().unwrap();
        if add {
            map.insert(key, bad);
        } else {
            let first = map.keys().nth(key.len() % map.len()).cloned().unwrap();
            map.remove(&first);
        }
        if let Ok(job) = read(&value) {
            is_harmless(&job);
        }
    }

    #[test]
    fn damaged_bytes_never_panic(index in 0..4_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = GOLDEN[index].0.as_bytes().to_vec();
        let position = at.index(bytes.len());
        bytes[position] = byte;
        if cut {
            bytes.truncate(position);
        }
        if let Ok(job) = Job::from_slice(&bytes) {
            is_harmless(&job);
        }
    }

    #[test]
    fn floats_that_are_accepted_survive_json(digits in 1..1_000_000_000_000_000_i64, exponent in -25..8_i32) {
        let mut value = golden(2);
        let float: f64 = format!("{digits}e{exponent}").parse().unwrap();
        value["content"]["pipelines"]["main"]["training"]["learning_rate"] = json!(float);
        let text = value.to_string();
        if let Ok(job) = Job::from_slice(text.as_bytes()) {
            prop_assert_eq!(job.content.pipelines["main"].training.as_ref().unwrap().learning_rate.to_bits(), float.to_bits());
        }
    }
}
