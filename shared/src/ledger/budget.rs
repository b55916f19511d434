//! How often a job may fail, by cause.

use super::state::FailureCause;

/// Claims in a row that may end without a word and without a newer checkpoint. A test that kills five claims within
/// seconds must still end well, and a job that kills every worker must stop.
pub const CLAIMS_LOST: u32 = 10;

/// Failures of this cause that may be reported and repeated; one more ends the job.
#[must_use]
pub fn reported(cause: FailureCause) -> u32 {
    match cause {
        FailureCause::Infrastructure | FailureCause::TrainerKilled | FailureCause::Internal => 5,
        FailureCause::Capacity => 1,
        FailureCause::User | FailureCause::Quality | FailureCause::Poison => 0,
    }
}

/// Whether the same error on two hosts proves that the job itself is at fault. Never so for what an outage does to
/// every job: store, hub, broker.
#[must_use]
pub fn proves_poison(cause: FailureCause) -> bool {
    matches!(cause, FailureCause::Internal | FailureCause::TrainerKilled)
}
