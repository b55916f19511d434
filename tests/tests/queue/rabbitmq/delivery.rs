//! What becomes of messages, beside other tests on the same node.

use super::{take, text};
use crate::{LONG, broker};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use shared::job::Accelerator;
use shared::queue::rabbitmq::{setup, topology};
use shared::queue::{Message, Queue, Settlement};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::queue_suite::{PATIENCE, expect, message};

const CPU: Accelerator = Accelerator::Cpu;
const GPU: Accelerator = Accelerator::Gpu;
const NOW: Duration = Duration::ZERO;

fn for_gpu() -> Message {
    Message {
        accelerator: GPU,
        ..message(1)
    }
}

async fn delete(channel: &Channel, queue: String) {
    let options = QueueDeleteOptions::default();
    channel
        .queue_delete(queue.as_str().into(), options)
        .await
        .expect("deletes");
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_an_error() {
    let vhost = broker().vhost().await;
    let queue = vhost.queue(LONG).await;
    let (_connection, channel) = broker().channel(vhost.name()).await;
    delete(&channel, topology::work_queue(GPU)).await;
    delete(&channel, topology::delay_queue(GPU, 1)).await;
    for delay in [NOW, Duration::from_secs(2)] {
        let error = text(queue.publish(&for_gpu(), delay).await.expect_err("must fail"));
        assert!(
            error.contains("has no queue") && error.contains("dispatcher setup"),
            "{error}"
        );
    }
    let error = text(queue.receive(GPU, NOW).await.expect_err("must fail"));
    assert!(
        error.contains("NOT_FOUND") && error.contains("trainyard.gpu"),
        "{error}"
    );
    queue.publish(&message(1), NOW).await.expect("the others still work");
    assert_eq!(take(&queue).await, 1);
    setup(&vhost.url()).await.expect("makes what is missing");
    queue.publish(&for_gpu(), NOW).await.expect("publishes");
    assert!(queue.receive(GPU, PATIENCE).await.expect("receives").is_some());
}

/// RabbitMQ then ends the consumer, and lapin its stream, without an error.
#[tokio::test]
async fn a_queue_that_is_deleted_ends_the_wait_for_it() {
    let vhost = broker().vhost().await;
    let queue = Arc::new(vhost.queue(LONG).await);
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.receive(GPU, PATIENCE).await }
    });
    let (_connection, channel) = broker().channel(vhost.name()).await;
    let asked = Instant::now();
    while consumers(&channel, topology::work_queue(GPU)).await == 0 {
        assert!(asked.elapsed() < PATIENCE, "nobody waits");
    }
    delete(&channel, topology::work_queue(GPU)).await;
    let error = text(waiting.await.expect("no panic").expect_err("must fail"));
    assert!(error.contains("trainyard.gpu"), "{error}");
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
}

async fn consumers(channel: &Channel, queue: String) -> u32 {
    let options = lapin::options::QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let declared = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
    declared.await.expect("a queue").consumer_count()
}

#[tokio::test]
async fn a_worker_that_asks_no_more_keeps_nothing_from_others() {
    let vhost = broker().vhost().await;
    let (idle, busy) = (vhost.queue(LONG).await, vhost.queue(LONG).await);
    for queue in [&idle, &busy] {
        assert!(
            queue
                .receive(CPU, Duration::from_millis(50))
                .await
                .expect("receives")
                .is_none()
        );
    }
    // The consumer of `idle` is still there for a moment and gets a message that nobody asks it for.
    for number in 0..6 {
        idle.publish(&message(number), NOW).await.expect("publishes");
    }
    let started = Instant::now();
    for _ in 0..6 {
        take(&busy).await;
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(busy.depth(CPU).await.expect("counts").ready, 0);
}

/// Each has one slot and works for a moment on each message.
#[tokio::test]
async fn workers_share_fairly() {
    const MESSAGES: u32 = 60;
    let vhost = broker().vhost().await;
    let first = vhost.queue(LONG).await;
    for number in 0..MESSAGES {
        first.publish(&message(number), NOW).await.expect("publishes");
    }
    let work = |queue: shared::queue::rabbitmq::RabbitQueue| async move {
        let mut done = 0;
        while let Some(delivery) = queue.receive(CPU, Duration::from_millis(300)).await.expect("receives") {
            tokio::time::sleep(Duration::from_millis(10)).await;
            queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
            done += 1;
        }
        done
    };
    let (first, second) = tokio::join!(work(first), work(vhost.queue(LONG).await));
    assert_eq!(first + second, MESSAGES);
    assert!(first.min(second) >= MESSAGES / 4, "{first} and {second}");
}

#[tokio::test]
async fn messages_come_soon_to_whoever_waits() {
    let vhost = broker().vhost().await;
    let queue = Arc::new(vhost.queue(LONG).await);
    let mut took = Vec::new();
    for number in 0..30 {
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { expect(&*queue).await }
        });
        let (_, channel) = broker().channel(vhost.name()).await;
        while consumers(&channel, topology::work_queue(CPU)).await == 0 {}
        let started = Instant::now();
        queue.publish(&message(number), NOW).await.expect("publishes");
        let delivery = waiting.await.expect("no panic");
        took.push(started.elapsed());
        queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
    }
    took.sort();
    println!(
        "publish to receive: median {:?}, longest {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    // Far above what it takes, far below any interval at which one could look.
    assert!(took[took.len() / 2] < Duration::from_millis(250), "{took:?}");
}

/// A delay longer than the parking queues' 1023 s arrives with a rest; here one that is nearly over.
#[tokio::test]
async fn the_rest_of_a_long_delay_is_waited_for_too() {
    let vhost = broker().vhost().await;
    let queue = vhost.queue(LONG).await;
    let (_connection, channel) = broker().channel(vhost.name()).await;
    let mut headers = FieldTable::default();
    headers.insert("trainyard-later-ms".into(), AMQPValue::LongLongInt(1500));
    let body = serde_json::to_vec(&message(1)).expect("JSON");
    let properties = BasicProperties::default().with_headers(headers);
    let options = BasicPublishOptions::default();
    let started = Instant::now();
    channel
        .basic_publish(topology::EXCHANGE.into(), "cpu".into(), options, &body, properties)
        .await
        .expect("publishes");
    let delivery = expect(&queue).await;
    assert!(
        started.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        (delivery.deliveries, delivery.message().expect("a message")),
        (1, message(1))
    );
    queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
}

#[tokio::test]
async fn dead_letters_keep_body_and_reason() {
    let vhost = broker().vhost().await;
    let queue = vhost.queue(LONG).await;
    queue
        .publish_bytes(CPU, b"\xff no message", NOW)
        .await
        .expect("publishes");
    let delivery = expect(&queue).await;
    delivery.message().expect_err("undecodable");
    let reason = "undecodable: ".to_owned() + &"ß".repeat(5000);
    queue
        .settle(delivery.receipt, Settlement::Dead { reason })
        .await
        .expect("settles");
    let (_connection, channel) = broker().channel(vhost.name()).await;
    let letter = channel
        .basic_get(topology::dead_queue(CPU).as_str().into(), BasicGetOptions::default())
        .await
        .expect("a queue")
        .expect("a letter");
    assert_eq!(letter.data, b"\xff no message");
    let headers = letter.properties.headers().clone().expect("headers");
    let Some(AMQPValue::LongString(reason)) = headers.inner().get("trainyard-reason") else {
        panic!("no reason: {headers:?}");
    };
    assert!(reason.to_string().starts_with("undecodable: ßß"), "{reason}");
}
