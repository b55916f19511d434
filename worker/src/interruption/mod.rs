//! Who tells a worker to stop, and how a running job is made to: softly with a checkpoint, or hard.
//!
//! SIGTERM comes through [`Shutdown`]; the machine's own notices (spot, scale-in, rebalance) through [`instance`]. Both
//! end in the same soft stop, which becomes a hard one when the [`Grace`] is over.

mod grace;
mod imds;
pub mod instance;

pub use grace::Grace;

use shared::shutdown::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What one job listens to. It hears the process's [`Shutdown`], and can be stopped by itself.
#[derive(Debug, Clone)]
pub struct Interruption {
    soft: CancellationToken,
    hard: CancellationToken,
    grace: Grace,
    saving: Arc<Mutex<Option<Duration>>>,
}

impl Interruption {
    /// Of one job of a process.
    #[must_use]
    pub fn of(shutdown: &Shutdown, grace: &Grace) -> Self {
        Self {
            soft: shutdown.soft().child_token(),
            hard: shutdown.hard().child_token(),
            grace: grace.clone(),
            saving: Arc::default(),
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

    /// A checkpoint took so long from the trainer's word to the ledger.
    pub fn note_saving(&self, took: Duration) {
        *self.saving.lock().unwrap_or_else(PoisonError::into_inner) = Some(took);
    }

    /// Of the time that is left, what a trainer may take to write its checkpoint. Zero: one would not be saved in time.
    #[must_use]
    pub fn trainers_part(&self) -> Duration {
        let saving = *self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        trainers_part(self.grace.left(), saving)
    }
}

/// The rest is for the upload and the ledger: as long as the last one took and half as long again, or a fair share
/// where there was none.
fn trainers_part(left: Duration, saving: Option<Duration>) -> Duration {
    const LEDGER: Duration = Duration::from_secs(1);
    match saving {
        Some(took) => left.saturating_sub(took.mul_f64(1.5) + LEDGER),
        None => left.mul_f64(0.6),
    }
}

/// Turns a soft stop into a hard one when the grace time is over, so that the process ends within it.
pub async fn limit(shutdown: Shutdown, grace: Grace) {
    shutdown.soft().cancelled().await;
    grace.begin();
    tokio::select! {
        () = grace.over() => {
            tracing::warn!("the grace time is over: stopping at once");
            shutdown.stop_now();
        }
        () = shutdown.hard().cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Grace, Interruption, limit, trainers_part};
    use shared::shutdown::Shutdown;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_soft_stop_becomes_hard_within_the_grace_time() {
        let (shutdown, grace) = (Shutdown::new(), Grace::new(Duration::from_secs(90)));
        let job = Interruption::of(&shutdown, &grace);
        let limiting = tokio::spawn(limit(shutdown.clone(), grace));
        shutdown.stop();
        assert!(job.is_stopping() && !job.hard().is_cancelled());
        let started = tokio::time::Instant::now();
        job.hard().cancelled().await;
        assert!(started.elapsed() < Duration::from_secs(90));
        limiting.await.unwrap();
    }

    #[test]
    fn a_job_hears_its_process_and_not_the_other_way_round() {
        let (shutdown, grace) = (Shutdown::new(), Grace::new(Duration::from_secs(90)));
        let job = Interruption::of(&shutdown, &grace);
        job.hard().cancel();
        assert!(!shutdown.is_stopping());
        shutdown.stop_now();
        assert!(Interruption::of(&shutdown, &grace).hard().is_cancelled());
    }

    #[test]
    fn a_checkpoint_is_written_only_where_it_can_also_be_saved() {
        let s = Duration::from_secs;
        assert_eq!(trainers_part(s(90), None), s(54));
        assert_eq!(trainers_part(s(90), Some(s(20))), s(59));
        assert_eq!(trainers_part(s(20), Some(s(20))), Duration::ZERO);
    }
}
