//! What can happen to a job: the only ways in which its state changes.

use super::state::{CheckpointRef, Decision, FailureCause, Progress};
use std::collections::BTreeMap;

/// Who claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Unique per process.
    pub worker: String,
    /// Errors on two hosts count as two witnesses.
    pub host: String,
    /// The claimant's lease in seconds; observers wait as long.
    pub lease_s: u64,
}

/// What can happen to a job. Which state allows which event, and what it does: [`reduce`](super::reduce()).
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// queued -> running.
    Claim(Claimant),
    /// running -> running under another owner, whose lease was seen to expire; failed (poison) where too many claims
    /// in a row were lost.
    TakeOver(Claimant),
    /// running -> queued: a sweeper saw the lease expire; failed (poison) as above.
    Expire,
    /// The owner is alive.
    Renew,
    /// What the owner is at, for people.
    Stage(String),
    /// How far the trainer is.
    Progress(Progress),
    /// Scores are known.
    Scores(BTreeMap<String, f64>),
    /// A checkpoint is complete in the store.
    Checkpoint(CheckpointRef),
    /// running -> queued: interrupted, not counted.
    Release,
    /// running -> queued after a failure that may pass; failed where its budget is used up, or where the same error
    /// on two hosts says that the job is to blame.
    Retry {
        /// Whose fault.
        cause: FailureCause,
        /// For people; compared by its fingerprint.
        message: String,
    },
    /// running -> failed.
    Fail {
        /// Whose fault.
        cause: FailureCause,
        /// For people.
        message: String,
    },
    /// queued or running -> cancelled. Refused from the decision on.
    Cancel {
        /// For people.
        reason: String,
    },
    /// running -> publishing: the bytes are decided.
    Decide(Decision),
    /// publishing -> publishing under another owner, only to save double work.
    ClaimPublishing(Claimant),
    /// publishing -> registered.
    Registered {
        /// Number of the version whose card is in the store.
        version: u64,
    },
    /// running -> completed: nothing is to be registered.
    Complete,
    /// failed or cancelled -> queued in the next epoch.
    Reopen,
}

impl Event {
    /// One word for logs and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claim(_) => "claim",
            Self::TakeOver(_) => "take over",
            Self::Expire => "expire",
            Self::Renew => "renew",
            Self::Stage(_) => "stage",
            Self::Progress(_) => "progress",
            Self::Scores(_) => "scores",
            Self::Checkpoint(_) => "checkpoint",
            Self::Release => "release",
            Self::Retry { .. } => "retry",
            Self::Fail { .. } => "fail",
            Self::Cancel { .. } => "cancel",
            Self::Decide(_) => "decide",
            Self::ClaimPublishing(_) => "claim publishing",
            Self::Registered { .. } => "registered",
            Self::Complete => "complete",
            Self::Reopen => "re-open",
        }
    }

    /// Only the owner of the token may say so; a [`Claim`](super::Claim) checks it.
    #[must_use]
    pub fn is_owners(&self) -> bool {
        matches!(
            self,
            Self::Renew
                | Self::Stage(_)
                | Self::Progress(_)
                | Self::Scores(_)
                | Self::Checkpoint(_)
                | Self::Release
                | Self::Retry { .. }
                | Self::Fail { .. }
                | Self::Decide(_)
                | Self::Complete
        )
    }
}
