//! A machine in a temporary folder: one project, one model in the hub cache, no hub, no worker.

use shared::job::JobId;
use shared::ledger::{Applied, Claimant, Event, FailureCause, Ledger, Status};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The commit of the model in the cache.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The machine; its folder is removed with it.
pub(crate) struct Machine(TempDir);

/// What a process that ended had said.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn last_line(&self) -> String {
        self.stdout.lines().last().unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write_model();
        machine.write_project("sentiment", &[]);
        machine
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// `config/<name>/dev.env`, with `changes` to it; an empty value removes a variable.
    pub(crate) fn write_project(&self, name: &str, changes: &[(&str, &str)]) -> PathBuf {
        let folder = self.path().join("config").join(name);
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(
            folder.join("data/train.jsonl"),
            "{\"text\": \"good\", \"label\": \"positive\"}\n",
        )
        .unwrap();
        let registry = format!("onclusive/{name}");
        let mut lines: Vec<(&str, &str)> = vec![
            ("PROJECT", registry.as_str()),
            ("MODEL", "SEN-TRAINED"),
            ("HUGGINGFACE_PIPELINE_TASK", "sentiment-analysis"),
            ("HUGGINGFACE_MODEL_REFERENCE", "acme/tiny"),
            ("HUGGINGFACE_MODEL_REVISION", COMMIT),
            ("TRAIN", "true"),
            ("TRAIN_DATA", "data/train.jsonl"),
            ("SAMPLE_DOCUMENTS", r#"["a good movie"]"#),
        ];
        for (key, value) in changes {
            lines.retain(|(known, _)| known != key);
            if !value.is_empty() {
                lines.push((key, value));
            }
        }
        let text: String = lines.iter().map(|(key, value)| format!("{key}='{value}'\n")).collect();
        let file = folder.join("dev.env");
        fs::write(&file, text).unwrap();
        file
    }

    /// A snapshot as Python's `huggingface_hub` leaves it.
    fn write_model(&self) {
        let root = self.path().join("hub/models--acme--tiny");
        let snapshot = root.join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(root.join("blobs")).unwrap();
        // Of the config alone the bytes are looked at, so its digest must be git's.
        let config = r#"{"model_type": "bert", "architectures": ["BertForSequenceClassification"]}"#;
        for (name, digest, content) in [
            (
                "config.json",
                "f924519015da33df72290b8f30f20f750a1ee97a".to_owned(),
                config,
            ),
            ("model.safetensors", "1".repeat(40), "{}"),
            ("tokenizer.json", "2".repeat(40), "{}"),
        ] {
            fs::write(root.join("blobs").join(&digest), content).unwrap();
            std::os::unix::fs::symlink(format!("../../blobs/{digest}"), snapshot.join(name)).unwrap();
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("TRAINYARD_QUEUE_URL", "embedded:queue.db")
            .env("TRAINYARD_STORE_URL", "file:store")
            // Nobody listens on the port of the discard protocol; nothing here may need the hub.
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .env("HF_HUB_CACHE", self.path().join("hub"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        Self::done(self.command(arguments).output().unwrap())
    }

    pub(crate) fn done(output: Output) -> Done {
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Publishes the project `sentiment`; the job's id.
    pub(crate) fn publish(&self) -> String {
        let done = self.run(&["publish", "--project", "sentiment", "--tag", "t1"]);
        assert_eq!(done.code, 0, "{done:?}");
        done.last_line()
    }

    pub(crate) fn status(&self, id: &str) -> serde_json::Value {
        let done = self.run(&["status", id, "--output", "json"]);
        assert_eq!(done.code, 0, "{done:?}");
        done.json()
    }

    /// Messages that can be received now.
    pub(crate) async fn ready_messages(&self) -> u64 {
        let url = format!("embedded:{}", self.path().join("queue.db").display());
        let queue = shared::queue::connect(&url, &shared::aws::AwsAccess::default())
            .await
            .unwrap();
        queue.depth(shared::job::Accelerator::Cpu).await.unwrap().ready
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        let url = format!("file:{}", self.path().join("store").display());
        Ledger::new(
            shared::store::connect(&url, &shared::aws::AwsAccess::default())
                .await
                .unwrap(),
        )
    }

    /// Lets events happen to a job.
    pub(crate) async fn happen(&self, id: &str, events: &[Event]) {
        let ledger = self.ledger().await;
        let id: JobId = id.parse().unwrap();
        for event in events {
            let snapshot = ledger.read(&id).await.unwrap();
            let applied = ledger.apply(&id, &snapshot, event).await.unwrap();
            assert!(matches!(applied, Applied::Won(_)), "{event:?}");
        }
    }

    /// Brings a queued job into a state.
    pub(crate) async fn bring(&self, id: &str, status: Status, cause: Option<FailureCause>) {
        let mut events = vec![Event::Claim(Claimant {
            worker: "w1".into(),
            host: "h1".into(),
            lease_s: 30,
        })];
        match status {
            Status::Queued => events.clear(),
            Status::Running => {}
            Status::Completed => events.push(Event::Complete),
            Status::Failed => events.push(Event::Fail {
                cause: cause.unwrap_or(FailureCause::Internal),
                message: "data/train.jsonl, line 3: no label".into(),
            }),
            Status::Cancelled => events.push(Event::Cancel {
                reason: "by a person".into(),
            }),
            Status::Publishing => events.push(decision()),
            Status::Registered => events.extend([decision(), Event::Registered { version: 4 }]),
        }
        self.happen(id, &events).await;
    }
}

fn decision() -> Event {
    Event::Decide(shared::ledger::Decision {
        manifest_sha256: "a".repeat(64),
        card_sha256: "b".repeat(64),
        files: vec![shared::ledger::DecidedFile {
            path: "model/test_files/inputs".into(),
            sha256: "c".repeat(64),
            size: 1,
        }],
        floor: 1,
        token: 1,
        epoch: 0,
    })
}
