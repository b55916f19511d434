//! Waiting for a message without polling and without taking what nobody asked for.

use super::hands::Hand;
use super::publisher::{DELIVERIES, LATER, is_probe, number};
use super::{Inner, topology};
use crate::job::Accelerator;
use crate::queue::Delivery;
use anyhow::{Context, anyhow};
use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer, message};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a consumer stays after a call that found nothing: the next call of a worker's loop takes it over. A message
/// that comes meanwhile waits for that call, or goes back to the queue.
const LINGER: Duration = Duration::from_millis(500);

/// Where the answer of a `receive` goes.
pub(super) type Answer = oneshot::Sender<anyhow::Result<Option<Delivery>>>;

/// Consumers between two calls.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    last: AtomicU64,
    consumers: Mutex<Vec<Standing>>,
}

/// A consumer with room for one message.
#[derive(Debug)]
struct Standing {
    id: u64,
    accelerator: Accelerator,
    channel: Channel,
    consumer: Consumer,
}

/// What a call came to.
enum Came {
    Message(Hand),
    /// Nothing, and the consumer that waited for it, if one did.
    Nothing(Option<Standing>),
}

impl Waiting {
    fn consumers(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, matching: impl Fn(&Standing) -> bool) -> Option<Standing> {
        let mut all = self.consumers();
        let at = all.iter().position(matching)?;
        Some(all.swap_remove(at))
    }
}

/// One call of `receive`.
pub(super) async fn receive(inner: Arc<Inner>, accelerator: Accelerator, wait: Duration, mut answer: Answer) {
    let came = next(&inner, accelerator, wait, &mut answer).await;
    let standing = match came {
        Err(error) => {
            // A caller that is gone needs no answer.
            let _ = answer.send(Err(error));
            return;
        }
        Ok(Came::Message(hand)) => {
            let (body, deliveries) = (hand.body.clone(), hand.deliveries);
            let receipt = inner.hands.hold(hand);
            let delivery = Delivery {
                body,
                receipt: receipt.clone(),
                deliveries,
            };
            if answer.send(Ok(Some(delivery))).is_err() {
                inner.hands.let_go(&receipt);
            }
            return;
        }
        Ok(Came::Nothing(standing)) => standing,
    };
    let id = standing.map(|mut standing| {
        standing.id = inner.waiting.last.fetch_add(1, Ordering::Relaxed);
        let id = standing.id;
        inner.waiting.consumers().push(standing);
        id
    });
    let _ = answer.send(Ok(None));
    if let Some(id) = id {
        tokio::time::sleep(LINGER).await;
        // Closing the channel gives a message back that came meanwhile.
        drop(inner.waiting.take(|standing| standing.id == id));
    }
}

async fn next(inner: &Inner, accelerator: Accelerator, wait: Duration, answer: &mut Answer) -> anyhow::Result<Came> {
    let deadline = Instant::now() + wait;
    loop {
        let taken_over = inner.waiting.take(|standing| standing.accelerator == accelerator);
        let is_fresh = taken_over.is_none();
        let mut standing = match taken_over {
            Some(standing) => standing,
            None => {
                let channel = inner.take.channel().await?;
                if let Some(delivery) = get(inner, &channel, accelerator).await? {
                    match in_hand(inner, accelerator, channel, delivery).await? {
                        Some(hand) => return Ok(Came::Message(hand)),
                        None => continue,
                    }
                }
                if wait.is_zero() {
                    inner.take.give_back(channel);
                    return Ok(Came::Nothing(None));
                }
                consume(inner, accelerator, channel).await?
            }
        };
        let came = tokio::select! {
            biased;
            came = standing.consumer.next() => came,
            () = tokio::time::sleep_until(deadline) => return Ok(Came::Nothing(Some(standing))),
            () = answer.closed() => return Ok(Came::Nothing(Some(standing))),
        };
        match came {
            Some(Ok(delivery)) => {
                let channel = leave(standing).await?;
                if let Some(hand) = in_hand(inner, accelerator, channel, delivery).await? {
                    return Ok(Came::Message(hand));
                }
            }
            // Broken while it stood or now, by a restart for example: the next round opens what is missing.
            _ if !is_fresh => {}
            Some(Err(error)) => return Err(anyhow!(error).context("failed to wait for a message")),
            // The stream ends without an error when the queue is deleted or moves to another node.
            None => {
                return Err(anyhow!(
                    "the broker ended the consumer of {}",
                    topology::work_queue(accelerator)
                ));
            }
        }
    }
}

async fn get(inner: &Inner, channel: &Channel, accelerator: Accelerator) -> anyhow::Result<Option<message::Delivery>> {
    let queue = topology::work_queue(accelerator);
    let asked = async {
        Ok(channel
            .basic_get(queue.as_str().into(), BasicGetOptions::default())
            .await?)
    };
    let got = inner.take.in_time("ask for a message", asked).await?;
    Ok(got.map(|message| message.delivery))
}

async fn consume(inner: &Inner, accelerator: Accelerator, channel: Channel) -> anyhow::Result<Standing> {
    let queue = topology::work_queue(accelerator);
    let options = BasicConsumeOptions::default();
    let asked = channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
    let consumer = inner
        .take
        .in_time("begin to wait for messages", async { Ok(asked.await?) })
        .await?;
    Ok(Standing {
        id: 0,
        accelerator,
        channel,
        consumer,
    })
}

/// Ends the consumer and keeps the message in hand on its channel. Frames keep their order, so that the broker reads
/// this before any acknowledgement, which would make room for another message.
async fn leave(standing: Standing) -> anyhow::Result<Channel> {
    let options = BasicCancelOptions { nowait: true };
    let cancelled = standing.channel.basic_cancel(standing.consumer.tag(), options).await;
    cancelled.context("failed to end a consumer")?;
    Ok(standing.channel)
}

/// A message as it is handed over; `None` where its delay is longer than the parking queues': it is sent on; and where
/// it is a probe, which has arrived.
async fn in_hand(
    inner: &Inner,
    accelerator: Accelerator,
    channel: Channel,
    delivery: message::Delivery,
) -> anyhow::Result<Option<Hand>> {
    let header = |name| number(&delivery.properties, name).and_then(|found| u32::try_from(found).ok());
    // Quorum queues count, others only say that it is not the first time.
    let here = header("x-delivery-count")
        .unwrap_or_default()
        .max(delivery.redelivered.into());
    let before = header(DELIVERIES).unwrap_or_default().saturating_add(here);
    if is_probe(&delivery.properties) {
        if delivery.acker.ack(BasicAckOptions::default()).await? {
            inner.take.give_back(channel);
        }
        return Ok(None);
    }
    let later = number(&delivery.properties, LATER).and_then(|left| u64::try_from(left).ok());
    let hand = Hand {
        accelerator,
        channel,
        acker: delivery.acker,
        body: delivery.data,
        deliveries: before.saturating_add(1),
    };
    match later {
        Some(left) if left > 0 => {
            let left = Duration::from_millis(left);
            inner.send(accelerator, &hand.body, left, before).await?;
            if hand.acker.ack(BasicAckOptions::default()).await? {
                inner.take.give_back(hand.channel);
            }
            Ok(None)
        }
        _ => Ok(Some(hand)),
    }
}
