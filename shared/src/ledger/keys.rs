//! Where the ledger's objects lie. Private to the ledger and the publication: nobody else names a state.

use crate::job::JobId;
use crate::store::{InvalidKey, Key};

/// Below it lies everything that is Trainyard's alone.
pub(crate) fn root() -> Result<Key, InvalidKey> {
    Key::new("trainyard")
}

/// Below it lies one folder a job.
pub(crate) fn jobs() -> Result<Key, InvalidKey> {
    Key::new("trainyard/jobs")
}

/// A job's folder.
pub(crate) fn folder(id: &JobId) -> Result<Key, InvalidKey> {
    jobs()?.join(id.as_str())
}

/// What is to be done; written once.
pub(super) fn job(id: &JobId) -> Result<Key, InvalidKey> {
    folder(id)?.join("job.json")
}

/// Where it stands.
pub(crate) fn state(id: &JobId) -> Result<Key, InvalidKey> {
    folder(id)?.join("state.json")
}

/// What one claim came to; written once.
pub(super) fn attempt(id: &JobId, token: u64) -> Result<Key, InvalidKey> {
    folder(id)?.join(&format!("attempts/{token}.json"))
}

/// Below it lie the attempts.
pub(super) fn attempts(id: &JobId) -> Result<Key, InvalidKey> {
    folder(id)?.join("attempts")
}

/// Below it lie all checkpoints of a job: `<token>/<pipeline>/<step>/…`.
pub(crate) fn checkpoints(id: &JobId) -> Result<Key, InvalidKey> {
    folder(id)?.join("checkpoints")
}

/// One checkpoint's folder.
pub(super) fn checkpoint(id: &JobId, token: u64, pipeline: &str, step: u64) -> Result<Key, InvalidKey> {
    checkpoints(id)?.join(&format!("{token}/{pipeline}/{step}"))
}

/// Below it lie the staged blobs of all epochs.
pub(crate) fn staged(id: &JobId) -> Result<Key, InvalidKey> {
    folder(id)?.join("staged")
}

/// A staged blob, named by its bytes.
pub(crate) fn staged_blob(id: &JobId, epoch: u64, sha256: &str) -> Result<Key, InvalidKey> {
    staged(id)?.join(&format!("{epoch}/{sha256}"))
}
