//! The truth about every job: `<store>/trainyard/jobs/<job-id>/`.

mod state;

pub use state::{CheckpointRef, DecidedFile, Decision, FailureCause, Fingerprint, Progress, SCHEMA, State, Status};
