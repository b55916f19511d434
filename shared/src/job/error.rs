//! Why bytes are no job.

/// What reading a job can fail with. The texts name the field by its path in the JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Written by a newer dispatcher: put it back for a newer worker, it is not broken.
    #[error("failed to read the job: its schema {found} is newer than this build's {known}")]
    Newer {
        /// Schema of the job.
        found: u64,
        /// Newest schema of this build, [`super::SCHEMA`].
        known: u32,
    },
    /// More bytes than any job has.
    #[error("failed to read the job: {size} bytes are more than the {limit} that a job may have")]
    TooLarge {
        /// Bytes that came.
        size: usize,
        /// Most that are read.
        limit: usize,
    },
    /// No JSON, or JSON of another shape.
    #[error("failed to read the job: {0}")]
    Malformed(String),
    /// A value that no dispatcher writes.
    #[error("failed to accept the job: {field}: {reason}")]
    Invalid {
        /// Path of the field, for example `content.pipelines.main.model.repository`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}
