//! Declaring what must be on the broker, and looking whether it is.

use super::link::{Link, Role};
use super::topology::{Binding, Exchange, QueueOf, Topology};
use super::{Limits, read, unreachable};
use crate::connect::ConnectError;
use crate::queue::{Found, Made};
use anyhow::anyhow;
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use serde_json::Value;

/// AMQP's reply codes.
pub(super) const REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const LOCKED: u16 = 405;
const OTHER_ARGUMENTS: u16 = 406;

/// What is there against what this version declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// All the same.
    Same,
    /// AMQP compares only for who may configure.
    NotAllowed,
    /// What is missing or differs and what to do about it, for people.
    Different(Vec<String>),
}

/// One exchange or queue.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Exchange(&'a Exchange),
    Queue(&'a QueueOf),
}

impl std::fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exchange(exchange) => write!(f, "exchange {}", exchange.name),
            Self::Queue(queue) => write!(f, "queue {}", queue.name),
        }
    }
}

impl Part<'_> {
    fn all(topology: &Topology) -> impl Iterator<Item = Part<'_>> {
        let exchanges = topology.exchanges.iter().map(Part::Exchange);
        exchanges.chain(topology.queues.iter().map(Part::Queue))
    }

    /// With `passive` only asks whether there is one of that name.
    async fn declare(self, channel: &Channel, passive: bool) -> Result<(), lapin::Error> {
        match self {
            Self::Exchange(exchange) => {
                let options = ExchangeDeclareOptions {
                    passive,
                    durable: true,
                    ..ExchangeDeclareOptions::default()
                };
                let kind = ExchangeKind::Custom(exchange.kind.to_owned());
                let name = exchange.name.as_str().into();
                channel
                    .exchange_declare(name, kind, options, FieldTable::default())
                    .await
            }
            Self::Queue(queue) => {
                let options = QueueDeclareOptions {
                    passive,
                    durable: true,
                    ..QueueDeclareOptions::default()
                };
                let declared = channel.queue_declare(queue.name.as_str().into(), options, table(queue));
                declared.await.map(drop)
            }
        }
    }
}

/// Declares exchanges, queues and bindings. What is there already stays as it is; repeating it changes nothing.
///
/// # Errors
/// As [`super::RabbitQueue::connect`]; and for a queue or exchange with other arguments, named with what was expected
/// and found. What was made before stays.
pub async fn setup(url: &str) -> Result<Vec<Made>, ConnectError> {
    let address = read(url)?;
    let shown = address.shown.clone();
    let link = Link::new(address, Role::Take, Limits::default().answer);
    declare(&link).await.map_err(|source| unreachable(&shown, source))
}

async fn declare(link: &Link) -> anyhow::Result<Vec<Made>> {
    let topology = Topology::expected();
    let mut made = Vec::new();
    for part in Part::all(&topology) {
        let there = is_there(link, part).await?;
        let channel = link.channel().await?;
        let what = format!("declare {part}");
        let declared = link.in_time(&what, async {
            match part.declare(&channel, false).await {
                Err(error) if reply_code(&error) == Some(OTHER_ARGUMENTS) => Err(differs(part, &error)),
                other => Ok(other?),
            }
        });
        declared.await?;
        link.give_back(channel);
        made.push(Made {
            what: part.to_string(),
            found: if there { Found::ThereAlready } else { Found::Made },
        });
    }
    let channel = link.channel().await?;
    for binding in &topology.bindings {
        let what = format!("bind {} to {}", binding.destination, binding.source);
        link.in_time(&what, async { Ok(bind(&channel, binding).await?) })
            .await?;
    }
    Ok(made)
}

/// Everything is there, by name; arguments only `setup` can compare.
pub(super) async fn check(link: &Link) -> anyhow::Result<()> {
    for part in Part::all(&Topology::expected()) {
        if !is_there(link, part).await? {
            return Err(anyhow!(
                "the broker has no {part}: run `dispatcher setup`, or import deploy/rabbitmq/definitions.json"
            ));
        }
    }
    Ok(())
}

/// Compares arguments of all that is there. Declaring what is there with the same arguments does nothing.
pub(super) async fn compare(link: &Link) -> anyhow::Result<Compared> {
    let (mut different, mut allowed) = (Vec::new(), true);
    for part in Part::all(&Topology::expected()) {
        match is_there(link, part).await {
            Ok(true) => {}
            Ok(false) => {
                different.push(format!("there is no {part}; dispatcher setup makes it"));
                continue;
            }
            Err(error) if error.downcast_ref().and_then(reply_code) == Some(LOCKED) => {
                different.push(format!(
                    "the {part} belongs to another connection alone (exclusive); end that, then dispatcher setup"
                ));
                continue;
            }
            Err(error) => return Err(error),
        }
        if !allowed {
            continue;
        }
        let channel = link.channel().await?;
        let declared = link.in_time("compare arguments", async { Ok(part.declare(&channel, false).await) });
        match declared.await? {
            Ok(()) => link.give_back(channel),
            Err(error) if reply_code(&error) == Some(REFUSED) => allowed = false,
            Err(error) if matches!(reply_code(&error), Some(OTHER_ARGUMENTS | LOCKED)) => {
                different.push(difference(part, &error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match (different.is_empty(), allowed) {
        (false, _) => Ok(Compared::Different(different)),
        (true, true) => Ok(Compared::Same),
        (true, false) => Ok(Compared::NotAllowed),
    }
}

/// The broker names the first argument that differs: `inequivalent arg 'x-message-ttl' for queue 'q' in vhost 'v':
/// received none but current is the value '5' of type 'long'`.
fn difference(part: Part<'_>, broker: &str) -> String {
    const REMEDY: &str = "delete it when it is empty, then dispatcher setup (the ledger's jobs are announced again), or use \
                          another virtual host";
    let parsed = || {
        let (_, rest) = broker.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, rest) = rest.split_once("received ")?;
        let (expected, current) = rest.split_once(" but current is ")?;
        Some((argument, expected, current.lines().next().unwrap_or_default()))
    };
    match parsed() {
        Some((argument, expected, current)) => {
            format!("the {part} has {argument} {current} where this version has {expected}; {REMEDY}")
        }
        None => format!("the {part} is not this version's ({broker}); {REMEDY}"),
    }
}

async fn is_there(link: &Link, part: Part<'_>) -> anyhow::Result<bool> {
    let channel = link.channel().await?;
    let what = format!("look for {part}");
    let asked = link.in_time(&what, async {
        match part.declare(&channel, true).await {
            Ok(()) => Ok(true),
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(false),
            Err(error) => Err(error.into()),
        }
    });
    let there = asked.await?;
    if there {
        link.give_back(channel);
    }
    Ok(there)
}

async fn bind(channel: &Channel, binding: &Binding) -> Result<(), lapin::Error> {
    let (source, destination) = (binding.source.as_str().into(), binding.destination.as_str().into());
    let key = binding.routing_key.as_str().into();
    if binding.to_queue {
        let options = QueueBindOptions::default();
        channel
            .queue_bind(destination, source, key, options, FieldTable::default())
            .await
    } else {
        let options = ExchangeBindOptions::default();
        channel
            .exchange_bind(destination, source, key, options, FieldTable::default())
            .await
    }
}

fn table(queue: &QueueOf) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in &queue.arguments {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            number => AMQPValue::LongLongInt(number.as_i64().unwrap_or_default()),
        };
        table.insert((*name).into(), value);
    }
    table
}

pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// The broker's text names the argument, what was expected (`received`) and what there is (`current`).
fn differs(part: Part<'_>, error: &lapin::Error) -> anyhow::Error {
    anyhow!(error.clone()).context(format!(
        "the {part} exists with other arguments than this version's, and was left as it is; delete it when it is empty \
         (the ledger's jobs are announced again), or use another virtual host"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Part, difference};
    use crate::queue::rabbitmq::topology::Topology;

    #[test]
    fn what_differs_is_named_with_both_values() {
        let all = Topology::expected();
        let part = Part::Queue(&all.queues[0]);
        let said = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'trainyard.cpu' in vhost 'v': received \
                    none but current is the value '5' of type 'long'";
        let text = difference(part, said);
        assert!(
            text.starts_with(
                "the queue trainyard.cpu has x-message-ttl the value '5' of type 'long' where this version has none;"
            ),
            "{text}"
        );
        assert!(difference(part, "something else").contains("(something else)"));
    }
}
