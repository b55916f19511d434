//! What a trainer says on stdout: one JSON object a line.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of the trainer's stdout. Unknown events are ignored by the worker, so a trainer may say more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The model is loaded; reading data begins.
    Ready {
        /// Milliseconds since the process started.
        startup_ms: u64,
        /// Peak resident memory so far, in bytes.
        resident_bytes: u64,
    },
    /// Work goes on. `phase` is `train`, `evaluate` or `predict`.
    Progress {
        /// Which of the loops.
        phase: String,
        /// Optimizer steps (or batches, outside training) done.
        step: u64,
        /// Of how many.
        of: u64,
        /// Mean loss since the last event; training only.
        loss: Option<f64>,
        /// The rate of the last step; training only.
        learning_rate: Option<f64>,
        /// Samples a second since the last event.
        samples_per_second: f64,
        /// Tokens (without padding) a second since the last event.
        tokens_per_second: f64,
    },
    /// A checkpoint is complete in `--checkpoints`.
    Checkpoint {
        /// The optimizer step it holds.
        step: u64,
        /// Its folder, relative to `--checkpoints`. Plain files beside it (best weights) belong to it, and files of
        /// both are never changed once they are there: the worker saves them while training goes on.
        folder: String,
    },
    /// Scores on the validation data.
    Evaluated {
        /// The optimizer step at which they were taken.
        step: u64,
        /// Completed epochs.
        epoch: f64,
        /// Name of the score -> value.
        scores: BTreeMap<String, f64>,
    },
    /// Everything in `--outputs` is complete.
    Exported {
        /// Files below the artifacts folder.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The trainer gives up; its exit code says the same as `cause`.
    Failed {
        /// Whose fault.
        cause: Cause,
        /// For the person; names the file, line or field where there is one.
        message: String,
    },
}

/// Why a trainer gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Data, model or settings (exit 65).
    User,
    /// Out of memory (exit 69).
    OutOfMemory,
    /// A defect (exit 70).
    Internal,
}
