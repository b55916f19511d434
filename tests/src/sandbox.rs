//! One machine in a temporary folder: a project, a hub with a tiny model, an embedded queue, a directory store, and the
//! three real binaries.

use crate::tiny_model;
use serde_json::Value;
use shared::aws::AwsAccess;
use shared::settings::{Fleet, Variables};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine; a test that reaches it failed.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a process that ended had said.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Finished {
    /// Exit code; -1 for a death by signal.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Whether SIGKILL ended it.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(libc::SIGKILL)
    }

    /// Both streams, for messages and for searching.
    #[must_use]
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The machine. Dropping it stops its hub and removes its folder.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
    hub: Child,
    hub_url: String,
    /// Variables that every binary gets besides those of the machine.
    pub variables: Vec<(String, String)>,
}

/// A folder that `cargo` built its binaries into: the one above the test's own.
fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors()
        .nth(2)
        .expect("tests lie in target/<profile>/deps")
        .to_owned()
}

/// A binary of the workspace.
///
/// # Panics
/// Says how to build it where it is not there.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let path = binaries().join(name);
    assert!(
        path.exists(),
        "{} is not built: `make test` does that, or `cargo build --workspace`",
        path.display()
    );
    path
}

impl Sandbox {
    /// A machine with the project `demo` (text classification on a tiny BERT) and a running hub.
    ///
    /// # Panics
    /// Where the machine cannot be set up.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        tiny_model::write(&folder.path().join("repositories/acme/tiny"), 7).expect("the tiny model");
        let (hub, hub_url) = start_hub(&folder.path().join("repositories"));
        let sandbox = Self {
            folder,
            hub,
            hub_url,
            variables: Vec::new(),
        };
        sandbox.write_project("sentiment", &[]);
        sandbox
    }

    /// The machine's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// The store's URL, from any working folder.
    #[must_use]
    pub fn store_url(&self) -> String {
        let set = self.variables.iter().find(|(name, _)| name == "TRAINYARD_STORE_URL");
        set.map_or_else(|| format!("file:{}", self.store().display()), |(_, url)| url.clone())
    }

    /// How the machine's variables say that AWS, or what stands for it, is reached.
    ///
    /// # Panics
    /// If they say nonsense.
    #[must_use]
    pub fn aws(&self) -> AwsAccess {
        let variables = self.variables.iter().cloned().collect();
        Fleet::load(&variables, &Variables::new(), None).expect("settings").aws
    }

    /// The hub's folder of a repository `owner/name`.
    #[must_use]
    pub fn repository(&self, name: &str) -> PathBuf {
        self.path().join("repositories").join(name)
    }

    /// The hub's address.
    #[must_use]
    pub fn hub_url(&self) -> &str {
        &self.hub_url
    }

    /// The folder of a project.
    #[must_use]
    pub fn project(&self, name: &str) -> PathBuf {
        self.path().join("config").join(name)
    }

    /// Writes `config/<name>/dev.env` (training on 48 short rows for 2 epochs) with `changes` in the place of, or added to, its
    /// variables; an empty value removes one.
    ///
    /// # Panics
    /// Where the file system refuses.
    pub fn write_project(&self, name: &str, changes: &[(&str, &str)]) {
        let folder = self.project(name);
        fs::create_dir_all(folder.join("data")).expect("the project's folder");
        fs::write(folder.join("data/train.jsonl"), rows(48)).expect("training data");
        fs::write(folder.join("data/validation.jsonl"), rows(12)).expect("validation data");
        let mut variables: Vec<(String, String)> = [
            ("PROJECT", format!("onclusive/{name}").as_str()),
            ("MODEL", "SEN-TRAINED"),
            ("HUGGINGFACE_PIPELINE_TASK", "sentiment-analysis"),
            ("HUGGINGFACE_MODEL_REFERENCE", "acme/tiny"),
            ("TRAIN", "true"),
            ("TRAIN_DATA", "data/train.jsonl"),
            ("VALIDATION_DATA", "data/validation.jsonl"),
            ("EPOCHS", "2"),
            ("TRAIN_BATCH_SIZE", "4"),
            ("EVAL_BATCH_SIZE", "8"),
            ("WARMUP_STEPS", "2"),
            ("LEARNING_RATE", "1e-3"),
            ("MAX_LENGTH", "32"),
            ("SAMPLE_DOCUMENTS", r#"["a good movie", "an awful phone"]"#),
            ("ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT", "dev"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for (key, value) in changes {
            variables.retain(|(known, _)| known != key);
            if !value.is_empty() {
                variables.push(((*key).to_owned(), (*value).to_owned()));
            }
        }
        let lines: String = variables
            .iter()
            .map(|(key, value)| format!("{key}='{value}'\n"))
            .collect();
        fs::write(folder.join("dev.env"), lines).expect("dev.env");
    }

    /// A command of one of the three binaries, in this machine.
    #[must_use]
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary(name));
        command.args(arguments).current_dir(self.path()).env_clear();
        for key in ["PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(key) {
                command.env(key, value);
            }
        }
        command
            .env("TRAINYARD_QUEUE_URL", "embedded:queue.db")
            .env("TRAINYARD_STORE_URL", "file:store")
            .env("TRAINYARD_METRICS_ADDR", "127.0.0.1:0")
            .env("TRAINYARD_LEASE", "2s")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HF_ENDPOINT", &self.hub_url)
            .env("HF_HOME", self.path().join("huggingface"))
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a binary to its end.
    ///
    /// # Panics
    /// If it does not end in time.
    #[must_use]
    pub fn run(&self, name: &str, arguments: &[&str]) -> Finished {
        finish(self.command(name, arguments))
    }

    /// Runs a binary that kills itself at a named point.
    #[must_use]
    pub fn run_to_crash(&self, name: &str, arguments: &[&str], point: &str) -> Finished {
        let mut command = self.command(name, arguments);
        command.env("TRAINYARD_CRASH_AT", point);
        finish(command)
    }

    /// Publishes `project` without waiting; the job's id.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn publish(&self, project: &str) -> String {
        let done = self.run("dispatcher", &["publish", "--project", project, "--tag", "t1"]);
        assert_eq!(done.code(), 0, "publish failed:\n{}", done.output());
        done.stdout.lines().last().unwrap_or_default().to_owned()
    }

    /// `dispatcher status JOB --output json`.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn status(&self, job: &str) -> Value {
        let done = self.run("dispatcher", &["status", job, "--output", "json"]);
        assert_eq!(done.code(), 0, "status failed:\n{}", done.output());
        let value: Value = serde_json::from_str(&done.stdout).expect("status prints JSON");
        value
            .as_array()
            .map_or(value.clone(), |jobs| jobs.first().cloned().unwrap_or_default())
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Only our own child, by its id.
        let _ = self.hub.kill();
        let _ = self.hub.wait();
    }
}

/// Rows of a task that is easy: the words decide the label.
#[must_use]
pub fn rows(count: usize) -> String {
    let things = ["movie", "phone", "train", "company", "model", "report"];
    let kinds = [
        ("good great love", "positive"),
        ("bad awful hate", "negative"),
        ("it is new", "neutral"),
    ];
    (0..count)
        .map(|row| {
            let (words, label) = kinds[row % 3];
            format!(
                "{{\"text\": \"the {} is {words}, row {row}\", \"label\": \"{label}\"}}\n",
                things[row / 3 % 6]
            )
        })
        .collect()
}

fn start_hub(root: &Path) -> (Child, String) {
    let mut hub = Command::new(binary("hub-server"))
        .arg("--root")
        .arg(root)
        .args(["--port", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the hub server starts");
    let mut url = String::new();
    let stdout = hub.stdout.take().expect("its stdout is piped");
    BufReader::new(stdout)
        .read_line(&mut url)
        .expect("the hub server says its URL");
    (hub, url.trim().to_owned())
}

/// Runs a command to its end, reading both streams as they come.
///
/// # Panics
/// If it does not start, or not end in time.
#[must_use]
pub fn finish(command: Command) -> Finished {
    finish_within(command, DEADLINE)
}

/// As [`finish`], for what takes longer.
///
/// # Panics
/// If it does not start, or not end in time.
#[must_use]
pub fn finish_within(mut command: Command, deadline: Duration) -> Finished {
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    collect(child, deadline)
}

/// Waits for the end of a process that [`Sandbox::command`] started, reading both streams as they come.
///
/// # Panics
/// If it does not end in time.
#[must_use]
pub fn collect(mut child: Child, deadline: Duration) -> Finished {
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let status = wait(&mut child, deadline);
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Finished {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn wait(child: &mut Child, deadline: Duration) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if start.elapsed() > deadline {
            let _ = child.kill();
            panic!("process {} did not end within {deadline:?}", child.id());
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
