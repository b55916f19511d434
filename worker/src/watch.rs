//! Watches the jobs that another worker holds: if its lease expires, the job is taken from it and announced, without
//! waiting for a second delivery.

use crate::context::Context;
use shared::ledger::{Applied, Event, Lease, LedgerError, Status};
use shared::queue::Message;
use shared::telemetry::Chain;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Watches the job of `message` from a task of its own, unless it is watched already.
pub(crate) fn start(context: Arc<Context>, message: Message, for_at_least: Duration) {
    let new = context
        .watched
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(message.job.clone());
    if new {
        tokio::spawn(async move {
            watch(&context, &message, for_at_least).await;
            context
                .watched
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&message.job);
        });
    }
}

/// Ends when the job is no longer running, or was expired here, or this process stops.
async fn watch(context: &Context, message: &Message, for_at_least: Duration) {
    let mut pause = for_at_least;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.shutdown.soft().cancelled() => return,
        }
        match look(context, message).await {
            Ok(Some(held)) => pause = held.max(Duration::from_millis(100)),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(job = %message.job, error = %Chain(&error), "a job of another worker cannot be watched now");
                pause = context.lease;
            }
        }
    }
}

/// How long to wait until the next look; `None`: no need for one.
async fn look(context: &Context, message: &Message) -> Result<Option<Duration>, LedgerError> {
    let now = context.ledger.read(&message.job).await?;
    if now.state.status != Status::Running {
        return Ok(None);
    }
    if let Lease::Held { for_at_least } = context.observe(&message.job, &now) {
        return Ok(Some(for_at_least));
    }
    match context.ledger.apply(&message.job, &now, &Event::Expire).await? {
        Applied::Refused(_) => Ok(Some(context.lease)),
        Applied::Won(after) => {
            tracing::info!(job = %message.job, worker = %now.state.worker, "lease expired");
            if after.state.status == Status::Queued {
                let again = Message {
                    postponed: 0,
                    ..message.clone()
                };
                if let Err(error) = context.queue.publish(&again, Duration::ZERO).await {
                    tracing::warn!(job = %message.job, error = %Chain(&error), "an expired job was not announced; a sweeper will");
                }
            }
            Ok(None)
        }
    }
}
