//! `job.json`: what is to be done, written once.

use super::error::LedgerError;
use super::keys;
use super::{Ledger, patience};
use crate::job::{Job, JobError, JobId};
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
        let id = job.id();
        let key = keys::job(&id)?;
        let body = job.to_vec().map(Bytes::from).map_err(|error| refused(&key, error))?;
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
    let job = Job::from_slice(bytes).map_err(|error| refused(key, error))?;
    if job.id() != *id {
        return Err(LedgerError::Invalid {
            key: key.clone(),
            reason: format!("its content is that of job {}", job.id()),
        });
    }
    Ok(job)
}

fn refused(key: &Key, error: JobError) -> LedgerError {
    let key = key.clone();
    match error {
        JobError::Newer { found, known } => LedgerError::Newer { key, found, known },
        error => LedgerError::Invalid {
            key,
            reason: error.to_string(),
        },
    }
}
