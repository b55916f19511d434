//! The log of a job: chunks of text in the store, `trainyard/jobs/<job>/logs/<token>/<00000001>`.
//!
//! Every claim writes into a folder of its own, so nobody can write into another's log. A log is for people: losing a
//! line of it never fails a job, and what is lost is said in the log itself.

mod reader;
mod writer;

pub use reader::{JobLogReader, tail};
pub use writer::{JobLog, JobLogTask};

use crate::job::JobId;
use crate::store::{InvalidKey, Key};

/// Folder of a job's logs.
fn folder(job: &JobId) -> Result<Key, InvalidKey> {
    Key::new(format!("trainyard/jobs/{job}/logs"))
}

/// One chunk.
fn chunk_key(job: &JobId, token: u64, number: u64) -> Result<Key, InvalidKey> {
    folder(job)?.join(&format!("{token}/{number:08}"))
}
