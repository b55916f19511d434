//! A ledger on a store with one recorded job and a clock that stands still.

use shared::job::{Job, JobId};
use shared::ledger::{Claim, Claimant, Claimed, Clock, Created, Ledger, Moment, Snapshot};
use shared::publication::{CardFacts, LocalFile};
use shared::store::{Key, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A clock that a test moves.
#[derive(Debug, Default)]
pub struct HandClock {
    seconds: AtomicU64,
    writes: AtomicU32,
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        Moment(Duration::from_secs(self.seconds.load(Ordering::SeqCst)))
    }

    fn written_at(&self) -> String {
        "2026-01-01T00:00:00Z".into()
    }

    fn write_id(&self) -> String {
        self.writes.fetch_add(1, Ordering::SeqCst).to_string()
    }
}

/// A store, its ledger, and one job in it.
pub struct Yard {
    /// Everything lies below it.
    pub folder: tempfile::TempDir,
    /// The ledger's.
    pub clock: Arc<HandClock>,
    /// Over the store.
    pub ledger: Ledger,
    /// The recorded job.
    pub job: Job,
    /// Its id.
    pub id: JobId,
}

impl Yard {
    /// A new directory store with one job, never claimed.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("file:{}", folder.path().join("store").display());
        let store = shared::store::connect(&url, &shared::aws::AwsAccess::default())
            .await
            .expect("a store");
        Self::with(store, folder).await
    }

    /// The same over an empty store.
    pub async fn over(store: Arc<dyn Store>) -> Self {
        Self::with(store, tempfile::tempdir().expect("a temporary folder")).await
    }

    async fn with(store: Arc<dyn Store>, folder: tempfile::TempDir) -> Self {
        let clock = Arc::new(HandClock::default());
        let ledger = Ledger::new(store).with_clock(clock.clone());
        let job = Job::from_slice(include_bytes!("../../shared/tests/golden/job-v1-sentiment.json")).expect("a job");
        assert_eq!(ledger.create(&job).await.expect("recorded"), Created::New);
        let id = job.id();
        Self {
            folder,
            clock,
            ledger,
            job,
            id,
        }
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        self.clock.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Writes a local file.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join("local").join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// The job's state.
    pub async fn read(&self) -> Snapshot {
        self.ledger.read(&self.id).await.expect("a state")
    }

    /// Claims the job.
    pub async fn claim(&self) -> Claim {
        let from = self.read().await;
        match self
            .ledger
            .claim(&self.id, &from, claimant(), None)
            .await
            .expect("an answer")
        {
            Claimed::Won(claim) => claim,
            other => panic!("not claimed: {other:?}"),
        }
    }

    /// The files of a version.
    pub fn files(&self) -> Vec<LocalFile> {
        let file = |path: &str, name, content| LocalFile {
            path: path.into(),
            source: self.file(name, content),
        };
        vec![
            file("model/model_artifacts/config.json", "config.json", "{}"),
            file("data/train/{version}.parquet", "train.parquet", "rows"),
        ]
    }

    /// An object as text.
    pub async fn get(&self, key: &str) -> Option<String> {
        let object = self
            .ledger
            .store()
            .get(&Key::new(key).expect("a key"))
            .await
            .expect("an answer");
        object.map(|object| String::from_utf8(object.bytes.to_vec()).expect("text"))
    }
}

/// A worker with a lease of 30 s.
pub fn claimant() -> Claimant {
    Claimant {
        worker: "w-1".into(),
        host: "h".into(),
        lease_s: 30,
    }
}

/// A worker's facts, without reports.
pub fn facts() -> CardFacts {
    CardFacts {
        build_tag: "built".into(),
        worker_version: "1".into(),
        pipelines: BTreeMap::new(),
    }
}
