//! `state.json` of a job.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of [`State`].
pub const SCHEMA: u32 = 1;

/// Where a job stands. Written only through `Ledger`, changed only by the reducer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`SCHEMA`].
    pub schema: u32,
    /// +1 with every write: bytes, and so etags, never repeat.
    pub seq: u64,
    /// Random per write: a writer recognises its own.
    pub write_id: String,
    /// The state proper.
    pub status: Status,
    /// What the owner is at, for people: `retrieve`, `train`, `register`, …
    pub stage: String,
    /// +1 by re-open.
    pub epoch: u64,
    /// +1 by every claim, never reset: the fencing token.
    pub token: u64,
    /// Name of the owner, unique per process.
    pub worker: String,
    /// Host of the owner.
    pub host: String,
    /// The owner's lease in seconds.
    pub lease_s: u64,
    /// Renewals of this claim.
    pub renewals: u64,
    /// Seconds that earlier claims since the job was (re-)opened are known to have worked: their renewals, so a third of
    /// a lease a claim may be missing, whoever was killed and whenever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub worked_s: u64,
    /// What the trainer said last.
    pub progress: Option<Progress>,
    /// Newest first, at most two of each pipeline. Cleared when the result is there.
    pub checkpoints: Vec<CheckpointRef>,
    /// Claims in a row that ended without a word and without a newer checkpoint.
    pub claims_lost: u32,
    /// Reported failures by cause.
    pub failures: BTreeMap<FailureCause, u32>,
    /// The last two reported errors.
    pub errors: Vec<Fingerprint>,
    /// Set by the one decision, never changed.
    pub decision: Option<Decision>,
    /// Number of the registered version.
    pub version: Option<u64>,
    /// Why it failed or was cancelled, for people.
    pub cause: Option<String>,
    /// Which budget or rule ended it; decides exit codes.
    pub failure: Option<FailureCause>,
    /// Scores of the result, as soon as they are known.
    pub scores: BTreeMap<String, f64>,
    /// RFC 3339 by the writer's clock, for people only.
    pub updated_at: String,
}

impl State {
    /// The state of a job that has no `state.json`: queued, never written.
    #[must_use]
    pub fn first() -> Self {
        Self {
            schema: SCHEMA,
            seq: 0,
            write_id: String::new(),
            status: Status::Queued,
            stage: String::new(),
            epoch: 0,
            token: 0,
            worker: String::new(),
            host: String::new(),
            lease_s: 0,
            renewals: 0,
            worked_s: 0,
            progress: None,
            checkpoints: Vec::new(),
            claims_lost: 0,
            failures: BTreeMap::new(),
            errors: Vec::new(),
            decision: None,
            version: None,
            cause: None,
            failure: None,
            scores: BTreeMap::new(),
            updated_at: String::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where a job can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for a worker (also: no `state.json` yet).
    Queued,
    /// A worker has it.
    Running,
    /// The bytes are decided; whoever comes makes them visible.
    Publishing,
    /// A version is visible.
    Registered,
    /// Ended well, nothing to register.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended by a person.
    Cancelled,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Publishing => "publishing",
            Self::Registered => "registered",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

impl Status {
    /// Nothing more will happen by itself.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Registered | Self::Completed | Self::Failed | Self::Cancelled
        )
    }

    /// Nothing can happen any more: a failed or cancelled job can be re-opened, these cannot.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Registered | Self::Completed)
    }
}

/// Causes with a budget of their own (and exit codes of their own).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCause {
    /// Hub, broker or store.
    Infrastructure,
    /// The trainer was killed by a signal that nobody of ours sent.
    TrainerKilled,
    /// Memory or disk too small.
    Capacity,
    /// Data, model, settings.
    User,
    /// Below the gate.
    Quality,
    /// Kills workers, undecodable, or the same internal error on two hosts.
    Poison,
    /// A defect of ours, reported.
    Internal,
}

/// Who saw which error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Same error, same text: the message without numbers and paths.
    pub fingerprint: String,
    /// The whole message, for people.
    pub message: String,
    /// Its cause.
    pub cause: FailureCause,
    /// Where.
    pub host: String,
    /// Under which claim.
    pub token: u64,
}

/// How far the trainer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Pipeline of the job.
    pub pipeline: String,
    /// `train`, `evaluate`, `predict`, `download`, …
    pub phase: String,
    /// Done.
    pub step: u64,
    /// Of.
    pub of: u64,
    /// Last loss.
    pub loss: Option<f64>,
    /// Rate.
    pub samples_per_second: Option<f64>,
}

/// A checkpoint in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRef {
    /// Claim that wrote it.
    pub token: u64,
    /// Pipeline of the job.
    pub pipeline: String,
    /// Optimizer step.
    pub step: u64,
    /// Of its manifest.
    pub manifest_sha256: String,
}

/// The one decision: exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Of the manifest's bytes.
    pub manifest_sha256: String,
    /// Of the model card's template (the version's number is not known yet).
    pub card_sha256: String,
    /// Every other file.
    pub files: Vec<DecidedFile>,
    /// No number below is taken.
    pub floor: u64,
    /// Claim that decided.
    pub token: u64,
    /// Epoch whose staging folder holds the bytes.
    pub epoch: u64,
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedFile {
    /// Below `<MODEL-n>/`, `{version}` standing for the version's name.
    pub path: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}
