//! How a trainer gives up.

use std::io;
use std::path::Path;
use trainer_protocol::{Cause, ExitCode};

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Failure>;

/// Does libtorch or a panic say with `text` that memory did not suffice? It takes none itself.
#[must_use]
pub fn lacks_memory(text: &str) -> bool {
    let words = [
        "out of memory",
        "can't allocate memory",
        "cannot allocate memory",
        "bad_alloc",
    ];
    let says = |words: &str| {
        let mut places = text.as_bytes().windows(words.len());
        places.any(|place| place.eq_ignore_ascii_case(words.as_bytes()))
    };
    words.into_iter().any(says)
}

/// Why the trainer stopped before its outputs were complete.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Data, model or settings are at fault; a repetition would end the same way.
    #[error("{0}")]
    User(String),
    /// Memory, or room on the disk, did not suffice.
    #[error("{0}")]
    OutOfMemory(String),
    /// A defect of the trainer, or of the machine.
    #[error("{0:#}")]
    Internal(anyhow::Error),
    /// `SIGTERM` came; everything that is needed to go on is in the newest checkpoint.
    #[error("told to stop")]
    Interrupted,
}

impl Failure {
    /// A fault of data, model or settings; `message` names the field, file or line.
    pub fn user(message: impl Into<String>) -> Self {
        Self::User(message.into())
    }

    /// A user's failure with where it was before its words; any other as it is.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        match self {
            Self::User(message) => Self::User(format!("{place}: {message}")),
            other => other,
        }
    }

    /// A file operation that went wrong. A full disk is a matter of capacity.
    #[must_use]
    pub fn file(action: &str, path: &Path, error: io::Error) -> Self {
        let message = format!("failed to {action} {}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => {
                Self::OutOfMemory(message)
            }
            _ => Self::Internal(anyhow::Error::new(error).context(format!("failed to {action} {}", path.display()))),
        }
    }

    /// What libtorch or a panic says in text: lack of memory is told from a defect by its words, for libtorch has no
    /// error codes.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if lacks_memory(text) {
            let line = text.lines().next().unwrap_or_default();
            return Self::OutOfMemory(format!("out of memory: {line}"));
        }
        Self::Internal(anyhow::anyhow!("{text}"))
    }

    /// The exit code that says the same.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::User(_) => ExitCode::Data,
            Self::OutOfMemory(_) => ExitCode::OutOfMemory,
            Self::Internal(_) => ExitCode::Internal,
            Self::Interrupted => ExitCode::Interrupted,
        }
    }

    /// What the `failed` event calls it; `None` for an interruption, which is no failure.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::User(_) => Some(Cause::User),
            Self::OutOfMemory(_) => Some(Cause::OutOfMemory),
            Self::Internal(_) => Some(Cause::Internal),
            Self::Interrupted => None,
        }
    }
}

impl From<tch::TchError> for Failure {
    fn from(error: tch::TchError) -> Self {
        Self::from_text(&error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_memory_is_told_from_a_defect() {
        let torch =
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried";
        assert_eq!(Failure::from_text(torch).exit_code(), ExitCode::OutOfMemory);
        assert_eq!(
            Failure::from_text("CUDA out of memory. Tried").exit_code(),
            ExitCode::OutOfMemory
        );
        assert_eq!(
            Failure::from_text("mat1 and mat2 shapes").exit_code(),
            ExitCode::Internal
        );
        let full = Failure::file("write", Path::new("x"), io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit_code(), ExitCode::OutOfMemory);
    }
}
