//! What a worker says about itself: `trainyard/workers/<worker>.json`, replaced every third of a lease.
//!
//! Nothing decides by it: it tells people, `publish --wait` and `/metrics` who is there. A worker is alive while its
//! `seq` moves, or while the object is younger than a lease.

use crate::job::Accelerator;
use crate::store::{Etag, InvalidKey, Key, Store, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One worker process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Name of the process, unique.
    pub worker: String,
    /// Its host.
    pub host: String,
    /// The jobs it takes.
    pub accelerator: Accelerator,
    /// What it was built from.
    pub build: String,
    /// Jobs it can hold at once.
    pub slots: u32,
    /// Of these, in use.
    pub busy: u32,
    /// Its lease in seconds: older than that means gone.
    pub lease_s: u64,
    /// +1 with every write.
    pub seq: u64,
}

/// Folder of the heartbeats.
///
/// # Errors
/// Never, in practice: the name is fixed.
pub fn folder() -> Result<Key, InvalidKey> {
    Key::new("trainyard/workers")
}

/// A heartbeat as a reader finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it says.
    pub heartbeat: Heartbeat,
    /// Seconds since it was written, by the store's clock.
    pub age_seconds: u64,
}

impl Seen {
    /// Written within the last lease.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.age_seconds <= self.heartbeat.lease_s
    }
}

/// Every heartbeat in the store, alive or not; objects that are none are left out.
///
/// # Errors
/// The store's.
pub async fn list(store: &dyn Store) -> Result<Vec<Seen>, StoreError> {
    let Ok(folder) = folder() else {
        return Ok(Vec::new());
    };
    let mut seen = Vec::new();
    for entry in store.list(&folder).await? {
        if let Some(object) = store.get(&entry.key).await?
            && let Ok(heartbeat) = serde_json::from_slice(&object.bytes)
        {
            seen.push(Seen {
                heartbeat,
                age_seconds: entry.age_seconds,
            });
        }
    }
    Ok(seen)
}

/// Writes one worker's heartbeat.
#[derive(Debug)]
pub struct HeartbeatWriter {
    store: Arc<dyn Store>,
    key: Key,
    etag: Option<Etag>,
    seq: u64,
}

impl HeartbeatWriter {
    /// Nothing is written yet.
    ///
    /// # Errors
    /// The worker's name makes no key.
    pub fn new(store: Arc<dyn Store>, worker: &str) -> Result<Self, InvalidKey> {
        Ok(Self {
            store,
            key: folder()?.join(&format!("{worker}.json"))?,
            etag: None,
            seq: 0,
        })
    }

    /// Writes the next one; `heartbeat.seq` is set here.
    ///
    /// # Errors
    /// The store's; the next beat starts anew.
    pub async fn beat(&mut self, mut heartbeat: Heartbeat) -> Result<(), StoreError> {
        self.seq += 1;
        heartbeat.seq = self.seq;
        let bytes = Bytes::from(serde_json::to_vec(&heartbeat).unwrap_or_default());
        let written = match self.etag.take() {
            Some(etag) => self.store.replace(&self.key, &etag, bytes).await,
            None => {
                self.store.delete(&self.key).await?;
                self.store.put_new(&self.key, bytes).await
            }
        };
        self.etag = Some(written?);
        Ok(())
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// The store's.
    pub async fn end(self) -> Result<(), StoreError> {
        self.store.delete(&self.key).await
    }
}
