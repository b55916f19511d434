//! The workflows of CI: what they may do, and what their steps do.

mod outcomes;
mod state;

use serde_json::Value;
use tests::workflow::{Workflow, folder};

fn all() -> Vec<(String, Workflow)> {
    let files = std::fs::read_dir(folder()).expect("workflows").flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.map(|name| (name.clone(), Workflow::read(&name))).collect()
}

/// Every object in a value, with where it is.
fn objects<'a>(value: &'a Value, at: &str, found: &mut Vec<(String, &'a serde_json::Map<String, Value>)>) {
    match value {
        Value::Object(object) => {
            found.push((at.to_owned(), object));
            for (name, inner) in object {
                objects(inner, &format!("{at}.{name}"), found);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                objects(inner, &format!("{at}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Calls `check` with the text of every key of that name, and where it is; how many there were.
fn each(key: &str, mut check: impl FnMut(&str, &str)) -> usize {
    let mut count = 0;
    for (name, workflow) in all() {
        let mut found = Vec::new();
        objects(&workflow.0, &name, &mut found);
        for (at, text) in found.iter().filter_map(|(at, it)| Some((at, it.get(key)?.as_str()?))) {
            check(at, text);
            count += 1;
        }
    }
    count
}

#[test]
fn actions_of_others_are_pinned_by_commit() {
    let count = each("uses", |at, action| {
        if action.starts_with("./") {
            return;
        }
        let (_, commit) = action.split_once('@').unwrap_or_else(|| panic!("{at}: {action}"));
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_commit, "{at}: {action}");
    });
    assert!(count > 5);
}

/// An expression within a script is replaced before the shell reads it: whoever names a branch would write the script.
#[test]
fn nothing_is_pasted_into_a_script() {
    let count = each("run", |at, script| assert!(!script.contains("${{"), "{at}: {script}"));
    assert!(count > 5);
}

#[test]
fn permissions_are_none_but_where_a_job_asks_for_its_own() {
    const ALLOWED: [(&str, &str); 2] = [("contents", "read"), ("id-token", "write")];
    for (name, workflow) in all() {
        assert_eq!(workflow.0["permissions"], serde_json::json!({}), "{name}");
        for (job, content) in workflow.0["jobs"].as_object().expect("jobs") {
            let permissions = content["permissions"].as_object();
            let permissions = permissions.unwrap_or_else(|| panic!("{name}: {job} says nothing of permissions"));
            for (what, how) in permissions {
                assert!(
                    ALLOWED.contains(&(what, how.as_str().unwrap_or_default())),
                    "{name}: {job}: {what}"
                );
            }
        }
    }
}

#[test]
fn no_credential_of_the_checkout_is_left_to_later_steps() {
    let mut checkouts = 0;
    for (name, workflow) in all() {
        let mut found = Vec::new();
        objects(&workflow.0, &name, &mut found);
        for (at, step) in found {
            let uses = step.get("uses").and_then(Value::as_str).unwrap_or_default();
            if uses.starts_with("actions/checkout@") {
                checkouts += 1;
                assert_eq!(step["with"]["persist-credentials"], false, "{at}");
            }
        }
    }
    assert!(checkouts > 3);
}

/// The owner's matrix as `dispatcher publish --matrix` reads it too.
#[test]
fn the_matrix_is_the_owners() {
    let workflow = Workflow::read("ci.yaml");
    let entries = workflow.0["jobs"]["run-train-pipelines"]["strategy"]["matrix"]["include"].clone();
    let entries = entries.as_array().expect("a list").clone();
    let projects: Vec<&str> = entries.iter().filter_map(|entry| entry["project"].as_str()).collect();
    assert_eq!(projects, ["keywords", "ner", "sentiment"]);
    let machine = tests::sandbox::Sandbox::new();
    let config = format!("{}/../config", env!("CARGO_MANIFEST_DIR"));
    let file = machine.path().join("matrix.yaml");
    std::fs::write(&file, serde_json::to_vec(&entries).expect("JSON")).expect("a file");
    let file = file.display().to_string();
    let done = machine.run(
        "dispatcher",
        &[
            "--config",
            &config,
            "publish",
            "--matrix",
            &file,
            "--tag",
            "t1",
            "--dry-run",
        ],
    );
    assert_eq!(done.code(), 0, "{}", done.output());
    assert!(done.stdout.contains("keywords, ner, sentiment"), "{}", done.stdout);
}

/// GitHub's schema of workflows, from SchemaStore as `check-jsonschema` ships it.
#[test]
fn they_are_what_github_takes_for_workflows() {
    let check = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/python/bin/check-jsonschema");
    let files: Vec<_> = all().into_iter().map(|(name, _)| folder().join(name)).collect();
    let mut command = std::process::Command::new(check);
    command
        .args(["--builtin-schema", "vendor.github-workflows"])
        .args(&files);
    let done = command.output().expect("`make setup` installs the judges");
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    let broken = tempfile::tempdir().expect("a folder");
    let broken = broken.path().join("broken.yaml");
    let text = std::fs::read_to_string(&files[0]).expect("a workflow");
    std::fs::write(&broken, text.replace("runs-on:", "run-on:")).expect("a file");
    let mut command = std::process::Command::new(command.get_program());
    command
        .args(["--builtin-schema", "vendor.github-workflows"])
        .arg(&broken);
    assert!(
        !command.output().expect("it ran before").status.success(),
        "it finds no mistake"
    );
}
