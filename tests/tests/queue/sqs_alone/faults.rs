//! SQS that fails, throttles, forgets what it was asked or that it answered: no message is lost, a failed publish is
//! told, and what was asked again is there twice at the most.

use super::{action, text};
use crate::{HOLD, LONG, SHORT};
use futures::StreamExt;
use shared::job::Accelerator;
use shared::queue::sqs::{Limits, SqsQueue};
use shared::queue::{Depth, Queue, QueueError, Settlement};
use std::time::Duration;
use tests::aws::AwsServer;
use tests::http_faults::{Fault, Faults};
use tests::queue_suite::{PATIENCE, expect, message};
use tests::sqs::Yard;

const CPU: Accelerator = Accelerator::Cpu;
const NOW: Duration = Duration::ZERO;

fn refusals() -> [(Fault, &'static str); 3] {
    let error = |code: &str| format!(r#"{{"__type": "com.amazonaws.sqs#{code}", "message": "not now"}}"#);
    [
        (
            Fault::Answer(500, Vec::new(), error("InternalFailure")),
            "InternalFailure",
        ),
        (
            Fault::Answer(400, Vec::new(), error("RequestThrottled")),
            "RequestThrottled",
        ),
        (Fault::Answer(503, Vec::new(), "<html>".into()), "503"),
    ]
}

/// Faults before a request was done, and one after.
fn all() -> Vec<(Fault, bool)> {
    let refused = refusals().into_iter().map(|(fault, _)| (fault, false));
    refused
        .chain([(Fault::LostRequest, false), (Fault::LostReply, true)])
        .collect()
}

async fn open(yard: &Yard, faults: &Faults, visibility: Duration) -> SqsQueue {
    yard.through(faults.endpoint()).queue(visibility, HOLD).await
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, QueueError>) -> String {
    match result {
        Err(error @ QueueError::Unavailable { .. }) => text(error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_publish_that_failed_is_told_and_may_be_there() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let queue = open(&yard, &faults, LONG).await;
    for (fault, is_done) in all() {
        faults.next(|one| action(one) == "SendMessage", fault.clone());
        assert_unavailable(queue.publish(&message(1), NOW).await);
        assert_eq!(faults.left(), 0);
        let there = queue.depth(CPU).await.expect("counts").ready;
        assert_eq!(there, u64::from(is_done), "{fault:?}");
    }
    queue.publish(&message(1), NOW).await.expect("publishes");
    assert_eq!(queue.depth(CPU).await.expect("counts").ready, 2, "twice at the most");
}

#[tokio::test]
async fn errors_say_what_sqs_said() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let queue = open(&yard, &faults, LONG).await;
    for (fault, says) in refusals() {
        faults.next(|_| true, fault);
        let error = assert_unavailable(queue.depth(CPU).await);
        assert!(error.contains(says) && error.contains(&yard.url()), "{error}");
    }
}

#[tokio::test]
async fn a_receive_that_failed_loses_no_message() {
    for (fault, _) in all() {
        let yard = Yard::new().await;
        let faults = Faults::before(AwsServer::get().endpoint()).await;
        let queue = open(&yard, &faults, SHORT).await;
        queue.publish(&message(1), NOW).await.expect("publishes");
        faults.next(|one| action(one) == "ReceiveMessage", fault);
        assert_unavailable(queue.receive(CPU, PATIENCE).await);
        let delivery = expect(&queue).await;
        assert_eq!(delivery.message().expect("ours"), message(1));
        queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
    }
}

/// Whatever fails when a delivery is ended: its message is there once more, twice at the most, and dead or alive as asked.
#[tokio::test]
async fn a_settlement_that_failed_loses_no_message() {
    let settlements = [
        Settlement::Done,
        Settlement::Release,
        Settlement::Retry { after: NOW },
        Settlement::Dead { reason: "test".into() },
    ];
    let mut cases = Vec::new();
    for settlement in settlements {
        for step in ["SendMessage", "DeleteMessage"] {
            if settlement == Settlement::Done && step == "SendMessage" {
                continue;
            }
            cases.extend(
                all()
                    .into_iter()
                    .map(|(fault, _)| settle_with(settlement.clone(), step, fault)),
            );
        }
    }
    // Each is mostly the waiting for what should not come.
    futures::stream::iter(cases)
        .buffer_unordered(4)
        .collect::<Vec<()>>()
        .await;
}

/// Ends a delivery in the way that is asked for, while `fault` happens to this request of it.
async fn settle_with(settlement: Settlement, step: &'static str, fault: Fault) {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let queue = open(&yard, &faults, Duration::from_secs(1)).await;
    queue.publish(&message(1), NOW).await.expect("publishes");
    let delivery = expect(&queue).await;
    faults.next(move |one| action(one) == step, fault.clone());
    assert_unavailable(queue.settle(delivery.receipt, settlement.clone()).await);
    assert_eq!(faults.left(), 0);
    let mut came = 0;
    let patience = Duration::from_secs(2);
    while let Some(again) = queue.receive(CPU, patience).await.expect("receives") {
        queue.settle(again.receipt, Settlement::Done).await.expect("settles");
        came += 1;
    }
    let dead = queue.depth(CPU).await.expect("counts").dead;
    let is_done = fault == Fault::LostReply;
    let expected = match (&settlement, step) {
        (Settlement::Done, _) => (u64::from(!is_done), 0),
        (Settlement::Dead { .. }, "SendMessage") => (1, u64::from(is_done)),
        (Settlement::Dead { .. }, _) => (u64::from(!is_done), 1),
        (_, "SendMessage") => (1 + u64::from(is_done), 0),
        (_, _) => (1 + u64::from(!is_done), 0),
    };
    assert_eq!((came, dead), expected, "{settlement:?} {step} {fault:?}");
}

#[tokio::test]
async fn a_delivery_that_could_not_be_extended_is_still_in_hand() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let queue = open(&yard, &faults, LONG).await;
    queue.publish(&message(1), NOW).await.expect("publishes");
    let delivery = expect(&queue).await;
    for (fault, _) in all() {
        faults.next(|one| action(one) == "ChangeMessageVisibility", fault);
        assert_unavailable(queue.extend(&delivery.receipt).await);
    }
    queue.extend(&delivery.receipt).await.expect("extends");
    let gone = r#"{"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "gone"}"#;
    let fault = Fault::Answer(400, Vec::new(), gone.into());
    faults.next(|one| action(one) == "ChangeMessageVisibility", fault);
    let ended = queue.extend(&delivery.receipt).await;
    assert!(matches!(ended, Err(QueueError::Expired)), "{ended:?}");
    let ended = queue.settle(delivery.receipt, Settlement::Done).await;
    assert!(matches!(ended, Err(QueueError::Expired)), "{ended:?}");
}

#[tokio::test]
async fn a_message_on_its_way_through_delays_is_not_lost() {
    for (step, (fault, _)) in ["SendMessage", "DeleteMessage"]
        .into_iter()
        .flat_map(|step| all().into_iter().map(move |fault| (step, fault)))
    {
        let yard = Yard::new().await;
        let faults = Faults::before(AwsServer::get().endpoint()).await;
        let queue = open(&yard, &faults, Duration::from_secs(1)).await;
        yard.send_later(CPU, &message(1), Duration::from_millis(500)).await;
        faults.next(move |one| action(one) == step, fault.clone());
        assert_unavailable(queue.receive(CPU, PATIENCE).await);
        assert_eq!(faults.left(), 0);
        let delivery = expect(&queue).await;
        assert_eq!(delivery.message().expect("ours"), message(1), "{step} {fault:?}");
        queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
    }
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let queue = open(&yard, &faults, LONG).await;
    let late = Duration::from_millis(1500);
    assert!(late < Limits::default().answer);
    faults.next(|one| action(one) == "SendMessage", Fault::Delay(late));
    queue.publish(&message(1), NOW).await.expect("publishes");
    // The caller has gone on when the message comes, and it is the next one's.
    faults.next(|one| action(one) == "ReceiveMessage", Fault::Delay(late));
    let none = queue.receive(CPU, Duration::from_millis(100)).await.expect("receives");
    assert!(none.is_none(), "{none:?}");
    let delivery = expect(&queue).await;
    queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
    assert_eq!(queue.depth(CPU).await.expect("counts"), Depth::default());
}
