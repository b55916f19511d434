//! Whether messages get where they should: probes on every way, which no worker ever sees as a job.
//!
//! A probe has a header by which every receiver knows it and lets it go. One enters a queue only where it is taken out
//! again: by a worker that waits, or by ourselves, and only while no message waits there. Dead letters' queues drop
//! theirs at once, for it has no time to live.

use super::super::link::Link;
use super::super::publisher::{Envelope, Publisher, is_probe};
use super::super::topology::{
    self, DEAD_EXCHANGE, DELAYS, EXCHANGE, below, dead_queue, delay_exchange, delay_queue, work_queue,
};
use super::Rights;
use crate::job::Accelerator;
use crate::queue::rabbitmq::delay::Route;
use anyhow::{Context, anyhow};
use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Consumer};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// For probes to come through.
const PATIENCE: Duration = Duration::from_secs(10);

/// What probes met.
#[derive(Debug, Default)]
pub struct Paths {
    /// What is missing or does not work, with the remedy: one line each.
    pub broken: BTreeSet<String>,
    /// Work queues that were not tried.
    pub untried: Vec<String>,
    /// Whether a probe died in a queue of ours and was read back from where dead letters go.
    pub died_and_read_back: bool,
}

/// Tries every way that the user may go.
pub(super) async fn try_all(take: &Link, publisher: &Publisher, rights: &Rights) -> anyhow::Result<Paths> {
    let mut paths = Paths::default();
    let tries = Tries { take, publisher };
    for (accelerator, may_take) in Accelerator::ALL.into_iter().zip(rights.take) {
        if rights.publish && rights.delay {
            match tries.work(accelerator, may_take, &mut paths).await {
                Err(error) if is_lost(&error) => drop(paths.broken.insert(lost(&work_queue(accelerator)))),
                tried => tried?,
            }
        }
        if rights.bury {
            tries.dead(accelerator, &mut paths).await?;
        }
    }
    if rights.configure && rights.missing().is_empty() && paths.broken.is_empty() {
        match tries.die_and_read_back().await {
            Ok(()) => paths.died_and_read_back = true,
            Err(error) => drop(paths.broken.insert(format!(
                "a message that died in a queue of this check did not come back through exchange {DEAD_EXCHANGE}: {error:#}"
            ))),
        }
    }
    Ok(paths)
}

fn unbound(source: &str, destination: &str) -> String {
    format!(
        "exchange {source} is not bound to {destination}: messages on this way are lost or stay; dispatcher setup binds it"
    )
}

/// A quorum queue without its process: a broker that is killed within a second after the queue was made may never find its
/// data again. The broker has its own words for that: an answer to a receiver, one to a consumer, and one that it should give.
fn is_lost(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    ["noproc", "INTERNAL_ERROR", "down or inaccessible"]
        .iter()
        .any(|words| text.contains(words))
}

fn lost(queue: &str) -> String {
    format!(
        "queue {queue} is there but does not run, and a restart does not bring it back where the broker's log says `could \
         not be restarted`: rabbitmqctl delete_queue, then dispatcher setup; dispatcher run announces its jobs again"
    )
}

struct Tries<'a> {
    take: &'a Link,
    publisher: &'a Publisher,
}

impl Tries<'_> {
    async fn work(&self, accelerator: Accelerator, may_take: bool, paths: &mut Paths) -> anyhow::Result<()> {
        let queue = work_queue(accelerator);
        let (ready, consumers) = self.count(&queue).await?;
        if ready > 0 || (consumers == 0 && !may_take) {
            paths.untried.push(queue);
            return Ok(());
        }
        let own = if consumers == 0 {
            Some(self.consume(&queue).await?)
        } else {
            None
        };
        let mut sent = 0;
        let walked = self.walk(accelerator, &mut sent, paths).await;
        if let Some((channel, consumer)) = own {
            let came = collect(consumer, sent).await?;
            if came < sent {
                paths.broken.insert(format!(
                    "{} of {sent} messages did not come to queue {queue} within {PATIENCE:?}; rabbitmqctl list_policies and \
                     list_queues may say why",
                    sent - came
                ));
            }
            // Gives back what is not a probe.
            let _ = channel.close(200, "done".into()).await;
        }
        walked
    }

    /// Direct, through all exchanges of the delay, and through each of its queues. Where a way is cut, no probe is sent
    /// that would wait before the gap.
    async fn walk(&self, accelerator: Accelerator, sent: &mut u64, paths: &mut Paths) -> anyhow::Result<()> {
        let queue = work_queue(accelerator);
        if !self.routed(EXCHANGE, &accelerator.to_string(), false, sent).await? {
            paths.broken.insert(unbound(EXCHANGE, &format!("queue {queue}")));
            return Ok(());
        }
        let top = delay_exchange(DELAYS - 1);
        if !self.routed(&top, &key(accelerator, None), false, sent).await? {
            paths.broken.insert(self.gap(accelerator, sent).await?);
            return Ok(());
        }
        for bit in 0..DELAYS {
            if !self.routed(&top, &key(accelerator, Some(bit)), true, sent).await? {
                let parked = format!("queue {}", delay_queue(accelerator, bit));
                paths.broken.insert(unbound(&delay_exchange(bit), &parked));
            }
        }
        Ok(())
    }

    /// Between which two exchanges the way of a delay is cut: the lowest from which nothing gets through.
    async fn gap(&self, accelerator: Accelerator, sent: &mut u64) -> anyhow::Result<String> {
        for bit in 0..DELAYS {
            let source = delay_exchange(bit);
            // A dispatcher may only enter at the top.
            if !self.publisher.may(&source).await? {
                break;
            }
            if !self.routed(&source, &key(accelerator, None), false, sent).await? {
                return Ok(unbound(&source, &format!("exchange {}", below(bit))));
            }
        }
        Ok(format!(
            "the exchanges from {} down to {EXCHANGE} are not all bound to each other; dispatcher setup binds them",
            delay_exchange(DELAYS - 1)
        ))
    }

    async fn dead(&self, accelerator: Accelerator, paths: &mut Paths) -> anyhow::Result<()> {
        let mut gone_at_once = 0;
        let key = accelerator.to_string();
        if !self.routed(DEAD_EXCHANGE, &key, true, &mut gone_at_once).await? {
            let queue = format!("queue {}", dead_queue(accelerator));
            paths.broken.insert(unbound(DEAD_EXCHANGE, &queue));
        }
        Ok(())
    }

    async fn routed(&self, exchange: &str, key: &str, expires: bool, sent: &mut u64) -> anyhow::Result<bool> {
        let route = Route {
            exchange: exchange.to_owned(),
            key: key.to_owned(),
            rest: Duration::ZERO,
        };
        let envelope = Envelope {
            probe: true,
            expires,
            ..Envelope::default()
        };
        let routed = self.publisher.is_routed(&route, &envelope).await?;
        *sent += u64::from(routed);
        Ok(routed)
    }

    async fn count(&self, queue: &str) -> anyhow::Result<(u32, u32)> {
        let channel = self.take.channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = channel.queue_declare(queue.into(), options, FieldTable::default());
        let counted = self.take.in_time("count messages", async { Ok(asked.await?) }).await?;
        self.take.give_back(channel);
        Ok((counted.message_count(), counted.consumer_count()))
    }

    async fn consume(&self, queue: &str) -> anyhow::Result<(Channel, Consumer)> {
        let channel = self.take.channel().await?;
        let consumer = async {
            channel.basic_qos(100, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            Ok(channel
                .basic_consume(queue.into(), "".into(), options, FieldTable::default())
                .await?)
        };
        let consumer = self.take.in_time("wait for a probe", consumer).await?;
        Ok((channel, consumer))
    }

    /// A queue of our own whose messages die at once, and another that is bound to where dead letters go.
    async fn die_and_read_back(&self) -> anyhow::Result<()> {
        let name = format!("trainyard.doctor.{}", uuid::Uuid::new_v4().simple());
        let channel = self.take.channel().await?;
        let (dies, read) = (format!("{name}.dies"), format!("{name}.read"));
        let text = |text: &str| AMQPValue::LongString(LongString::from(text));
        let mut deadly = FieldTable::default();
        deadly.insert("x-dead-letter-exchange".into(), text(DEAD_EXCHANGE));
        deadly.insert("x-dead-letter-routing-key".into(), text(&name));
        deadly.insert("x-message-ttl".into(), AMQPValue::LongLongInt(0));
        let made = async {
            let options = QueueDeclareOptions {
                exclusive: true,
                auto_delete: true,
                ..QueueDeclareOptions::default()
            };
            channel.queue_declare(dies.as_str().into(), options, deadly).await?;
            channel
                .queue_declare(read.as_str().into(), options, FieldTable::default())
                .await?;
            channel
                .queue_bind(
                    read.as_str().into(),
                    DEAD_EXCHANGE.into(),
                    name.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            let options = BasicConsumeOptions {
                no_ack: true,
                ..BasicConsumeOptions::default()
            };
            Ok(channel
                .basic_consume(read.as_str().into(), "".into(), options, FieldTable::default())
                .await?)
        };
        let mut consumer = self.take.in_time("make queues for a probe", made).await?;
        let mut sent = 0;
        anyhow::ensure!(self.routed("", &dies, false, &mut sent).await?, "it was not taken");
        let came = tokio::time::timeout(PATIENCE, consumer.next()).await;
        // The queues end with their consumer and connection.
        let _ = channel.close(200, "done".into()).await;
        came.with_context(|| format!("nothing came within {PATIENCE:?}"))?
            .ok_or_else(|| anyhow!("the broker ended the consumer"))??;
        Ok(())
    }
}

/// Takes `sent` probes; how many came. Other messages are left to whoever closes the channel.
async fn collect(mut consumer: Consumer, sent: u64) -> anyhow::Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    let mut came = 0;
    while came < sent {
        match tokio::time::timeout_at(deadline, consumer.next()).await {
            Ok(Some(delivery)) => {
                let delivery = delivery?;
                if is_probe(&delivery.properties) {
                    delivery.acker.ack(BasicAckOptions::default()).await?;
                    came += 1;
                }
            }
            Ok(None) | Err(_) => break,
        }
    }
    Ok(came)
}

/// The routing key of a delay of which one bit is set, or none.
fn key(accelerator: Accelerator, set: Option<u32>) -> String {
    let digits = (0..topology::DELAYS)
        .rev()
        .map(|bit| if Some(bit) == set { "1." } else { "0." });
    let digits: String = digits.collect();
    format!("{digits}{accelerator}")
}
