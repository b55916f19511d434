//! The doorbell: tells a worker that there may be work. The truth is in the ledger.

mod connect;
pub mod embedded;
mod made;
pub mod rabbitmq;
pub mod sqs;
mod visibility;

pub use connect::connect;
pub use made::{Found, Made};
pub use visibility::visibility;

use crate::job::{Accelerator, JobId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What travels: the name of a job, nothing that could be out of date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Version of this message, 1.
    pub schema: u32,
    /// The job.
    pub job: JobId,
    /// Whose queue.
    pub accelerator: Accelerator,
    /// How often it was put back for later since somebody else held the job; decides the next delay.
    pub postponed: u32,
}

/// A message in hand. Dropping it without [`Queue::settle`] gives it back when its visibility ends.
#[derive(Debug)]
pub struct Delivery {
    /// The body as it came; [`Delivery::message`] reads it.
    pub body: Vec<u8>,
    /// For `extend` and `settle`.
    pub receipt: Receipt,
    /// Deliveries so far, this one included, where the backend counts; for people.
    pub deliveries: u32,
}

/// Most bytes that a message may have; ours have about a hundred.
const MAX_BYTES: usize = 4096;

impl Delivery {
    /// The message. Anybody who can reach the queue may have written it.
    ///
    /// # Errors
    /// Undecodable bytes, or more of them than any message has: the caller settles them [`Settlement::Dead`].
    pub fn message(&self) -> Result<Message, serde_json::Error> {
        if self.body.len() > MAX_BYTES {
            let text = format!("{} bytes are more than a message has", self.body.len());
            return Err(serde::de::Error::custom(text));
        }
        serde_json::from_slice(&self.body)
    }
}

/// Names one delivery. Opaque; worthless once the visibility has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// What shall become of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It is done with.
    Done,
    /// Deliver it again, not before `after`.
    Retry {
        /// From now.
        after: Duration,
    },
    /// Deliver it again at once.
    Release,
    /// Nobody shall get it again; keep it for people.
    Dead {
        /// For people.
        reason: String,
    },
}

/// Messages in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Can be received now.
    pub ready: u64,
    /// Wait for their time.
    pub delayed: u64,
    /// In somebody's hands.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
}

/// What a queue can fail with.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The backend is away or broken; a later attempt may succeed.
    #[error("failed to reach the queue {url}")]
    Unavailable {
        /// Without credentials.
        url: String,
        /// What happened.
        #[source]
        source: anyhow::Error,
    },
    /// The receipt names no delivery any more: the message is another's or was settled.
    #[error("failed to settle the message: its visibility had ended")]
    Expired,
}

/// At-least-once delivery of [`Message`]s, one queue an accelerator.
///
/// * **Durable:** `publish` returns when the message survives the loss of the process and of power.
/// * **At least once, in no promised order:** a message may come twice, also while it is in hand.
/// * **Visibility:** a received message is hidden from others for a while that the backend sets (60 s);
///   `extend` prolongs it, best effort. That it ends early costs a duplicate delivery and nothing else.
/// * **Cancel safety:** `receive` may be dropped; a message taken by a dropped call comes back when its visibility ends.
/// * **Retries:** none inside; the caller decides.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Adds a message, deliverable after `delay`.
    async fn publish(&self, message: &Message, delay: Duration) -> Result<(), QueueError>;
    /// The next deliverable message, waiting for one at most `wait`.
    async fn receive(&self, accelerator: Accelerator, wait: Duration) -> Result<Option<Delivery>, QueueError>;
    /// Keeps the message hidden for another full visibility, from now.
    async fn extend(&self, receipt: &Receipt) -> Result<(), QueueError>;
    /// Ends a delivery.
    async fn settle(&self, receipt: Receipt, settlement: Settlement) -> Result<(), QueueError>;
    /// Counts, for metrics and people; may lag.
    async fn depth(&self, accelerator: Accelerator) -> Result<Depth, QueueError>;
}
