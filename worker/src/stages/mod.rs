//! What is done to a job, one file a stage. Their order is the business of [`pipeline`](crate::pipeline).

mod checkpoint_files;
pub mod register;
pub mod retrieve;
pub mod train;
mod train_watch;

use crate::context::Context;
use crate::interruption::Interruption;
use crate::work_folder::ClaimFolder;
use shared::job::Job;
use shared::joblog::JobLog;
use shared::ledger::{Claim, Snapshot};

/// One claimed job, as every stage sees it.
#[derive(Debug)]
pub struct Work<'a> {
    /// The worker.
    pub context: &'a Context,
    /// What is to be done.
    pub job: &'a Job,
    /// The right to do it.
    pub claim: &'a Claim,
    /// The state before the claim: what an earlier one had reached.
    pub before: &'a Snapshot,
    /// Local files.
    pub folder: &'a ClaimFolder,
    /// For people.
    pub log: &'a JobLog,
    /// When to stop.
    pub interruption: &'a Interruption,
}
