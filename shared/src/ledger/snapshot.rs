//! A state as it was read, and the one strict way to read its bytes.

use super::clock::Moment;
use super::error::LedgerError;
use super::state::{SCHEMA, State};
use crate::store::{Etag, Key};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A state, and when it was so.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The state; of a job without `state.json` the first one: queued, token 0, seq 0, epoch 0.
    pub state: State,
    /// `None`: there is no `state.json` yet.
    pub etag: Option<Etag>,
    /// When the read (or the write that made it so) began.
    pub read_started: Moment,
    /// When its answer was there.
    pub read_ended: Moment,
}

#[derive(Deserialize)]
struct Schema {
    schema: u64,
}

/// Reads a document that has a schema: the schema first, and only then, strictly, the rest.
pub(super) fn decode<T: DeserializeOwned>(key: &Key, bytes: &[u8], known: u32) -> Result<T, LedgerError> {
    let invalid = |reason: String| LedgerError::Invalid {
        key: key.clone(),
        reason,
    };
    let found = serde_json::from_slice::<Schema>(bytes)
        .map_err(|error| invalid(error.to_string()))?
        .schema;
    if found > u64::from(known) {
        return Err(LedgerError::Newer {
            key: key.clone(),
            found,
            known,
        });
    }
    serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))
}

/// Reads a state.
pub(super) fn decode_state(key: &Key, bytes: &[u8]) -> Result<State, LedgerError> {
    decode(key, bytes, SCHEMA)
}
