//! Long polls, each a task that ends by itself: one that is cut off in the middle could take a message with it.

use super::envelope::{self, Envelope};
use super::hands::Hand;
use super::{Inner, seconds};
use crate::job::Accelerator;
use crate::queue::Delivery;
use anyhow::{Context, ensure};
use aws_sdk_sqs::types::MessageSystemAttributeName;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long what a poll brought waits for the next call of a worker's loop, before it is given back.
const LINGER: Duration = Duration::from_millis(500);
/// SQS's longest poll.
const LONGEST_POLL: u64 = 20;
/// A server that does not wait is not asked more often.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the answer of a `receive` goes.
pub(super) type Answer = oneshot::Sender<anyhow::Result<Option<Delivery>>>;

/// Polls between two calls.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    last: AtomicU64,
    polls: Mutex<Vec<Poll>>,
}

/// A poll that runs or has ended.
#[derive(Debug)]
struct Poll {
    id: u64,
    accelerator: Accelerator,
    started: Instant,
    /// When SQS answers at the latest.
    until: Instant,
    came: oneshot::Receiver<anyhow::Result<Option<Brought>>>,
}

/// A message that a poll brought. Dropped without being taken, it is given back.
#[derive(Debug)]
struct Brought {
    inner: Arc<Inner>,
    hand: Option<Hand>,
}

impl Brought {
    fn take(mut self) -> Option<Hand> {
        self.hand.take()
    }
}

impl Drop for Brought {
    fn drop(&mut self) {
        let inner = Arc::clone(&self.inner);
        // Without a runtime this process ends, and the message comes again when its visibility does.
        if let (Some(hand), Ok(runtime)) = (self.hand.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { give_back(&inner, &hand).await });
        }
    }
}

impl Waiting {
    fn polls(&self) -> MutexGuard<'_, Vec<Poll>> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, matching: impl Fn(&Poll) -> bool) -> Option<Poll> {
        let mut all = self.polls();
        let at = all.iter().position(matching)?;
        Some(all.swap_remove(at))
    }
}

/// One call of `receive`.
pub(super) async fn receive(inner: Arc<Inner>, accelerator: Accelerator, wait: Duration, mut answer: Answer) {
    let found = tokio::select! {
        biased;
        found = next(&inner, accelerator, wait) => found,
        // The poll goes on by itself, and what it brings is given back.
        () = answer.closed() => return,
    };
    match found {
        Err(error) => {
            // A caller that is gone needs no answer.
            let _ = answer.send(Err(error));
        }
        Ok((Some(hand), _)) => deliver(&inner, hand, answer).await,
        Ok((None, poll)) => {
            let left = poll.map(|poll| (poll.id, poll.until + LINGER, inner.waiting.polls().push(poll)));
            let _ = answer.send(Ok(None));
            if let Some((id, until, ())) = left {
                tokio::time::sleep_until(until).await;
                drop(inner.waiting.take(|poll| poll.id == id));
            }
        }
    }
}

async fn deliver(inner: &Inner, hand: Hand, answer: Answer) {
    let (body, deliveries) = (hand.body.clone().into_bytes(), hand.deliveries);
    let receipt = inner.hands.hold(hand.clone(), inner.address.limits.visibility);
    let delivery = Delivery {
        body,
        receipt: receipt.clone(),
        deliveries,
    };
    if answer.send(Ok(Some(delivery))).is_err() {
        inner.hands.let_go(&receipt);
        give_back(inner, &hand).await;
    }
}

/// The next message; or none, with the poll that may still bring one.
async fn next(
    inner: &Arc<Inner>,
    accelerator: Accelerator,
    wait: Duration,
) -> anyhow::Result<(Option<Hand>, Option<Poll>)> {
    let deadline = Instant::now() + wait;
    if wait.is_zero() {
        return Ok((at_once(inner, accelerator).await?, None));
    }
    loop {
        let taken_over = inner.waiting.take(|poll| poll.accelerator == accelerator);
        let is_fresh = taken_over.is_none();
        let left = deadline.saturating_duration_since(Instant::now());
        let whole = (left.as_secs() + u64::from(left.subsec_nanos() > 0)).clamp(1, LONGEST_POLL);
        let mut poll = taken_over.unwrap_or_else(|| start(inner, accelerator, whole));
        // A poll of just as long as the caller waits is awaited to its end.
        let patience = if poll.until <= deadline + PAUSE {
            LINGER
        } else {
            Duration::ZERO
        };
        let came = tokio::select! {
            biased;
            came = &mut poll.came => came,
            () = tokio::time::sleep_until(deadline + patience) => return Ok((None, Some(poll))),
        };
        match came.context("the poll ended").flatten() {
            Ok(Some(brought)) => return Ok((brought.take(), None)),
            Ok(None) if Instant::now() >= deadline => return Ok((None, None)),
            Ok(None) => tokio::time::sleep_until(deadline.min(poll.started + PAUSE)).await,
            // Of an earlier call, that nobody was told of: SQS may be back by now.
            Err(_) if !is_fresh => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is there now. A poll that still runs is left to bring its message to whoever waits.
async fn at_once(inner: &Arc<Inner>, accelerator: Accelerator) -> anyhow::Result<Option<Hand>> {
    let brought = {
        let mut all = inner.waiting.polls();
        let ours = all.iter_mut().filter(|poll| poll.accelerator == accelerator);
        ours.filter_map(|poll| poll.came.try_recv().ok()?.ok()?).next()
    };
    let brought = match brought {
        Some(brought) => Some(brought),
        None => start(inner, accelerator, 0).came.await??,
    };
    Ok(brought.and_then(Brought::take))
}

fn start(inner: &Arc<Inner>, accelerator: Accelerator, whole: u64) -> Poll {
    let (answer, came) = oneshot::channel();
    let (inner, started) = (Arc::clone(inner), Instant::now());
    let id = inner.waiting.last.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let came = poll(&inner, accelerator, whole).await;
        let brought = came.map(|hand| {
            hand.map(|hand| Brought {
                inner,
                hand: Some(hand),
            })
        });
        // Nobody waits any more: it is given back by being dropped.
        drop(answer.send(brought));
    });
    Poll {
        id,
        accelerator,
        started,
        until: started + Duration::from_secs(whole),
        came,
    }
}

/// A message that nobody took.
async fn give_back(inner: &Inner, hand: &Hand) {
    if let Err(refused) = inner.hide(hand, Duration::ZERO).await {
        let error = anyhow::Error::from(refused);
        tracing::debug!("the message comes again when its visibility ends: {error:#}");
    }
}

/// One poll; a message whose delay is longer than SQS's is sent on, and the poll begins anew.
async fn poll(inner: &Inner, accelerator: Accelerator, whole: u64) -> anyhow::Result<Option<Hand>> {
    let until = Instant::now() + Duration::from_secs(whole);
    loop {
        let asked = Instant::now();
        let wait = Duration::from_secs(until.saturating_duration_since(asked).as_millis().div_ceil(1000) as u64);
        let Some((hand, later)) = ask(inner, accelerator, wait, asked).await? else {
            return Ok(None);
        };
        if later.is_zero() {
            return Ok(Some(hand));
        }
        let before = hand.deliveries.saturating_sub(1);
        inner.send(accelerator, &hand.body, later, before).await?;
        // Where it is not deleted it comes again, and is sent on twice.
        inner.delete(&hand).await?;
    }
}

async fn ask(
    inner: &Inner,
    accelerator: Accelerator,
    wait: Duration,
    asked: Instant,
) -> anyhow::Result<Option<(Hand, Duration)>> {
    let call = inner
        .service
        .client
        .receive_message()
        .queue_url(inner.work(accelerator)?)
        .max_number_of_messages(1)
        .wait_time_seconds(seconds(wait))
        .visibility_timeout(seconds(inner.address.limits.visibility))
        .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
        .message_attribute_names(envelope::DELIVERIES)
        .message_attribute_names(envelope::LATER);
    let answer = inner.service.call("receive a message", wait, call.send()).await?;
    let Some(message) = answer.messages.unwrap_or_default().into_iter().next() else {
        return Ok(None);
    };
    let Envelope { deliveries, later, .. } = Envelope::of(&message);
    let deliveries = deliveries.saturating_add(envelope::receives(&message));
    let body = message.body.unwrap_or_default();
    ensure!(
        message.md5_of_body.as_deref() == Some(envelope::digest(&body).as_str()),
        "a message came damaged: its digest differs"
    );
    let hand = Hand {
        accelerator,
        id: message.message_id.unwrap_or_default(),
        handle: message.receipt_handle.unwrap_or_default(),
        body,
        deliveries,
        asked,
        turn: Arc::default(),
    };
    Ok(Some((hand, later)))
}
