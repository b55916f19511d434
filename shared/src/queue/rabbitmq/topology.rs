//! What has to be on the broker: a pure list, which `dispatcher setup` declares and `definitions.json` is written from.
//!
//! ```text
//! trainyard (topic) ──#.cpu──► trainyard.cpu ──too many deliveries──► trainyard.dead (direct) ──cpu──► trainyard.cpu.dead
//!    ▲
//! trainyard.delay.0 (topic) ──bit 0 is 1──► trainyard.cpu.delay.0, 1 s ──► trainyard
//!    ▲             └───────── bit 0 is 0 ─────────────────────────────► trainyard
//! trainyard.delay.1 (topic) ──bit 1 is 1──► trainyard.cpu.delay.1, 2 s ──► trainyard.delay.0
//!    ▲  …
//! trainyard.delay.9 (topic): where a message that is to come later enters, with its delay in binary as routing key
//! ```
//!
//! The time to live of a whole queue, not of a message: messages of one queue then expire in their order, and none
//! waits behind one that has longer to live. Every step is the broker's own, so a delay needs no plug-in and no
//! consumer, and two clocks are never compared.

use crate::job::Accelerator;
use serde_json::{Value, json};

/// Where messages enter that can be received at once; routing key: the accelerator.
pub const EXCHANGE: &str = "trainyard";
/// Where dead letters enter; routing key: the accelerator.
pub const DEAD_EXCHANGE: &str = "trainyard.dead";
/// Parking queues an accelerator: of 1, 2, 4 … 512 s.
pub const DELAYS: u32 = 10;

/// Deliveries after which the broker itself buries a message: a last net, far above what the ledger's budgets allow.
/// Without it RabbitMQ 4 takes 20, and a spot kill or a job longer than the broker's timer counts as one.
const DELIVERY_LIMIT: i64 = 1000;
/// Dead letters that are kept; the oldest go first, as in the embedded queue.
const DEAD_KEPT: i64 = 1000;

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// `topic` or `direct`.
    pub kind: &'static str,
}

/// A durable queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOf {
    /// Its name.
    pub name: String,
    /// `x-…` by name; texts and whole numbers.
    pub arguments: Vec<(&'static str, Value)>,
}

/// What leads from an exchange to a queue or to another exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The exchange.
    pub source: String,
    /// Whether `destination` is a queue.
    pub to_queue: bool,
    /// Its name.
    pub destination: String,
    /// Which routing keys.
    pub routing_key: String,
}

/// Everything that has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// In an order in which they can be declared.
    pub exchanges: Vec<Exchange>,
    /// All quorum queues: replicated, on disk before a publish is confirmed.
    pub queues: Vec<QueueOf>,
    /// All bindings.
    pub bindings: Vec<Binding>,
}

/// The queue that workers of an accelerator consume.
#[must_use]
pub fn work_queue(accelerator: Accelerator) -> String {
    format!("trainyard.{accelerator}")
}

/// The dead letters of an accelerator.
#[must_use]
pub fn dead_queue(accelerator: Accelerator) -> String {
    format!("trainyard.{accelerator}.dead")
}

/// A parking queue of an accelerator.
#[must_use]
pub fn delay_queue(accelerator: Accelerator, bit: u32) -> String {
    format!("trainyard.{accelerator}.delay.{bit}")
}

/// Where a message enters whose delay has no bit above `bit`.
#[must_use]
pub fn delay_exchange(bit: u32) -> String {
    format!("trainyard.delay.{bit}")
}

impl Topology {
    /// That of this version.
    #[must_use]
    pub fn expected() -> Self {
        let exchange = |name: String, kind| Exchange { name, kind };
        let mut all = Self {
            exchanges: vec![
                exchange(EXCHANGE.to_owned(), "topic"),
                exchange(DEAD_EXCHANGE.to_owned(), "direct"),
            ],
            queues: Vec::new(),
            bindings: Vec::new(),
        };
        for bit in 0..DELAYS {
            all.exchanges.push(exchange(delay_exchange(bit), "topic"));
            all.bindings.push(Binding {
                source: delay_exchange(bit),
                to_queue: false,
                destination: below(bit),
                routing_key: pattern(bit, '0', "#"),
            });
        }
        for accelerator in Accelerator::ALL {
            all.add(accelerator);
        }
        all
    }

    fn add(&mut self, accelerator: Accelerator) {
        let name = accelerator.to_string();
        let dead_letters_to = |exchange: String| {
            vec![
                ("x-queue-type", json!("quorum")),
                ("x-dead-letter-exchange", json!(exchange)),
                // Confirmed by the target before it is removed here; the strategy asks for this kind of overflow.
                ("x-dead-letter-strategy", json!("at-least-once")),
                ("x-overflow", json!("reject-publish")),
            ]
        };
        let mut arguments = dead_letters_to(DEAD_EXCHANGE.to_owned());
        arguments.push(("x-dead-letter-routing-key", json!(name)));
        arguments.push(("x-delivery-limit", json!(DELIVERY_LIMIT)));
        self.queue(
            work_queue(accelerator),
            arguments,
            EXCHANGE.to_owned(),
            format!("#.{name}"),
        );
        let arguments = vec![("x-queue-type", json!("quorum")), ("x-max-length", json!(DEAD_KEPT))];
        self.queue(
            dead_queue(accelerator),
            arguments,
            DEAD_EXCHANGE.to_owned(),
            name.clone(),
        );
        for bit in 0..DELAYS {
            let mut arguments = dead_letters_to(below(bit));
            arguments.push(("x-message-ttl", json!(1000_i64 << bit)));
            let routing_key = pattern(bit, '1', &format!("#.{name}"));
            self.queue(
                delay_queue(accelerator, bit),
                arguments,
                delay_exchange(bit),
                routing_key,
            );
        }
    }

    fn queue(&mut self, name: String, arguments: Vec<(&'static str, Value)>, source: String, routing_key: String) {
        self.bindings.push(Binding {
            source,
            to_queue: true,
            destination: name.clone(),
            routing_key,
        });
        self.queues.push(QueueOf { name, arguments });
    }

    /// As `rabbitmqctl import_definitions` and the management plug-in read it, for one virtual host.
    #[must_use]
    pub fn definitions(&self, vhost: &str) -> String {
        let exchange = |one: &Exchange| {
            json!({"name": one.name, "vhost": vhost, "type": one.kind, "durable": true, "auto_delete": false,
                   "internal": false, "arguments": {}})
        };
        let queue = |one: &QueueOf| {
            let arguments: serde_json::Map<String, Value> = one
                .arguments
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            json!({"name": one.name, "vhost": vhost, "durable": true, "auto_delete": false, "arguments": arguments})
        };
        let binding = |one: &Binding| {
            json!({"source": one.source, "vhost": vhost, "destination": one.destination,
                   "destination_type": if one.to_queue { "queue" } else { "exchange" },
                   "routing_key": one.routing_key, "arguments": {}})
        };
        let lines = |values: Vec<Value>| {
            let lines: Vec<String> = values.iter().map(|value| format!("    {value}")).collect();
            lines.join(",\n")
        };
        format!(
            "{{\n  \"vhosts\": [\n{}\n  ],\n  \"exchanges\": [\n{}\n  ],\n  \"queues\": [\n{}\n  ],\n  \"bindings\": [\n{}\n  ]\n}}\n",
            lines(vec![json!({"name": vhost})]),
            lines(self.exchanges.iter().map(exchange).collect()),
            lines(self.queues.iter().map(queue).collect()),
            lines(self.bindings.iter().map(binding).collect()),
        )
    }
}

/// Where a message goes on after `bit` of its delay.
pub(super) fn below(bit: u32) -> String {
    match bit {
        0 => EXCHANGE.to_owned(),
        bit => delay_exchange(bit - 1),
    }
}

/// Routing keys in which `bit` of the delay is `digit`: the highest bit is the first word.
fn pattern(bit: u32, digit: char, rest: &str) -> String {
    let above = usize::try_from(DELAYS - 1 - bit).unwrap_or_default();
    format!("{}{digit}.{rest}", "*.".repeat(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_bound_once_and_named_as_the_permissions_expect() {
        let all = Topology::expected();
        assert_eq!(all.queues.len(), 3 * (2 + DELAYS as usize));
        for queue in &all.queues {
            let bound = all.bindings.iter().filter(|binding| binding.destination == queue.name);
            assert_eq!(bound.count(), 1, "{}", queue.name);
            assert!(queue.name.starts_with("trainyard."));
        }
    }

    #[test]
    fn patterns_look_at_one_bit() {
        assert_eq!(pattern(9, '1', "#.cpu"), "1.#.cpu");
        assert_eq!(pattern(7, '0', "#"), "*.*.0.#");
    }
}
