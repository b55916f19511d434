//! Every way in which work on a job can end, and what follows from each.

use shared::backoff::Backoff;
use shared::ledger::{Event, FailureCause, State, Status};
use shared::queue::Settlement;
use std::time::Duration;

/// Between repetitions of a failed job.
pub const RETRY: Backoff = Backoff {
    base: Duration::from_secs(2),
    cap: Duration::from_secs(300),
};
/// For a job that another worker can take and this one cannot.
const FOR_ANOTHER: Duration = Duration::from_secs(30);

/// Why a job could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault; has a budget of its own.
    pub cause: FailureCause,
    /// For people.
    pub message: String,
}

impl Failure {
    /// Of this cause.
    pub fn new(cause: FailureCause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
        }
    }
}

/// Every way in which one worker's work on a job can end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A version is visible.
    Registered {
        /// Its number.
        version: u64,
    },
    /// Done, and nothing was to be registered.
    Completed,
    /// The job had ended before: registered, completed, failed or cancelled.
    EndedBefore,
    /// This process is to stop.
    Interrupted,
    /// The lease could not be renewed in time: the job may be another's by now.
    LeaseLost,
    /// The job is another's, or was ended from outside.
    Fenced,
    /// It could not be done.
    Failed(Failure),
    /// The bytes are decided; making them visible did not succeed this time.
    PublishingStalled {
        /// For people.
        message: String,
    },
    /// Another worker has it, and is not known to be silent.
    HeldByAnother {
        /// Its lease cannot end sooner.
        for_at_least: Duration,
    },
    /// The job wants another build or another accelerator.
    NotForThisWorker {
        /// For people.
        reason: String,
    },
    /// Written by a newer dispatcher than this worker can read.
    Newer {
        /// For people.
        message: String,
    },
    /// The message names no job that could ever be done.
    NoJob {
        /// For people.
        reason: String,
    },
    /// Too many claims were lost: the claim ended the job instead.
    Poisoned {
        /// For people.
        message: String,
    },
    /// The ledger could not be read or written.
    LedgerAway {
        /// For people.
        message: String,
    },
}

/// What becomes of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doorbell {
    /// Settle it so.
    Settle(Settlement),
    /// As the state after the closing write says: [`by_state`].
    ByState,
    /// Come back later, each time twice as late; counted by the deliveries.
    Later,
    /// Publish it anew with a delay that grows, then settle it: no broker counter grows.
    Postpone,
    /// Leave it: it comes back by itself, to whoever is alive.
    Leave,
}

/// What follows from an [`Ending`].
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Written by the owner, before the message is settled.
    pub event: Option<Event>,
    /// Then.
    pub doorbell: Doorbell,
}

impl Ending {
    /// The table.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let settle = |settlement| (None, Doorbell::Settle(settlement));
        let (event, doorbell) = match self {
            Self::Registered { .. } | Self::EndedBefore => settle(Settlement::Done),
            Self::Completed => (Some(Event::Complete), Doorbell::Settle(Settlement::Done)),
            Self::Interrupted => (Some(Event::Release), Doorbell::Settle(Settlement::Release)),
            Self::LeaseLost | Self::Fenced => (None, Doorbell::Leave),
            Self::Failed(failure) => (Some(event(failure)), Doorbell::ByState),
            Self::PublishingStalled { .. } | Self::LedgerAway { .. } => (None, Doorbell::Later),
            Self::HeldByAnother { .. } => (None, Doorbell::Postpone),
            // Not `Release`: the same worker would get it again at once, and again.
            Self::NotForThisWorker { .. } | Self::Newer { .. } => settle(Settlement::Retry { after: FOR_ANOTHER }),
            Self::NoJob { reason: text } | Self::Poisoned { message: text } => {
                settle(Settlement::Dead { reason: text.clone() })
            }
        };
        Verdict { event, doorbell }
    }

    /// One word, for records and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Completed => "completed",
            Self::EndedBefore => "ended before",
            Self::Interrupted => "interrupted",
            Self::LeaseLost => "lease lost",
            Self::Fenced => "fenced",
            Self::Failed(_) => "failed",
            Self::PublishingStalled { .. } => "publishing stalled",
            Self::HeldByAnother { .. } => "held by another",
            Self::NotForThisWorker { .. } => "not for this worker",
            Self::Newer { .. } => "newer",
            Self::NoJob { .. } => "no job",
            Self::Poisoned { .. } => "poisoned",
            Self::LedgerAway { .. } => "ledger away",
        }
    }

    /// More words, empty where there are none.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Failed(failure) => failure.message.clone(),
            Self::PublishingStalled { message: text }
            | Self::NotForThisWorker { reason: text }
            | Self::Newer { message: text }
            | Self::NoJob { reason: text }
            | Self::Poisoned { message: text }
            | Self::LedgerAway { message: text } => text.clone(),
            Self::Registered { version } => format!("version {version}"),
            _ => String::new(),
        }
    }
}

/// Repeating helps against some causes; against the others it only costs.
fn event(failure: &Failure) -> Event {
    let (cause, message) = (failure.cause, failure.message.clone());
    match cause {
        FailureCause::Infrastructure
        | FailureCause::TrainerKilled
        | FailureCause::Capacity
        | FailureCause::Internal => Event::Retry { cause, message },
        FailureCause::User | FailureCause::Quality | FailureCause::Poison => Event::Fail { cause, message },
    }
}

/// What becomes of the message of a job whose owner just wrote how it ended: the reducer has applied the budget.
#[must_use]
pub fn by_state(state: &State) -> Settlement {
    match state.status {
        Status::Queued => Settlement::Retry {
            after: retry_delay(state),
        },
        Status::Failed => Settlement::Dead {
            reason: state.cause.clone().unwrap_or_default(),
        },
        _ => Settlement::Done,
    }
}

/// The pause before a failed job is tried again.
#[must_use]
pub fn retry_delay(state: &State) -> Duration {
    RETRY.random_delay(state.failures.values().sum())
}

#[cfg(test)]
mod tests;
