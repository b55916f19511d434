//! Advisory locks on files (flock): between tasks, processes and Python alike, and gone with the process that held them.

use super::error::HubError;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How often a lock that another holds is tried again; there is no way to await a flock.
const POLL: Duration = Duration::from_millis(50);

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub(super) struct Lock(File);

#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Exclusive,
}

impl Lock {
    /// Waits until nobody holds it exclusively. Cancel safe.
    pub(super) async fn shared(path: &Path) -> Result<Self, HubError> {
        Self::wait(path, Mode::Shared).await
    }

    /// Waits until nobody holds it. Cancel safe.
    pub(super) async fn exclusive(path: &Path) -> Result<Self, HubError> {
        Self::wait(path, Mode::Exclusive).await
    }

    /// `None` if anybody holds it.
    pub(super) fn try_exclusive(path: &Path) -> Result<Option<Self>, HubError> {
        Self::attempt(path, Mode::Exclusive)
    }

    async fn wait(path: &Path, mode: Mode) -> Result<Self, HubError> {
        loop {
            match Self::attempt(path, mode)? {
                Some(lock) => return Ok(lock),
                None => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn attempt(path: &Path, mode: Mode) -> Result<Option<Self>, HubError> {
        let failed = |source| HubError::io("lock", path, source);
        if let Some(folder) = path.parent() {
            super::layout::create_folder(folder)?;
        }
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed)?;
        let result = match mode {
            Mode::Shared => file.try_lock_shared(),
            Mode::Exclusive => file.try_lock(),
        };
        match result {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Ok(()) => {}
        }
        // Some holders delete the file when they let go (Python's filelock may): then this is a lock on nothing.
        let held = file.metadata().map_err(failed)?;
        let named = std::fs::metadata(path).ok();
        Ok(named
            .is_some_and(|named| named.ino() == held.ino())
            .then_some(Self(file)))
    }

    /// Makes now the file's modification time.
    pub(super) fn touch(&self) {
        // Only the order of eviction depends on it.
        let _ = self.0.set_modified(SystemTime::now());
    }
}
