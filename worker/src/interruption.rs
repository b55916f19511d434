//! How a running job is made to stop: softly with a checkpoint, or hard.

use shared::shutdown::Shutdown;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What one job listens to. It hears the process's [`Shutdown`], and can be stopped by itself.
#[derive(Debug, Clone)]
pub struct Interruption {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Interruption {
    /// Of one job of a process.
    #[must_use]
    pub fn of(shutdown: &Shutdown) -> Self {
        Self {
            soft: shutdown.soft().child_token(),
            hard: shutdown.hard().child_token(),
        }
    }

    /// Save a checkpoint and give the job back.
    #[must_use]
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Leave everything as it is.
    #[must_use]
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Whether the job is to stop in either way.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled() || self.hard.is_cancelled()
    }
}

/// Of the grace time, what a trainer may take to write its checkpoint; the rest is for its upload and the ledger.
#[must_use]
pub fn trainers_part(grace: Duration) -> Duration {
    grace.mul_f64(0.6)
}

/// Turns a soft stop into a hard one when the grace time is over, so that the process ends within it.
pub async fn limit(shutdown: Shutdown, grace: Duration) {
    shutdown.soft().cancelled().await;
    tokio::select! {
        () = tokio::time::sleep(grace.mul_f64(0.95)) => {
            tracing::warn!("the grace time is over: stopping at once");
            shutdown.stop_now();
        }
        () = shutdown.hard().cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Interruption, limit};
    use shared::shutdown::Shutdown;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_soft_stop_becomes_hard_within_the_grace_time() {
        let shutdown = Shutdown::new();
        let job = Interruption::of(&shutdown);
        let limiting = tokio::spawn(limit(shutdown.clone(), Duration::from_secs(90)));
        shutdown.stop();
        assert!(job.is_stopping() && !job.hard().is_cancelled());
        let started = tokio::time::Instant::now();
        job.hard().cancelled().await;
        assert!(started.elapsed() < Duration::from_secs(90));
        limiting.await.unwrap();
    }

    #[test]
    fn a_job_hears_its_process_and_not_the_other_way_round() {
        let shutdown = Shutdown::new();
        let job = Interruption::of(&shutdown);
        job.hard().cancel();
        assert!(!shutdown.is_stopping());
        shutdown.stop_now();
        assert!(Interruption::of(&shutdown).hard().is_cancelled());
    }
}
