//! What publishing, requeueing and cancelling do to a job that exists already: one pure table.

use shared::exit::ExitCode;
use shared::ledger::{FailureCause, State, Status};

/// What `publish` does with a job whose content was published before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publish {
    /// It waits: send its message again, in case the first was lost.
    SendAgain,
    /// Somebody is at it: nothing to send, only to watch.
    Attach,
    /// It ended well: its id and version at once.
    Ended,
    /// It failed for a reason that may have passed, or was cancelled: re-open it, then send its message.
    Reopen,
    /// The same content would end the same way: report it, with this exit code.
    Report(ExitCode),
}

/// What `dead requeue` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requeue {
    /// Re-open it, then send its message: a person says so, whatever the reason was.
    Reopen,
    /// It waits already: send its message again.
    SendAgain,
    /// Somebody is at it.
    Attach,
    /// It ended well; there is nothing to repeat.
    Refuse,
}

/// What `cancel` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// It ends now; an owner stops at its next renewal.
    End,
    /// Its bytes are decided: it will be registered.
    TooLate,
    /// It was cancelled before.
    Already,
    /// It ended otherwise.
    Refuse,
}

/// The row of `publish`.
#[must_use]
pub(crate) fn publish(state: &State) -> Publish {
    match state.status {
        Status::Queued => Publish::SendAgain,
        Status::Running | Status::Publishing => Publish::Attach,
        Status::Registered | Status::Completed => Publish::Ended,
        Status::Cancelled => Publish::Reopen,
        Status::Failed => match state.failure {
            Some(FailureCause::User | FailureCause::Quality) => Publish::Report(ExitCode::of(state)),
            // Capacity too: the next worker may be a bigger one.
            _ => Publish::Reopen,
        },
    }
}

/// The row of `dead requeue`.
#[must_use]
pub(crate) fn requeue(status: Status) -> Requeue {
    match status {
        Status::Queued => Requeue::SendAgain,
        Status::Running | Status::Publishing => Requeue::Attach,
        Status::Registered | Status::Completed => Requeue::Refuse,
        Status::Failed | Status::Cancelled => Requeue::Reopen,
    }
}

/// The row of `cancel`.
#[must_use]
pub(crate) fn cancel(status: Status) -> Cancel {
    match status {
        Status::Queued | Status::Running => Cancel::End,
        Status::Publishing => Cancel::TooLate,
        Status::Cancelled => Cancel::Already,
        Status::Registered | Status::Completed | Status::Failed => Cancel::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: Status, failure: Option<FailureCause>) -> State {
        State {
            status,
            failure,
            ..State::first()
        }
    }

    #[test]
    fn publishing_again_follows_the_table_in_every_state() {
        use FailureCause::{Capacity, Infrastructure, Internal, Poison, Quality, TrainerKilled, User};
        let table = [
            (Status::Queued, None, Publish::SendAgain),
            (Status::Running, None, Publish::Attach),
            (Status::Publishing, None, Publish::Attach),
            (Status::Registered, None, Publish::Ended),
            (Status::Completed, None, Publish::Ended),
            (Status::Cancelled, None, Publish::Reopen),
            (Status::Failed, Some(Infrastructure), Publish::Reopen),
            (Status::Failed, Some(TrainerKilled), Publish::Reopen),
            (Status::Failed, Some(Poison), Publish::Reopen),
            (Status::Failed, Some(Capacity), Publish::Reopen),
            (Status::Failed, Some(Internal), Publish::Reopen),
            (Status::Failed, None, Publish::Reopen),
            (Status::Failed, Some(User), Publish::Report(ExitCode::User)),
            (Status::Failed, Some(Quality), Publish::Report(ExitCode::Quality)),
        ];
        for (status, failure, expected) in table {
            assert_eq!(publish(&state(status, failure)), expected, "{status:?} {failure:?}");
        }
    }

    #[test]
    fn requeueing_repeats_what_failed_and_nothing_that_ended_well() {
        let table = [
            (Status::Queued, Requeue::SendAgain),
            (Status::Running, Requeue::Attach),
            (Status::Publishing, Requeue::Attach),
            (Status::Registered, Requeue::Refuse),
            (Status::Completed, Requeue::Refuse),
            (Status::Failed, Requeue::Reopen),
            (Status::Cancelled, Requeue::Reopen),
        ];
        for (status, expected) in table {
            assert_eq!(requeue(status), expected, "{status:?}");
        }
    }

    #[test]
    fn cancelling_is_refused_from_the_decision_on() {
        let table = [
            (Status::Queued, Cancel::End),
            (Status::Running, Cancel::End),
            (Status::Publishing, Cancel::TooLate),
            (Status::Registered, Cancel::Refuse),
            (Status::Completed, Cancel::Refuse),
            (Status::Failed, Cancel::Refuse),
            (Status::Cancelled, Cancel::Already),
        ];
        for (status, expected) in table {
            assert_eq!(cancel(status), expected, "{status:?}");
        }
    }
}
