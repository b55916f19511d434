//! How the hub misbehaves, and what it remembers.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A misbehaviour at some requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// Requests whose line contains this: `GET /api/models/`, `HEAD `, `model.safetensors`.
    pub line: String,
    /// How many of them.
    pub times: u32,
    /// What happens.
    pub what: What,
}

/// A kind of misbehaviour.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An answer with this status and an HTML page.
    Status {
        /// For example 503.
        status: u16,
        /// Seconds in `Retry-After`.
        retry_after: Option<u64>,
    },
    /// A 200 with an HTML page instead of the content.
    Html,
    /// The connection breaks after so many bytes of the body.
    Truncate {
        /// Bytes that still come.
        after: u64,
    },
    /// Nothing more comes after so many bytes of the body, and the connection stays.
    Stall {
        /// Bytes that still come.
        after: u64,
    },
    /// No answer at all.
    Silent,
    /// Right in size, wrong in content.
    Corrupt,
    /// The whole file, whatever range was asked for.
    IgnoreRange,
    /// A redirect to this address.
    Redirect {
        /// `Location`.
        to: String,
    },
    /// The list of files names this one too.
    Name {
        /// A path, hostile for example.
        path: String,
    },
}

impl Fault {
    /// `what` at the next `times` requests whose line contains `line`.
    #[must_use]
    pub fn new(line: &str, times: u32, what: What) -> Self {
        Self {
            line: line.to_owned(),
            times,
            what,
        }
    }

    /// A status without more.
    #[must_use]
    pub fn status(line: &str, times: u32, status: u16) -> Self {
        Self::new(
            line,
            times,
            What::Status {
                status,
                retry_after: None,
            },
        )
    }
}

/// Which address a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// The hub itself.
    Hub,
    /// Where large files are.
    Cdn,
}

/// A request that came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// Where.
    pub host: Host,
    /// Method and path.
    pub line: String,
    /// The first byte asked for, if a range was.
    pub range: Option<u64>,
    /// Whether it brought a token.
    pub authorized: bool,
    /// Bytes of file content that were sent.
    pub sent: u64,
}

/// A remembered request whose bytes are still being counted.
#[derive(Debug, Clone)]
struct Counted {
    seen: Seen,
    sent: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    faults: Mutex<Vec<Fault>>,
    seen: Mutex<Vec<Counted>>,
}

impl Memory {
    pub(super) fn inject(&self, fault: Fault) {
        locked(&self.faults).push(fault);
    }

    pub(super) fn heal(&self) {
        locked(&self.faults).clear();
    }

    pub(super) fn forget(&self) {
        locked(&self.seen).clear();
    }

    /// The first fault that fits, used up once more.
    pub(super) fn fault(&self, line: &str) -> Option<What> {
        let mut faults = locked(&self.faults);
        let fault = faults
            .iter_mut()
            .find(|fault| fault.times > 0 && line.contains(&fault.line))?;
        fault.times -= 1;
        Some(fault.what.clone())
    }

    /// The counter is for the bytes that are sent in answer.
    pub(super) fn remember(&self, seen: Seen) -> Arc<AtomicU64> {
        let sent = Arc::new(AtomicU64::new(0));
        locked(&self.seen).push(Counted {
            seen,
            sent: Arc::clone(&sent),
        });
        sent
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let counted = locked(&self.seen);
        counted
            .iter()
            .map(|c| Seen {
                sent: c.sent.load(Ordering::SeqCst),
                ..c.seen.clone()
            })
            .collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
