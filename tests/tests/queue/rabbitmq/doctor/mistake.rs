//! What somebody can do wrong on a broker, and how it is undone.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, ExchangeUnbindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};
use serde_json::{Value, json};
use shared::queue::rabbitmq::setup;
use shared::queue::rabbitmq::topology::Topology;

/// What somebody did to a broker that was set up rightly.
#[derive(Debug)]
pub(super) enum Mistake {
    NoQueue(&'static str),
    NoExchange(&'static str),
    /// A queue of its name, made otherwise: what is durable, what deletes itself, what is exclusive, and its arguments.
    Queue(&'static str, [bool; 3], Vec<(&'static str, Value)>),
    /// An exchange of its name, of another type.
    Exchange(&'static str, &'static str),
    /// Without its binding.
    Unbound(&'static str),
}

const DURABLE: [bool; 3] = [true, false, false];

/// The right arguments of a queue but for these.
fn but(queue: &str, others: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    let all = Topology::expected().queues;
    let right = all.into_iter().find(|one| one.name == queue).expect("a queue of ours");
    let mut arguments = right.arguments;
    arguments.retain(|(name, _)| others.iter().all(|(other, _)| other != name));
    arguments.extend(others.iter().filter(|(_, value)| !value.is_null()).cloned());
    arguments
}

/// Mistakes and words of the one line that must name each.
pub(super) fn mistakes() -> Vec<(Mistake, Vec<&'static str>)> {
    use Mistake::{Exchange, NoExchange, NoQueue, Queue, Unbound};
    const CPU: &str = "trainyard.cpu";
    let other = |arguments: &[(&'static str, Value)]| Queue(CPU, DURABLE, but(CPU, arguments));
    vec![
        (
            Queue(CPU, DURABLE, vec![]),
            vec!["queue trainyard.cpu", "x-dead-letter-exchange none"],
        ),
        (
            other(&[("x-delivery-limit", json!(3))]),
            vec!["x-delivery-limit", "'3'", "'1000'"],
        ),
        (
            other(&[("x-delivery-limit", Value::Null)]),
            vec!["x-delivery-limit none"],
        ),
        (
            other(&[("x-dead-letter-exchange", json!("elsewhere"))]),
            vec!["x-dead-letter-exchange", "elsewhere"],
        ),
        (
            other(&[("x-dead-letter-routing-key", json!("gpu"))]),
            vec!["x-dead-letter-routing-key", "'gpu'"],
        ),
        (
            other(&[("x-max-length", json!(10)), ("x-overflow", json!("drop-head"))]),
            vec!["queue trainyard.cpu", "x-max-length", "'10'"],
        ),
        (
            other(&[("x-overflow", json!("drop-head"))]),
            vec!["x-overflow", "drop-head"],
        ),
        (
            other(&[("x-message-ttl", json!(60_000))]),
            vec!["x-message-ttl", "'60000'"],
        ),
        (other(&[("x-expires", json!(3_600_000))]), vec!["x-expires"]),
        (
            Queue(CPU, DURABLE, vec![("x-queue-mode", json!("lazy"))]),
            vec!["queue trainyard.cpu", "x-dead-letter-exchange none"],
        ),
        (
            Queue(CPU, [true, true, false], vec![]),
            vec!["queue trainyard.cpu", "auto_delete"],
        ),
        (
            Queue(CPU, [false, false, true], vec![]),
            vec!["queue trainyard.cpu", "exclusive"],
        ),
        (
            Queue(CPU, [false, false, false], vec![]),
            vec!["queue trainyard.cpu", "durable"],
        ),
        (
            Queue(
                "trainyard.gpu.dead",
                DURABLE,
                but("trainyard.gpu.dead", &[("x-max-length", json!(1))]),
            ),
            vec!["queue trainyard.gpu.dead", "x-max-length", "'1'"],
        ),
        (
            Queue(
                "trainyard.cpu.delay.4",
                DURABLE,
                but("trainyard.cpu.delay.4", &[("x-message-ttl", json!(1))]),
            ),
            vec!["queue trainyard.cpu.delay.4", "x-message-ttl", "'16000'"],
        ),
        (
            NoQueue("trainyard.gpu"),
            vec!["no queue trainyard.gpu", "dispatcher setup"],
        ),
        (
            NoQueue("trainyard.inf1.delay.3"),
            vec!["no queue trainyard.inf1.delay.3", "dispatcher setup"],
        ),
        (
            NoQueue("trainyard.cpu.dead"),
            vec!["no queue trainyard.cpu.dead", "dispatcher setup"],
        ),
        (
            NoExchange("trainyard.dead"),
            vec!["no exchange trainyard.dead", "dispatcher setup"],
        ),
        (
            Exchange("trainyard", "fanout"),
            vec!["exchange trainyard has type", "fanout", "topic"],
        ),
        (
            Exchange("trainyard.dead", "topic"),
            vec!["exchange trainyard.dead has type", "direct"],
        ),
        (
            Unbound("trainyard.inf1"),
            vec![
                "exchange trainyard is not bound to queue trainyard.inf1",
                "dispatcher setup",
            ],
        ),
        (
            Unbound("trainyard.cpu.dead"),
            vec!["exchange trainyard.dead is not bound to queue trainyard.cpu.dead"],
        ),
        (
            Unbound("trainyard.gpu.delay.4"),
            vec!["trainyard.delay.4 is not bound to queue trainyard.gpu.delay.4"],
        ),
        (
            Unbound("trainyard.delay.6"),
            vec!["trainyard.delay.7 is not bound to exchange trainyard.delay.6"],
        ),
        (
            Unbound("trainyard"),
            vec![
                "trainyard.delay.0 is not bound to exchange trainyard:",
                "dispatcher setup",
            ],
        ),
    ]
}

fn table(arguments: &[(&'static str, Value)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            number => AMQPValue::LongLongInt(number.as_i64().expect("a number")),
        };
        table.insert((*name).into(), value);
    }
    table
}

async fn delete_queue(channel: &Channel, queue: &str) {
    let deleted = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
    deleted.expect("deletes");
}

async fn delete_exchange(channel: &Channel, exchange: &str) {
    let deleted = channel
        .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
        .await;
    deleted.expect("deletes");
}

impl Mistake {
    pub(super) async fn make(&self, channel: &Channel) {
        match self {
            Self::NoQueue(queue) => delete_queue(channel, queue).await,
            Self::NoExchange(exchange) => delete_exchange(channel, exchange).await,
            Self::Queue(queue, [durable, auto_delete, exclusive], arguments) => {
                delete_queue(channel, queue).await;
                let options = QueueDeclareOptions {
                    durable: *durable,
                    auto_delete: *auto_delete,
                    exclusive: *exclusive,
                    ..QueueDeclareOptions::default()
                };
                let declared = channel.queue_declare((*queue).into(), options, table(arguments)).await;
                declared.unwrap_or_else(|error| panic!("{self:?}: {error}"));
            }
            Self::Exchange(exchange, kind) => {
                delete_exchange(channel, exchange).await;
                let options = ExchangeDeclareOptions {
                    durable: true,
                    ..ExchangeDeclareOptions::default()
                };
                let kind = ExchangeKind::Custom((*kind).to_owned());
                let declared = channel
                    .exchange_declare((*exchange).into(), kind, options, FieldTable::default())
                    .await;
                declared.expect("declares");
            }
            Self::Unbound(destination) => {
                let all = Topology::expected().bindings;
                let one = all
                    .iter()
                    .find(|binding| binding.destination == *destination)
                    .expect("a binding");
                let (source, to, key) = (
                    one.source.as_str().into(),
                    one.destination.as_str().into(),
                    one.routing_key.as_str().into(),
                );
                let unbound = if one.to_queue {
                    channel.queue_unbind(to, source, key, FieldTable::default()).await
                } else {
                    let options = ExchangeUnbindOptions::default();
                    channel
                        .exchange_unbind(to, source, key, options, FieldTable::default())
                        .await
                };
                unbound.expect("unbinds");
            }
        }
    }

    /// Back to how it was, where `setup` cannot do it alone.
    pub(super) async fn mend(&self, channel: &Channel, url: &str) {
        match self {
            Self::Queue(queue, ..) => delete_queue(channel, queue).await,
            Self::Exchange(exchange, _) => delete_exchange(channel, exchange).await,
            _ => {}
        }
        setup(url).await.expect("sets up again");
    }
}
