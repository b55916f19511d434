//! What every part of a worker needs to know.

use crate::interruption::Grace;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::work_folder::WorkFolder;
use shared::job::{Accelerator, JobId};
use shared::ledger::{Claimant, Lease, LeaseWatch, Ledger, Snapshot};
use shared::queue::Queue;
use shared::shutdown::Shutdown;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Who this worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Unique per process.
    pub worker: String,
    /// Its host.
    pub host: String,
    /// What it was built from: the tag of its image.
    pub build: String,
    /// The jobs it takes.
    pub accelerator: Accelerator,
}

/// How to start a trainer.
#[derive(Debug, Default)]
pub struct TrainerProgram {
    /// The executable.
    pub program: PathBuf,
    /// Put before the protocol's arguments.
    pub leading: Vec<OsString>,
    /// All it gets to know of the worker's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What only the first trainer of the process gets to know: a test's crash happens once.
    pub once: Mutex<Vec<(OsString, OsString)>>,
}

impl TrainerProgram {
    /// The environment of the next trainer.
    pub fn next_environment(&self) -> Vec<(OsString, OsString)> {
        let once = std::mem::take(&mut *self.once.lock().unwrap_or_else(PoisonError::into_inner));
        self.environment.iter().cloned().chain(once).collect()
    }
}

/// What every part of a worker needs to know. Shared by all jobs of the process.
#[derive(Debug)]
pub struct Context {
    /// Jobs and their states.
    pub ledger: Ledger,
    /// Doorbells.
    pub queue: Arc<dyn Queue>,
    /// Pretrained models.
    pub models: Arc<dyn Models>,
    /// Series.
    pub metrics: Metrics,
    /// Who this is.
    pub identity: Identity,
    /// Its lease.
    pub lease: Duration,
    /// From the first signal to the end of the process.
    pub grace: Grace,
    /// How to start a trainer.
    pub trainer: TrainerProgram,
    /// Where claims have their folders.
    pub work: WorkFolder,
    /// When to stop.
    pub shutdown: Shutdown,
    /// What this process has seen of others' leases.
    pub leases: Mutex<LeaseWatch>,
    /// Jobs of others that a task of this process watches.
    pub watched: Mutex<HashSet<JobId>>,
}

impl Context {
    /// As a claim names this worker.
    #[must_use]
    pub fn claimant(&self) -> Claimant {
        Claimant {
            worker: self.identity.worker.clone(),
            host: self.identity.host.clone(),
            lease_s: self.lease.as_secs().max(1),
        }
    }

    /// What this process may conclude about another's lease.
    pub fn observe(&self, id: &JobId, snapshot: &Snapshot) -> Lease {
        self.leases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observe(id, snapshot)
    }

    /// The job has ended: nothing about its lease matters any more.
    pub fn forget(&self, id: &JobId) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).forget(id);
    }
}
