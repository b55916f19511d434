//! Stores that several processes share: raced, stopped and killed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use shared::aws::AwsAccess;
use shared::store::{Key, Store, connect};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tempfile::TempDir;
use tests::aws::AwsServer;
use tests::rivals::Rival;
use tests::store_suite::{counts, key};

const RIVAL: &str = env!("CARGO_BIN_EXE_rival");
const SEED: u64 = 0x7261_696c;

/// An empty store, and how a process opens it.
struct Place {
    url: String,
    access: AwsAccess,
    variables: Vec<(String, String)>,
    _folder: TempDir,
}

impl Place {
    fn start(&self, arguments: &[&str]) -> Rival {
        Rival::start_with(RIVAL, arguments, &self.variables)
    }

    async fn open(&self) -> Arc<dyn Store> {
        connect(&self.url, &self.access).await.expect("a store")
    }
}

async fn directory() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    Place {
        url: format!("file:{}", folder.path().join("store").display()),
        access: AwsAccess::default(),
        variables: Vec::new(),
        _folder: folder,
    }
}

async fn s3() -> Place {
    let server = AwsServer::get();
    Place {
        url: format!("s3://{}/shared", server.bucket().await),
        access: server.access(),
        variables: server.variables(),
        _folder: tempfile::tempdir().expect("a folder"),
    }
}

/// A test for each promise and each store.
macro_rules! promises {
    ($($backend:ident),+) => { $(
        mod $backend {
            #[tokio::test]
            async fn increments_of_several_processes_are_counted_once() {
                super::increments_of_several_processes_are_counted_once(super::$backend().await).await;
            }

            #[tokio::test]
            async fn one_process_creates_each_object() {
                super::one_process_creates_each_object(super::$backend().await).await;
            }

            #[tokio::test]
            async fn a_stopped_writer_stops_nobody_and_wins_nothing_late() {
                super::a_stopped_writer_stops_nobody_and_wins_nothing_late(super::$backend).await;
            }

            #[tokio::test]
            async fn a_killed_writer_leaves_nothing_half() {
                super::a_killed_writer_leaves_nothing_half(super::$backend).await;
            }
        }
    )+ };
}

promises!(directory, s3);

async fn increments_of_several_processes_are_counted_once(place: Place) {
    let url = &place.url;
    let callers = ["a", "b", "c", "d"];
    let rivals = callers.map(|caller| place.start(&["increment", url, "counter/object", caller, "25"]));
    for rival in rivals {
        let said: Vec<u32> = rival
            .finish()
            .iter()
            .map(|line| line.parse().expect("a count"))
            .collect();
        assert_eq!(said, (1..=25).collect::<Vec<_>>());
    }
    let counted = counts(&*place.open().await, &key("counter/object")).await;
    assert_eq!(counted, callers.map(|caller| (caller.to_owned(), 25)).into());
}

async fn one_process_creates_each_object(place: Place) {
    let url = &place.url;
    let rivals = ["a", "b", "c"].map(|caller| (caller, place.start(&["create", url, "race", caller, "60"])));
    let mut winners = BTreeMap::new();
    for (caller, rival) in rivals {
        for line in rival.finish() {
            if let Some(number) = line.strip_prefix("won ") {
                assert_eq!(
                    winners.insert(number.to_owned(), caller),
                    None,
                    "{number} was won twice"
                );
            }
        }
    }
    assert_eq!(winners.len(), 60);
    let store = place.open().await;
    for (number, winner) in winners {
        let object = store
            .get(&key(&format!("race/{number}")))
            .await
            .expect("reads")
            .expect("is there");
        assert_eq!(&object.bytes[..], winner.as_bytes());
    }
}

/// Stopped wherever it happens to be, a writer neither holds up the others nor undoes what they did meanwhile.
async fn a_stopped_writer_stops_nobody_and_wins_nothing_late(new_place: impl AsyncFn() -> Place) {
    let mut random = StdRng::seed_from_u64(SEED);
    println!("seed {SEED:#x}");
    for round in 0..8 {
        let place = new_place().await;
        let url = &place.url;
        let mut stopped = place.start(&["increment", url, "counter/object", "stopped", "40"]);
        for _ in 0..random.random_range(1..8) {
            stopped.next_line().expect("goes on");
        }
        stopped.stop();
        // More than the generations that are kept, so that the stopped one finds its number free again.
        place
            .start(&["increment", url, "counter/object", "other", "40"])
            .finish();
        stopped.go_on();
        stopped.finish();
        let counted = counts(&*place.open().await, &key("counter/object")).await;
        assert_eq!(
            counted,
            [("other".into(), 40), ("stopped".into(), 40)].into(),
            "round {round}"
        );
    }
}

/// Killed by itself at the points around the decision.
#[tokio::test]
async fn a_writer_that_dies_around_its_link_leaves_nothing_half() {
    for point in ["store-before-link", "store-after-link"] {
        for passage in [1, 2, 3, 4, 5, 6, 20, 60] {
            let place = directory().await;
            let crash = format!("{point}:{passage}");
            let said = Rival::start_crashing(RIVAL, &["write", &place.url, "killed", "40"], &crash).crash();
            assert_whole(&place, &said, &crash).await;
        }
    }
}

/// Killed from outside, wherever it happens to be.
async fn a_killed_writer_leaves_nothing_half(new_place: impl AsyncFn() -> Place) {
    let mut random = StdRng::seed_from_u64(SEED);
    println!("seed {SEED:#x}");
    for round in 0..15 {
        let place = new_place().await;
        let mut rival = place.start(&["write", &place.url, "killed", "1000"]);
        let mut said = Vec::new();
        for _ in 0..random.random_range(1..20) {
            said.extend(rival.next_line());
        }
        said.extend(rival.kill());
        assert_whole(&place, &said, &format!("round {round}")).await;
    }
}

/// Everything that was answered is there, everything that is there is whole, and the next writer can go on.
async fn assert_whole(place: &Place, said: &[String], case: &str) {
    let store = place.open().await;
    let listed = store.list(&key("killed")).await.expect("lists");
    let mut keys = BTreeSet::new();
    for entry in &listed {
        assert_eq!(
            newest_number(&*store, &entry.key).await.1,
            entry.size,
            "{case}: {}",
            entry.key
        );
        keys.insert(entry.key.as_str().to_owned());
    }
    for number in said {
        for place in ["once", "copy"] {
            assert!(
                keys.contains(&format!("killed/{place}/{number}")),
                "{case}: {place}/{number} was answered"
            );
        }
    }
    if let Some(last) = said.last() {
        let (number, _) = newest_number(&*store, &key("killed/changing")).await;
        let answered: u32 = last.parse().expect("a number");
        assert!(
            (answered..=answered + 1).contains(&number),
            "{case}: {number} after {answered}"
        );
    }
    let began = said.len() as u32;
    let changing = store.get(&key("killed/changing")).await.expect("reads");
    if let Some(object) = changing {
        store
            .replace(&key("killed/changing"), &object.etag, "next".into())
            .await
            .expect("goes on");
    }
    let free = key(&format!("killed/once/{}", began + 1));
    store.put_new(&free, "next".into()).await.expect("goes on");
}

/// The number in an object of `write`, whose digest is checked, and its size.
async fn newest_number(store: &dyn Store, key: &Key) -> (u32, u64) {
    let object = store.get(key).await.expect("reads").expect("is there");
    let content = std::str::from_utf8(&object.bytes).expect("text");
    let (digest, body) = content.split_once('\n').expect("two lines");
    assert_eq!(hex::encode(Sha256::digest(body)), digest, "{key} is half");
    let number = body.split(' ').next().expect("a word").parse().expect("a number");
    (number, object.bytes.len() as u64)
}
