//! Exit codes of `dispatcher publish --wait`, `dispatcher wait`, `worker run --once`: scripts rely on them.

use crate::ledger::{FailureCause, State, Status};

/// How a command ends. The numbers are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitCode {
    /// Registered, completed, or the command did what it was asked.
    Ok = 0,
    /// Below the quality gate.
    Quality = 10,
    /// The project's data, model or settings are at fault.
    User = 20,
    /// Infrastructure, capacity, a defect, or a job that kills workers.
    Infrastructure = 30,
    /// Cancelled by a person.
    Cancelled = 40,
    /// Bad usage or settings, found before any connection (`EX_USAGE`).
    Usage = 64,
    /// Store, queue or hub cannot be reached (`EX_UNAVAILABLE`).
    Unreachable = 69,
    /// Still running at the timeout (`EX_TEMPFAIL`).
    Running = 75,
}

/// Of several jobs the first of these that occurs is the code of all.
const WORST_FIRST: [ExitCode; 5] = [
    ExitCode::Infrastructure,
    ExitCode::User,
    ExitCode::Quality,
    ExitCode::Cancelled,
    ExitCode::Running,
];

impl ExitCode {
    /// The code that a job in this state stands for; [`ExitCode::Running`] while it has not ended.
    #[must_use]
    pub fn of(state: &State) -> Self {
        match state.status {
            Status::Queued | Status::Running | Status::Publishing => Self::Running,
            Status::Registered | Status::Completed => Self::Ok,
            Status::Cancelled => Self::Cancelled,
            Status::Failed => Self::of_failure(state.failure),
        }
    }

    /// The code of a failed job.
    #[must_use]
    pub fn of_failure(cause: Option<FailureCause>) -> Self {
        match cause {
            Some(FailureCause::Quality) => Self::Quality,
            Some(FailureCause::User) => Self::User,
            // Everything else is ours or the machine's, and so is a failure that names no cause.
            Some(_) | None => Self::Infrastructure,
        }
    }

    /// The code of several jobs: the first of 30, 20, 10, 40, 75 that occurs, else 0.
    #[must_use]
    pub fn of_all(codes: &[Self]) -> Self {
        WORST_FIRST
            .into_iter()
            .find(|code| codes.contains(code))
            .unwrap_or(Self::Ok)
    }

    /// Its place in the order of [`ExitCode::of_all`]; what is not in it comes last.
    #[must_use]
    pub fn rank(self) -> usize {
        let place = WORST_FIRST.iter().position(|code| *code == self);
        place.unwrap_or(WORST_FIRST.len())
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_that_scripts_rely_on() {
        let numbers = [
            ExitCode::Ok,
            ExitCode::Quality,
            ExitCode::User,
            ExitCode::Infrastructure,
            ExitCode::Cancelled,
            ExitCode::Usage,
            ExitCode::Unreachable,
            ExitCode::Running,
        ]
        .map(ExitCode::number);
        assert_eq!(numbers, [0, 10, 20, 30, 40, 64, 69, 75]);
    }

    #[test]
    fn of_several_jobs_the_worst_decides_in_any_order() {
        use ExitCode::{Cancelled, Infrastructure, Ok, Quality, Running, User};
        let priority = [Infrastructure, User, Quality, Cancelled, Running, Ok];
        for (rank, worse) in priority.iter().enumerate() {
            for better in &priority[rank..] {
                assert_eq!(ExitCode::of_all(&[*worse, *better]), *worse);
                assert_eq!(ExitCode::of_all(&[*better, *worse]), *worse);
            }
        }
        assert_eq!(ExitCode::of_all(&[]), Ok);
    }

    #[test]
    fn every_cause_of_failure_has_its_code() {
        let expected = [
            (Some(FailureCause::Quality), 10),
            (Some(FailureCause::User), 20),
            (Some(FailureCause::Infrastructure), 30),
            (Some(FailureCause::Capacity), 30),
            (Some(FailureCause::Poison), 30),
            (Some(FailureCause::Internal), 30),
            (None, 30),
        ];
        for (cause, number) in expected {
            assert_eq!(ExitCode::of_failure(cause).number(), number, "{cause:?}");
        }
    }
}
