//! Bad input through the real binaries: a clear text, the right exit code, the ledger's word, and nothing registered.

use std::{
    fs,
    process::{Command, Stdio},
};
use tests::{
    python::python,
    registry,
    sandbox::{Finished, Sandbox, binary, finish, rows},
    tiny_model,
};

const PUBLISH: [&str; 6] = ["publish", "--project", "sentiment", "--tag", "t1", "--wait"];

fn publish(machine: &Sandbox) -> Finished {
    machine.run("dispatcher", &PUBLISH)
}

fn says(done: &Finished, code: i32, words: &[&str]) {
    let output = done.output();
    assert_eq!(done.code(), code, "{output}");
    for word in words {
        assert!(
            output.to_lowercase().contains(&word.to_lowercase()),
            "{word:?} is missing in:\n{output}"
        );
    }
    assert!(!output.contains("panicked"), "{output}");
}

fn nothing_is_registered(machine: &Sandbox) {
    assert_eq!(
        registry::version_folders(&machine.store()),
        Vec::<std::path::PathBuf>::new()
    );
}

/// Refused before anything is stored: the ledger has no job.
fn refused_at_publish(machine: &Sandbox, code: i32, words: &[&str]) {
    says(&publish(machine), code, words);
    nothing_is_registered(machine);
    let jobs = machine.store().join("trainyard/jobs");
    assert!(
        registry::files(&jobs).is_empty(),
        "a job was stored: {:?}",
        registry::files(&jobs)
    );
}

/// Found out by the worker: the job ends failed by the user's fault, at once, and the ledger says why.
fn fails_by_the_user(machine: &Sandbox, words: &[&str]) {
    let done = publish(machine);
    says(&done, 20, words);
    nothing_is_registered(machine);
    let listed = machine.run("dispatcher", &["dead", "list", "--output", "json"]);
    assert_eq!(listed.code(), 0, "{}", listed.output());
    let dead: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let cause = dead[0]["cause"].as_str().unwrap_or_default().to_lowercase();
    for word in words {
        assert!(
            cause.contains(&word.to_lowercase()),
            "the ledger does not say {word:?}: {dead:#}"
        );
    }
    let shown = machine.run(
        "dispatcher",
        &[
            "dead",
            "show",
            dead[0]["id"].as_str().expect("an id"),
            "--output",
            "json",
        ],
    );
    assert!(
        shown.stdout.contains("\"user\""),
        "it is not the user's fault: {}",
        shown.output()
    );
    let again = publish(machine);
    assert_eq!(
        again.code(),
        20,
        "the same content has the same fate: {}",
        again.output()
    );
}

#[test]
fn a_repository_that_is_not_there() {
    let machine = Sandbox::new();
    machine.write_project("sentiment", &[("HUGGINGFACE_MODEL_REFERENCE", "acme/absent")]);
    refused_at_publish(&machine, 20, &["acme/absent", "no such repository"]);
}

#[test]
fn a_revision_that_is_not_there() {
    let machine = Sandbox::new();
    machine.write_project("sentiment", &[("HUGGINGFACE_MODEL_REVISION", "v9")]);
    refused_at_publish(&machine, 20, &["acme/tiny", "v9"]);
}

#[test]
fn a_repository_without_weights_that_can_be_read() {
    let machine = Sandbox::new();
    let repository = machine.repository("acme/tiny");
    fs::rename(repository.join("model.safetensors"), repository.join("tf_model.h5")).unwrap();
    refused_at_publish(&machine, 20, &["safetensors", "pytorch_model.bin", "tf_model.h5"]);
}

/// Weights that are a program; the script shows that each works in Python.
#[test]
fn a_malicious_pickle_is_refused_by_name_and_executes_nothing() {
    let machine = Sandbox::new();
    let attacks = machine.path().join("attacks");
    python("write_hostile.py", &attacks);
    let repository = machine.repository("acme/tiny");
    fs::remove_file(repository.join("model.safetensors")).unwrap();
    fs::copy(
        attacks.join("beside-tensors/pytorch_model.bin"),
        repository.join("pytorch_model.bin"),
    )
    .unwrap();
    fails_by_the_user(&machine, &["pytorch_model.bin", "posix.system", "nothing was executed"]);
    assert_eq!(fs::read_dir(attacks.join("canaries")).unwrap().count(), 0, "it ran");
}

#[test]
fn an_architecture_that_is_not_known() {
    let machine = Sandbox::new();
    let config = machine.repository("acme/tiny").join("config.json");
    let text = fs::read_to_string(&config).unwrap().replace("\"bert\"", "\"mamba\"");
    fs::write(&config, text).unwrap();
    fails_by_the_user(&machine, &["mamba", "bert", "distilbert"]);
}

#[test]
fn a_bad_line_in_the_data() {
    let machine = Sandbox::new();
    fs::write(
        machine.project("sentiment").join("data/train.jsonl"),
        rows(3) + "{\"text\": 5, \"label\": \"x\"}\n" + &rows(3),
    )
    .unwrap();
    fails_by_the_user(&machine, &["train.jsonl", "line 4", "text"]);
}

#[test]
fn data_that_is_not_there() {
    let machine = Sandbox::new();
    fs::remove_file(machine.project("sentiment").join("data/train.jsonl")).unwrap();
    refused_at_publish(&machine, 64, &["TRAIN_DATA", "train.jsonl", "dev.env"]);
}

#[test]
fn empty_data() {
    let machine = Sandbox::new();
    fs::write(machine.project("sentiment").join("data/train.jsonl"), "").unwrap();
    let done = publish(&machine);
    assert!([20, 64].contains(&done.code()), "{}", done.output());
    assert!(
        done.output().contains("train.jsonl") && done.output().contains("empty"),
        "{}",
        done.output()
    );
    nothing_is_registered(&machine);
}

#[test]
fn labels_that_the_head_does_not_have() {
    let machine = Sandbox::new();
    let repository = machine.repository("acme/tiny");
    tiny_model::add_head(
        &repository,
        "BertForSequenceClassification",
        &["negative", "positive"],
        5,
    )
    .unwrap();
    machine.write_project("sentiment", &[("TRAIN", "false"), ("TRAIN_DATA", ""), ("EPOCHS", "")]);
    fails_by_the_user(&machine, &["neutral", "validation.jsonl"]);
}

#[test]
fn a_model_without_a_head_that_is_not_to_be_trained() {
    let machine = Sandbox::new();
    machine.write_project("sentiment", &[("TRAIN", "false"), ("TRAIN_DATA", ""), ("EPOCHS", "")]);
    refused_at_publish(
        &machine,
        20,
        &["acme/tiny", "ForSequenceClassification", "BertModel", "TRAIN=true"],
    );
}

#[test]
fn a_model_with_the_head_of_another_task() {
    let machine = Sandbox::new();
    let repository = machine.repository("acme/tiny");
    tiny_model::add_head(&repository, "BertForTokenClassification", &["O", "B-PER"], 5).unwrap();
    machine.write_project("sentiment", &[("TRAIN", "false"), ("TRAIN_DATA", ""), ("EPOCHS", "")]);
    refused_at_publish(&machine, 20, &["acme/tiny", "BertForTokenClassification", "TRAIN=true"]);
}

#[test]
fn a_config_that_is_no_json() {
    let machine = Sandbox::new();
    fs::write(machine.repository("acme/tiny").join("config.json"), "<html>").unwrap();
    refused_at_publish(&machine, 20, &["acme/tiny", "config.json", "JSON"]);
}

#[test]
fn a_gated_model() {
    let machine = Sandbox::new();
    fs::write(machine.repository("acme/tiny").join(".gated"), "hf_other").unwrap();
    refused_at_publish(&machine, 20, &["acme/tiny", "HF_TOKEN"]);
}

#[test]
fn a_loss_that_is_no_number() {
    let machine = Sandbox::new();
    machine.write_project(
        "sentiment",
        &[("LEARNING_RATE", "1e20"), ("WARMUP_STEPS", "0"), ("MAX_GRAD_NORM", "0")],
    );
    fails_by_the_user(&machine, &["loss", "step"]);
}

#[test]
fn a_gate_that_is_not_met() {
    let machine = Sandbox::new();
    machine.write_project("sentiment", &[("GATE", "macro_recall>=1.0"), ("LEARNING_RATE", "1e-9")]);
    says(&publish(&machine), 10, &["macro_recall", "1"]);
    nothing_is_registered(&machine);
    says(&publish(&machine), 10, &["macro_recall"]);
}

#[test]
fn an_unknown_variable_is_named_with_file_and_line() {
    let machine = Sandbox::new();
    machine.write_project("sentiment", &[("EPOCSH", "3")]);
    refused_at_publish(&machine, 64, &["EPOCSH", "dev.env", "EPOCHS"]);
}

#[test]
fn a_wrong_type_is_named_with_file_and_line() {
    let machine = Sandbox::new();
    machine.write_project("sentiment", &[("EPOCHS", "many")]);
    refused_at_publish(&machine, 64, &["EPOCHS", "dev.env", "many"]);
}

#[test]
fn a_registry_project_of_another_folder() {
    let machine = Sandbox::new();
    machine.write_project("sentiment", &[("PROJECT", "onclusive/ner")]);
    refused_at_publish(&machine, 64, &["PROJECT", "onclusive/ner", "sentiment"]);
}

#[test]
fn an_unknown_environment() {
    let machine = Sandbox::new();
    machine.write_project(
        "sentiment",
        &[("ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT", "production")],
    );
    refused_at_publish(
        &machine,
        64,
        &["ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT", "production", "dev.env"],
    );
}

#[test]
fn a_project_that_is_not_there() {
    let machine = Sandbox::new();
    let done = machine.run("dispatcher", &["publish", "--project", "sentimnet", "--tag", "t1"]);
    says(&done, 64, &["sentimnet", "sentiment"]);
    nothing_is_registered(&machine);
}

/// The trainer may not have more memory than libtorch's libraries and a little; its one huge batch needs more.
#[test]
fn memory_that_is_too_small() {
    let machine = Sandbox::new();
    let trainer = machine.path().join("small-trainer");
    let real = tests::sandbox::binary("trainer");
    // The room for libtorch's libraries, and hardly more. A backtrace would take memory too, and wait for itself where there
    // is none.
    fs::write(
        &trainer,
        format!(
            "#!/bin/bash\nulimit -v 1200000\nexport RUST_BACKTRACE=1\nexec {} \"$@\"\n",
            real.display()
        ),
    )
    .unwrap();
    make_executable(&trainer);
    machine.write_project(
        "sentiment",
        &[
            ("TRAIN_BATCH_SIZE", "4096"),
            ("VALIDATION_DATA", ""),
            ("MAX_LENGTH", "64"),
        ],
    );
    let long: String = (0..4096)
        .map(|row| {
            format!(
                "{{\"text\": \"{} {row}\", \"label\": \"l{}\"}}\n",
                "a good movie ".repeat(20),
                row % 3
            )
        })
        .collect();
    fs::write(machine.project("sentiment").join("data/train.jsonl"), long).unwrap();
    let mut command = machine.command("dispatcher", &PUBLISH);
    command.env("TRAINYARD_TRAINER", &trainer);
    let done = finish(command);
    says(&done, 30, &["memory"]);
    nothing_is_registered(&machine);
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// The store's file system is full: nothing half is visible, and when there is space again the job goes on.
#[test]
fn a_store_without_space() {
    let machine = Sandbox::new();
    let (dispatcher, worker) = (binary("dispatcher"), binary("worker"));
    let script = format!(
        "mkdir -p store && mount -t tmpfs -o size=96k tmpfs store || exit 99
         {dispatcher} publish --project sentiment --tag t1 --wait --timeout 10s; echo \"full: $?\"
         echo \"cards: $(find store -name model_card | wc -l)\"
         mount -o remount,size=200m store
         {worker} run --drain; echo \"drained: $?\"
         {dispatcher} status",
        dispatcher = dispatcher.display(),
        worker = worker.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "bash", "-c", &script]);
    command.envs(
        machine
            .command("worker", &[])
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    command
        .current_dir(machine.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let done = finish(command);
    let output = done.output();
    assert_ne!(
        done.code(),
        99,
        "this machine forbids mounting in a namespace of one's own: {output}"
    );
    assert!(output.contains("full: 75") || output.contains("full: 30"), "{output}");
    assert!(output.contains("cards: 0"), "{output}");
    assert!(output.to_lowercase().contains("no space"), "nobody says why: {output}");
    assert!(
        output.contains("drained: 0") && output.contains("registered"),
        "it did not go on: {output}"
    );
}

#[test]
fn secrets_are_nowhere_in_what_is_said_or_written() {
    let marked = "S3CR3T-marked-value";
    let machine = Sandbox::new();
    machine.write_project(
        "sentiment",
        &[
            ("NEPTUNE_API_TOKEN", marked),
            ("AWS_SECRET_ACCESS_KEY", marked),
            ("AWS_ACCESS_KEY_ID", marked),
        ],
    );
    let mut command = machine.command("dispatcher", &PUBLISH);
    command.env("HF_TOKEN", marked).env("RUST_LOG", "trace");
    let done = finish(command);
    assert_eq!(done.code(), 0, "{}", done.output());
    assert!(!done.output().contains(marked), "a secret was said");
    let project = machine.project("sentiment").join("dev.env");
    for file in registry::files(machine.path()) {
        let path = machine.path().join(&file);
        if path != project {
            let bytes = fs::read(&path).unwrap_or_default();
            let found = bytes.windows(marked.len()).any(|window| window == marked.as_bytes());
            assert!(!found, "a secret was written to {file}");
        }
    }
}
