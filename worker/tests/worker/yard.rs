//! A yard in a temporary folder: store, queue, one tiny model, and workers whose trainer is a shell script.

use shared::hub::{HubError, HubModel};
use shared::job::{Accelerator, Content, Data, Job, JobId, Lineage, Pipeline, Target, TrainingSettings};
use shared::ledger::{LeaseWatch, Ledger, State};
use shared::monitor::Readiness;
use shared::queue::{Message, Queue};
use shared::shutdown::Shutdown;
use shared::store::{Key, Store};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use trainer_protocol::{DataColumns, DataFormat, KeywordOptions, Precision, Strategy, Task};
use worker::context::{Context, Identity, TrainerProgram};
use worker::interruption::Grace;
use worker::metrics::Metrics;
use worker::models::{ModelFolder, Models};
use worker::pool::Pool;
use worker::work_folder::WorkFolder;

/// Reads the protocol's arguments and makes everything that a trainer leaves, but its report.
const PROLOGUE: &str = r#"
job=$1; inputs=$3; outputs=$5; checkpoints=$7
artifacts=$outputs/model_artifacts
report() {
  printf '{"scores":{"macro_recall":%s},"per_label":{},"labels":["a","b"],"train_rows":2,"validation_rows":2,"steps":4,"best_step":4,"environment":{"trainer":"sh","libtorch":"none","precision":"fp32","device":"cpu","threads":1,"cpu_capability":"none"}}' "$1" > "$outputs/report.json"
}
export_model() {
  mkdir -p "$artifacts"
  cp "$inputs/models/owner/tiny/config.json" "$artifacts/config.json"
  echo '[{"label": "a", "score": 0.9}]' > "$outputs/predictions.json"
  echo '{"step":4}' > "$outputs/loss_curve.jsonl"
  echo 'rows' > "$outputs/train.parquet"
  report "${1:-0.8}"
  echo '{"event":"exported","files":1,"bytes":2}'
}
progress() {
  printf '{"event":"progress","phase":"train","step":%s,"of":4,"loss":0.5,"learning_rate":0.1,"samples_per_second":10.0,"tokens_per_second":100.0}\n' "$1"
}
fail() {
  printf '{"event":"failed","cause":"%s","message":"%s"}\n' "$1" "$2"
}
"#;

/// A trainer that does what it is asked.
pub(crate) const GOOD: &str = "progress 4; export_model";

#[derive(Debug)]
struct OneModel(PathBuf);

#[async_trait::async_trait]
impl Models for OneModel {
    async fn fetch(&self, model: &HubModel, _: Task) -> Result<ModelFolder, HubError> {
        if model.repository == "nobody/nothing" {
            let repository = model.repository.clone();
            return Err(HubError::NoRepository { repository });
        }
        Ok(ModelFolder::new(self.0.clone(), 0, ()))
    }
}

/// See the module.
pub(crate) struct Yard {
    folder: tempfile::TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) ledger: Ledger,
}

impl Yard {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        std::fs::write(folder.path().join("model/config.json"), "{}").unwrap();
        let store = shared::store::connect(&format!("file:{}", at("store")), &shared::aws::AwsAccess::default())
            .await
            .unwrap();
        let queue = shared::queue::connect(
            &format!("embedded:{}", at("queue.db")),
            &shared::aws::AwsAccess::default(),
        )
        .await
        .unwrap();
        let ledger = Ledger::new(Arc::clone(&store));
        Self {
            folder,
            store,
            queue,
            ledger,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A worker whose trainer is `script` behind the prologue.
    pub(crate) fn worker(&self, name: &str, script: &str) -> Arc<Context> {
        self.worker_on("host", name, script)
    }

    pub(crate) fn worker_on(&self, host: &str, name: &str, script: &str) -> Arc<Context> {
        let file = self.path(&format!("{name}.sh"));
        std::fs::write(&file, format!("{PROLOGUE}\n{script}\n")).unwrap();
        Arc::new(Context {
            ledger: self.ledger.clone(),
            queue: Arc::clone(&self.queue),
            models: Arc::new(OneModel(self.path("model"))),
            metrics: Metrics::new(&prometheus::Registry::new()).unwrap(),
            identity: Identity {
                worker: name.into(),
                host: host.into(),
                build: "t1".into(),
                accelerator: Accelerator::Cpu,
            },
            lease: Duration::from_secs(3),
            grace: Grace::new(Duration::from_secs(20)),
            trainer: TrainerProgram {
                program: "/bin/sh".into(),
                leading: vec![file.into()],
                environment: worker::trainer_process::environment(std::env::vars_os(), None),
                ..TrainerProgram::default()
            },
            work: WorkFolder::open(&self.path("work"), name).unwrap(),
            shutdown: Shutdown::new(),
            leases: Mutex::new(LeaseWatch::default()),
            watched: Mutex::new(HashSet::new()),
        })
    }

    /// Stores a job and rings for it.
    pub(crate) async fn publish(&self, content: Content) -> JobId {
        let id = self.publish_silently(content).await;
        self.ring(&id).await;
        id
    }

    /// Stores a job.
    pub(crate) async fn publish_silently(&self, content: Content) -> JobId {
        let lineage = Lineage {
            github_action_context: BTreeMap::new(),
            dispatcher: "0".into(),
            published_at: "2026-01-01T00:00:00Z".into(),
        };
        let job = Job {
            schema: content.schema(),
            content,
            lineage,
        };
        let data = self.path("data.jsonl");
        std::fs::write(&data, DATA).unwrap();
        let key = Key::new(format!("trainyard/data/{DATA_SHA256}")).unwrap();
        match self.store.put_file_new(&key, &data, DATA_SHA256).await {
            Ok(()) => {}
            Err(error) => assert!(error.conflict().is_some(), "{error}"),
        }
        self.ledger.create(&job).await.unwrap();
        job.id()
    }

    pub(crate) async fn ring(&self, id: &JobId) {
        let message = Message {
            schema: 1,
            job: id.clone(),
            accelerator: Accelerator::Cpu,
            postponed: 0,
        };
        self.queue.publish(&message, Duration::ZERO).await.unwrap();
    }

    pub(crate) async fn state(&self, id: &JobId) -> State {
        self.ledger.read(id).await.unwrap().state
    }

    /// Waits until the state of a job is such.
    pub(crate) async fn until(&self, id: &JobId, what: &str, such: impl Fn(&State) -> bool) -> State {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let state = self.state(id).await;
            if such(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "never {what}: {state:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every file that a consumer can see, relative to the registry's root.
    pub(crate) async fn visible(&self) -> Vec<String> {
        let root = Key::new("neptune-ai-model-registry").unwrap();
        let entries = self.store.list(&root).await.unwrap();
        entries
            .into_iter()
            .map(|entry| entry.key.as_str()[root.as_str().len() + 1..].to_owned())
            .collect()
    }

    /// The text of a visible file.
    pub(crate) async fn read(&self, path: &str) -> String {
        let key = Key::new(format!("neptune-ai-model-registry/{path}")).unwrap();
        let object = self
            .store
            .get(&key)
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("no {path}"));
        String::from_utf8(object.bytes.to_vec()).unwrap()
    }
}

/// Lets a worker take everything there is, and end.
pub(crate) async fn drain(context: &Arc<Context>) {
    let pool = Pool::new(Arc::clone(context), Readiness::default(), 1);
    let drained = pool.run(Some(worker::drain::Drain::default()));
    tokio::time::timeout(Duration::from_secs(60), drained)
        .await
        .expect("the worker never ended");
}

/// Lets a worker work until it is stopped.
pub(crate) fn start(context: &Arc<Context>) -> tokio::task::JoinHandle<()> {
    let context = Arc::clone(context);
    tokio::spawn(async move { Pool::new(context, Readiness::default(), 1).run(None).await })
}

/// Waits until a file is there, and reads it.
pub(crate) async fn file(path: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => assert!(Instant::now() < deadline, "{} never came", path.display()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const DATA: &str = "{\"text\":\"x\",\"label\":\"a\"}\n";
const DATA_SHA256: &str = "af305127570be4e475b194590a68c991dc53f1fb8e5c4c94b5d9086f2e761608";

/// A job that trains.
pub(crate) fn content() -> Content {
    let pipeline = Pipeline {
        task: Task::TextClassification,
        task_name: "sentiment-analysis".into(),
        model: HubModel {
            repository: "owner/tiny".into(),
            revision: "main".into(),
            commit: "0".repeat(40),
        },
        artifact_folder: String::new(),
        training: Some(training()),
        validation_data: None,
        columns: DataColumns::default(),
        max_length: Some(16),
        eval_batch_size: 8,
        seed: 1,
        precision: Precision::Fp32,
        keywords: KeywordOptions::default(),
        sample_documents: vec!["a text".into()],
    };
    Content {
        project: "sentiment".into(),
        tag: "t1".into(),
        accelerator: Accelerator::Cpu,
        target: Target {
            environment: "dev".into(),
            root: "neptune-ai-model-registry".into(),
            workspace: "onclusive".into(),
            project: "sentiment".into(),
            model: "SEN-TRAINED".into(),
            model_type: "trained".into(),
        },
        pipelines: BTreeMap::from([("main".to_owned(), pipeline)]),
        sample: false,
        register: true,
        exact_worker: false,
        nonce: None,
        gate: vec!["macro_recall>=0.6".into()],
        time_limit_s: None,
        local_output_dir: "./sent_model_artifacts".into(),
        logging_level: "INFO".into(),
        model_params: BTreeMap::new(),
    }
}

fn training() -> TrainingSettings {
    TrainingSettings {
        data: Data {
            name: "data.jsonl".into(),
            sha256: DATA_SHA256.into(),
            size: DATA.len() as u64,
            format: DataFormat::Jsonl,
        },
        epochs: 1,
        train_batch_size: 8,
        gradient_accumulation_steps: 1,
        learning_rate: 0.001,
        warmup_steps: 0,
        weight_decay: 0.0,
        max_grad_norm: 1.0,
        test_size: 0.5,
        evaluation_strategy: Strategy::Epoch,
        save_strategy: Strategy::Epoch,
        save_steps: 10,
        save_total_limit: 2,
        load_best_model_at_end: true,
        metric_for_best_model: "macro_recall".into(),
        early_stopping_patience: None,
        checkpoint_every: trainer_protocol::CheckpointEvery::Auto,
        freeze: None,
        gradient_checkpointing: false,
    }
}
