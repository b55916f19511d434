//! Messages in hand: each on a channel of its own, so that what the broker does to one touches no other.

use crate::job::Accelerator;
use crate::queue::{QueueError, Receipt};
use lapin::{Acker, Channel};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// A message in hand.
#[derive(Debug, Clone)]
pub(super) struct Hand {
    pub(super) accelerator: Accelerator,
    pub(super) channel: Channel,
    pub(super) acker: Acker,
    pub(super) body: Vec<u8>,
    /// Deliveries so far, this one included.
    pub(super) deliveries: u32,
}

#[derive(Debug)]
struct Held {
    hand: Hand,
    until: Instant,
    /// Somebody is ending it.
    settling: bool,
}

/// All messages in hand of one queue object.
#[derive(Debug)]
pub(super) struct Hands {
    visibility: Duration,
    held: Mutex<HashMap<String, Held>>,
}

impl Hands {
    pub(super) fn new(visibility: Duration) -> Self {
        Self {
            visibility,
            held: Mutex::new(HashMap::new()),
        }
    }

    /// Holds a message until it is settled, or nobody extends it for a whole visibility. The clock is this process's:
    /// no broker of any version has to take part.
    pub(super) fn hold(self: &Arc<Self>, hand: Hand) -> Receipt {
        let receipt = uuid::Uuid::new_v4().simple().to_string();
        let until = Instant::now() + self.visibility;
        let held = Held {
            hand,
            until,
            settling: false,
        };
        self.held().insert(receipt.clone(), held);
        tokio::spawn(forget_later(Arc::downgrade(self), receipt.clone(), until));
        Receipt(receipt)
    }

    /// Keeps it for another visibility, unless the broker has already taken it back.
    pub(super) fn extend(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let mut all = self.held();
        match all.get_mut(&receipt.0) {
            Some(held) if is_ours(&held.hand) && !held.settling => {
                held.until = Instant::now() + self.visibility;
                Ok(())
            }
            Some(held) if held.settling => Err(QueueError::Expired),
            _ => {
                all.remove(&receipt.0);
                Err(QueueError::Expired)
            }
        }
    }

    /// Begins to end a delivery; only one caller can.
    pub(super) fn begin(&self, receipt: &Receipt) -> Result<Hand, QueueError> {
        let mut all = self.held();
        match all.get_mut(&receipt.0) {
            Some(held) if held.settling => Err(QueueError::Expired),
            Some(held) if is_ours(&held.hand) => {
                held.settling = true;
                Ok(held.hand.clone())
            }
            _ => {
                all.remove(&receipt.0);
                Err(QueueError::Expired)
            }
        }
    }

    /// It was not ended after all.
    pub(super) fn keep(&self, receipt: &Receipt) {
        if let Some(held) = self.held().get_mut(&receipt.0) {
            held.settling = false;
        }
    }

    /// It is ended. A channel of which no copy is left is closed, which gives a message that is still on it back.
    pub(super) fn let_go(&self, receipt: &Receipt) {
        self.held().remove(&receipt.0);
    }

    /// How many of an accelerator's are in hand here.
    pub(super) fn count(&self, accelerator: Accelerator) -> u64 {
        let all = self.held();
        let ours = all
            .values()
            .filter(|held| held.hand.accelerator == accelerator && is_ours(&held.hand));
        ours.count() as u64
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the broker still regards the message as this channel's.
fn is_ours(hand: &Hand) -> bool {
    hand.channel.status().connected() && hand.acker.usable()
}

/// Gives a message back that nobody extends. Ends with the message, or with the queue object.
async fn forget_later(hands: Weak<Hands>, receipt: String, mut until: Instant) {
    loop {
        tokio::time::sleep_until(until).await;
        let Some(hands) = hands.upgrade() else { return };
        let mut all = hands.held();
        match all.get(&receipt) {
            None => return,
            Some(held) if held.until <= Instant::now() => {
                all.remove(&receipt);
                return;
            }
            Some(held) => until = held.until,
        }
    }
}
