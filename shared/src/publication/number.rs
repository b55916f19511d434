//! Numbers of versions: one a job, in order, without a hole, never given twice.

use super::error::PublicationError;
use super::target::{Destination, canonical};
use crate::job::JobId;
use crate::ledger::{Decision, Ledger, patience};
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

/// Numbers in a row that are looked at one by one before all are looked through.
const LOOKS: usize = 16;

/// The floor of a decision: [`floor`] at first, and from there on the next number that is free, which costs two requests
/// however many versions there are.
pub(super) async fn next(ledger: &Ledger, destination: &Destination) -> Result<u64, PublicationError> {
    let store = ledger.store().as_ref();
    if let Some(known) = ledger.known().get(destination.records()) {
        for number in (known..).take(LOOKS) {
            if store.size(&destination.record(number)?).await?.is_some() {
                continue;
            }
            // Of a writer that keeps no records, and who may have more of them: then all are looked through again.
            if !store.list_names(&destination.version(number)?).await?.is_empty() {
                break;
            }
            ledger.known().raise(destination.records(), number);
            return Ok(number);
        }
    }
    let number = floor(store, destination).await?;
    ledger.known().raise(destination.records(), number);
    Ok(number)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Target;
    use crate::publication::CARD;
    use crate::store::memory::MemoryStore;

    fn destination() -> Destination {
        let target = Target {
            environment: "dev".into(),
            root: "registry".into(),
            workspace: "acme".into(),
            project: "sentiment".into(),
            model: "SEN-TRAINED".into(),
            model_type: "trained".into(),
        };
        Destination::new(&target).expect("keys")
    }

    async fn put(ledger: &Ledger, key: Key) {
        ledger.store().put_new(&key, Bytes::from("x")).await.expect("new");
    }

    /// What another process would say, which remembers nothing.
    async fn fresh(ledger: &Ledger, destination: &Destination) -> u64 {
        floor(ledger.store().as_ref(), destination).await.expect("a floor")
    }

    #[tokio::test]
    async fn what_others_took_meanwhile_is_passed() {
        let (ledger, at) = (Ledger::new(Arc::new(MemoryStore::new())), destination());
        assert_eq!(next(&ledger, &at).await.expect("a number"), 1);
        for number in 1..=3 {
            put(&ledger, at.record(number).expect("a key")).await;
        }
        assert_eq!(next(&ledger, &at).await.expect("a number"), 4);
        // Of a writer that keeps no records.
        for number in [4, 7] {
            put(&ledger, at.file(number, CARD).expect("a key")).await;
        }
        assert_eq!(next(&ledger, &at).await.expect("a number"), 8);
        assert_eq!(fresh(&ledger, &at).await, 8);
    }

    #[tokio::test]
    async fn many_are_looked_through_at_once() {
        let (ledger, at) = (Ledger::new(Arc::new(MemoryStore::new())), destination());
        assert_eq!(next(&ledger, &at).await.expect("a number"), 1);
        for number in 1..=100 {
            put(&ledger, at.record(number).expect("a key")).await;
        }
        assert_eq!(next(&ledger, &at).await.expect("a number"), 101);
        assert_eq!(ledger.known().get(at.records()), Some(101));
    }
}
