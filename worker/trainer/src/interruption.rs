//! Being told to stop.

use crate::failure::{Failure, Result};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether `SIGTERM` came. Loops look at it between two steps.
#[derive(Debug, Clone, Default)]
pub struct Interruption(Arc<AtomicBool>);

impl Interruption {
    /// Watches for `SIGTERM`.
    ///
    /// # Errors
    ///
    /// Where the handler cannot be set.
    pub fn watch() -> Result<Self> {
        let told = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&told))
            .map_err(|e| Failure::Internal(anyhow::Error::new(e).context("failed to watch for SIGTERM")))?;
        Ok(Self(told))
    }

    /// Did it come?
    #[must_use]
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// As if it came.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// To be asked where nothing needs to be saved.
    ///
    /// # Errors
    ///
    /// [`Failure::Interrupted`] where it came.
    pub fn check(&self) -> Result<()> {
        if self.came() { Err(Failure::Interrupted) } else { Ok(()) }
    }
}

/// With `TRAINYARD_SUPERVISED=1`, stdin is a pipe from the worker that says nothing: its end means that the worker is
/// gone, and then so is the trainer, at once. Its successor works in another folder.
pub fn end_with_the_parent() {
    if std::env::var("TRAINYARD_SUPERVISED").as_deref() != Ok("1") {
        return;
    }
    std::thread::spawn(|| {
        let mut ignored = [0; 256];
        while matches!(std::io::stdin().read(&mut ignored), Ok(read) if read > 0) {}
        eprintln!("the worker is gone");
        std::process::exit(trainer_protocol::ExitCode::Interrupted as i32);
    });
}
