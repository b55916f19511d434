//! What SQS alone does, and does wrong.

mod access;
mod delivery;
mod faults;
mod journey;
mod policies;

use serde_json::Value;
use shared::queue::{Delivery, Queue, Settlement};
use tests::http_faults::Request;
use tests::queue_suite::expect;

/// Receives a message and settles it as done; its deliveries.
async fn take(queue: &dyn Queue) -> u32 {
    let delivery = expect(queue).await;
    let deliveries = delivery.deliveries;
    done(queue, delivery).await;
    deliveries
}

async fn done(queue: &dyn Queue, delivery: Delivery) {
    queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
}

/// The whole chain of an error, which never holds the key.
fn text(error: impl std::error::Error + Send + Sync + 'static) -> String {
    let debug = format!("{error:?}");
    let text = format!("{:#}", anyhow::Error::from(error));
    for shown in [&text, &debug] {
        assert!(!shown.contains(tests::aws::SECRET_KEY), "{shown}");
    }
    text
}

/// For example `SendMessage`.
fn action(request: &Request) -> &str {
    let target = request.header("x-amz-target").unwrap_or_default();
    target.strip_prefix("AmazonSQS.").unwrap_or_default()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}
