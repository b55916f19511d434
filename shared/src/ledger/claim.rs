//! An owned job: the one writer of its state while the claim lasts.

use super::clock::Moment;
use super::error::LedgerError;
use super::event::{Claimant, Event};
use super::lease;
use super::snapshot::Snapshot;
use super::state::Status;
use super::{Applied, Ledger};
use crate::job::JobId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Called each time a claim finds that its job is no longer its own: a counter, a log line.
pub type OnFenced = Arc<dyn Fn(&Snapshot) + Send + Sync>;

/// A handle on an owned job. All clones write in one order; whoever loses the job learns it from every handle.
#[derive(Clone)]
pub struct Claim {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Ledger,
    id: JobId,
    token: u64,
    epoch: u64,
    lease: Duration,
    on_fenced: Option<OnFenced>,
    current: Mutex<Snapshot>,
    renewed: std::sync::Mutex<Moment>,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("id", &self.inner.id)
            .field("token", &self.inner.token)
            .finish_non_exhaustive()
    }
}

/// Why an owner's write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The job is another's, or ended: stop the trainer and act on the state that is there now.
    #[error("failed to write as owner: the job is {} under token {}", .0.state.status, .0.state.token)]
    Fenced(Box<Snapshot>),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// How an attempt to claim ended.
#[derive(Debug)]
pub enum Claimed {
    /// The job is yours.
    Won(Claim),
    /// Too many claims in a row were lost: the take-over ended the job instead.
    Poisoned(Snapshot),
    /// Somebody was faster, or the state allows no claim: act on this state.
    Refused(Snapshot),
}

impl Ledger {
    /// Claims a job for `claimant`: a queued one, a publishing one, or a running one **whose lease the caller has seen
    /// expire** ([`LeaseWatch`](super::LeaseWatch)).
    ///
    /// # Errors
    /// As [`Ledger::apply`].
    pub async fn claim(
        &self,
        id: &JobId,
        from: &Snapshot,
        claimant: Claimant,
        on_fenced: Option<OnFenced>,
    ) -> Result<Claimed, LedgerError> {
        let event = match from.state.status {
            Status::Queued => Event::Claim(claimant),
            Status::Running => Event::TakeOver(claimant),
            Status::Publishing => Event::ClaimPublishing(claimant),
            _ => return Ok(Claimed::Refused(from.clone())),
        };
        match self.apply(id, from, &event).await? {
            Applied::Refused(now) => Ok(Claimed::Refused(now)),
            Applied::Won(now) if now.state.status.is_terminal() => Ok(Claimed::Poisoned(now)),
            Applied::Won(now) => {
                crate::crash::point("after-claim");
                Ok(Claimed::Won(Claim::new(self.clone(), id.clone(), now, on_fenced)))
            }
        }
    }
}

impl Claim {
    /// A handle on the job whose claim made it what `won` shows.
    #[must_use]
    pub fn new(ledger: Ledger, id: JobId, won: Snapshot, on_fenced: Option<OnFenced>) -> Self {
        let inner = Inner {
            ledger,
            id,
            token: won.state.token,
            epoch: won.state.epoch,
            lease: Duration::from_secs(won.state.lease_s),
            on_fenced,
            renewed: std::sync::Mutex::new(won.read_started),
            current: Mutex::new(won),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The job.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.inner.id
    }

    /// Where it is written.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// The fencing token: names the local work folder.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.inner.token
    }

    /// The epoch of the claim: names the staging folder.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.inner.epoch
    }

    /// The state after the last write of any handle.
    pub async fn snapshot(&self) -> Snapshot {
        self.inner.current.lock().await.clone()
    }

    /// Time until the owner must stop by itself: 0.9 of the lease after the start of the last write that won. Zero:
    /// kill the trainer and write nothing but what wins anyway.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let renewed = *self
            .inner
            .renewed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        renewed
            .after(lease::of_owner(self.inner.lease))
            .since(self.inner.ledger.clock().now())
    }

    /// Writes one event of the owner. Writes of all handles happen one after the other.
    ///
    /// Dropping the future leaves that write open; the next one finds out.
    ///
    /// # Errors
    /// [`ClaimError::Fenced`] with the state as it is now if the job is no longer this claim's.
    pub async fn write(&self, event: Event) -> Result<Snapshot, ClaimError> {
        let mut current = self.inner.current.lock().await;
        loop {
            self.check(&current)?;
            match self.inner.ledger.apply(&self.inner.id, &current, &event).await? {
                Applied::Won(now) => {
                    *self
                        .inner
                        .renewed
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner) = now.read_started;
                    *current = now.clone();
                    return Ok(now);
                }
                Applied::Refused(now) => {
                    let was = current.state.status;
                    *current = now;
                    if current.state.status != was {
                        return Err(self.fenced(&current));
                    }
                }
            }
        }
    }

    /// Still the same token, and at work: the etag is adopted and the owner goes on.
    fn check(&self, current: &Snapshot) -> Result<(), ClaimError> {
        let at_work = matches!(current.state.status, Status::Running | Status::Publishing);
        if current.state.token == self.inner.token && at_work {
            Ok(())
        } else {
            Err(self.fenced(current))
        }
    }

    fn fenced(&self, now: &Snapshot) -> ClaimError {
        tracing::warn!(job = %self.inner.id, token = self.inner.token, status = %now.state.status, now_token = now.state.token, "fenced");
        if let Some(hook) = &self.inner.on_fenced {
            hook(now);
        }
        ClaimError::Fenced(Box::new(now.clone()))
    }
}
