//! A workflow of GitHub Actions, as far as its steps of shell go: they are run as a runner does, with the expressions'
//! values from a test.

use crate::sandbox::{Finished, finish};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the project's workflows are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows")
}

/// A workflow file.
#[derive(Debug)]
pub struct Workflow(pub Value);

/// What a step that ran left.
#[derive(Debug)]
pub struct Ran {
    /// Exit code and what was printed.
    pub done: Finished,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Its summary.
    pub summary: String,
}

impl Workflow {
    /// Reads a file of [`folder`].
    ///
    /// # Panics
    /// If it is no YAML.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let path = folder().join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// The steps of a job.
    ///
    /// # Panics
    /// If there is no such job.
    #[must_use]
    pub fn steps(&self, job: &str) -> &Vec<Value> {
        let steps = &self.0["jobs"][job]["steps"];
        steps.as_array().unwrap_or_else(|| panic!("no steps in {job}"))
    }

    /// Runs the step of a name or an id, as `command` (the shell's, with the runner's own environment) and with the
    /// job's and the step's variables, whose expressions have these values.
    ///
    /// # Panics
    /// If there is no such step, or an expression has no value.
    #[must_use]
    pub fn run(&self, job: &str, step: &str, mut command: Command, values: &BTreeMap<&str, String>) -> Ran {
        let named = |it: &&Value| it["name"] == step || it["id"] == step;
        let found = self.steps(job).iter().find(named);
        let found = found.unwrap_or_else(|| panic!("{job} has no step {step}"));
        let files = tempfile::tempdir().expect("the runner's files");
        let [outputs, summary, script] = ["outputs", "summary", "script"].map(|name| files.path().join(name));
        for file in [&outputs, &summary] {
            std::fs::write(file, "").expect("an empty file");
        }
        std::fs::write(&script, found["run"].as_str().expect("a step of shell")).expect("a script");
        for variables in [&self.0["jobs"][job]["env"], &found["env"]] {
            for (name, value) in variables.as_object().into_iter().flatten() {
                command.env(name, evaluate(value.as_str().expect("text"), values));
            }
        }
        command
            .args(["-e".as_ref(), script.as_os_str()])
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_OUTPUT", &outputs)
            .env("GITHUB_STEP_SUMMARY", &summary);
        let done = finish(command);
        Ran {
            done,
            outputs: parse(&std::fs::read_to_string(&outputs).expect("text")),
            summary: std::fs::read_to_string(&summary).expect("text"),
        }
    }
}

impl Ran {
    /// The annotations that a runner makes of what was printed: kind, title, message.
    #[must_use]
    pub fn annotations(&self) -> Vec<(String, String, String)> {
        let mut annotations = Vec::new();
        let mut stopped: Option<String> = None;
        // The steps make one stream of the two.
        for line in self.done.stdout.lines().map(str::trim_start) {
            if let Some(token) = &stopped {
                if line == format!("::{token}::") {
                    stopped = None;
                }
            } else if let Some(token) = line.strip_prefix("::stop-commands::") {
                stopped = Some(token.to_owned());
            } else {
                annotations.extend(annotation(line));
            }
        }
        assert_eq!(stopped, None, "the runner was never told to listen again");
        annotations
    }
}

fn annotation(line: &str) -> Option<(String, String, String)> {
    let (kind, rest) = line.strip_prefix("::")?.split_once(" title=")?;
    let (title, message) = rest.split_once("::")?;
    let plain = |text: &str| {
        let text = text.replace("%3A", ":").replace("%2C", ",");
        text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    };
    Some((kind.to_owned(), plain(title), plain(message)))
}

/// A value with all its `${{ … }}`.
fn evaluate(text: &str, values: &BTreeMap<&str, String>) -> String {
    let Some((before, rest)) = text.split_once("${{") else {
        return text.to_owned();
    };
    let (expression, after) = rest.split_once("}}").expect("an end");
    let value = values.get(expression.trim());
    let value = value.unwrap_or_else(|| panic!("no value for {expression}"));
    format!("{before}{value}{}", evaluate(after, values))
}

/// `NAME<<END`, lines, `END`; or `NAME=VALUE`.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, end)) = line.split_once("<<") {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            outputs.insert(name.to_owned(), value.join("\n"));
        } else if let Some((name, value)) = line.split_once('=') {
            outputs.insert(name.to_owned(), value.to_owned());
        }
    }
    outputs
}
