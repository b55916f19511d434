//! Where a value was written.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written; errors say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `--set NAME=VALUE`.
    Argument,
    /// The process environment.
    Environment,
    /// A dotenv file.
    File {
        /// As it was opened.
        path: PathBuf,
        /// 1-based; where the assignment begins.
        line: usize,
    },
    /// Nobody wrote it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument => f.write_str("--set"),
            Self::Environment => f.write_str("the process environment"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Default => f.write_str("the defaults"),
        }
    }
}
