//! Numbers of versions: one a job, in order, without a hole, never given twice.

use super::error::PublicationError;
use super::target::{Destination, canonical};
use crate::job::JobId;
use crate::ledger::{Decision, patience};
use crate::store::{Conflict, Key, Object, Store, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who has a number.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    job: JobId,
    manifest: String,
}

/// One more than every number that is taken: by a record, or by a folder that was there before Trainyard was.
///
/// # Errors
/// [`PublicationError::Store`].
pub async fn floor(store: &dyn Store, destination: &Destination) -> Result<u64, PublicationError> {
    let taken = store.highest(destination.records(), Arc::new(canonical)).await?;
    let own = destination.clone();
    let number = Arc::new(move |name: &str| own.number(name));
    let there = store.highest(destination.versions(), number).await?;
    Ok(taken.max(there).unwrap_or_default().saturating_add(1))
}

/// The job's number: the first at or above the decided floor that is its own or free.
///
/// Records are never deleted and the floor is part of the decision, so every publisher of a job finds the same number.
pub(super) async fn take(
    store: &dyn Store,
    destination: &Destination,
    id: &JobId,
    decision: &Decision,
) -> Result<u64, PublicationError> {
    let mine = Record {
        job: id.clone(),
        manifest: decision.manifest_sha256.clone(),
    };
    let body = serde_json::to_vec(&mine)
        .map(Bytes::from)
        .map_err(|source| PublicationError::Encode {
            what: "the record",
            source,
        })?;
    let mut number = decision.floor;
    let mut pauses = patience::pauses();
    loop {
        let key = destination.record(number)?;
        match store.get(&key).await? {
            Some(there) if read(&key, &there)? == mine => return Ok(number),
            Some(there) if read(&key, &there)?.job == *id => {
                return Err(PublicationError::Record {
                    key,
                    reason: "it has another manifest of this job".into(),
                });
            }
            Some(_) => {
                number += 1;
                continue;
            }
            None => {}
        }
        let error = match store.put_new(&key, body.clone()).await {
            Ok(_) => return Ok(number),
            Err(error) => error,
        };
        match &error {
            StoreError::Conflict {
                conflict: Conflict::Changed,
                ..
            } => {}
            StoreError::Conflict {
                conflict: Conflict::Retry | Conflict::Unknown,
                ..
            }
            | StoreError::Unavailable { .. } => {
                let Some(pause) = pauses.next() else {
                    return Err(error.into());
                };
                tokio::time::sleep(pause).await;
            }
            _ => return Err(error.into()),
        }
    }
}

fn read(key: &Key, object: &Object) -> Result<Record, PublicationError> {
    serde_json::from_slice(&object.bytes).map_err(|error| PublicationError::Record {
        key: key.clone(),
        reason: error.to_string(),
    })
}
