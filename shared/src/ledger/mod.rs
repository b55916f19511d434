//! The truth about every job: `<store>/trainyard/jobs/<job-id>/`.
//!
//! A job's `state.json` changes only by compare-and-swap, only by an [`Event`] that the reducer allows, and only
//! through a [`Ledger`] (anyone) or a [`Claim`] (its owner). Clocks and leases serve thrift and progress; that a
//! worker was taken for dead while it lives costs double work and never a wrong result.

mod attempt;
pub mod budget;
pub mod checkpoint;
mod claim;
mod clock;
pub(crate) mod digest;
mod error;
mod event;
mod fingerprint;
pub(crate) mod keys;
mod known;
pub mod lease;
pub(crate) mod once;
pub(crate) mod patience;
mod record;
mod reduce;
mod snapshot;
mod state;
mod write;

pub use attempt::Attempt;
pub use claim::{Claim, ClaimError, Claimed, OnFenced};
pub use clock::{BootClock, Clock, Moment};
pub use error::LedgerError;
pub use event::{Claimant, Event};
pub use fingerprint::fingerprint;
pub use lease::{Lease, LeaseWatch};
pub use record::Created;
pub use reduce::{Illegal, reduce};
pub use snapshot::Snapshot;
pub use state::{CheckpointRef, DecidedFile, Decision, FailureCause, Fingerprint, Progress, SCHEMA, State, Status};
pub use write::Applied;

use crate::job::JobId;
use crate::store::Store;
use known::Known;
use std::sync::Arc;

/// The only way to read and write jobs and their states. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    known: Arc<Known>,
}

impl Ledger {
    /// The ledger in a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            clock: Arc::new(BootClock),
            known: Arc::default(),
        }
    }

    /// The same ledger under another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Where it lies.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What this process remembers.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// Its time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Where a job stands. A job without `state.json` is queued and was never claimed.
    ///
    /// # Errors
    /// [`LedgerError::Newer`] for a schema that this build does not know (the schema is read before anything else),
    /// [`LedgerError::Invalid`] for bytes that are no state, [`LedgerError::Store`].
    pub async fn read(&self, id: &JobId) -> Result<Snapshot, LedgerError> {
        let key = keys::state(id)?;
        let read_started = self.clock.now();
        let object = self.store.get(&key).await?;
        let read_ended = self.clock.now();
        let (state, etag) = match object {
            None => (State::first(), None),
            Some(object) => (snapshot::decode_state(&key, &object.bytes)?, Some(object.etag)),
        };
        Ok(Snapshot {
            state,
            etag,
            read_started,
            read_ended,
        })
    }
}
