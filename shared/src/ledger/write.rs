//! The write discipline: one compare-and-swap at a time, and what every possible answer to it means.

use super::error::LedgerError;
use super::event::Event;
use super::keys;
use super::reduce::reduce;
use super::snapshot::Snapshot;
use super::state::{SCHEMA, State};
use super::{Ledger, patience};
use crate::job::JobId;
use crate::store::{Conflict, Etag, Key, StoreError};
use bytes::Bytes;

/// What became of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// The state is what the event made of it.
    Won(Snapshot),
    /// Somebody else was faster: this is the state now, without the event.
    Refused(Snapshot),
}

impl Ledger {
    /// Changes the state by `event`, if it still is as `from` shows it.
    ///
    /// A lost answer is resolved by reading again; while the outcome is open the same write is repeated with jitter.
    /// Dropping the future leaves the outcome open: the write may have happened or may happen yet.
    ///
    /// # Errors
    /// [`LedgerError::Illegal`] if `from` does not allow the event, [`LedgerError::Gone`] if the state was deleted,
    /// [`LedgerError::Store`] if the store stayed away.
    pub async fn apply(&self, id: &JobId, from: &Snapshot, event: &Event) -> Result<Applied, LedgerError> {
        let mut next = reduce(&from.state, event).map_err(|source| LedgerError::Illegal { id: id.clone(), source })?;
        next.schema = SCHEMA;
        next.seq = from.state.seq + 1;
        next.write_id = self.clock().write_id();
        next.updated_at = self.clock().written_at();
        self.swap(id, from, next).await
    }

    async fn swap(&self, id: &JobId, from: &Snapshot, next: State) -> Result<Applied, LedgerError> {
        let key = keys::state(id)?;
        let body = serde_json::to_vec(&next)
            .map(Bytes::from)
            .map_err(|source| LedgerError::Encode {
                key: key.clone(),
                source,
            })?;
        let mut pauses = patience::pauses();
        loop {
            let started = self.clock().now();
            let answer = self.send(&key, from.etag.as_ref(), body.clone()).await;
            let unresolved = match answer {
                Ok(etag) => {
                    let read_ended = self.clock().now();
                    return Ok(Applied::Won(Snapshot {
                        state: next,
                        etag: Some(etag),
                        read_started: started,
                        read_ended,
                    }));
                }
                Err(error) => error,
            };
            let meaning = Meaning::of(&unresolved);
            match meaning {
                Meaning::Gone => return Err(LedgerError::Gone { key }),
                Meaning::Broken => return Err(unresolved.into()),
                Meaning::Decided | Meaning::Open => {}
            }
            let now = self.read_patiently(id).await?;
            if now.etag.is_some() && now.state.write_id == next.write_id {
                return Ok(Applied::Won(Snapshot {
                    read_started: started,
                    ..now
                }));
            }
            if meaning == Meaning::Decided || now.etag != from.etag {
                return Ok(Applied::Refused(now));
            }
            let Some(pause) = pauses.next() else {
                return Err(unresolved.into());
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn send(&self, key: &Key, etag: Option<&Etag>, body: Bytes) -> Result<Etag, StoreError> {
        match etag {
            None => self.store().put_new(key, body).await,
            Some(etag) => self.store().replace(key, etag, body).await,
        }
    }

    /// Reads, and again while the store is away: between a write and the answer to it there is no other way on.
    async fn read_patiently(&self, id: &JobId) -> Result<Snapshot, LedgerError> {
        let mut pauses = patience::pauses();
        loop {
            let error = match self.read(id).await {
                Err(LedgerError::Store(error @ StoreError::Unavailable { .. })) => error,
                other => return other,
            };
            let Some(pause) = pauses.next() else {
                return Err(error.into());
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// What an unsuccessful answer to a conditional write says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// 412: this request did not win, though an earlier copy of it may have.
    Decided,
    /// 409, or no answer: it may or may not have won, and may yet.
    Open,
    /// The object is gone.
    Gone,
    /// Nothing was written, and repeating does not help.
    Broken,
}

impl Meaning {
    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Conflict {
                conflict: Conflict::Changed,
                ..
            } => Self::Decided,
            StoreError::Conflict {
                conflict: Conflict::Retry | Conflict::Unknown,
                ..
            }
            | StoreError::Unavailable { .. } => Self::Open,
            StoreError::Conflict {
                conflict: Conflict::Gone,
                ..
            } => Self::Gone,
            StoreError::NoSpace { .. } | StoreError::Digest { .. } | StoreError::Denied { .. } => Self::Broken,
        }
    }
}
