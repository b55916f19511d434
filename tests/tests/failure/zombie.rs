//! A worker is frozen past its lease, another one finishes, and the first one thaws.

use crate::{BROKER, LANES};
use shared::job::JobId;
use shared::ledger::Status;
use tests::fleet::{
    CAREFUL, ENDLESS, Ground, Pair, Running, Site, assert_registered, assert_swept, in_lanes, signal, state_of, until,
    visible,
};

/// Where a worker is frozen, and whether its next write of the state is then sent, to be refused.
const FREEZES: [(&str, bool); 12] = [
    ("after-claim", false),
    ("trainer.started", false),
    ("store.put_file_new.checkpoints.before", false),
    ("trainer.ended", false),
    ("in-staging", false),
    // The writes of a claim without a checkpoint: claim, stage, progress, stage, scores, stage, decision.
    ("store.replace.state.json.before:2", true),
    ("after-decision", false),
    ("store.put_new.versions.before", false),
    ("store.copy_new.version.before", false),
    ("store.put_new.card.before", false),
    ("after-card", false),
    ("queue.settle.before", false),
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

async fn zombie(ground: &Ground, pair: Pair, point: &str, refused: bool) {
    let mut site = Site::new(ground, pair).await;
    let id = site.publish().await;
    let mut first = site.start_with("worker", &["run"], &[("TRAINYARD_FREEZE_AT", point)]);
    frozen(&mut first).await;
    let keeper = site.start("dispatcher", &["run"]);
    let other = overtaken(&mut site, &id).await;
    let (seen, state) = (visible(site.store()).await, site.state(&id).await.state);

    signal(first.id(), libc::SIGCONT);
    let_go(&first).await;
    let fenced = first
        .series("trainyard_fenced_writes_total", "")
        .await
        .expect("a series");
    assert!(
        !refused || fenced >= 1.0,
        "{point}: no refused write was counted:\n{}",
        first.said()
    );
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

fn zombies(pair: Pair, points: &[(&str, bool)]) {
    let ground = Ground::new(BROKER, CAREFUL);
    in_lanes(LANES, points.to_vec(), async |(point, refused)| {
        zombie(&ground, pair, point, refused).await
    });
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

#[test]
fn a_worker_that_thaws_on_one_machine_changes_nothing() {
    zombies(Pair::EmbeddedDirectory, &[FREEZES[0], FREEZES[5], FREEZES[8]]);
}

#[test]
fn the_trainer_of_a_worker_that_thaws_dies() {
    trainers_of_zombies(Pair::EmbeddedDirectory);
}

/// The whole, for one pair each.
macro_rules! on_every_pair {
    ($($pair:ident: $variant:ident;)+) => { $(
        mod $pair {
            use super::{FREEZES, Pair, trainers_of_zombies, zombies};

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
        }
    )+ };
}

on_every_pair! {
    embedded_directory: EmbeddedDirectory;
    rabbit_directory: RabbitDirectory;
}
