//! `job.json`: what is to be done, written once.

use super::error::LedgerError;
use super::keys;
use super::snapshot::decode;
use super::{Ledger, patience};
use crate::job::{self, Job, JobId};
use crate::store::{Conflict, Key};
use bytes::Bytes;

/// Whether publishing made the job or found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// The same content was there; where it came from stays as it was recorded first.
    Existing,
}

impl Ledger {
    /// Records the job, once. Publishing the same content again finds it.
    ///
    /// # Errors
    /// [`LedgerError::Different`] if the id stands for other content.
    pub async fn create(&self, job: &Job) -> Result<Created, LedgerError> {
        let id = id_of(job);
        let key = keys::job(&id)?;
        let body = serde_json::to_vec(job)
            .map(Bytes::from)
            .map_err(|source| LedgerError::Encode {
                key: key.clone(),
                source,
            })?;
        let mut pauses = patience::pauses();
        loop {
            let error = match self.store().put_new(&key, body.clone()).await {
                Ok(_) => return Ok(Created::New),
                Err(error) => error,
            };
            match error.conflict() {
                Some(Conflict::Changed | Conflict::Unknown | Conflict::Retry) => {}
                _ => return Err(error.into()),
            }
            match self.job(&id).await? {
                Some(there) if there.content == job.content => return Ok(Created::Existing),
                Some(_) => return Err(LedgerError::Different { key }),
                None => {}
            }
            let Some(pause) = pauses.next() else {
                return Err(error.into());
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// A job's record, validated; `None` if it was never published.
    ///
    /// # Errors
    /// [`LedgerError::Newer`] for a schema that this build does not know, [`LedgerError::Invalid`] for bytes that are
    /// no job or the job of another id.
    pub async fn job(&self, id: &JobId) -> Result<Option<Job>, LedgerError> {
        let key = keys::job(id)?;
        match self.store().get(&key).await? {
            None => Ok(None),
            Some(object) => decode_job(&key, id, &object.bytes).map(Some),
        }
    }

    /// Every job that was ever published, in order of ids.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn jobs(&self) -> Result<Vec<JobId>, LedgerError> {
        let names = self.store().list_names(&keys::jobs()?).await?;
        Ok(names
            .into_iter()
            .filter_map(|name| JobId::try_from(name).ok())
            .collect())
    }
}

fn decode_job(key: &Key, id: &JobId, bytes: &[u8]) -> Result<Job, LedgerError> {
    let invalid = |reason: String| LedgerError::Invalid {
        key: key.clone(),
        reason,
    };
    let job: Job = decode(key, bytes, job::SCHEMA)?;
    if id_of(&job) != *id {
        return Err(invalid(format!("its content is that of job {}", id_of(&job))));
    }
    Ok(job)
}

fn id_of(job: &Job) -> JobId {
    let text = super::digest::of_bytes(&serde_json::to_vec(&job.content).unwrap_or_default());
    JobId::try_from(text[..32].to_owned()).unwrap_or_else(|_| unreachable!("a SHA-256 in hexadecimal"))
}
