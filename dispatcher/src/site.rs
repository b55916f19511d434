//! Where a command runs: its environment and folders, and from there the store and the queue.

use crate::cli::Format;
use crate::failure::Failure;
use anyhow::anyhow;
use shared::job::{Job, JobId};
use shared::ledger::{Ledger, LedgerError, State};
use shared::queue::{Message, Queue};
use shared::settings::{Fleet, Variables};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The process environment, the configuration folder and how to write results.
#[derive(Debug)]
pub(crate) struct Site {
    /// How results are written.
    pub format: Format,
    /// Folder with one folder a project.
    pub config: PathBuf,
    /// The process environment; variables that are no UTF-8 are left out.
    pub environment: BTreeMap<String, String>,
}

impl Site {
    /// Of this process.
    #[must_use]
    pub(crate) fn new(config: PathBuf, format: Format) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            format,
            config,
            environment,
        }
    }

    /// The fleet's settings: environment, then a project's own, then `fleet.env`. Connects to nothing.
    ///
    /// # Errors
    /// Exit 64, naming variable, file and line.
    pub(crate) fn fleet(&self, project: &Variables) -> Result<Fleet, Failure> {
        let file = self.config.join("fleet.env");
        let file = file.is_file().then_some(file);
        Ok(Fleet::load(&self.environment, project, file.as_deref())?)
    }

    /// Opens the store of the fleet's settings.
    ///
    /// # Errors
    /// Exit 64 for bad settings, 69 for a store that cannot be reached.
    pub(crate) async fn connect(&self) -> Result<Yard, Failure> {
        Yard::connect(self.fleet(&Variables::new())?).await
    }
}

/// The fleet's store, with the ledger in it, and its queue.
#[derive(Debug)]
pub(crate) struct Yard {
    /// The settings that led here.
    pub fleet: Fleet,
    /// The truth about every job.
    pub ledger: Ledger,
    queue: OnceCell<Arc<dyn Queue>>,
}

impl Yard {
    /// Opens the store; the queue is opened when it is needed.
    ///
    /// # Errors
    /// Exit 64 for a URL that is none, 69 for a store that cannot be reached.
    pub(crate) async fn connect(fleet: Fleet) -> Result<Self, Failure> {
        let store = shared::store::connect(fleet.store_url.expose(), &fleet.aws).await?;
        Ok(Self {
            fleet,
            ledger: Ledger::new(store),
            queue: OnceCell::new(),
        })
    }

    /// The queue.
    ///
    /// # Errors
    /// Exit 64 for a URL that is none, 69 for a queue that cannot be reached.
    pub(crate) async fn queue(&self) -> Result<&Arc<dyn Queue>, Failure> {
        let connect = async || Ok(shared::queue::connect(self.fleet.queue_url.expose(), &self.fleet.aws).await?);
        self.queue.get_or_try_init(connect).await
    }

    /// Whether the queue is a file of this machine, so that a job can only be run here.
    #[must_use]
    pub(crate) fn is_embedded(&self) -> bool {
        self.fleet.queue_url.scheme() == "embedded"
    }

    /// Tells workers that a job may be taken; confirmed durable when it returns.
    ///
    /// # Errors
    /// Exit 69 for a queue that cannot be reached.
    pub(crate) async fn announce(&self, job: &Job) -> Result<(), Failure> {
        let message = Message {
            schema: 1,
            job: job.id(),
            accelerator: job.content.accelerator,
            postponed: 0,
        };
        Ok(self.queue().await?.publish(&message, Duration::ZERO).await?)
    }

    /// A published job.
    ///
    /// # Errors
    /// Exit 64 for a job that nobody published here.
    pub(crate) async fn job(&self, id: &JobId) -> Result<Job, Failure> {
        match self.ledger.job(id).await? {
            Some(job) => Ok(job),
            None => Err(Failure::usage(anyhow!(
                "failed to find the job {id} in the store {}; dispatcher status lists all",
                self.fleet.store_url
            ))),
        }
    }

    /// Where a job stands.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) async fn state(&self, id: &JobId) -> Result<State, LedgerError> {
        Ok(self.ledger.read(id).await?.state)
    }
}
