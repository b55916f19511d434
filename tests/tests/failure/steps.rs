//! Every store write, every queue call and every event of a trainer: die before it and after it.

use crate::{BROKER, LANES};
use shared::job::JobId;
use shared::ledger::Status;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use tests::fleet::{
    CAREFUL, Ground, LARGE, Pair, Site, assert_nothing_half, assert_registered, assert_swept, in_lanes,
};

/// Whom a test kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// In the middle of the job.
    Worker,
    /// In the middle of publishing it.
    Dispatcher,
}

const WORK: [&str; 2] = ["run", "--drain"];
const PUBLISH: [&str; 5] = ["publish", "--project", "sentiment", "--tag", "t1"];

impl Victim {
    async fn prepare(self, site: &Site<'_>) {
        if self == Self::Worker {
            site.publish().await;
        }
    }

    /// Runs to its end or death. Whether it was killed.
    fn run(self, site: &Site<'_>, variable: (&str, &str)) -> bool {
        let done = match self {
            Self::Worker => site.run_with("worker", &WORK, variable),
            Self::Dispatcher => site.run_with("dispatcher", &PUBLISH, variable),
        };
        assert!(done.was_killed() || done.code() == 0, "{variable:?}: {}", done.output());
        done.was_killed()
    }
}

/// Every passage of every point in an undisturbed run: `point:passage`.
async fn passages(ground: &Ground, pair: Pair, victim: Victim) -> Vec<String> {
    let site = Site::new(ground, pair).await;
    victim.prepare(&site).await;
    let file = site.folder.join("passages");
    assert!(!victim.run(&site, ("TRAINYARD_PASSAGES", &file.display().to_string())));
    numbered(&file)
}

fn numbered(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("points were passed");
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut number = |point| {
        let passage = seen.entry(point).or_default();
        *passage += 1;
        format!("{point}:{passage}")
    };
    text.lines().map(&mut number).collect()
}

/// Another worker makes of the site what it should be; nobody publishes again.
async fn another_finishes(site: &Site<'_>, id: &JobId) {
    assert_nothing_half(site).await;
    // On one machine a worker does this by itself.
    let keeper = site.start("dispatcher", &["run"]);
    let worker = site.start("worker", &["run"]);
    assert_eq!(site.ended(id).await, Status::Registered, "{}", worker.said());
    site.emptied().await;
    worker.stop().await;
    keeper.stop().await;
    site.cleared().await;
    assert_registered(site, std::slice::from_ref(id)).await;
    assert_swept(site, std::slice::from_ref(id)).await;
}

/// Kills at every `every`-th passage there is.
fn every_step(pair: Pair, victim: Victim, every: usize) {
    let ground = Ground::new(BROKER, CAREFUL);
    let id = ground.id();
    let all = Mutex::new(Vec::new());
    in_lanes(1, vec![()], async |()| {
        *all.lock().expect("one lane") = passages(&ground, pair, victim).await
    });
    let all = all.into_inner().expect("one lane");
    let chosen: Vec<String> = all.iter().step_by(every).cloned().collect();
    let (trials, alive) = (chosen.len(), Mutex::new(Vec::new()));
    in_lanes(LANES, chosen, async |point: String| {
        let site = Site::new(&ground, pair).await;
        victim.prepare(&site).await;
        if !victim.run(&site, ("TRAINYARD_CRASH_AT", &point)) {
            alive.lock().expect("no panic").push(point.clone());
        }
        if victim == Victim::Dispatcher && !site.is_recorded(&id).await {
            // Nothing was said to anybody: who published does it again.
            assert!(!victim.run(&site, ("RUST_LOG", "info")));
        }
        another_finishes(&site, &id).await;
    });
    let alive = alive.into_inner().expect("no panic");
    println!(
        "{pair:?}: {} passages, {victim:?} killed at {} of {trials}",
        all.len(),
        trials - alive.len()
    );
    let excused = excused(&all);
    let missed: Vec<&String> = alive.iter().filter(|passage| !excused(passage)).collect();
    assert!(missed.is_empty(), "never came there again: {missed:?}");
}

/// Which passages another run may have none of: renewals and heartbeats come with the time that a run takes, all else every
/// time. Where a renewal passes a point that other writes pass too, only the last passages can be missed, as many as
/// there were renewals.
fn excused(all: &[String]) -> impl Fn(&str) -> bool {
    let count = |point: &str| all.iter().filter(|passage| split(passage).0 == point).count();
    let renewals = count("queue.extend.before");
    let beats = count("store.replace.workers.before");
    let totals: BTreeMap<String, usize> = all
        .iter()
        .map(|passage| (split(passage).0.to_owned(), count(split(passage).0)))
        .collect();
    move |passage| {
        let (point, number) = split(passage);
        let spare = match point {
            "queue.extend.before" | "queue.extend.after" => renewals,
            "store.replace.workers.before" | "store.replace.workers.after" => beats,
            "store.replace.state.json.before" | "store.replace.state.json.after" => renewals,
            // The folder's own: of every write, whatever it writes.
            "store-before-link" | "store-after-link" | "store-in-delete" => renewals + beats,
            _ => 0,
        };
        number + spare > totals[point]
    }
}

/// A passage's point and number.
fn split(passage: &str) -> (&str, usize) {
    let (point, number) = passage.rsplit_once(':').expect("point:passage");
    (point, number.parse().expect("a number"))
}

/// Dies in the middle of sending a large file, and of copying it to its version.
fn killed_in_uploads(pair: Pair) {
    let ground = Ground::new(BROKER, LARGE);
    let id = ground.id();
    let points = ["upload-begun:1", "upload-sent:1", "upload-begun:2", "upload-sent:2"];
    in_lanes(2, points.to_vec(), async |point| {
        let site = Site::new(&ground, pair).await;
        site.publish().await;
        assert!(
            Victim::Worker.run(&site, ("TRAINYARD_CRASH_AT", point)),
            "{point} never came"
        );
        assert_eq!(site.uploads().await.len(), 1, "{point}: nothing was to be swept");
        another_finishes(&site, &id).await;
    });
}

/// A trainer that dies is tried again by the same worker.
fn trainers_die_everywhere(pair: Pair) {
    let ground = Ground::new(BROKER, CAREFUL);
    let id = ground.id();
    let points = ["start", "progress", "checkpoint", "export", "exported"];
    in_lanes(LANES, points.to_vec(), async |point| {
        let site = Site::new(&ground, pair).await;
        site.publish().await;
        assert!(!Victim::Worker.run(&site, ("TRAINYARD_CRASH_AT", &format!("trainer.{point}"))));
        let state = site.state(&id).await.state;
        assert_eq!(
            (state.status, state.token),
            (Status::Registered, 2),
            "{point}: {state:#?}"
        );
        another_finishes(&site, &id).await;
    });
}

#[test]
fn a_worker_killed_at_some_steps_on_one_machine_is_followed_by_another() {
    every_step(Pair::EmbeddedDirectory, Victim::Worker, 9);
}

#[test]
fn a_worker_killed_at_some_steps_between_a_broker_and_a_bucket_is_followed_by_another() {
    every_step(Pair::RabbitS3, Victim::Worker, 25);
}

#[test]
fn a_worker_killed_at_some_steps_between_sqs_and_a_bucket_is_followed_by_another() {
    every_step(Pair::SqsS3, Victim::Worker, 25);
}

#[test]
fn a_worker_killed_in_an_upload_leaves_nothing_of_it_behind() {
    killed_in_uploads(Pair::SqsS3);
}

#[test]
fn a_dispatcher_killed_at_any_step_on_one_machine_loses_no_job() {
    every_step(Pair::EmbeddedDirectory, Victim::Dispatcher, 1);
}

#[test]
fn a_trainer_killed_at_any_event_on_one_machine_is_tried_again() {
    trainers_die_everywhere(Pair::EmbeddedDirectory);
}

/// The whole, for one pair each.
macro_rules! on_every_pair {
    ($($pair:ident: $variant:ident;)+) => { $(
        mod $pair {
            use super::{Pair, Victim, every_step, trainers_die_everywhere};

            #[test]
            #[ignore = "make test-failure"]
            fn a_worker_killed_at_any_step_is_followed_by_another() {
                every_step(Pair::$variant, Victim::Worker, 1);
            }

            #[test]
            #[ignore = "make test-failure"]
            fn a_dispatcher_killed_at_any_step_loses_no_job() {
                every_step(Pair::$variant, Victim::Dispatcher, 1);
            }

            #[test]
            #[ignore = "make test-failure"]
            fn a_trainer_killed_at_any_event_is_tried_again() {
                trainers_die_everywhere(Pair::$variant);
            }
        }
    )+ };
}

on_every_pair! {
    embedded_directory: EmbeddedDirectory;
    rabbit_directory: RabbitDirectory;
    rabbit_s3: RabbitS3;
    sqs_s3: SqsS3;
}
