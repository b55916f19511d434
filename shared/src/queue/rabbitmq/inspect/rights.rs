//! What a user may do, asked so that nothing is done.

use super::super::link::Link;
use super::super::publisher::Publisher;
use super::super::setup::{REFUSED, reply_code};
use super::super::topology::{DEAD_EXCHANGE, DELAYS, EXCHANGE, delay_exchange, work_queue};
use crate::job::Accelerator;
use anyhow::Context;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};

/// Of a user in a virtual host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Make queues and exchanges, and so compare them.
    pub configure: bool,
    /// Put messages into the work queues.
    pub publish: bool,
    /// Put them there for later.
    pub delay: bool,
    /// Bury them.
    pub bury: bool,
    /// Take them, in the order of [`Accelerator::ALL`].
    pub take: [bool; Accelerator::ALL.len()],
}

impl Rights {
    /// Asks. `configure` is known from comparing.
    pub(super) async fn ask(take: &Link, publisher: &Publisher, configure: bool) -> anyhow::Result<Self> {
        let mut may_take = [false; Accelerator::ALL.len()];
        for (may, accelerator) in may_take.iter_mut().zip(Accelerator::ALL) {
            *may = consumes(take, &work_queue(accelerator)).await?;
        }
        Ok(Self {
            configure,
            publish: publisher.may(EXCHANGE).await?,
            delay: publisher.may(&delay_exchange(DELAYS - 1)).await?,
            bury: publisher.may(DEAD_EXCHANGE).await?,
            take: may_take,
        })
    }

    /// What is missing, as RabbitMQ's permissions name it.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let write = [
            (self.publish, EXCHANGE.to_owned()),
            (self.delay, delay_exchange(DELAYS - 1)),
            (self.bury, DEAD_EXCHANGE.to_owned()),
        ];
        let write = write.into_iter().filter(|(may, _)| !may);
        let read = self.take.iter().zip(Accelerator::ALL).filter(|(may, _)| !**may);
        write
            .map(|(_, exchange)| format!("write on {exchange}"))
            .chain(read.map(|(_, accelerator)| format!("read on {}", work_queue(accelerator))))
            .collect()
    }
}

/// Whether a queue may be consumed. The argument is one that the broker refuses after it has looked at the
/// permissions, so that no consumer comes to be and no message is taken.
async fn consumes(link: &Link, queue: &str) -> anyhow::Result<bool> {
    let channel = link.channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::LongString(LongString::from("none")));
    let asked = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), arguments);
    let what = format!("ask whether {queue} may be consumed");
    let answer = link.in_time(&what, async { Ok(asked.await) }).await?;
    match answer {
        Err(error) => Ok(reply_code(&error) != Some(REFUSED)),
        // A broker that does not mind.
        Ok(consumer) => {
            let ended = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            ended.await.context("failed to end a consumer")?;
            Ok(true)
        }
    }
}
