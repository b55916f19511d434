//! Stays with one job until it has ended, whoever does it: `--job`, and `--once` after its first attempt.

use crate::attempt::attempt;
use crate::context::Context;
use crate::outcome::{Ending, RETRY, retry_delay};
use shared::exit::ExitCode;
use shared::job::JobId;
use shared::ledger::State;
use shared::queue::{Delivery, Settlement};
use std::time::Duration;

/// Between two looks at a job in another's hands.
const LOOK: Duration = Duration::from_millis(500);
/// Messages that are looked through for those of ended jobs.
const DOORBELLS: usize = 64;

/// Tries until the job has ended, and returns the exit code that its end stands for; [`ExitCode::Running`] if this
/// process is to stop before, or the job is for another worker.
pub async fn follow(context: &Context, id: &JobId) -> ExitCode {
    let mut failures = 0;
    loop {
        let attempted = attempt(context, id, None).await;
        match &attempted.ending {
            Ending::NoJob { reason } => {
                tracing::error!("{reason}");
                return ExitCode::Infrastructure;
            }
            Ending::NotForThisWorker { reason: why } | Ending::Newer { message: why } => {
                tracing::error!("the job is not for this worker: {why}");
                return ExitCode::Running;
            }
            Ending::LedgerAway { message } => {
                failures += 1;
                tracing::warn!("{message}");
            }
            _ => failures = 0,
        }
        if let Some(state) = ended(context, id).await {
            settle_ended(context).await;
            return ExitCode::of(&state);
        }
        let pause = match (&attempted.ending, &attempted.state) {
            (Ending::Failed(_), Some(state)) => retry_delay(state),
            (Ending::LedgerAway { .. } | Ending::PublishingStalled { .. }, _) => RETRY.random_delay(failures.max(1)),
            _ => LOOK,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.shutdown.soft().cancelled() => return ExitCode::Running,
        }
    }
}

/// The state of a job that has ended.
async fn ended(context: &Context, id: &JobId) -> Option<State> {
    let state = context.ledger.read(id).await.ok()?.state;
    state.status.is_terminal().then_some(state)
}

/// Takes the messages of ended jobs out of the queue: nobody needs to look at them any more. Best effort.
pub async fn settle_ended(context: &Context) {
    let mut in_hand = Vec::new();
    while in_hand.len() < DOORBELLS
        && let Ok(Some(delivery)) = context
            .queue
            .receive(context.identity.accelerator, Duration::ZERO)
            .await
    {
        in_hand.push(delivery);
    }
    for delivery in in_hand {
        let settlement = if is_of_ended(context, &delivery).await {
            Settlement::Done
        } else {
            Settlement::Release
        };
        if let Err(error) = context.queue.settle(delivery.receipt, settlement).await {
            tracing::debug!(%error, "a message was not settled and comes again");
        }
    }
}

async fn is_of_ended(context: &Context, delivery: &Delivery) -> bool {
    match delivery.message() {
        Ok(message) => ended(context, &message.job).await.is_some(),
        Err(_) => false,
    }
}
