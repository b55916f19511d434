//! RabbitMQ, 3.10 and newer, over AMQP 0-9-1; no plug-in is needed.
//!
//! `amqp(s)://user:password@host:port/vhost`, with RabbitMQ's URI parameters: `cacertfile`, `certfile` and `keyfile`
//! (PEM; the last two for a client certificate, with `auth_mechanism=external` where it is also the login),
//! `heartbeat` (seconds, default 20), `connection_timeout` (milliseconds, default 10000).
//!
//! * What must be on the broker is [`topology`]; `dispatcher setup` declares it. Here it is only checked.
//! * **Durable:** `publish` waits for the confirm of a quorum queue. What no queue takes, and what a broker short of
//!   memory or disk does not take in time, is an error.
//! * **Delay:** in whole seconds, rounded up, by parking queues of the broker.
//! * **Visibility:** [`Limits::visibility`], by the clock of this process; it also ends with the process, with the
//!   connection, and when the broker's own consumer timeout (30 min by default) closes the channel. All of them make
//!   the receipt [`QueueError::Expired`] and cost a second delivery.
//! * **Putting back** (`Release`, `Retry`, `Dead`) publishes first and acknowledges then: at least once, and the
//!   broker's delivery counter does not grow. Our own goes along in a header.
//! * **Waiting** costs nothing: a consumer stays for a moment after a `receive` that found nothing. It holds at most one
//!   message, and only until that moment is over, so workers share fairly.
//! * **Recovery:** a connection or channel that is gone is opened again by the next call.
//! * `depth`: `in_flight` is what this process has in hand, since AMQP tells nothing about others.

mod address;
mod delay;
mod hands;
mod inspect;
mod link;
mod publisher;
mod receive;
mod setup;
pub mod topology;

pub use inspect::{Inspection, Paths, Rights, Usable, inspect};
pub use setup::{Compared, setup};

use super::{Delivery, Depth, Message, Queue, QueueError, Receipt, Settlement};
use crate::connect::ConnectError;
use crate::job::Accelerator;
use address::Address;
use async_trait::async_trait;
use delay::{Route, route};
use hands::Hands;
use lapin::options::{BasicAckOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use link::{Link, Role};
use publisher::{Envelope, Publisher};
use receive::Waiting;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What this process grants itself and the broker.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a delivery is in hand unless it is extended.
    pub visibility: Duration,
    /// How long an answer of the broker, a confirm above all, may take.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            visibility: super::visibility(),
            answer: Duration::from_secs(10),
        }
    }
}

/// The queues of a virtual host.
#[derive(Debug)]
pub struct RabbitQueue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Without credentials.
    url: String,
    publisher: Publisher,
    take: Link,
    hands: Arc<Hands>,
    waiting: Waiting,
}

impl RabbitQueue {
    /// Connects and looks whether everything is there.
    ///
    /// # Errors
    /// [`ConnectError::Url`] for a URL that cannot be used, [`ConnectError::Unreachable`] for a broker that is away,
    /// refuses us, or lacks a queue; no text holds a credential.
    pub async fn connect(url: &str, limits: Limits) -> Result<Self, ConnectError> {
        let address = read(url)?;
        let shown = address.shown.clone();
        let inner = Inner {
            url: shown.clone(),
            publisher: Publisher::new(Link::new(address.clone(), Role::Publish, limits.answer)),
            take: Link::new(address, Role::Take, limits.answer),
            hands: Arc::new(Hands::new(limits.visibility)),
            waiting: Waiting::default(),
        };
        let checked = setup::check(&inner.take).await;
        checked.map_err(|source| unreachable(&shown, source))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Publishes bytes that need not be a [`Message`].
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    pub async fn publish_bytes(&self, to: Accelerator, body: &[u8], delay: Duration) -> Result<(), QueueError> {
        let sent = self.inner.send(to, body, delay, 0).await;
        sent.map_err(|source| self.inner.unavailable(source))
    }
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

impl Inner {
    fn unavailable(&self, source: anyhow::Error) -> QueueError {
        QueueError::Unavailable {
            url: self.url.clone(),
            source,
        }
    }

    /// Publishes with a delay, to count on from `deliveries`.
    async fn send(&self, to: Accelerator, body: &[u8], delay: Duration, deliveries: u32) -> anyhow::Result<()> {
        let route = route(to, delay);
        let envelope = Envelope {
            deliveries,
            later: route.rest,
            ..Envelope::default()
        };
        self.publisher.publish(&route, body, &envelope).await
    }

    async fn bury(&self, hand: &hands::Hand, reason: String) -> anyhow::Result<()> {
        let route = Route {
            exchange: topology::DEAD_EXCHANGE.to_owned(),
            key: hand.accelerator.to_string(),
            rest: Duration::ZERO,
        };
        let envelope = Envelope {
            deliveries: hand.deliveries,
            reason: Some(reason),
            ..Envelope::default()
        };
        self.publisher.publish(&route, &hand.body, &envelope).await
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<(), QueueError> {
        let hand = self.hands.begin(receipt)?;
        let (to, body, deliveries) = (hand.accelerator, &hand.body, hand.deliveries);
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
        let acknowledge = async { Ok(hand.acker.ack(BasicAckOptions::default()).await?) };
        let acknowledged = self.take.in_time("acknowledge a message", acknowledge).await;
        self.hands.let_go(receipt);
        match acknowledged {
            Ok(true) => {
                self.take.give_back(hand.channel);
                Ok(())
            }
            // The broker had taken it back: it comes again.
            Ok(false) => Err(QueueError::Expired),
            Err(_) if !hand.channel.status().connected() => Err(QueueError::Expired),
            Err(source) => Err(self.unavailable(source)),
        }
    }

    async fn depth(&self, of: Accelerator) -> anyhow::Result<Depth> {
        let channel = self.take.channel().await?;
        let count = async |queue: String| {
            let options = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let asked = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
            let counted = self.take.in_time("count messages", async { Ok(asked.await?) }).await?;
            anyhow::Ok(u64::from(counted.message_count()))
        };
        let mut depth = Depth {
            ready: count(topology::work_queue(of)).await?,
            delayed: 0,
            in_flight: self.hands.count(of),
            dead: count(topology::dead_queue(of)).await?,
        };
        for bit in 0..topology::DELAYS {
            depth.delayed += count(topology::delay_queue(of, bit)).await?;
        }
        self.take.give_back(channel);
        Ok(depth)
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn publish(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        let body = serde_json::to_vec(message).map_err(|error| self.inner.unavailable(error.into()))?;
        self.publish_bytes(message.accelerator, &body, delay).await
    }

    async fn receive(&self, accelerator: Accelerator, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        // A task of its own: what the broker sends to a call that is dropped is given back.
        let (answer, answered) = oneshot::channel();
        tokio::spawn(receive::receive(Arc::clone(&self.inner), accelerator, wait, answer));
        let received = answered.await.unwrap_or_else(|gone| Err(gone.into()));
        received.map_err(|source| self.inner.unavailable(source))
    }

    async fn extend(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.inner.hands.extend(receipt)
    }

    async fn settle(&self, receipt: Receipt, settlement: Settlement) -> Result<(), QueueError> {
        self.inner.settle(&receipt, settlement).await
    }

    async fn depth(&self, accelerator: Accelerator) -> Result<Depth, QueueError> {
        let depth = self.inner.depth(accelerator).await;
        depth.map_err(|source| self.inner.unavailable(source))
    }
}
