//! The conformance suite over every queue, and what RabbitMQ and SQS alone can do wrong.

mod processes;
mod rabbitmq;
mod sqs_alone;

use rabbitmq::network::Far;
use shared::queue::Queue;
use shared::queue::embedded::EmbeddedQueue;
use shared::queue::rabbitmq::Limits;
use std::sync::Arc;
use std::time::Duration;
use tests::proxy::Fault;
use tests::queue_suite as suite;
use tests::rabbitmq::Broker;
use tests::sqs::Yard;

/// A queue, and what must live as long as it.
struct Place {
    queue: Arc<dyn Queue>,
    _lives_as_long: Box<dyn std::any::Any>,
}

/// Where a test must not meet the end of a visibility, and where it waits for it.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(2);

async fn embedded(visibility: Duration) -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = EmbeddedQueue::open(&folder.path().join("queue.db"), visibility)
        .await
        .expect("a queue");
    Place {
        queue: Arc::new(queue),
        _lives_as_long: Box::new(folder),
    }
}

/// The private node of these tests.
fn broker() -> &'static Broker {
    Broker::get(env!("CARGO_BIN_EXE_broker"))
}

async fn rabbit(visibility: Duration) -> Place {
    let vhost = broker().vhost().await;
    Place {
        queue: Arc::new(vhost.queue(visibility).await),
        _lives_as_long: Box::new(vhost),
    }
}

/// SQS's longest hold of a delivery.
const HOLD: Duration = Duration::from_secs(12 * 3600);

async fn sqs(visibility: Duration) -> Place {
    Place {
        queue: Arc::new(Yard::new().await.queue(visibility, HOLD).await),
        _lives_as_long: Box::new(()),
    }
}

/// Behind a network that is slow and delays everything.
async fn slow_rabbit(visibility: Duration) -> Place {
    let fault = Fault {
        delay: Duration::from_millis(2),
        throttle: Some(200_000),
        ..Fault::default()
    };
    let far = Far::new(visibility, Limits::default().answer).await.with(fault);
    let (queue, rest) = far.into_parts();
    Place {
        queue: Arc::new(queue),
        _lives_as_long: Box::new(rest),
    }
}

/// All promises, for each backend, each with a queue of its own.
macro_rules! conformance {
    ($($backend:ident),+) => { $(
        mod $backend {
            use super::{$backend, LONG, SHORT, suite};

            conformance!(@ $backend,
                messages_come_as_they_were,
                empty_queues_are_waited_for,
                delayed_messages_come_after_their_delay,
                accelerators_have_their_own_queues,
                messages_in_hand_are_hidden,
                done_messages_are_gone,
                released_messages_come_again_at_once,
                retried_messages_come_after_their_delay,
                dead_messages_never_come_again,
                receipts_settle_once,
                depths_count_every_state,
            );

            #[tokio::test]
            async fn forgotten_messages_come_again() {
                suite::forgotten_messages_come_again(&*$backend(SHORT).await.queue, SHORT).await;
            }

            #[tokio::test]
            async fn extended_messages_stay_in_hand() {
                suite::extended_messages_stay_in_hand(&*$backend(SHORT).await.queue, SHORT).await;
            }

            #[tokio::test]
            async fn abandoned_receives_lose_nothing() {
                suite::abandoned_receives_lose_nothing(&*$backend(SHORT).await.queue).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn messages_go_to_one_receiver() {
                suite::messages_go_to_one_receiver($backend(LONG).await.queue.clone()).await;
            }

            #[tokio::test]
            async fn waiting_receivers_are_served_at_once() {
                suite::waiting_receivers_are_served_at_once($backend(LONG).await.queue.clone()).await;
            }
        }
    )+ };
    (@ $backend:ident, $($promise:ident),+ $(,)?) => { $(
        #[tokio::test]
        async fn $promise() {
            suite::$promise(&*$backend(LONG).await.queue).await;
        }
    )+ };
}

conformance!(embedded, rabbit, slow_rabbit, sqs);
