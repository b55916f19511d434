//! The queue behind a bad network: the suite on a slow one, and a cut after any number of bytes.

use super::text;
use crate::broker;
use shared::job::Accelerator;
use shared::queue::rabbitmq::{Limits, RabbitQueue};
use shared::queue::{Depth, Queue, QueueError, Settlement};
use std::time::{Duration, Instant};
use tests::proxy::{Direction, Fault, Limit, Proxy, Then};
use tests::queue_suite::{PATIENCE, message};
use tests::rabbitmq::Vhost;

const CPU: Accelerator = Accelerator::Cpu;
const NOW: Duration = Duration::ZERO;
/// How many bytes apart two cuts are. Frames are longer, and a frame that is cut inside is always the same to both sides.
const STEP: usize = 29;

/// A virtual host, a proxy before it, and a queue through that.
pub(crate) struct Far {
    queue: RabbitQueue,
    proxy: Proxy,
    vhost: Vhost,
}

impl Far {
    pub(crate) async fn new(visibility: Duration, answer: Duration) -> Self {
        let vhost = broker().vhost().await;
        let proxy = Proxy::start(broker().address()).await;
        let limits = Limits { visibility, answer };
        let queue = RabbitQueue::connect(&vhost.url_at(proxy.address()), limits).await;
        Self {
            queue: queue.expect("a queue"),
            proxy,
            vhost,
        }
    }

    pub(crate) fn with(self, fault: Fault) -> Self {
        self.proxy.set(fault);
        self
    }

    /// The queue, and what must live as long as it.
    pub(crate) fn into_parts(self) -> (RabbitQueue, (Proxy, Vhost)) {
        (self.queue, (self.proxy, self.vhost))
    }
}

/// What a publisher and a worker were told.
#[derive(Debug, Default)]
struct Told {
    published: bool,
    settled: Option<bool>,
}

/// A message's whole life through `queue`; every call is over in time, whatever the network does.
async fn life(queue: &RabbitQueue, settlement: Settlement, wait: Duration) -> Told {
    let mut told = Told::default();
    let started = Instant::now();
    told.published = match queue.publish(&message(1), NOW).await {
        Ok(()) => true,
        Err(error) => {
            text(error);
            false
        }
    };
    if let Ok(Some(delivery)) = queue.receive(CPU, wait).await {
        told.settled = Some(match queue.settle(delivery.receipt, settlement).await {
            Ok(()) => true,
            Err(QueueError::Expired) => false,
            Err(error) => {
                text(error);
                false
            }
        });
    }
    assert!(started.elapsed() < PATIENCE, "{:?}: {told:?}", started.elapsed());
    told
}

/// How often the message still comes to somebody with a good connection.
async fn comes(near: &RabbitQueue, at_least: u32) -> u32 {
    let mut came = 0;
    loop {
        // What a dead connection had in hand comes when the broker has noticed.
        let wait = if came < at_least {
            PATIENCE
        } else {
            Duration::from_millis(30)
        };
        let Some(delivery) = near.receive(CPU, wait).await.expect("receives") else {
            return came;
        };
        assert_eq!(delivery.message().expect("whole"), message(1));
        near.settle(delivery.receipt, Settlement::Done).await.expect("settles");
        came += 1;
    }
}

/// Cuts the life of a message, settled so, after every number of bytes in both directions.
async fn cut_everywhere(settlement: Settlement, then: Then) {
    let far = Far::new(Duration::from_secs(600), Duration::from_secs(2)).await;
    let near = far.vhost.queue(Duration::from_secs(600)).await;
    // A clean life, to know how many bytes it has, and what is true of it.
    far.proxy.set(Fault::default());
    let told = life(&far.queue, settlement.clone(), PATIENCE).await;
    assert!(told.published && told.settled == Some(true), "{told:?}");
    let stays = u32::from(settlement != Settlement::Done);
    assert_eq!(comes(&near, stays).await, stays);
    let mut wrong = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        let whole = far.proxy.passed(direction);
        for bytes in (1..whole + 100).step_by(STEP) {
            far.proxy.cut();
            let limit = Some(Limit { direction, bytes, then });
            far.proxy.set(Fault {
                limit,
                ..Fault::default()
            });
            let told = life(&far.queue, settlement.clone(), Duration::from_millis(100)).await;
            far.proxy.cut();
            far.proxy.set(Fault::default());
            let done = settlement == Settlement::Done && told.settled == Some(true);
            let due = u32::from(told.published && !done);
            let came = comes(&near, due).await;
            assert!(came >= due, "{bytes} bytes {direction:?}: {told:?}, and it never came");
            assert!(
                !done || came == 0,
                "{bytes} bytes {direction:?}: done, and it came again"
            );
            wrong += u32::from(!told.published || told.settled != Some(true));
        }
    }
    assert!(wrong > 10, "only {wrong} cuts did any harm");
    assert_eq!(near.depth(CPU).await.expect("counts"), Depth::default());
    // The same queue object works on.
    let told = life(&far.queue, Settlement::Done, PATIENCE / 3).await;
    assert!(told.published && told.settled == Some(true), "{told:?}");
}

#[tokio::test]
async fn a_message_cut_off_anywhere_is_never_lost_and_never_said_to_be_done() {
    cut_everywhere(Settlement::Done, Then::Cut).await;
}

#[tokio::test]
async fn a_message_given_back_over_a_cut_connection_is_never_lost() {
    cut_everywhere(Settlement::Release, Then::Cut).await;
}

#[tokio::test]
async fn a_message_over_a_half_closed_connection_is_never_lost() {
    cut_everywhere(Settlement::Done, Then::HalfClose).await;
}

/// Nothing is refused and nothing comes: only our own time limits end that.
#[tokio::test]
async fn a_broker_behind_a_black_hole_is_given_up_in_time() {
    let far = Far::new(Duration::from_secs(600), Duration::from_secs(1)).await;
    let told = life(&far.queue, Settlement::Done, PATIENCE / 3).await;
    assert!(told.published && told.settled == Some(true), "{told:?}");
    far.proxy.set(Fault {
        blackhole: true,
        ..Fault::default()
    });
    let started = Instant::now();
    text(far.queue.publish(&message(1), NOW).await.expect_err("nobody answers"));
    text(far.queue.receive(CPU, NOW).await.expect_err("nobody answers"));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    far.proxy.set(Fault::default());
    far.proxy.cut();
    let near = far.vhost.queue(Duration::from_secs(600)).await;
    // The refused publish was on its way, and may have arrived.
    comes(&near, 0).await;
    let told = life(&far.queue, Settlement::Done, PATIENCE / 3).await;
    assert!(told.published && told.settled == Some(true), "{told:?}");
}
