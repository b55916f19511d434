//! Publishing so that nothing is lost silently: confirmed, routable, in bounded time.

use super::delay::Route;
use super::link::Link;
use super::topology::EXCHANGE;
use anyhow::{anyhow, bail};
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Confirmation};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Deliveries before this publication, when a message was put back by being published again.
pub(super) const DELIVERIES: &str = "trainyard-deliveries";
/// Milliseconds that are left of a delay longer than the parking queues'.
pub(super) const LATER: &str = "trainyard-later-ms";
/// Why a dead letter is dead.
pub(super) const REASON: &str = "trainyard-reason";

/// What doctor sends on its way: receivers let it go.
const PROBE: &str = "trainyard-probe";

/// Publications at a time: each has a channel of its own, since a returned message names no publication.
const AT_A_TIME: usize = 64;
/// Characters of a reason.
const REASON_LENGTH: usize = 1000;

/// What travels beside the body.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) deliveries: u32,
    pub(super) later: Duration,
    pub(super) reason: Option<String>,
    pub(super) probe: bool,
    /// The next queue lets go of it at once.
    pub(super) expires: bool,
}

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) link: Link,
    permits: Semaphore,
}

impl Publisher {
    pub(super) fn new(link: Link) -> Self {
        let permits = Semaphore::new(AT_A_TIME);
        Self { link, permits }
    }

    /// Returns when the broker has the message in a queue, replicated and on disk as the queue promises.
    pub(super) async fn publish(&self, route: &Route, body: &[u8], envelope: &Envelope) -> anyhow::Result<()> {
        let _permit = self.permits.acquire().await?;
        let confirmed = match self.confirmed(route, body, envelope).await {
            Err(error) if self.link.is_blocked().await => {
                return Err(error.context("the broker takes no messages: it is short of memory or disk"));
            }
            confirmed => confirmed?,
        };
        match confirmed {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => Err(anyhow!(
                "the broker has no queue for messages to exchange {} with key {} ({}); `dispatcher setup` makes it",
                route.exchange,
                route.key,
                returned.reply_text,
            )),
            Confirmation::Nack(None) => bail!("the broker refused the message"),
            Confirmation::NotRequested => bail!("the broker confirms nothing"),
        }
    }

    /// A message that no queue takes comes back: the way that an unroutable publish is noticed, tried.
    pub(super) async fn unroutable_comes_back(&self) -> anyhow::Result<()> {
        let route = Route {
            exchange: EXCHANGE.to_owned(),
            key: "nobody".to_owned(),
            rest: Duration::ZERO,
        };
        match self.confirmed(&route, b"", &Envelope::default()).await? {
            Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => Ok(()),
            _ => bail!("the broker confirmed a message that no queue has"),
        }
    }

    /// Whether the user may publish to an exchange: a message that no queue takes, and so none has.
    pub(super) async fn may(&self, exchange: &str) -> anyhow::Result<bool> {
        let route = Route {
            exchange: exchange.to_owned(),
            key: "nobody".to_owned(),
            rest: Duration::ZERO,
        };
        match self.confirmed(&route, b"", &Envelope::default()).await {
            Ok(_) => Ok(true),
            Err(error) if format!("{error:#}").contains("ACCESS_REFUSED") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Publishes a probe, and says whether a queue has it.
    pub(super) async fn is_routed(&self, route: &Route, probe: &Envelope) -> anyhow::Result<bool> {
        match self.confirmed(route, b"{}", probe).await? {
            Confirmation::Ack(None) => Ok(true),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Ok(false),
            Confirmation::Nack(None) => bail!("the broker refused a message to exchange {}", route.exchange),
            Confirmation::NotRequested => bail!("the broker confirms nothing"),
        }
    }

    async fn confirmed(&self, route: &Route, body: &[u8], envelope: &Envelope) -> anyhow::Result<Confirmation> {
        let channel = self.link.channel().await?;
        let sent = async {
            let options = BasicPublishOptions {
                mandatory: true,
                immediate: false,
            };
            let (exchange, key) = (route.exchange.as_str().into(), route.key.as_str().into());
            let confirm = channel
                .basic_publish(exchange, key, options, body, properties(envelope))
                .await?;
            Ok(confirm.await?)
        };
        // A channel on which a confirm is missing is not used again.
        let confirmed = self.link.in_time("publish a message", sent).await?;
        self.link.give_back(channel);
        Ok(confirmed)
    }
}

fn properties(envelope: &Envelope) -> BasicProperties {
    let mut headers = FieldTable::default();
    if envelope.deliveries > 0 {
        headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt(envelope.deliveries.into()));
    }
    if !envelope.later.is_zero() {
        let left = i64::try_from(envelope.later.as_millis()).unwrap_or(i64::MAX);
        headers.insert(LATER.into(), AMQPValue::LongLongInt(left));
    }
    if let Some(reason) = &envelope.reason {
        let short: String = reason.chars().take(REASON_LENGTH).collect();
        headers.insert(REASON.into(), AMQPValue::LongString(LongString::from(short)));
    }
    if envelope.probe {
        headers.insert(PROBE.into(), AMQPValue::Boolean(true));
    }
    let properties = BasicProperties::default();
    let properties = if envelope.expires {
        properties.with_expiration("0".into())
    } else {
        properties
    };
    properties
        .with_content_type("application/json".into())
        // Durable also on classic queues.
        .with_delivery_mode(2)
        .with_headers(headers)
}

/// Whether a message is doctor's.
pub(super) fn is_probe(properties: &BasicProperties) -> bool {
    let headers = properties.headers().as_ref();
    headers.is_some_and(|headers| headers.inner().contains_key(PROBE))
}

/// A whole number of a message's headers.
pub(super) fn number(properties: &BasicProperties, name: &str) -> Option<i64> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(number) => Some(*number),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        _ => None,
    }
}
