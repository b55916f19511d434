//! Amazon SQS, standard queues.
//!
//! `sqs://PREFIX` or `sqs://ACCOUNT/PREFIX`, where the queues are another account's; region, endpoint and keys are
//! settings ([`AwsAccess`]). Parameters: `visibility` (default 60s) and `hold` (default and at most 12h), the longest
//! time of one delivery.
//!
//! * What must be there is [`topology`]; `dispatcher setup` makes it. Here it is only checked.
//! * **Durable:** SQS answers a publish when several of its sites have the message; the digests in its answer are ours.
//! * **Delay:** in whole seconds, rounded up. What is longer than SQS's 15 min travels along in an attribute, and
//!   whoever receives the message sends it on.
//! * **Visibility:** [`Limits::visibility`], prolonged by `extend`. SQS lets nobody hold a delivery for more than 12 h:
//!   it is never asked for more, and then the message is let go. It comes again, finds its job running, and is put off.
//!   That is the one way without a moment in which neither message nor copy is there, and without a copy that a reader
//!   of the queue would take for a second job.
//! * **Receipts** are this process's own, and end with its own clock: SQS may let an old one delete what is another's.
//! * **Putting back** (`Release`, `Retry`, `Dead`) publishes first and deletes then: at least once, and SQS's counter of
//!   receives, which buries at [`topology::RECEIVES`], does not grow. Our own goes along in an attribute.
//! * **Waiting** is a long poll of whole seconds. One that outlasts its caller stays for a moment for the next.
//!   Without a wait SQS asks only some of its sites, and may miss a message that is there.
//! * `depth` is approximate, as SQS says itself: it may lag for a minute.

mod address;
mod envelope;
mod hands;
mod inspect;
mod receive;
mod service;
mod setup;
pub mod topology;

pub use inspect::{Difference, Inspection, inspect};
pub use setup::setup;

use super::{Delivery, Depth, Message, Queue, QueueError, Receipt, Settlement};
use crate::aws::AwsAccess;
use crate::connect::ConnectError;
use crate::job::Accelerator;
use address::Address;
use anyhow::{Context, anyhow, ensure};
use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use envelope::Envelope;
use hands::{Hand, Hands};
use receive::Waiting;
use service::Service;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What this process grants itself and SQS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a delivery is in hand unless it is extended. Whole seconds.
    pub visibility: Duration,
    /// How long a delivery is in hand at most. Whole seconds; SQS's limit is 12 h.
    pub hold: Duration,
    /// How long an answer may take, beyond what SQS was asked to wait.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            visibility: super::visibility(),
            hold: Duration::from_secs(12 * 3600),
            answer: Duration::from_secs(10),
        }
    }
}

/// The queues of a prefix.
#[derive(Debug)]
pub struct SqsQueue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: Address,
    service: Service,
    /// By the queues' names.
    urls: HashMap<String, String>,
    hands: Hands,
    waiting: Waiting,
}

impl SqsQueue {
    /// Looks whether every queue is there.
    ///
    /// # Errors
    /// [`ConnectError::Url`] for a URL that cannot be used, [`ConnectError::Unreachable`] where SQS is away, refuses us,
    /// or lacks a queue.
    pub async fn connect(url: &str, aws: &AwsAccess) -> Result<Self, ConnectError> {
        let address = read(url)?;
        let service = Service::new(&address, aws).await;
        let urls = setup::check(&service, &address.prefix).await;
        let inner = Inner {
            urls: urls.map_err(|source| unreachable(&address.shown, source))?,
            address,
            service,
            hands: Hands::default(),
            waiting: Waiting::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// The queues of a URL as a CloudFormation template.
///
/// # Errors
/// [`ConnectError::Url`].
pub fn definitions(url: &str) -> Result<String, ConnectError> {
    Ok(topology::definitions(&read(url)?.prefix))
}

fn read(url: &str) -> Result<Address, ConnectError> {
    Address::read(url).map_err(|reason| ConnectError::Url {
        what: "queue",
        url: crate::connect::without_credentials(url),
        reason,
    })
}

fn unreachable(shown: &str, source: anyhow::Error) -> ConnectError {
    ConnectError::Unreachable {
        what: "queue",
        url: shown.to_owned(),
        source,
    }
}

/// Whole seconds, as SQS counts.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

impl Inner {
    fn unavailable(&self, source: anyhow::Error) -> QueueError {
        QueueError::Unavailable {
            url: self.address.shown.clone(),
            source,
        }
    }

    fn url_of(&self, name: &str) -> anyhow::Result<&str> {
        let url = self
            .urls
            .get(name)
            .with_context(|| format!("there is no queue {name}"))?;
        Ok(url)
    }

    fn work(&self, of: Accelerator) -> anyhow::Result<&str> {
        self.url_of(&topology::work_queue(&self.address.prefix, of))
    }

    fn dead(&self, of: Accelerator) -> anyhow::Result<&str> {
        self.url_of(&topology::dead_queue(&self.address.prefix, of))
    }

    /// Publishes with a delay, to count on from `deliveries`.
    async fn send(&self, to: Accelerator, body: &str, delay: Duration, deliveries: u32) -> anyhow::Result<()> {
        let (here, later) = envelope::split(delay);
        let envelope = Envelope {
            deliveries,
            later,
            reason: None,
        };
        self.put(self.work(to)?, body, here, &envelope).await
    }

    /// Returns when SQS has the message, whole.
    async fn put(&self, url: &str, body: &str, delay: i32, envelope: &Envelope) -> anyhow::Result<()> {
        let attributes = envelope.attributes();
        let expected = (envelope::digest(body), envelope::digest_of(&attributes));
        let call = self
            .service
            .client
            .send_message()
            .queue_url(url)
            .message_body(body)
            .delay_seconds(delay)
            .set_message_attributes((!attributes.is_empty()).then_some(attributes));
        let sent = self.service.call("send a message", Duration::ZERO, call.send()).await?;
        let told = (
            sent.md5_of_message_body.unwrap_or_default(),
            sent.md5_of_message_attributes,
        );
        ensure!(
            told == expected,
            "SQS has another message than the one sent: its digests differ"
        );
        Ok(())
    }

    async fn delete(&self, hand: &Hand) -> Result<(), service::Refused> {
        let url = self.work(hand.accelerator).map_err(service::Refused::ours)?;
        let call = self.service.client.delete_message().queue_url(url);
        let call = call.receipt_handle(&hand.handle).send();
        self.service.call("delete a message", Duration::ZERO, call).await?;
        Ok(())
    }

    /// Hides a message for whole seconds from now; zero gives it back.
    async fn hide(&self, hand: &Hand, time: Duration) -> Result<(), service::Refused> {
        let url = self.work(hand.accelerator).map_err(service::Refused::ours)?;
        let call = self.service.client.change_message_visibility().queue_url(url);
        let call = call.receipt_handle(&hand.handle).visibility_timeout(seconds(time));
        self.service
            .call("keep a message hidden", Duration::ZERO, call.send())
            .await?;
        Ok(())
    }

    async fn extend(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let turn = self.hands.look(receipt)?.turn;
        let _turn = turn.lock().await;
        let hand = self.hands.look(receipt)?;
        let limits = self.address.limits;
        let asked = Instant::now();
        let left = limits.hold.saturating_sub(asked - hand.asked);
        let time = Duration::from_secs(limits.visibility.min(left).as_secs());
        if time.is_zero() {
            self.hands.let_go(receipt);
            return Err(QueueError::Expired);
        }
        match self.hide(&hand, time).await {
            Ok(()) => self.hands.prolong(receipt, asked, time),
            Err(refused) if refused.is_not_ours() => {
                self.hands.let_go(receipt);
                Err(QueueError::Expired)
            }
            Err(refused) => Err(self.unavailable(refused.into())),
        }
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<(), QueueError> {
        let hand = self.hands.begin(receipt)?;
        let _turn = hand.turn.lock().await;
        let (to, body, deliveries) = (hand.accelerator, &hand.body, hand.deliveries);
        let is_done = settlement == Settlement::Done;
        let moved = match settlement {
            Settlement::Done => Ok(()),
            Settlement::Release => self.send(to, body, Duration::ZERO, deliveries).await,
            Settlement::Retry { after } => self.send(to, body, after, deliveries).await,
            Settlement::Dead { reason } => self.bury(&hand, reason).await,
        };
        if let Err(source) = moved {
            self.hands.keep(receipt);
            return Err(self.unavailable(source));
        }
        match self.delete(&hand).await {
            Ok(()) => {
                self.hands.let_go(receipt);
                Ok(())
            }
            Err(refused) if refused.is_not_ours() => {
                self.hands.let_go(receipt);
                Err(QueueError::Expired)
            }
            Err(refused) => {
                // Moved once: to do it again would make another copy.
                if is_done {
                    self.hands.keep(receipt);
                } else {
                    self.hands.let_go(receipt);
                }
                Err(self.unavailable(refused.into()))
            }
        }
    }

    async fn bury(&self, hand: &Hand, reason: String) -> anyhow::Result<()> {
        let envelope = Envelope {
            deliveries: hand.deliveries,
            later: Duration::ZERO,
            reason: Some(reason),
        };
        self.put(self.dead(hand.accelerator)?, &hand.body, 0, &envelope).await
    }

    async fn depth(&self, of: Accelerator) -> anyhow::Result<Depth> {
        let (work, dead) = tokio::join!(self.counts(self.work(of)?), self.counts(self.dead(of)?));
        let [ready, delayed, in_flight] = work?;
        Ok(Depth {
            ready,
            delayed,
            in_flight,
            dead: dead?.iter().sum(),
        })
    }

    /// Ready, delayed, in somebody's hands.
    async fn counts(&self, url: &str) -> anyhow::Result<[u64; 3]> {
        let names = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesDelayed,
            Name::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.service.client.get_queue_attributes().queue_url(url);
        let call = call.set_attribute_names(Some(names.to_vec())).send();
        let found = self.service.call("count messages", Duration::ZERO, call).await?;
        let found = found.attributes.unwrap_or_default();
        let mut counts = [0; 3];
        for (count, name) in counts.iter_mut().zip(names) {
            let told = found.get(&name).and_then(|text| text.parse().ok());
            *count = told.ok_or_else(|| anyhow!("failed to count messages: SQS told no {name}"))?;
        }
        Ok(counts)
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn publish(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        let body = serde_json::to_string(message).map_err(|error| self.inner.unavailable(error.into()))?;
        let sent = self.inner.send(message.accelerator, &body, delay, 0).await;
        sent.map_err(|source| self.inner.unavailable(source))
    }

    async fn receive(&self, accelerator: Accelerator, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        // A task of its own: what SQS gives to a call that is dropped is given back.
        let (answer, answered) = oneshot::channel();
        tokio::spawn(receive::receive(Arc::clone(&self.inner), accelerator, wait, answer));
        let received = answered.await.unwrap_or_else(|gone| Err(gone.into()));
        received.map_err(|source| self.inner.unavailable(source))
    }

    async fn extend(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.inner.extend(receipt).await
    }

    async fn settle(&self, receipt: Receipt, settlement: Settlement) -> Result<(), QueueError> {
        self.inner.settle(&receipt, settlement).await
    }

    async fn depth(&self, accelerator: Accelerator) -> Result<Depth, QueueError> {
        let depth = self.inner.depth(accelerator).await;
        depth.map_err(|source| self.inner.unavailable(source))
    }
}
