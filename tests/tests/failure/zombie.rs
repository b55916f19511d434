//! A worker is frozen past its lease, another one finishes, and the first one thaws.

use crate::{BROKER, LANES};
use shared::job::JobId;
use shared::ledger::{Claimant, Claimed, Status};
use tests::fleet::{
    CAREFUL, ENDLESS, Ground, Pair, Running, SLOWER, Site, assert_registered, assert_swept, in_lanes, signal, state_of,
    until, visible,
};

/// Where a worker is frozen: at every kind of thing that it does.
const FREEZES: [&str; 12] = [
    "after-claim",
    "trainer.started",
    "store.put_file_new.checkpoints.before",
    "trainer.ended",
    "in-staging",
    "store.replace.state.json.before:2",
    "after-decision",
    "store.put_new.versions.before",
    "store.copy_new.version.before",
    "store.put_new.card.before",
    "after-card",
    "queue.settle.before",
];

/// Waits until the worker has frozen itself.
async fn frozen(worker: &mut Running) {
    until("the worker freezes", async || {
        assert!(worker.ended().is_none(), "it ended:\n{}", worker.said());
        (state_of(worker.id()) == Some('T')).then_some(())
    })
    .await;
}

/// Waits until the worker has let go of its job, and has the time to do another one.
async fn let_go(worker: &Running) {
    until("the thawed worker lets go", async || {
        let busy = worker.series("trainyard_worker_slots", "busy").await?;
        (busy == 0.0).then_some(())
    })
    .await;
}

/// Another worker, with a trainer that ends, makes the job registered; what is then visible.
async fn overtaken(site: &mut Site<'_>, id: &JobId) -> Running {
    site.train_by(CAREFUL);
    let other = site.start("worker", &["run"]);
    assert_eq!(site.ended(id).await, Status::Registered, "{}", other.said());
    other
}

async fn zombie(ground: &Ground, pair: Pair, point: &str) {
    let mut site = Site::new(ground, pair).await;
    let id = site.publish().await;
    site.train_by(SLOWER);
    let mut first = site.start_with("worker", &["run"], &[("TRAINYARD_FREEZE_AT", point)]);
    frozen(&mut first).await;
    let keeper = site.start("dispatcher", &["run"]);
    let other = overtaken(&mut site, &id).await;
    let (seen, state) = (visible(site.store()).await, site.state(&id).await.state);

    signal(first.id(), libc::SIGCONT);
    let_go(&first).await;
    assert_eq!(
        visible(site.store()).await,
        seen,
        "{point}: what consumers see was changed"
    );
    assert_eq!(site.state(&id).await.state, state, "{point}: the state was changed");

    // It is a worker like any other again.
    other.stop().await;
    let next = site.record(&site.job(1)).await;
    site.ring(&next).await;
    assert_eq!(site.ended(&next).await, Status::Registered, "{}", first.said());
    site.emptied().await;
    first.stop().await;
    keeper.stop().await;
    let both = [id, next];
    assert_registered(&site, &both).await;
    assert_swept(&site, &both).await;
}

fn zombies(pair: Pair, points: &[&str]) {
    let ground = Ground::new(BROKER, CAREFUL);
    in_lanes(LANES, points.to_vec(), async |point| zombie(&ground, pair, point).await);
}

/// The trainer goes on without its worker, or is frozen with it: when the worker thaws, it dies.
async fn trainer_of_a_zombie(ground: &Ground, pair: Pair, frozen_too: bool) {
    let mut site = Site::new(ground, pair).await;
    let id = site.publish().await;
    site.train_by(ENDLESS);
    let first = site.start("worker", &["run"]);
    let trainer = site.trainers(1).await[0];
    let both: Vec<i32> = [first.id()].into_iter().chain(frozen_too.then_some(trainer)).collect();
    for pid in &both {
        signal(*pid, libc::SIGSTOP);
    }
    let keeper = site.start("dispatcher", &["run"]);
    let other = overtaken(&mut site, &id).await;
    let seen = visible(site.store()).await;
    assert!(state_of(trainer).is_some(), "the trainer lives as long as its worker");
    for pid in &both {
        signal(*pid, libc::SIGCONT);
    }
    until("the trainer dies", async || state_of(trainer).is_none().then_some(())).await;
    let_go(&first).await;
    assert_eq!(visible(site.store()).await, seen);
    site.emptied().await;
    for process in [first, other, keeper] {
        process.stop().await;
    }
    assert_registered(&site, std::slice::from_ref(&id)).await;
}

fn trainers_of_zombies(pair: Pair) {
    let ground = Ground::new(BROKER, CAREFUL);
    in_lanes(LANES, vec![false, true], async |frozen_too| {
        trainer_of_a_zombie(&ground, pair, frozen_too).await
    });
}

/// A worker that has no reason to doubt its lease, and is wrong: its clock is slow, or the other's is fast.
async fn taken_from_the_living(ground: &Ground, pair: Pair) {
    let mut site = Site::new(ground, pair).await;
    let id = site.publish().await;
    site.train_by(ENDLESS);
    let first = site.start("worker", &["run"]);
    let trainer = site.trainers(1).await[0];
    let other = Claimant {
        worker: "impatient".into(),
        host: "another".into(),
        lease_s: 1,
    };
    let claim = until("the job is taken", async || {
        let from = site.state(&id).await;
        match site
            .ledger
            .claim(&id, &from, other.clone(), None)
            .await
            .expect("an answer")
        {
            Claimed::Won(claim) => Some(claim),
            // The owner was faster with a write of its own.
            _ => None,
        }
    })
    .await;
    until("the trainer dies", async || state_of(trainer).is_none().then_some(())).await;
    until("the refused write is counted", async || {
        let fenced = first.series("trainyard_fenced_writes_total", "").await?;
        (fenced >= 1.0).then_some(())
    })
    .await;
    assert_eq!(visible(site.store()).await.len(), 0);
    let state = site.state(&id).await.state;
    assert_eq!(
        (state.token, state.worker.as_str()),
        (claim.token(), "impatient"),
        "{state:#?}"
    );
    // The other one is never heard of again.
    site.train_by(CAREFUL);
    first.stop().await;
    let processes = [site.start("worker", &["run"]), site.start("dispatcher", &["run"])];
    assert_eq!(site.ended(&id).await, Status::Registered);
    site.emptied().await;
    for process in processes {
        process.stop().await;
    }
    assert_registered(&site, std::slice::from_ref(&id)).await;
}

fn jobs_taken_from_the_living(pair: Pair) {
    let ground = Ground::new(BROKER, CAREFUL);
    in_lanes(1, vec![()], async |()| taken_from_the_living(&ground, pair).await);
}

#[test]
fn writes_of_a_worker_that_is_the_owner_no_more_are_refused_and_counted() {
    jobs_taken_from_the_living(Pair::EmbeddedDirectory);
}

#[test]
fn a_worker_that_thaws_on_one_machine_changes_nothing() {
    zombies(Pair::EmbeddedDirectory, &[FREEZES[0], FREEZES[5], FREEZES[8]]);
}

#[test]
fn a_worker_that_thaws_between_a_broker_and_a_bucket_changes_nothing() {
    zombies(Pair::RabbitS3, &[FREEZES[6]]);
}

#[test]
fn the_trainer_of_a_worker_that_thaws_dies() {
    trainers_of_zombies(Pair::EmbeddedDirectory);
}

/// The whole, for one pair each.
macro_rules! on_every_pair {
    ($($pair:ident: $variant:ident;)+) => { $(
        mod $pair {
            use super::{FREEZES, Pair, jobs_taken_from_the_living, trainers_of_zombies, zombies};

            #[test]
            #[ignore = "make test-failure"]
            fn a_worker_that_thaws_at_any_step_changes_nothing() {
                zombies(Pair::$variant, &FREEZES);
            }

            #[test]
            #[ignore = "make test-failure"]
            fn the_trainer_of_a_worker_that_thaws_dies() {
                trainers_of_zombies(Pair::$variant);
            }

            #[test]
            #[ignore = "make test-failure"]
            fn writes_of_a_worker_that_is_the_owner_no_more_are_refused_and_counted() {
                jobs_taken_from_the_living(Pair::$variant);
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
