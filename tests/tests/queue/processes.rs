//! Several processes at one queue, which race and are killed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared::aws::AwsAccess;
use shared::job::Accelerator;
use shared::queue::{Depth, Queue, Settlement};
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tests::queue_suite::message;
use tests::rivals::Rival;
use tests::sqs::Yard;

const RIVAL: &str = env!("CARGO_BIN_EXE_rival");
const SEED: u64 = 0x7261_696c;
const CPU: Accelerator = Accelerator::Cpu;
/// An answer may be on its way while a message is already in the queue.
const ROUNDS: usize = 5;

/// How processes find an empty queue, and what must live as long as it.
struct Place {
    url: String,
    variables: Vec<(String, String)>,
    aws: AwsAccess,
    _lives_as_long: Box<dyn Any>,
}

impl Place {
    fn rival(&self, arguments: &[&str]) -> Rival {
        let [verb, rest @ ..] = arguments else {
            panic!("a rival does something")
        };
        let arguments = [&[*verb, &self.url], rest].concat();
        Rival::start_with(RIVAL, &arguments, &self.variables)
    }

    async fn queue(&self) -> Arc<dyn Queue> {
        shared::queue::connect(&self.url, &self.aws).await.expect("a queue")
    }
}

fn embedded() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    Place {
        // Nobody has made it: processes also race for who does.
        url: format!("embedded:{}", folder.path().join("deep/queue.db").display()),
        variables: Vec::new(),
        aws: AwsAccess::default(),
        _lives_as_long: Box::new(folder),
    }
}

async fn rabbit() -> Place {
    let vhost = super::broker().vhost().await;
    Place {
        url: vhost.url(),
        variables: Vec::new(),
        aws: AwsAccess::default(),
        _lives_as_long: Box::new(vhost),
    }
}

async fn sqs() -> Place {
    let yard = Yard::new().await;
    Place {
        url: yard.url(),
        variables: yard.variables(""),
        aws: yard.access(),
        _lives_as_long: Box::new(()),
    }
}

fn jobs(numbers: impl Iterator<Item = u32>) -> BTreeSet<String> {
    numbers.map(|number| message(number).job.to_string()).collect()
}

async fn every_message_is_settled_by_one_process(place: Place) {
    let publishers = [(); 3].map(|()| place.rival(&["publish", "40"]));
    let receivers = [(); 3].map(|()| place.rival(&["receive"]));
    for publisher in publishers {
        assert_eq!(publisher.finish().len(), 40);
    }
    let mut settled: Vec<String> = receivers.into_iter().flat_map(Rival::finish).collect();
    // A receiver that started late and waited in vain may leave before the last message came.
    settled.extend(place.rival(&["receive"]).finish());
    settled.sort();
    let expected: Vec<String> = jobs(0..40)
        .into_iter()
        .flat_map(|job| [job.clone(), job.clone(), job])
        .collect();
    assert_eq!(settled, expected);
    let left = place.queue().await.depth(CPU).await.expect("counts");
    assert_eq!(left, Depth::default());
}

async fn what_a_killed_publisher_was_answered_is_there(place: Place) {
    let mut random = StdRng::seed_from_u64(SEED);
    println!("seed {SEED:#x}");
    for round in 0..ROUNDS {
        let mut publisher = place.rival(&["publish", "100000"]);
        let mut said = Vec::new();
        for _ in 0..random.random_range(1..40) {
            said.extend(publisher.next_line());
        }
        said.extend(publisher.kill());
        let queue = place.queue().await;
        let mut found = BTreeSet::new();
        while let Some(delivery) = queue.receive(CPU, Duration::from_secs(1)).await.expect("receives") {
            found.insert(delivery.message().expect("a whole message").job.to_string());
            queue.settle(delivery.receipt, Settlement::Done).await.expect("settles");
        }
        let answered = u32::try_from(said.len()).expect("few");
        assert!(
            found == jobs(0..answered) || found == jobs(0..answered + 1),
            "round {round}: {answered} {found:?}"
        );
    }
}

macro_rules! on {
    ($($backend:ident: $place:expr;)+) => { $(
        mod $backend {
            use super::$backend;

            #[tokio::test]
            async fn every_message_is_settled_by_one_process() {
                super::every_message_is_settled_by_one_process($place).await;
            }

            #[tokio::test]
            async fn what_a_killed_publisher_was_answered_is_there() {
                super::what_a_killed_publisher_was_answered_is_there($place).await;
            }
        }
    )+ };
}

on! {
    embedded: embedded();
    rabbit: rabbit().await;
    sqs: sqs().await;
}
