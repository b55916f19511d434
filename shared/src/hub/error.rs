//! Why a model could not be had, and whose fault that is.

use super::names::InvalidName;
use std::path::PathBuf;

/// Whose fault an error is; decides what becomes of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Trying again gives the same: the user has to change something.
    User,
    /// The hub, the network or this host; another try may do better.
    Infrastructure,
    /// This host's disk or the cache's limit is too small.
    Capacity,
}

/// What resolving or fetching a model can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A repository, revision or commit that cannot be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// 404, or what the hub answers instead for private repositories.
    #[error(
        "failed to find model {repository} on the hub: there is no such repository, or it is private (then set HF_TOKEN)"
    )]
    NoRepository {
        /// `owner/name`.
        repository: String,
    },
    /// 404 for a revision.
    #[error("failed to find revision {revision:?} of model {repository} on the hub")]
    NoRevision {
        /// `owner/name`.
        repository: String,
        /// As asked for.
        revision: String,
    },
    /// 401 or 403.
    #[error(
        "failed to access model {repository}: it is gated or private; accept its licence at {page} and set HF_TOKEN to a \
         token of an account that may read it (the hub said {status}: {said})"
    )]
    Gated {
        /// `owner/name`.
        repository: String,
        /// Where a person accepts the licence.
        page: String,
        /// 401 or 403.
        status: u16,
        /// The hub's own words, shortened.
        said: String,
    },
    /// The repository cannot be used as it is.
    #[error("failed to use model {repository} at {commit}: it has no {missing}; it holds {holds}")]
    Lacks {
        /// `owner/name`.
        repository: String,
        /// 40 hexadecimal digits.
        commit: String,
        /// What is needed and not there.
        missing: String,
        /// What is there, shortened.
        holds: String,
    },
    /// The repository is whole, and not what the job needs.
    #[error("failed to use model {repository} at {commit}: {reason}")]
    Unusable {
        /// `owner/name`.
        repository: String,
        /// 40 hexadecimal digits.
        commit: String,
        /// What is wrong, and what a user can do.
        reason: String,
    },
    /// The model alone is larger than the cache may be.
    #[error(
        "failed to find room for model {repository} at {commit}: it needs {needed} bytes, and the cache may hold {limit} \
         (TRAINYARD_HUB_CACHE_GIB)"
    )]
    TooLarge {
        /// `owner/name`.
        repository: String,
        /// 40 hexadecimal digits.
        commit: String,
        /// Bytes of the files that the job needs.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file name that could leave its folder.
    #[error("refused model {repository}: it names a file {path:?}, which is no plain relative path")]
    HostileFileName {
        /// `owner/name`.
        repository: String,
        /// As the hub sent it.
        path: String,
    },
    /// The hub does not know what a user can do about it: 400, 410 and the like.
    #[error("failed to get {what} from the hub: it answered {status}: {said}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The hub's own words, shortened.
        said: String,
    },
    /// No useful answer after all tries.
    #[error("failed to get {what} from the hub after {attempts} attempts")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// How often.
        attempts: u32,
        /// The last try's reason.
        source: anyhow::Error,
    },
    /// The whole took longer than its deadline.
    #[error("failed to get model {repository} from the hub within {seconds} s")]
    Deadline {
        /// `owner/name`.
        repository: String,
        /// The deadline.
        seconds: u64,
    },
    /// Not in the cache, and the hub may not be asked.
    #[error("failed to find {what} in the cache {cache}, and HF_HUB_OFFLINE forbids asking the hub")]
    Offline {
        /// What is missing.
        what: String,
        /// The cache.
        cache: PathBuf,
    },
    /// No space left on the device, or the quota is used up.
    #[error("failed to write {path}: the disk is full")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The model does not fit beside what running jobs read.
    #[error(
        "failed to make room for {needed} more bytes in the cache {cache}: its limit is {limit} bytes \
         (TRAINYARD_HUB_CACHE_GIB) and {kept} bytes are in use or not Trainyard's to remove"
    )]
    CacheFull {
        /// The cache.
        cache: PathBuf,
        /// Bytes still to come.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
        /// Bytes that cannot be removed.
        kept: u64,
    },
    /// Another failure of the cache's file system.
    #[error("failed to {action} {path}")]
    Io {
        /// A verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The HTTP client cannot be built.
    #[error("failed to set up the hub client for {endpoint}")]
    Client {
        /// `HF_ENDPOINT`.
        endpoint: String,
        /// The reason.
        source: anyhow::Error,
    },
}

impl HubError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Name(_)
            | Self::NoRepository { .. }
            | Self::NoRevision { .. }
            | Self::Gated { .. }
            | Self::Lacks { .. }
            | Self::Unusable { .. }
            | Self::HostileFileName { .. }
            | Self::Refused { .. }
            | Self::Client { .. } => Kind::User,
            Self::DiskFull { .. } | Self::CacheFull { .. } | Self::TooLarge { .. } => Kind::Capacity,
            Self::Unreachable { .. } | Self::Deadline { .. } | Self::Offline { .. } | Self::Io { .. } => {
                Kind::Infrastructure
            }
        }
    }

    /// A file system's error: a full disk is capacity, all else infrastructure.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { action, path, source },
        }
    }
}

/// A server's words, fit for a message: one line, at most 200 characters, nothing that moves a terminal's cursor.
pub(super) fn shortened(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    match line.trim() {
        "" => "nothing".to_owned(),
        words => words.to_owned(),
    }
}
