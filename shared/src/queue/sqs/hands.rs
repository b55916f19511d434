//! Messages in hand. SQS may let an old receipt delete and prolong what is another's by now, so ours are fenced by this
//! process's own clock.

use crate::job::Accelerator;
use crate::queue::{QueueError, Receipt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A message in hand.
#[derive(Debug, Clone)]
pub(super) struct Hand {
    pub(super) accelerator: Accelerator,
    /// SQS's name of the message: the same in each of its deliveries.
    pub(super) id: String,
    /// SQS's name of the delivery.
    pub(super) handle: String,
    pub(super) body: String,
    /// Deliveries so far, this one included.
    pub(super) deliveries: u32,
    /// Before SQS gave it to us.
    pub(super) asked: Instant,
    /// One request about it at a time, or a late one to prolong it would hide what was given back.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Held {
    hand: Hand,
    until: Instant,
    /// Somebody is ending it.
    settling: bool,
}

/// All messages in hand of one queue object.
#[derive(Debug, Default)]
pub(super) struct Hands {
    held: Mutex<HashMap<String, Held>>,
}

/// Until when a visibility that SQS began at about `from` is believed: a little shorter than it is there.
fn believed(from: Instant, visibility: Duration) -> Instant {
    const MOST: Duration = Duration::from_secs(2);
    from + visibility - MOST.min(visibility / 10)
}

impl Hands {
    /// Holds a message that came now, until it is settled or nobody extends it.
    pub(super) fn hold(&self, hand: Hand, visibility: Duration) -> Receipt {
        let now = Instant::now();
        let receipt = uuid::Uuid::new_v4().simple().to_string();
        let mut all = self.held();
        // Whoever had it before has it no more, whatever the clocks say.
        all.retain(|_, held| held.hand.id != hand.id && (held.settling || held.until > now));
        let held = Held {
            until: believed(now, visibility),
            hand,
            settling: false,
        };
        all.insert(receipt.clone(), held);
        Receipt(receipt)
    }

    /// A message that is still ours and that nobody is ending.
    pub(super) fn look(&self, receipt: &Receipt) -> Result<Hand, QueueError> {
        self.ours(&mut self.held(), receipt).map(|held| held.hand.clone())
    }

    /// Notes that SQS prolonged it at `from`, or later.
    pub(super) fn prolong(&self, receipt: &Receipt, from: Instant, visibility: Duration) -> Result<(), QueueError> {
        let mut all = self.held();
        let held = self.ours(&mut all, receipt)?;
        held.until = held.until.max(believed(from, visibility));
        Ok(())
    }

    /// Begins to end a delivery; only one caller can.
    pub(super) fn begin(&self, receipt: &Receipt) -> Result<Hand, QueueError> {
        let mut all = self.held();
        let held = self.ours(&mut all, receipt)?;
        held.settling = true;
        Ok(held.hand.clone())
    }

    /// It was not ended after all.
    pub(super) fn keep(&self, receipt: &Receipt) {
        if let Some(held) = self.held().get_mut(&receipt.0) {
            held.settling = false;
        }
    }

    /// It is ended, or another's.
    pub(super) fn let_go(&self, receipt: &Receipt) {
        self.held().remove(&receipt.0);
    }

    fn ours<'a>(
        &self,
        all: &'a mut MutexGuard<'_, HashMap<String, Held>>,
        receipt: &Receipt,
    ) -> Result<&'a mut Held, QueueError> {
        match all.get_mut(&receipt.0) {
            Some(held) if !held.settling && held.until > Instant::now() => Ok(held),
            _ => Err(QueueError::Expired),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(id: &str) -> Hand {
        Hand {
            accelerator: Accelerator::Cpu,
            id: id.to_owned(),
            handle: String::new(),
            body: String::new(),
            deliveries: 1,
            asked: Instant::now(),
            turn: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_ours_until_its_time_is_over() {
        let (hands, second) = (Hands::default(), Duration::from_secs(1));
        let receipt = hands.hold(hand("a"), second * 60);
        tokio::time::advance(second * 50).await;
        hands.prolong(&receipt, Instant::now(), second * 60).expect("ours");
        tokio::time::advance(second * 57).await;
        hands.look(&receipt).expect("ours");
        tokio::time::advance(second).await;
        hands.look(&receipt).expect_err("before SQS gives it to another");
        hands.begin(&receipt).expect_err("expired");
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_ends_it_and_a_second_delivery_ends_the_first() {
        let (hands, minute) = (Hands::default(), Duration::from_secs(60));
        let first = hands.hold(hand("a"), minute);
        hands.begin(&first).expect("ours");
        hands.begin(&first).expect_err("somebody is ending it");
        hands.keep(&first);
        let other = hands.hold(hand("b"), minute);
        let second = hands.hold(hand("a"), minute);
        hands.begin(&first).expect_err("it came again");
        hands.begin(&second).expect("ours");
        hands.begin(&other).expect("ours");
    }
}
