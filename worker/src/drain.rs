//! `--drain`: whether the ledger has an unfinished job that this worker could take, ready, delayed or in another's
//! hands.

use crate::context::Context;
use shared::job::JobId;
use shared::ledger::{Lease, LedgerError, Status};
use shared::telemetry::Chain;
use std::collections::{HashMap, HashSet};

/// What is left for a worker that drains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// A job that will be delivered, or that its owner will end.
    Something,
    /// A job whose decided bytes nobody made visible for a whole lease: its message may be hidden for long, and
    /// finishing it needs none.
    Stalled(JobId),
}

/// Remembers what does not change, so that asking again is cheap.
#[derive(Debug, Default)]
pub struct Drain {
    ended: HashSet<JobId>,
    /// Whether this worker could take the job.
    ours: HashMap<JobId, bool>,
}

impl Drain {
    /// What is left. A ledger that cannot be read has something left.
    pub async fn left(&mut self, context: &Context) -> Left {
        self.look(context).await.unwrap_or_else(|error| {
            tracing::warn!(error = %Chain(&error), "the ledger cannot be read");
            Left::Something
        })
    }

    async fn look(&mut self, context: &Context) -> Result<Left, LedgerError> {
        let mut left = Left::Nothing;
        for id in context.ledger.jobs().await? {
            if self.ended.contains(&id) || !self.is_ours(context, &id).await {
                continue;
            }
            let now = match context.ledger.read(&id).await {
                Ok(now) => now,
                // No worker of this build can take it.
                Err(LedgerError::Newer { .. } | LedgerError::Invalid { .. }) => continue,
                Err(error) => return Err(error),
            };
            if now.state.status.is_terminal() {
                self.ended.insert(id);
                continue;
            }
            let silent = context.observe(&id, &now) == Lease::Expired;
            if silent && now.state.status == Status::Publishing {
                return Ok(Left::Stalled(id));
            }
            left = Left::Something;
        }
        Ok(left)
    }

    async fn is_ours(&mut self, context: &Context, id: &JobId) -> bool {
        if let Some(known) = self.ours.get(id) {
            return *known;
        }
        let own = &context.identity;
        let ours = match context.ledger.job(id).await {
            Ok(Some(job)) => {
                let content = &job.content;
                content.accelerator == own.accelerator && (!content.exact_worker || content.tag == own.build)
            }
            _ => return false,
        };
        self.ours.insert(id.clone(), ours);
        ours
    }
}
