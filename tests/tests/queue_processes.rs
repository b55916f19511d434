//! The embedded queue: what only it promises, and processes of which the file is all that is left.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared::job::Accelerator;
use shared::queue::embedded::EmbeddedQueue;
use shared::queue::visibility;
use shared::queue::{Depth, Queue, Settlement};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tests::queue_suite::{expect, message};
use tests::rivals::Rival;

const RIVAL: &str = env!("CARGO_BIN_EXE_rival");
const SEED: u64 = 0x7261_696c;
const CPU: Accelerator = Accelerator::Cpu;

fn place() -> (TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/queue.db");
    let url = format!("embedded:{}", path.display());
    (folder, path, url)
}

/// What a killed receiver had in hand stays hidden, everything else goes on, and nothing is settled twice.
#[tokio::test]
async fn a_killed_receiver_costs_only_what_it_had_in_hand() {
    let mut random = StdRng::seed_from_u64(SEED);
    println!("seed {SEED:#x}");
    for round in 0..10 {
        let (_folder, path, url) = place();
        Rival::start(RIVAL, &["publish", &url, "30"]).finish();
        let mut receiver = Rival::start(RIVAL, &["receive", &url]);
        let mut settled = Vec::new();
        for _ in 0..random.random_range(1..20) {
            settled.extend(receiver.next_line());
        }
        settled.extend(receiver.kill());
        let queue = EmbeddedQueue::open(&path, visibility()).await.expect("a whole file");
        while let Some(delivery) = queue.receive(CPU, Duration::ZERO).await.expect("receives") {
            settled.push(delivery.message().expect("a whole message").job.to_string());
            queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
        }
        let distinct: BTreeSet<_> = settled.iter().cloned().collect();
        assert_eq!(distinct.len(), settled.len(), "round {round}: settled twice");
        // One may be in the dead one's hand, or settled without that it could say so.
        assert!(settled.len() >= 29, "round {round}: {settled:?}");
        let depth = queue.depth(CPU).await.expect("counts");
        assert_eq!((depth.ready, depth.delayed, depth.dead), (0, 0, 0), "round {round}");
        assert!(settled.len() as u64 + depth.in_flight <= 30, "round {round}: {depth:?}");
    }
}

#[tokio::test]
async fn dead_letters_are_kept_with_their_reason() {
    let (_folder, path, _) = place();
    let queue = EmbeddedQueue::open(&path, visibility()).await.expect("a queue");
    assert_eq!(queue.dead(CPU).await.expect("reads"), []);
    queue
        .publish_bytes(CPU, b"\xff no message".to_vec(), Duration::ZERO)
        .await
        .expect("publishes");
    let delivery = expect(&queue).await;
    delivery.message().expect_err("undecodable");
    queue
        .settle(
            delivery.receipt,
            Settlement::Dead {
                reason: "undecodable".into(),
            },
        )
        .await
        .expect("settles");
    let dead = queue.dead(CPU).await.expect("reads");
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0].body[..], &dead[0].reason[..], dead[0].deliveries),
        (&b"\xff no message"[..], "undecodable", 1)
    );
}

#[tokio::test]
async fn asking_for_the_depth_creates_no_file() {
    let (folder, path, _) = place();
    let queue = EmbeddedQueue::open(&path, visibility()).await.expect("a queue");
    assert_eq!(queue.depth(CPU).await.expect("counts"), Depth::default());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_removed_file_is_made_again() {
    let (folder, path, _) = place();
    let worker = EmbeddedQueue::open(&path, visibility()).await.expect("a queue");
    worker.publish(&message(1), Duration::ZERO).await.expect("publishes");
    std::fs::remove_dir_all(folder.path().join("deep")).expect("removes");
    let publisher = EmbeddedQueue::open(&path, visibility()).await.expect("a queue");
    publisher.publish(&message(2), Duration::ZERO).await.expect("publishes");
    assert_eq!(expect(&worker).await.message().expect("a message"), message(2));
}
