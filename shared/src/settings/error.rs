//! What is wrong with settings. All of it is the user's to mend (exit code 64).

use super::Origin;
use std::path::PathBuf;

/// What is wrong with settings; no text holds the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("failed to read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a dotenv file is no assignment.
    #[error("failed to read {}, line {line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What was expected.
        reason: String,
    },
    /// A value is not what its variable takes.
    #[error("failed to use {variable} from {origin}: {reason}")]
    Invalid {
        /// The variable.
        variable: String,
        /// Where it was written.
        origin: Origin,
        /// What it is and what is expected.
        reason: String,
    },
    /// A variable that nobody reads.
    #[error("failed to use {variable} from {origin}: {context} knows no such variable{}", suggestion.as_ref().map(|s| format!("; did you mean {s}?")).unwrap_or_default())]
    Unknown {
        /// The variable.
        variable: String,
        /// Where it was written.
        origin: Origin,
        /// Who does not know it.
        context: String,
        /// The known variable that looks most like it.
        suggestion: Option<String>,
    },
    /// A variable without default was not written.
    #[error("failed to find {variable}: {reason}")]
    Missing {
        /// The variable.
        variable: String,
        /// Where it was looked for, and what is expected.
        reason: String,
    },
    /// Two settings exclude each other.
    #[error(transparent)]
    Contradiction(Box<Contradiction>),
    /// There is no such project.
    #[error("failed to find the project {project:?}: {reason}")]
    NoProject {
        /// As it was asked for.
        project: String,
        /// What is there.
        reason: String,
    },
    /// The resolved settings make no job.
    #[error("failed to make a job of the project's settings")]
    Job(#[from] crate::job::JobError),
}

/// Two settings that cannot both be.
#[derive(Debug, thiserror::Error)]
#[error("failed to reconcile {first} from {first_origin} with {second} from {second_origin}: {reason}")]
pub struct Contradiction {
    /// One variable.
    pub first: String,
    /// Where it was written.
    pub first_origin: Origin,
    /// The other.
    pub second: String,
    /// Where that was written.
    pub second_origin: Origin,
    /// Why both cannot be.
    pub reason: String,
}
