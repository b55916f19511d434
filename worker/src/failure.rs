//! Errors of the shared parts as failures of a job: whose fault each is.

use crate::outcome::{Ending, Failure};
use crate::trainer_process::TrainerEnd;
use shared::hub::{HubError, Kind};
use shared::ledger::{ClaimError, FailureCause, LedgerError};
use shared::publication::PublicationError;
use shared::store::StoreError;
use std::error::Error;
use std::io;
use trainer_protocol::Cause;

/// An error and its reasons on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        let reason_text = reason.to_string();
        // A message that contains its reason already need not say it twice.
        if !text.contains(&reason_text) {
            text.push_str(": ");
            text.push_str(&reason_text);
        }
        source = reason.source();
    }
    text
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(of_store(&error), chain(&error))
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let cause = match &error {
            LedgerError::Store(store) => of_store(store),
            LedgerError::File { source, .. } => of_file(source),
            _ => FailureCause::Internal,
        };
        Self::new(cause, chain(&error))
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let cause = match error.kind() {
            Kind::User => FailureCause::User,
            Kind::Infrastructure => FailureCause::Infrastructure,
            Kind::Capacity => FailureCause::Capacity,
        };
        Self::new(cause, chain(&error))
    }
}

impl From<PublicationError> for Failure {
    fn from(error: PublicationError) -> Self {
        let cause = match &error {
            PublicationError::Store(store) => of_store(store),
            PublicationError::Ledger(LedgerError::Store(store)) => of_store(store),
            PublicationError::Ledger(LedgerError::File { source, .. }) => of_file(source),
            _ => FailureCause::Internal,
        };
        Self::new(cause, chain(&error))
    }
}

impl From<ClaimError> for Ending {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Fenced(_) => Self::Fenced,
            ClaimError::Ledger(error) => Self::Failed(error.into()),
        }
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A local file that could not be read or written; `what` names it.
pub(crate) fn file(what: &str, error: &io::Error) -> Failure {
    Failure::new(of_file(error), format!("failed to access {what}: {error}"))
}

/// How a trainer ended, unless it is done. `stopping`: this worker told it to stop.
pub(crate) fn trainer(end: TrainerEnd, stopping: bool) -> Option<Ending> {
    let failed = |cause, message: String| Some(Ending::Failed(Failure::new(cause, message)));
    match end {
        TrainerEnd::Done => None,
        TrainerEnd::Killed => Some(Ending::Interrupted),
        TrainerEnd::Interrupted if stopping => Some(Ending::Interrupted),
        TrainerEnd::Interrupted => failed(
            FailureCause::TrainerKilled,
            "the trainer was told to stop by a stranger".into(),
        ),
        TrainerEnd::Failed { cause, message } => failed(
            match cause {
                Cause::User => FailureCause::User,
                Cause::OutOfMemory => FailureCause::Capacity,
                Cause::Internal => FailureCause::Internal,
            },
            message,
        ),
        TrainerEnd::Died {
            message,
            out_of_memory: true,
        } => failed(FailureCause::Capacity, format!("out of memory: {message}")),
        TrainerEnd::Died {
            message,
            out_of_memory: false,
        } => failed(FailureCause::TrainerKilled, message),
    }
}

fn of_store(error: &StoreError) -> FailureCause {
    match error {
        StoreError::NoSpace { .. } => FailureCause::Capacity,
        _ => FailureCause::Infrastructure,
    }
}

fn of_file(error: &io::Error) -> FailureCause {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureCause::Capacity,
        _ => FailureCause::Infrastructure,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, Failure, trainer};
    use crate::trainer_process::TrainerEnd;
    use shared::ledger::FailureCause;
    use shared::store::{Key, StoreError};
    use trainer_protocol::Cause;

    fn cause(end: TrainerEnd) -> Option<FailureCause> {
        match trainer(end, false) {
            Some(Ending::Failed(failure)) => Some(failure.cause),
            _ => None,
        }
    }

    #[test]
    fn every_end_of_a_trainer_has_its_cause() {
        let failed = |cause| TrainerEnd::Failed {
            cause,
            message: "why".into(),
        };
        let died = |out_of_memory| TrainerEnd::Died {
            message: "why".into(),
            out_of_memory,
        };
        assert_eq!(trainer(TrainerEnd::Done, false), None);
        assert_eq!(cause(failed(Cause::User)), Some(FailureCause::User));
        assert_eq!(cause(failed(Cause::OutOfMemory)), Some(FailureCause::Capacity));
        assert_eq!(cause(failed(Cause::Internal)), Some(FailureCause::Internal));
        assert_eq!(cause(died(true)), Some(FailureCause::Capacity));
        assert_eq!(cause(died(false)), Some(FailureCause::TrainerKilled));
        assert_eq!(cause(TrainerEnd::Interrupted), Some(FailureCause::TrainerKilled));
        assert_eq!(trainer(TrainerEnd::Interrupted, true), Some(Ending::Interrupted));
        assert_eq!(trainer(TrainerEnd::Killed, true), Some(Ending::Interrupted));
    }

    #[test]
    fn a_full_store_is_capacity_and_an_absent_one_infrastructure() {
        let key = Key::new("a").unwrap();
        let full = Failure::from(StoreError::NoSpace { key: key.clone() });
        assert_eq!(full.cause, FailureCause::Capacity);
        let source = anyhow::anyhow!("connection refused");
        let away = Failure::from(StoreError::Unavailable { key, source });
        assert_eq!(away.cause, FailureCause::Infrastructure);
        assert!(away.message.contains("connection refused"), "{}", away.message);
    }
}
