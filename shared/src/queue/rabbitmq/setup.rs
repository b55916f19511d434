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
const REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const OTHER_ARGUMENTS: u16 = 406;

/// What is there against what this version declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// All the same.
    Same,
    /// AMQP compares only for who may configure.
    NotAllowed,
    /// The first that differs, for people.
    Different(String),
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

/// Compares arguments. Declaring what is there with the same arguments does nothing.
pub(super) async fn compare(link: &Link) -> anyhow::Result<Compared> {
    for part in Part::all(&Topology::expected()) {
        if !is_there(link, part).await? {
            return Ok(Compared::Different(format!("there is no {part}")));
        }
        let channel = link.channel().await?;
        let declared = link.in_time("compare arguments", async { Ok(part.declare(&channel, false).await) });
        match declared.await? {
            Ok(()) => link.give_back(channel),
            Err(error) if reply_code(&error) == Some(REFUSED) => return Ok(Compared::NotAllowed),
            Err(error) if reply_code(&error) == Some(OTHER_ARGUMENTS) => {
                return Ok(Compared::Different(format!("{:#}", differs(part, &error))));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Compared::Same)
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

fn reply_code(error: &lapin::Error) -> Option<u16> {
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
