//! Delays, visibilities and receipts.

use super::{action, body, done, take, text};
use crate::{HOLD, LONG, SHORT};
use futures::FutureExt;
use serde_json::json;
use shared::job::Accelerator;
use shared::queue::{Depth, Queue, QueueError, Settlement};
use std::time::{Duration, Instant};
use tests::aws::AwsServer;
use tests::http_faults::{Fault, Faults};
use tests::queue_suite::{PATIENCE, expect, message};
use tests::sqs::Yard;

const CPU: Accelerator = Accelerator::Cpu;
const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn a_delay_beyond_sqs_travels_on_with_its_rest() {
    let yard = Yard::new().await;
    let queue = yard.queue(LONG, HOLD).await;
    let (rest, started) = (Duration::from_millis(1500), Instant::now());
    yard.send_later(CPU, &message(1), rest).await;
    let delivery = expect(&queue).await;
    assert!(started.elapsed() >= rest, "{:?}", started.elapsed());
    assert_eq!(
        (delivery.message().expect("ours"), delivery.deliveries),
        (message(1), 1)
    );
    done(&queue, delivery).await;
    assert_eq!(queue.depth(CPU).await.expect("counts"), Depth::default());
    queue
        .publish(&message(2), Duration::from_secs(86_400))
        .await
        .expect("publishes");
    assert_eq!(queue.depth(CPU).await.expect("counts").delayed, 1);
}

/// With a hold of seconds in the place of SQS's 12 h.
#[tokio::test]
async fn nobody_asks_to_hold_a_delivery_for_longer_than_sqs_allows() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let hold = Duration::from_secs(5);
    let queue = yard.through(faults.endpoint()).queue(SHORT, hold).await;
    queue.publish(&message(1), NOW).await.expect("publishes");
    let started = Instant::now();
    let delivery = expect(&queue).await;
    let ended = loop {
        tokio::task::yield_now().await;
        if let Err(error) = queue.extend(&delivery.receipt).await {
            break error;
        }
        let asked = faults
            .seen()
            .into_iter()
            .filter(|one| action(one) == "ChangeMessageVisibility");
        for request in asked {
            let seconds = body(&request)["VisibilityTimeout"].as_u64().expect("a number");
            assert!(started.elapsed() + Duration::from_secs(seconds) <= hold + Duration::from_secs(1));
        }
    };
    assert!(matches!(ended, QueueError::Expired), "{ended:?}");
    assert!(
        started.elapsed() + Duration::from_secs(2) >= hold,
        "{:?}",
        started.elapsed()
    );
    let again = expect(&queue).await;
    assert_eq!(again.deliveries, 2);
    let late = queue.settle(delivery.receipt, Settlement::Done).await;
    assert!(matches!(late, Err(QueueError::Expired)), "{late:?}");
    done(&queue, again).await;
    assert_eq!(queue.depth(CPU).await.expect("counts"), Depth::default());
}

#[tokio::test]
async fn an_old_receipt_does_no_harm_though_sqs_would_let_it() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let (first, second) = (
        yard.through(faults.endpoint()).queue(SHORT, HOLD).await,
        yard.queue(LONG, HOLD).await,
    );
    first.publish(&message(1), NOW).await.expect("publishes");
    let old = expect(&first).await;
    let new = expect(&second).await;
    assert_eq!(new.deliveries, 2);
    drop(faults.seen());
    let settlements = [
        Settlement::Done,
        Settlement::Release,
        Settlement::Retry { after: NOW },
        Settlement::Dead { reason: "late".into() },
    ];
    for settlement in settlements {
        let late = first.settle(old.receipt.clone(), settlement).await;
        assert!(matches!(late, Err(QueueError::Expired)), "{late:?}");
    }
    first.extend(&old.receipt).await.expect_err("expired");
    assert_eq!(faults.seen(), [], "SQS was not even asked");
    done(&second, new).await;
    assert_eq!(second.depth(CPU).await.expect("counts"), Depth::default());
}

#[tokio::test]
async fn deliveries_are_counted_over_what_sqs_and_we_count() {
    let yard = Yard::new().await;
    let queue = yard.queue(SHORT, HOLD).await;
    queue.publish(&message(1), NOW).await.expect("publishes");
    for delivered in 1..=4 {
        let delivery = expect(&queue).await;
        assert_eq!(delivery.deliveries, delivered);
        // Every second one is forgotten, and comes back by itself.
        if delivered % 2 == 0 {
            let released = queue.settle(delivery.receipt, Settlement::Release).await;
            released.expect("settles");
        }
    }
    assert_eq!(take(&queue).await, 5);
}

#[tokio::test]
async fn what_nobody_can_read_is_buried_with_the_reason() {
    let yard = Yard::new().await;
    let queue = yard.queue(LONG, HOLD).await;
    yard.send_text(CPU, "no message at all").await;
    let delivery = expect(&queue).await;
    delivery.message().expect_err("undecodable");
    let reason = format!("failed to read it \u{1}{}", "…".repeat(2000));
    queue
        .settle(delivery.receipt, Settlement::Dead { reason })
        .await
        .expect("settles");
    let dead = yard.dead_letters(CPU).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["Body"], "no message at all");
    let reason = dead[0]["MessageAttributes"]["trainyard-reason"]["StringValue"].as_str();
    assert!(reason.expect("a reason").starts_with("failed to read it …"));
    assert_eq!(
        queue.depth(CPU).await.expect("counts"),
        Depth {
            dead: 1,
            ..Depth::default()
        }
    );
}

/// Long before the visibility of ten minutes ends.
#[tokio::test]
async fn what_came_for_a_caller_that_left_is_given_back() {
    let yard = Yard::new().await;
    let (left, other) = (yard.queue(LONG, HOLD).await, yard.queue(LONG, HOLD).await);
    // Dropped before there is a message, and after.
    drop(left.receive(CPU, PATIENCE).now_or_never());
    left.publish(&message(1), NOW).await.expect("publishes");
    drop(left.receive(CPU, PATIENCE).now_or_never());
    take(&other).await;
    // A wait that is shorter than a poll: what it brings is the next caller's, or goes back.
    for next in [&left, &other] {
        let none = left.receive(CPU, Duration::from_millis(50)).await.expect("receives");
        assert!(none.is_none(), "{none:?}");
        left.publish(&message(2), NOW).await.expect("publishes");
        take(next).await;
    }
    assert_eq!(other.depth(CPU).await.expect("counts"), Depth::default());
}

#[tokio::test]
async fn digests_of_another_message_are_an_error() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let queue = yard.through(faults.endpoint()).queue(LONG, HOLD).await;
    let other = json!({"MessageId": "1", "MD5OfMessageBody": "0cc175b9c0f1b6a831c399e269772661"}).to_string();
    faults.next(
        |one| action(one) == "SendMessage",
        Fault::Answer(200, Vec::new(), other),
    );
    let error = text(queue.publish(&message(1), NOW).await.expect_err("another message"));
    assert!(error.contains("digests differ"), "{error}");
    let other = json!({"Messages": [{"MessageId": "1", "ReceiptHandle": "r", "Body": "b",
                                     "MD5OfBody": "0cc175b9c0f1b6a831c399e269772661"}]});
    let fault = Fault::Answer(200, Vec::new(), other.to_string());
    faults.next(|one| action(one) == "ReceiveMessage", fault);
    let error = text(queue.receive(CPU, PATIENCE).await.expect_err("damaged"));
    assert!(error.contains("came damaged"), "{error}");
}
