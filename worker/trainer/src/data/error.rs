//! What can be wrong with data.

use std::fmt;

/// Why data cannot be used. Always the user's to mend; the text names the file as the user did.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be opened or read.
    #[error("failed to read {file}")]
    Read {
        /// The source's name.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's path leaves the folder of the inputs.
    #[error("failed to read {file}: its path `{path}` is not below the folder of the inputs")]
    Outside {
        /// The source's name.
        file: String,
        /// As given.
        path: String,
    },
    /// A place in the file does not hold what the task needs.
    #[error("failed to read {file}, {place}{}: {problem}", Field(.field.as_deref()))]
    Bad {
        /// The source's name.
        file: String,
        /// Where in the file.
        place: Place,
        /// The column, where the problem is in one.
        field: Option<String>,
        /// What was found and what was expected.
        problem: String,
    },
    /// The file as a whole is not what its format says, or does not fit the task.
    #[error("failed to read {file}: {problem}")]
    Unusable {
        /// The source's name.
        file: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// There are no rows.
    #[error("failed to read {file}: it holds no rows")]
    Empty {
        /// The source's name.
        file: String,
    },
    /// The rows cannot be divided into training and validation data.
    #[error("failed to hold out validation data: {problem}")]
    Split {
        /// Why.
        problem: String,
    },
    /// The rows cannot be written.
    #[error("failed to write {file}")]
    Write {
        /// Its path.
        file: String,
        /// Why.
        source: anyhow::Error,
    },
}

/// Where in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Of a text file.
    Line(u64),
    /// Of a Parquet file.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(out, "line {number}"),
            Self::Row(number) => write!(out, "row {number}"),
        }
    }
}

struct Field<'a>(Option<&'a str>);

impl fmt::Display for Field<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(out, ", field `{name}`"))
    }
}
