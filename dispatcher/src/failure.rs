//! What a command fails with: an exit code for scripts, a chain of causes for people.

use shared::connect::ConnectError;
use shared::exit::ExitCode;
use shared::hub::{HubError, Kind};
use shared::ledger::LedgerError;
use shared::queue::QueueError;
use shared::settings::SettingsError;
use shared::store::StoreError;
use std::fmt::Write;

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process exits with.
    pub code: ExitCode,
    error: anyhow::Error,
}

impl Failure {
    /// Bad usage or settings.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitCode::Usage, error)
    }

    /// Store, queue or hub is away.
    pub(crate) fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self::new(ExitCode::Unreachable, error)
    }

    /// With a code of its own.
    pub(crate) fn new(code: ExitCode, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }

    /// The same failure, said to have happened while doing `what`.
    #[must_use]
    pub(crate) fn while_doing(self, what: impl std::fmt::Display + Send + Sync + 'static) -> Self {
        Self {
            code: self.code,
            error: self.error.context(what),
        }
    }

    /// For people, without colour: `error: …`, then each cause that says something new.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("error: {}", self.error);
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            // Libraries often repeat their source in their own text; a person reads it once.
            if said.contains(&cause) {
                continue;
            }
            let _ = write!(text, "\n  caused by: {}", cause.replace('\n', "\n    "));
            said.push('\n');
            said.push_str(&cause);
        }
        text
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::usage(error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        if error.is_usage() {
            Self::usage(error)
        } else {
            Self::unreachable(error)
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(code_of_store(&error), error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let code = match &error {
            LedgerError::Store(source) => code_of_store(source),
            _ => ExitCode::Infrastructure,
        };
        Self::new(code, error)
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Self::unreachable(error)
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let code = match error.kind() {
            Kind::User => ExitCode::User,
            Kind::Infrastructure => ExitCode::Unreachable,
            Kind::Capacity => ExitCode::Infrastructure,
        };
        Self::new(code, error)
    }
}

fn code_of_store(error: &StoreError) -> ExitCode {
    match error {
        StoreError::Unavailable { .. } | StoreError::Denied { .. } => ExitCode::Unreachable,
        _ => ExitCode::Infrastructure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn the_chain_is_printed_once_from_the_outside_in() {
        let failure = Failure::unreachable(anyhow!("permission denied").context("failed to open store.db"))
            .while_doing("failed to publish sentiment");
        assert_eq!(
            failure.to_text(),
            "error: failed to publish sentiment\n  caused by: failed to open store.db\n  caused by: permission denied"
        );
        assert_eq!(failure.code, ExitCode::Unreachable);
    }

    #[test]
    fn a_cause_that_was_said_already_is_left_out() {
        let failure = Failure::usage(anyhow!("line 3").context("failed to read dev.env: line 3"));
        assert_eq!(failure.to_text(), "error: failed to read dev.env: line 3");
    }
}
