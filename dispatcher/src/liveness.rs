//! Which accelerators have a live worker.

use crate::failure::Failure;
use crate::site::Yard;
use shared::heartbeat;
use shared::job::Accelerator;
use std::collections::BTreeSet;

/// Accelerators for which a worker wrote its heartbeat within its lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Live(BTreeSet<Accelerator>);

impl Live {
    /// Looks at the heartbeats in the store.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn look(yard: &Yard) -> Result<Self, Failure> {
        let seen = heartbeat::list(yard.ledger.store().as_ref()).await?;
        let fresh = seen.into_iter().filter(heartbeat::Seen::is_fresh);
        Ok(Self(fresh.map(|seen| seen.heartbeat.accelerator).collect()))
    }

    /// Whether a worker lives that takes jobs for this accelerator.
    #[must_use]
    pub(crate) fn has(&self, accelerator: Accelerator) -> bool {
        self.0.contains(&accelerator)
    }
}
