//! What all sites of a test stand on: a hub with a tiny model, and one job, published once by the real dispatcher.

use super::trainer;
use crate::sandbox::{Sandbox, finish};
use shared::job::{Job, JobId};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// See the module.
#[derive(Debug)]
pub struct Ground {
    pub(super) machine: Sandbox,
    pub(super) job: Job,
    pub(super) trainer: PathBuf,
    pub(super) broker: &'static str,
    sites: AtomicU32,
}

impl Ground {
    /// A ground whose workers use a trainer of this script. `broker` is `CARGO_BIN_EXE_broker`.
    ///
    /// # Panics
    /// Where the machine cannot be set up.
    #[must_use]
    pub fn new(broker: &'static str, script: &str) -> Self {
        let machine = Sandbox::new();
        let trainer = trainer::write(machine.path(), "trainer", script);
        let id = machine.publish("sentiment");
        // Also fills the hub's cache, which all sites share: who is frozen in a download keeps others of its host from it.
        let mut worker = machine.command("worker", &["run", "--drain"]);
        worker.env("TRAINYARD_TRAINER", &trainer);
        let done = finish(worker);
        assert_eq!(done.code(), 0, "{}", done.output());
        let record = machine.store().join("trainyard/jobs").join(id).join("job.json");
        let job = Job::from_slice(&std::fs::read(record).expect("the job's record")).expect("a job");
        Self {
            machine,
            job,
            trainer,
            broker,
            sites: AtomicU32::new(0),
        }
    }

    /// A folder for one site.
    pub(super) fn folder(&self) -> PathBuf {
        let number = self.sites.fetch_add(1, Ordering::Relaxed);
        let folder = self.machine.path().join(format!("site-{number}"));
        std::fs::create_dir(&folder).expect("a folder");
        folder
    }

    /// The job's data files as the dispatcher stored them: digest and file.
    pub(super) fn data(&self) -> Vec<(String, PathBuf)> {
        let folder = self.machine.store().join("trainyard/data");
        let files = std::fs::read_dir(folder).expect("data files").flatten();
        files
            .map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()))
            .collect()
    }

    /// The machine that published it: its project's settings and its hub.
    #[must_use]
    pub fn machine(&self) -> &Sandbox {
        &self.machine
    }

    /// The id of that job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.job.id()
    }
}
