//! What every [`Queue`] promises, one promise a function.
//!
//! Each takes an empty queue of its own. Those that wait for a visibility to end take one whose visibility is short
//! and say how long it is. A backend passes if every function returns. Nothing here knows which backend it is.

use futures::FutureExt;
use futures::future::join_all;
use shared::job::{Accelerator, JobId};
use shared::queue::{Delivery, Depth, Message, Queue, QueueError, Settlement};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than any backend takes to deliver what can be delivered.
pub const PATIENCE: Duration = Duration::from_secs(30);

const CPU: Accelerator = Accelerator::Cpu;
const NOW: Duration = Duration::ZERO;

/// The `number`-th message of a test.
pub fn message(number: u32) -> Message {
    let job = JobId::try_from(format!("{number:032x}")).expect("a job id");
    Message {
        schema: 1,
        job,
        accelerator: CPU,
        postponed: 0,
    }
}

/// What is delivered within [`PATIENCE`].
///
/// # Panics
/// If nothing is.
pub async fn expect(queue: &dyn Queue) -> Delivery {
    queue
        .receive(CPU, PATIENCE)
        .await
        .expect("receives")
        .expect("a message")
}

async fn expect_nothing(queue: &dyn Queue) {
    let delivery = queue.receive(CPU, Duration::from_millis(100)).await.expect("receives");
    assert!(delivery.is_none(), "{delivery:?}");
}

fn assert_expired(result: Result<(), QueueError>) {
    assert!(matches!(result, Err(QueueError::Expired)), "{result:?}");
}

/// What was published comes, as it was.
pub async fn messages_come_as_they_were(queue: &dyn Queue) {
    let sent = Message {
        postponed: 7,
        ..message(1)
    };
    queue.publish(&sent, NOW).await.expect("publishes");
    let delivery = expect(queue).await;
    assert_eq!(delivery.message().expect("a message"), sent);
    assert_eq!(delivery.deliveries, 1);
    queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
}

/// An empty queue says so, after it was waited for.
pub async fn empty_queues_are_waited_for(queue: &dyn Queue) {
    assert!(queue.receive(CPU, NOW).await.expect("receives").is_none());
    let (wait, started) = (Duration::from_millis(200), Instant::now());
    assert!(queue.receive(CPU, wait).await.expect("receives").is_none());
    assert!(started.elapsed() >= wait);
    assert_eq!(queue.depth(CPU).await.expect("counts"), Depth::default());
}

/// Who waits is served as soon as there is something, not when the wait is over.
pub async fn waiting_receivers_are_served_at_once(queue: Arc<dyn Queue>) {
    let started = Instant::now();
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            queue
                .receive(CPU, PATIENCE)
                .await
                .expect("receives")
                .expect("a message")
        }
    });
    expect_nothing_yet(&waiting);
    queue.publish(&message(1), NOW).await.expect("publishes");
    let delivery = waiting.await.expect("no panic");
    assert_eq!(delivery.message().expect("a message"), message(1));
    assert!(started.elapsed() < PATIENCE / 3, "{:?}", started.elapsed());
}

fn expect_nothing_yet(waiting: &tokio::task::JoinHandle<Delivery>) {
    assert!(!waiting.is_finished(), "something came out of an empty queue");
}

/// A delayed message comes, and not before its time.
pub async fn delayed_messages_come_after_their_delay(queue: &dyn Queue) {
    let (delay, started) = (Duration::from_millis(1500), Instant::now());
    queue.publish(&message(1), delay).await.expect("publishes");
    queue.publish(&message(2), NOW).await.expect("publishes");
    let first = expect(queue).await;
    assert_eq!(first.message().expect("a message"), message(2));
    assert_eq!(expect(queue).await.message().expect("a message"), message(1));
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
}

/// Every accelerator has its own queue.
pub async fn accelerators_have_their_own_queues(queue: &dyn Queue) {
    let accelerators = [Accelerator::Cpu, Accelerator::Gpu, Accelerator::Inf1];
    for (number, accelerator) in accelerators.into_iter().enumerate() {
        let message = Message {
            accelerator,
            ..message(u32::try_from(number).expect("small"))
        };
        queue.publish(&message, NOW).await.expect("publishes");
    }
    for accelerator in accelerators {
        let delivery = queue
            .receive(accelerator, PATIENCE)
            .await
            .expect("receives")
            .expect("a message");
        assert_eq!(delivery.message().expect("a message").accelerator, accelerator);
        assert!(queue.receive(accelerator, NOW).await.expect("receives").is_none());
    }
}

/// What one has in hand, no other gets.
pub async fn messages_in_hand_are_hidden(queue: &dyn Queue) {
    queue.publish(&message(1), NOW).await.expect("publishes");
    let delivery = expect(queue).await;
    expect_nothing(queue).await;
    queue.extend(&delivery.receipt).await.expect("extends");
    expect_nothing(queue).await;
    queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
}

/// What is done with never comes again.
pub async fn done_messages_are_gone(queue: &dyn Queue) {
    queue.publish(&message(1), NOW).await.expect("publishes");
    queue
        .settle(expect(queue).await.receipt, Settlement::Done)
        .await
        .expect("settles");
    expect_nothing(queue).await;
    assert_eq!(queue.depth(CPU).await.expect("counts"), Depth::default());
}

/// What was released comes again at once, and is counted.
pub async fn released_messages_come_again_at_once(queue: &dyn Queue) {
    queue.publish(&message(1), NOW).await.expect("publishes");
    for delivered in 1..=5 {
        let delivery = expect(queue).await;
        assert_eq!(delivery.deliveries, delivered);
        assert_eq!(delivery.message().expect("a message"), message(1));
        queue
            .settle(delivery.receipt, Settlement::Release)
            .await
            .expect("settles");
    }
}

/// What is to be tried later comes later.
pub async fn retried_messages_come_after_their_delay(queue: &dyn Queue) {
    queue.publish(&message(1), NOW).await.expect("publishes");
    let delivery = expect(queue).await;
    let (after, started) = (Duration::from_millis(1500), Instant::now());
    queue
        .settle(delivery.receipt, Settlement::Retry { after })
        .await
        .expect("settles");
    expect_nothing(queue).await;
    let again = expect(queue).await;
    assert!(started.elapsed() >= after, "{:?}", started.elapsed());
    assert_eq!((again.deliveries, again.message().expect("a message")), (2, message(1)));
}

/// The dead stay dead, and are counted.
pub async fn dead_messages_never_come_again(queue: &dyn Queue) {
    queue.publish(&message(1), NOW).await.expect("publishes");
    let dead = Settlement::Dead {
        reason: "nobody can read it".into(),
    };
    queue.settle(expect(queue).await.receipt, dead).await.expect("settles");
    expect_nothing(queue).await;
    assert_eq!(
        queue.depth(CPU).await.expect("counts"),
        Depth {
            dead: 1,
            ..Depth::default()
        }
    );
}

/// A receipt is good for one settlement.
pub async fn receipts_settle_once(queue: &dyn Queue) {
    let settlements = [
        Settlement::Done,
        Settlement::Release,
        Settlement::Retry { after: NOW },
        Settlement::Dead { reason: "test".into() },
    ];
    for first in &settlements {
        queue.publish(&message(1), NOW).await.expect("publishes");
        let receipt = expect(queue).await.receipt;
        queue.settle(receipt.clone(), first.clone()).await.expect("settles");
        assert_expired(queue.extend(&receipt).await);
        for second in &settlements {
            assert_expired(queue.settle(receipt.clone(), second.clone()).await);
        }
        if matches!(first, Settlement::Release | Settlement::Retry { .. }) {
            queue
                .settle(expect(queue).await.receipt, Settlement::Done)
                .await
                .expect("settles");
        }
        expect_nothing(queue).await;
    }
}

/// When a visibility ends the message comes again, and the first receipt is worth nothing any more.
pub async fn forgotten_messages_come_again(queue: &dyn Queue, visibility: Duration) {
    queue.publish(&message(1), NOW).await.expect("publishes");
    let started = Instant::now();
    let first = expect(queue).await;
    let second = expect(queue).await;
    assert!(started.elapsed() >= visibility, "{:?}", started.elapsed());
    assert_eq!(
        (second.deliveries, second.message().expect("a message")),
        (2, message(1))
    );
    assert_expired(queue.extend(&first.receipt).await);
    assert_expired(queue.settle(first.receipt, Settlement::Done).await);
    queue
        .settle(second.receipt, Settlement::Done)
        .await
        .expect("the second holder is unharmed");
}

/// Who extends in time keeps the message however long it takes.
pub async fn extended_messages_stay_in_hand(queue: &dyn Queue, visibility: Duration) {
    queue.publish(&message(1), NOW).await.expect("publishes");
    let delivery = expect(queue).await;
    let started = Instant::now();
    while started.elapsed() < visibility * 3 {
        assert!(queue.receive(CPU, visibility / 8).await.expect("receives").is_none());
        queue.extend(&delivery.receipt).await.expect("extends");
    }
    queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
}

/// A receive that its caller gave up loses no message.
pub async fn abandoned_receives_lose_nothing(queue: &dyn Queue) {
    for number in 0..10 {
        queue.publish(&message(number), NOW).await.expect("publishes");
    }
    for _ in 0..10 {
        // Polled once and dropped: the request is on its way.
        drop(queue.receive(CPU, PATIENCE).now_or_never());
    }
    let mut left: BTreeSet<u32> = (0..10).collect();
    while !left.is_empty() {
        let delivery = expect(queue).await;
        let received = delivery.message().expect("a message");
        left.retain(|number| message(*number) != received);
        queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
    }
}

/// Of several receivers, each message goes to one.
pub async fn messages_go_to_one_receiver(queue: Arc<dyn Queue>) {
    const MESSAGES: u32 = 100;
    let publish = |number| {
        let queue = Arc::clone(&queue);
        async move { queue.publish(&message(number), NOW).await.expect("publishes") }
    };
    join_all((0..MESSAGES).map(publish)).await;
    let receiver = |_| {
        let queue = Arc::clone(&queue);
        async move {
            let mut received = Vec::new();
            while let Some(delivery) = queue.receive(CPU, NOW).await.expect("receives") {
                received.push(delivery.message().expect("a message").job);
                queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
            }
            received
        }
    };
    let received: Vec<JobId> = join_all((0..6).map(receiver)).await.into_iter().flatten().collect();
    let distinct: BTreeSet<&JobId> = received.iter().collect();
    assert_eq!((received.len(), distinct.len()), (MESSAGES as usize, MESSAGES as usize));
}

/// Counts are what they say.
pub async fn depths_count_every_state(queue: &dyn Queue) {
    for number in 0..6 {
        let delay = if number < 4 { NOW } else { Duration::from_secs(600) };
        queue.publish(&message(number), delay).await.expect("publishes");
    }
    let _in_flight = expect(queue).await;
    let buried = expect(queue).await;
    queue
        .settle(buried.receipt, Settlement::Dead { reason: "test".into() })
        .await
        .expect("settles");
    let depth = queue.depth(CPU).await.expect("counts");
    assert_eq!(
        depth,
        Depth {
            ready: 2,
            delayed: 2,
            in_flight: 1,
            dead: 1
        }
    );
    assert_eq!(queue.depth(Accelerator::Gpu).await.expect("counts"), Depth::default());
}
