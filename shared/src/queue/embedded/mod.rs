//! A queue in an SQLite file, shared by the processes of one machine.
//!
//! * Every operation is one statement: whole or not at all, whoever is killed. A publish that was answered is on disk.
//! * Deadlines run on a clock that all processes of the machine share and nobody can set, see [`clock`].
//! * Waiting is looking: a worker finds a message within [`LOOK`] of its publication, and an idle one costs a read of
//!   some pages in memory each time.
//! * A process that is stopped (SIGSTOP) within the milliseconds of a write makes the others wait for 10 s and then
//!   fail with [`QueueError::Unavailable`], until it goes on or dies. The ledger does not depend on it.
//! * A file that is removed while it is in use is made again, empty; the ledger's sweeper announces its jobs anew.

mod clock;
mod database;
mod messages;

use super::{Delivery, Depth, Message, Queue, QueueError, Receipt, Settlement};
use crate::job::Accelerator;
use async_trait::async_trait;
use database::Database;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest pause between two looks of a waiting [`Queue::receive`].
pub const LOOK: Duration = Duration::from_millis(50);
const FIRST_LOOK: Duration = Duration::from_millis(2);

/// A queue in a file.
#[derive(Debug, Clone)]
pub struct EmbeddedQueue {
    file: Arc<File>,
    visibility: Duration,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// `None` before there is a file.
    database: Mutex<Option<Database>>,
}

/// A message that nobody gets any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// As it came.
    pub body: Vec<u8>,
    /// Why, for people.
    pub reason: String,
    /// How often it was delivered.
    pub deliveries: u32,
}

impl EmbeddedQueue {
    /// The queue in the file `path`, which is created by the first `publish` or `receive`.
    ///
    /// # Errors
    /// `path` is no queue of this version, or can be neither written nor created.
    pub async fn open(path: &Path, visibility: Duration) -> anyhow::Result<Self> {
        let path = path.to_owned();
        let open = move || {
            let database = Mutex::new(Database::open(&path, false)?);
            Ok(Self {
                file: Arc::new(File { path, database }),
                visibility,
            })
        };
        tokio::task::spawn_blocking(open).await?
    }

    /// Publishes bytes that need not be a [`Message`].
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    pub async fn publish_bytes(&self, to: Accelerator, body: Vec<u8>, delay: Duration) -> Result<(), QueueError> {
        let publish = move |connection: &Connection| messages::publish(connection, &to.to_string(), &body, delay);
        self.blocking(true, publish).await.map(drop)
    }

    /// The dead letters of an accelerator that are kept (the last 1000), the newest first. For people: what became of
    /// a job is in the ledger.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    pub async fn dead(&self, of: Accelerator) -> Result<Vec<DeadLetter>, QueueError> {
        let dead = self
            .blocking(false, move |connection| messages::dead(connection, &of.to_string()))
            .await?;
        Ok(dead.unwrap_or_default())
    }

    /// Runs `work` on the file; `None` where there is none and it shall not be created.
    async fn blocking<T, F>(&self, create: bool, work: F) -> Result<Option<T>, QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        let done = tokio::task::spawn_blocking(move || file.with(create, work)).await;
        done.map_err(anyhow::Error::from)
            .flatten()
            .map_err(|source| QueueError::Unavailable {
                url: format!("embedded:{}", self.file.path.display()),
                source,
            })
    }
}

impl File {
    fn with<T>(
        &self,
        create: bool,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        // A statement that panics leaves nothing half: SQLite rolls it back.
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if !database.as_ref().is_some_and(|open| open.is_at(&self.path)) {
            *database = Database::open(&self.path, create)?;
        }
        match database.as_ref() {
            Some(open) => Ok(Some(work(&open.connection)?)),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn publish(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        let body = serde_json::to_vec(message).map_err(|error| QueueError::Unavailable {
            url: format!("embedded:{}", self.file.path.display()),
            source: error.into(),
        })?;
        self.publish_bytes(message.accelerator, body, delay).await
    }

    async fn receive(&self, accelerator: Accelerator, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let started = Instant::now();
        let mut pause = FIRST_LOOK;
        loop {
            let visibility = self.visibility;
            let take = move |connection: &Connection| messages::take(connection, &accelerator.to_string(), visibility);
            if let Some(delivery) = self.blocking(true, take).await?.flatten() {
                return Ok(Some(delivery));
            }
            let left = wait.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LOOK);
        }
    }

    async fn extend(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let (receipt, visibility) = (receipt.clone(), self.visibility);
        let extended = self.blocking(false, move |connection| {
            messages::extend(connection, &receipt, visibility)
        });
        if extended.await? == Some(true) {
            Ok(())
        } else {
            Err(QueueError::Expired)
        }
    }

    async fn settle(&self, receipt: Receipt, settlement: Settlement) -> Result<(), QueueError> {
        let settle = move |connection: &Connection| messages::settle(connection, &receipt, &settlement);
        if self.blocking(false, settle).await? == Some(true) {
            Ok(())
        } else {
            Err(QueueError::Expired)
        }
    }

    async fn depth(&self, accelerator: Accelerator) -> Result<Depth, QueueError> {
        let depth = move |connection: &Connection| messages::depth(connection, &accelerator.to_string());
        Ok(self.blocking(false, depth).await?.unwrap_or_default())
    }
}
