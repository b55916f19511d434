//! What becomes of a message after the work: always after the ledger's write, never before. Every settlement may fail
//! or be lost; the message then comes again and finds the state as it is.

use crate::attempt::Attempted;
use crate::context::Context;
use crate::outcome::{Doorbell, Ending, RETRY, by_state};
use crate::watch;
use shared::queue::{Delivery, Message, Settlement};
use shared::telemetry::Chain;
use std::sync::Arc;
use std::time::Duration;

/// No message is put back for longer.
const POSTPONE_CAP: Duration = Duration::from_secs(15 * 60);

/// Settles the message of an attempt.
pub(crate) async fn settle(context: &Arc<Context>, delivery: Delivery, message: &Message, attempted: &Attempted) {
    shared::crash::point("before-ack");
    let settlement = match attempted.ending.verdict().doorbell {
        Doorbell::Settle(settlement) => settlement,
        Doorbell::ByState => match &attempted.state {
            Some(state) => by_state(state),
            None => return,
        },
        Doorbell::Later => Settlement::Retry {
            after: RETRY.random_delay(delivery.deliveries),
        },
        Doorbell::Postpone => {
            if !postpone(context, message).await {
                return;
            }
            Settlement::Done
        }
        Doorbell::Leave => return,
    };
    if let Ending::HeldByAnother { for_at_least } = attempted.ending {
        watch::start(Arc::clone(context), message.clone(), for_at_least);
    }
    if let Err(error) = context.queue.settle(delivery.receipt, settlement).await {
        tracing::debug!(job = %message.job, error = %Chain(&error), "the message was not settled and comes again");
    }
}

/// Publishes the message anew, to come when the other's lease may be over. Never simply dropped: it may be the last.
async fn postpone(context: &Context, message: &Message) -> bool {
    let next = Message {
        postponed: message.postponed.saturating_add(1),
        ..message.clone()
    };
    let delay = postpone_delay(context.lease, message.postponed);
    match context.queue.publish(&next, delay).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(job = %message.job, error = %Chain(&error), "the message was not put back and comes again");
            false
        }
    }
}

/// The lease, twice the lease, … up to 15 minutes.
fn postpone_delay(lease: Duration, postponed: u32) -> Duration {
    lease.saturating_mul(1 << postponed.min(20)).min(POSTPONE_CAP)
}

#[cfg(test)]
mod tests {
    use super::postpone_delay;
    use std::time::Duration;

    #[test]
    fn messages_are_put_back_twice_as_long_each_time_up_to_a_quarter_of_an_hour() {
        let delays: Vec<u64> = [0, 1, 2, 4, 5, 1000]
            .map(|postponed| postpone_delay(Duration::from_secs(30), postponed).as_secs())
            .to_vec();
        assert_eq!(delays, [30, 60, 120, 480, 900, 900]);
    }
}
