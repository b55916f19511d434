//! The loop of a worker: permit, receive, attempt, settle.

use crate::attempt::{Attempted, attempt};
use crate::context::Context;
use crate::drain::{Drain, Left};
use crate::outcome::Ending;
use crate::settle::settle;
use crate::slots::{Busy, Slots};
use shared::backoff::Backoff;
use shared::job::JobId;
use shared::monitor::Readiness;
use shared::queue::{Delivery, Message, Settlement};
use shared::telemetry::Chain;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// One call of `receive`; also how late a stop may be noticed, since a call is never given up.
const RECEIVE_WAIT: Duration = Duration::from_secs(1);
/// Between tries while the queue is away: when it is back, nobody waits long for the workers.
const QUEUE_AWAY: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(15),
};

/// The slots of a worker.
#[derive(Debug)]
pub struct Pool {
    context: Arc<Context>,
    readiness: Readiness,
    slots: Slots,
}

impl Pool {
    /// `slots`: jobs at a time, at least one.
    #[must_use]
    pub fn new(context: Arc<Context>, readiness: Readiness, slots: usize) -> Self {
        let slots = Slots::new(slots, &context.metrics);
        Self {
            context,
            readiness,
            slots,
        }
    }

    /// Slots in use.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.slots.busy()
    }

    /// Slots in use, as they change.
    #[must_use]
    pub fn watch_busy(&self) -> tokio::sync::watch::Receiver<usize> {
        self.slots.watch_busy()
    }

    /// All slots.
    #[must_use]
    pub fn size(&self) -> usize {
        self.slots.size()
    }

    /// Takes jobs until this process is to stop or, with `drain`, until the ledger has none left that this worker
    /// could take. Returns when every job in hand is settled, or at a hard stop.
    pub async fn run(&self, mut drain: Option<Drain>) {
        let mut jobs = JoinSet::new();
        let mut failures = 0;
        while let Some(permit) = self.slots.permit(self.context.shutdown.soft()).await {
            while jobs.try_join_next().is_some() {}
            match self.receive(&mut failures).await {
                Some(delivery) => {
                    jobs.spawn(handle(Arc::clone(&self.context), delivery, permit.take()));
                }
                None => match self.left(&mut drain, jobs.is_empty()).await {
                    Left::Something => {}
                    Left::Stalled(id) => {
                        jobs.spawn(finish(Arc::clone(&self.context), id, permit.take()));
                    }
                    Left::Nothing => {
                        tracing::info!("nothing is left to take");
                        return;
                    }
                },
            }
        }
        tracing::info!(jobs = jobs.len(), "taking no more jobs");
        let all = async { while jobs.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = hard_stop(&self.context) => tracing::warn!("jobs in hand are left to whoever comes"),
        }
    }

    /// What is left for a worker that drains; one that does not always has something to wait for.
    async fn left(&self, drain: &mut Option<Drain>, idle: bool) -> Left {
        match drain {
            Some(drain) if idle => drain.left(&self.context).await,
            _ => Left::Something,
        }
    }

    /// Takes the first job that is to be had and returns how the attempt ended; `None` if this process is to stop.
    pub async fn first(&self) -> Option<(JobId, Attempted)> {
        let mut failures = 0;
        loop {
            let permit = self.slots.permit(self.context.shutdown.soft()).await?;
            let Some(delivery) = self.receive(&mut failures).await else {
                continue;
            };
            if let Some((id, attempted)) = handle(Arc::clone(&self.context), delivery, permit.take()).await
                && was_worked_on(&attempted.ending)
            {
                return Some((id, attempted));
            }
        }
    }

    /// The next message. The call is awaited to its end, or a message that it took would be hidden for nothing; one that
    /// comes after the stop is given back.
    async fn receive(&self, failures: &mut u32) -> Option<Delivery> {
        let context = &self.context;
        match context.queue.receive(context.identity.accelerator, RECEIVE_WAIT).await {
            Ok(delivery) => {
                *failures = 0;
                let delivery = delivery?;
                if !context.shutdown.is_stopping() {
                    return Some(delivery);
                }
                if let Err(error) = context.queue.settle(delivery.receipt, Settlement::Release).await {
                    tracing::debug!(error = %Chain(&error), "the message comes again when its visibility ends");
                }
                None
            }
            Err(error) => {
                *failures += 1;
                tracing::warn!(error = %Chain(&error), "no message can be received");
                self.readiness.not_ready("the queue is away");
                tokio::select! {
                    () = tokio::time::sleep(QUEUE_AWAY.random_delay(*failures)) => {}
                    () = context.shutdown.soft().cancelled() => {}
                }
                None
            }
        }
    }
}

/// A hard stop, and the moment that jobs then have to let go of their trainers and say so.
async fn hard_stop(context: &Context) {
    const LAST: Duration = Duration::from_secs(2);
    context.shutdown.hard().cancelled().await;
    tokio::time::sleep(LAST).await;
}

/// One message, from attempt to settlement. `None`: it names no job.
async fn handle(context: Arc<Context>, delivery: Delivery, busy: Busy) -> Option<(JobId, Attempted)> {
    let _busy = busy;
    let message: Message = match delivery.message() {
        Ok(message) => message,
        Err(error) => {
            let reason = printable(&format!("failed to read the message: {error}"));
            tracing::error!("{reason}");
            let settled = context
                .queue
                .settle(delivery.receipt, Settlement::Dead { reason })
                .await;
            if let Err(error) = settled {
                tracing::debug!(error = %Chain(&error), "the message was not settled and comes again");
            }
            return None;
        }
    };
    let attempted = attempt(&context, &message.job, Some(&delivery.receipt)).await;
    settle(&context, delivery, &message, &attempted).await;
    Some((message.job, attempted))
}

/// An error that quotes what anybody may have sent, fit for logs.
fn printable(text: &str) -> String {
    const LONGEST: usize = 500;
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(LONGEST).map(plain).collect()
}

/// A job without its message.
async fn finish(context: Arc<Context>, id: JobId, busy: Busy) -> Option<(JobId, Attempted)> {
    let _busy = busy;
    let attempted = attempt(&context, &id, None).await;
    Some((id, attempted))
}

/// Whether this worker did something to the job, or found out that nobody can.
fn was_worked_on(ending: &Ending) -> bool {
    !matches!(
        ending,
        Ending::EndedBefore
            | Ending::HeldByAnother { .. }
            | Ending::NotForThisWorker { .. }
            | Ending::Newer { .. }
            | Ending::NoJob { .. }
            | Ending::LedgerAway { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_strangers_send_cannot_write_to_a_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(printable(&"ä".repeat(10_000)).chars().count(), 500);
    }
}
