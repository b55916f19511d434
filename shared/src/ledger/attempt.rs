//! `attempts/<token>.json`: what one claim came to, for people and reports. Nothing is decided by it.

use super::claim::Claim;
use super::error::LedgerError;
use super::keys;
use super::snapshot::decode;
use super::{Ledger, once};
use crate::job::JobId;
use crate::store::Key;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What one claim came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Version of this record, [`Attempt::SCHEMA`].
    pub schema: u32,
    /// The claim.
    pub token: u64,
    /// The epoch it was in.
    pub epoch: u64,
    /// Who had it.
    pub worker: String,
    /// Where.
    pub host: String,
    /// The worker's build tag.
    pub build_tag: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub ended_at: String,
    /// How it ended, one word: `registered`, `interrupted`, `failed`, `fenced`, …
    pub outcome: String,
    /// More words, for people.
    pub message: String,
}

impl Attempt {
    /// The version that this build writes, and the newest it reads.
    pub const SCHEMA: u32 = 1;
}

impl Claim {
    /// Records the attempt, once; the first record of a token stays.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn record(&self, attempt: &Attempt) -> Result<(), LedgerError> {
        let key = keys::attempt(self.id(), self.token())?;
        let body = serde_json::to_vec(attempt)
            .map(Bytes::from)
            .map_err(|source| LedgerError::Encode {
                key: key.clone(),
                source,
            })?;
        match once::put(self.ledger().store().as_ref(), &key, &body).await {
            Ok(_) | Err(LedgerError::Different { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Ledger {
    /// The recorded attempts of a job in order of tokens. A killed worker records none.
    ///
    /// # Errors
    /// [`LedgerError::Newer`], [`LedgerError::Invalid`], [`LedgerError::Store`].
    pub async fn attempts(&self, id: &JobId) -> Result<Vec<Attempt>, LedgerError> {
        let mut attempts = Vec::new();
        for entry in self.store().list(&keys::attempts(id)?).await? {
            if let Some(object) = self.store().get(&entry.key).await? {
                attempts.push(decode_attempt(&entry.key, &object.bytes)?);
            }
        }
        attempts.sort_by_key(|attempt| attempt.token);
        Ok(attempts)
    }
}

fn decode_attempt(key: &Key, bytes: &[u8]) -> Result<Attempt, LedgerError> {
    decode(key, bytes, Attempt::SCHEMA)
}
