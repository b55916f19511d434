//! How a process is told to stop: softly first, hard if it is told again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two levels of stop. Clones share them; a hard stop implies the soft one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// Nothing is to stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to listen for SIGTERM and SIGINT: the first one stops softly, the second one hard.
    ///
    /// # Errors
    /// The handlers could not be set.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(listen(shutdown.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// Take nothing new, finish or save what runs.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Leave everything as it is; recovery is somebody else's.
    pub fn stop_now(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Cancelled by [`Shutdown::stop`] and [`Shutdown::stop_now`].
    #[must_use]
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled by [`Shutdown::stop_now`].
    #[must_use]
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }
}

async fn listen(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let name = next().await;
    tracing::info!(signal = name, "stopping; a second signal stops at once");
    shutdown.stop();
    let name = next().await;
    tracing::warn!(signal = name, "stopping at once");
    shutdown.stop_now();
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[test]
    fn hard_stop_implies_soft_stop() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_stopping());
        shutdown.clone().stop_now();
        assert!(shutdown.is_stopping() && shutdown.hard().is_cancelled());
    }

    #[test]
    fn soft_stop_is_not_hard() {
        let shutdown = Shutdown::new();
        shutdown.stop();
        assert!(shutdown.is_stopping() && !shutdown.hard().is_cancelled());
    }
}
