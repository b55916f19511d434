//! What RabbitMQ alone does, and does wrong.

mod access;
mod alone;
mod delivery;
mod doctor;
mod journey;
pub(crate) mod network;

use shared::queue::{Queue, Settlement};
use tests::queue_suite::expect;

/// Receives a message and settles it as done; its deliveries.
async fn take(queue: &dyn Queue) -> u32 {
    let delivery = expect(queue).await;
    queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
    delivery.deliveries
}

/// The whole chain of an error, which never holds the password.
fn text(error: impl std::error::Error + Send + Sync + 'static) -> String {
    let debug = format!("{error:?}");
    let text = format!("{:#}", anyhow::Error::from(error));
    for shown in [&text, &debug] {
        assert!(!shown.contains(tests::rabbitmq::PASSWORD), "{shown}");
    }
    text
}
