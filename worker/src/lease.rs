//! Keeps a claim's lease, and says when it is lost.

use crate::metrics::Metrics;
use shared::ledger::{Claim, ClaimError, Event, lease};
use shared::queue::{Queue, Receipt};
use shared::telemetry::Chain;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Why a lease was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The job is another's, or was ended from outside.
    Fenced,
    /// No renewal was won in time: the job may be another's by now.
    Silent,
}

/// Renews as long as it lives; stops when dropped.
#[derive(Debug)]
pub struct LeaseKeeper {
    task: JoinSet<Lost>,
}

impl LeaseKeeper {
    /// Begins to renew every third of the lease, and to keep the message of the job hidden.
    ///
    /// Renewals go on through upload, grace time and publishing: whoever holds the claim holds the keeper.
    #[must_use]
    pub fn start(
        claim: Claim,
        lease: Duration,
        doorbell: Option<(Arc<dyn Queue>, Receipt)>,
        metrics: &Metrics,
    ) -> Self {
        let mut task = JoinSet::new();
        task.spawn(keep(claim, lease::renewal(lease), doorbell, metrics.clone()));
        Self { task }
    }

    /// Waits until the lease is lost. Cancel safe.
    pub async fn lost(&mut self) -> Lost {
        match self.task.join_next().await {
            Some(Ok(lost)) => lost,
            // The task ended without a word: nobody renews, so the lease is as good as lost.
            Some(Err(_)) | None => Lost::Silent,
        }
    }
}

async fn keep(claim: Claim, every: Duration, doorbell: Option<(Arc<dyn Queue>, Receipt)>, metrics: Metrics) -> Lost {
    let result = |name: &str| metrics.lease_renewals.with_label_values(&[name]).inc();
    let mut next = Instant::now() + every;
    loop {
        if !wait_until(next, &claim).await {
            tracing::warn!(job = %claim.id(), token = claim.token(), "no renewal was won in time; stopping the work");
            return Lost::Silent;
        }
        next = Instant::now() + every;
        match timeout(every.min(claim.time_left()), claim.write(Event::Renew)).await {
            Ok(Ok(_)) => result("won"),
            Ok(Err(ClaimError::Fenced(_))) => {
                result("fenced");
                return Lost::Fenced;
            }
            Ok(Err(ClaimError::Ledger(error))) => {
                result("failed");
                tracing::warn!(job = %claim.id(), error = %Chain(&error), "the lease was not renewed");
            }
            Err(_) => {
                result("failed");
                tracing::warn!(job = %claim.id(), "the lease was not renewed: the store did not answer");
            }
        }
        if let Some((queue, receipt)) = &doorbell
            && let Err(error) = queue.extend(receipt).await
        {
            // Costs a second delivery, which finds the job running.
            tracing::debug!(job = %claim.id(), error = %Chain(&error), "the message was not kept hidden");
        }
    }
}

/// Sleeps in short pieces, since a suspended host's timers do not see the time that the ledger's clock saw.
/// `false`: the owner's time is over.
async fn wait_until(moment: Instant, claim: &Claim) -> bool {
    const PIECE: Duration = Duration::from_millis(500);
    loop {
        let left = claim.time_left();
        if left.is_zero() {
            return false;
        }
        if Instant::now() >= moment {
            return true;
        }
        sleep_until(moment.min(Instant::now() + PIECE.min(left))).await;
    }
}
