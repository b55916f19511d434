//! The protocol between a worker and a trainer process.
//!
//! `trainer JOB.json --inputs DIR --outputs DIR --checkpoints DIR`
//!
//! * `JOB.json` is a [`TrainerJob`]: one pipeline of a job. Every path in it is relative to `--inputs`.
//! * stdout carries one [`Event`] a line; logs go to stderr.
//! * the exit code is an [`ExitCode`]; `SIGTERM` means: finish the step, write a checkpoint, exit 75.
//! * the environment holds no credentials and there is no network: everything the trainer reads is in `--inputs`.
//! * `TRAINYARD_SUPERVISED=1` in it means that stdin is held open by the worker: at its end the trainer exits at once.
//!
//! Any program that keeps to this can be a trainer.

mod events;
mod exit;
mod job;
mod outputs;

pub use events::{Cause, Event};
pub use exit::ExitCode;
pub use job::{
    CheckpointEvery, DataColumns, DataFormat, DataSource, Device, KeywordOptions, PhraseRule, Precision, SCHEMA,
    Strategy, Task, TrainerJob, Training,
};
pub use outputs::{Checkpoint, Environment, LabelScores, OUTPUT_FILES, OutputFiles, Report};
