//! Faults that concern the whole node: each test has it alone.

use super::{take, text};
use crate::{LONG, broker};
use shared::job::Accelerator;
use shared::queue::rabbitmq::{Limits, RabbitQueue, setup};
use shared::queue::{Message, Queue, QueueError, Settlement};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::queue_suite::{PATIENCE, expect, message};
use tests::rabbitmq::{ADMIN, Broker};

const CPU: Accelerator = Accelerator::Cpu;
const NOW: Duration = Duration::ZERO;

/// A queue in the virtual host that only these tests use, empty.
async fn queue(broker: &Broker, answer: Duration) -> RabbitQueue {
    let limits = Limits {
        visibility: LONG,
        answer,
    };
    let url = broker.url(ADMIN, "alone");
    setup(&url).await.expect("sets up");
    let queue = RabbitQueue::connect(&url, limits).await.expect("a queue");
    while let Some(delivery) = queue.receive(CPU, NOW).await.expect("receives") {
        queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
    }
    queue
}

fn assert_expired(result: Result<(), QueueError>) {
    assert!(matches!(result, Err(QueueError::Expired)), "{result:?}");
}

/// The broker closes the channel (406) under a job that is longer than its timer.
#[tokio::test]
async fn a_job_longer_than_the_brokers_timer_costs_a_second_delivery() {
    const SHORT: &str = "application:set_env(rabbit, consumer_timeout, 2000), \
                         application:set_env(rabbit, channel_tick_interval, 500).";
    const USUAL: &str = "application:set_env(rabbit, consumer_timeout, 1800000), \
                         application:set_env(rabbit, channel_tick_interval, 60000).";
    let broker = broker();
    let _alone = broker.alone().await;
    broker.ctl(&["eval", SHORT]).await;
    let queue = queue(broker, Limits::default().answer).await;
    queue.publish(&message(1), NOW).await.expect("publishes");
    let first = expect(&queue).await;
    queue.extend(&first.receipt).await.expect("it is in hand");
    let started = Instant::now();
    let second = expect(&queue).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(
        (second.deliveries, second.message().expect("a message")),
        (2, message(1))
    );
    assert_expired(queue.extend(&first.receipt).await);
    for settlement in [Settlement::Release, Settlement::Done] {
        assert_expired(queue.settle(first.receipt.clone(), settlement).await);
    }
    queue
        .settle(second.receipt, Settlement::Done)
        .await
        .expect("the second is unharmed");
    queue.publish(&message(2), NOW).await.expect("publishes");
    assert_eq!(take(&queue).await, 1, "nothing came twice, and receiving goes on");
    broker.ctl(&["eval", USUAL]).await;
}

#[tokio::test]
async fn a_broker_out_of_disk_refuses_in_time_and_works_again_afterwards() {
    let broker = broker();
    let _alone = broker.alone().await;
    let queue = queue(broker, Duration::from_secs(2)).await;
    for number in 0..2 {
        queue.publish(&message(number), NOW).await.expect("publishes");
    }
    let (done, retried) = (expect(&queue).await, expect(&queue).await);
    broker.ctl(&["set_disk_free_limit", "1000000GB"]).await;
    for _ in 0..2 {
        let started = Instant::now();
        let error = text(queue.publish(&message(2), NOW).await.expect_err("must fail"));
        assert!(error.contains("short of memory or disk"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
    queue
        .settle(done.receipt, Settlement::Done)
        .await
        .expect("acknowledging needs no disk");
    let again = Settlement::Retry { after: NOW };
    let refused = queue.settle(retried.receipt.clone(), again.clone()).await;
    assert!(matches!(refused, Err(QueueError::Unavailable { .. })), "{refused:?}");
    broker.ctl(&["set_disk_free_limit", "1MB"]).await;
    queue.settle(retried.receipt, again).await.expect("it was kept in hand");
    queue.publish(&message(3), NOW).await.expect("publishes again");
    // What was refused may have been on its way, what was acknowledged is gone.
    let others = all_come(&queue, &[1, 3]).await;
    assert!(!others.contains(&message(0)), "{others:?}");
}

#[tokio::test]
async fn a_broker_that_is_killed_and_comes_back_has_every_message() {
    let broker = broker();
    let _alone = broker.alone().await;
    let queue = Arc::new(queue(broker, Limits::default().answer).await);
    for number in 0..5 {
        queue.publish(&message(number), NOW).await.expect("publishes");
    }
    queue
        .publish(&message(5), Duration::from_secs(2))
        .await
        .expect("publishes");
    let in_hand = expect(&*queue).await;
    broker.ask("stop".into()).await;
    let error = text(queue.receive(CPU, NOW).await.expect_err("nobody answers"));
    assert!(error.contains("127.0.0.1"), "{error}");
    text(queue.publish(&message(9), NOW).await.expect_err("nobody answers"));
    assert_expired(queue.extend(&in_hand.receipt).await);
    broker.ask("start".into()).await;
    assert_expired(queue.settle(in_hand.receipt, Settlement::Done).await);
    all_come(&*queue, &[0, 1, 2, 3, 4, 5]).await;
    // Killed again while somebody waits, as a worker does: errors are waited out.
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { all_come(&*queue, &[7]).await }
    });
    broker.ask("stop".into()).await;
    broker.ask("start".into()).await;
    queue.publish(&message(7), NOW).await.expect("publishes");
    waiting.await.expect("it came");
}

/// Receives until each of these came, at least once; what else came.
async fn all_come(queue: &dyn Queue, numbers: &[u32]) -> Vec<Message> {
    let mut missing: Vec<Message> = numbers.iter().map(|number| message(*number)).collect();
    let mut others = Vec::new();
    let started = Instant::now();
    while !missing.is_empty() {
        assert!(started.elapsed() < 2 * PATIENCE, "{missing:?}");
        match queue.receive(CPU, Duration::from_secs(1)).await {
            Ok(Some(delivery)) => {
                let received = delivery.message().expect("a message");
                missing.retain(|one| *one != received);
                others.push(received);
                queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
            }
            Ok(None) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    others
}
