//! What is away for a while, or slower than a timer: all jobs still end, and each is done once.

use crate::BROKER;
use shared::job::JobId;
use shared::ledger::Status;
use std::time::{Duration, Instant};
use tests::fleet::{Ground, Pair, QUICK, Running, Site, assert_registered, in_lanes, until};
use tests::proxy::Fault;

/// Says that it runs, and takes longer than any timer of these tests.
const SLOW: &str = r#"
echo $$ >> "$(dirname "$0")/pids"
progress 1
sleep 6
export_model
"#;

/// The broker's own timer, in milliseconds, and how often it looks.
fn timer(timeout: u32, look: u32) -> String {
    format!(
        "application:set_env(rabbit, consumer_timeout, {timeout}), \
         application:set_env(rabbit, channel_tick_interval, {look})."
    )
}

/// The job was claimed once and trained once, whoever else got its message.
async fn assert_done_once(site: &Site<'_>, id: &JobId, workers: Vec<Running>) {
    assert_eq!(site.ended(id).await, Status::Registered);
    site.emptied().await;
    let state = site.state(id).await.state;
    assert_eq!((state.token, site.trainers(1).await.len()), (1, 1), "{state:#?}");
    for worker in workers {
        worker.stop().await;
    }
    assert_registered(site, std::slice::from_ref(id)).await;
}

#[test]
#[ignore = "make test-failure"]
fn a_job_longer_than_the_brokers_timer_runs_once() {
    let ground = Ground::new(BROKER, QUICK);
    in_lanes(1, vec![()], async |()| {
        let mut site = Site::alone(&ground, Pair::RabbitDirectory).await;
        site.broker().ctl(&["eval", &timer(2000, 500)]).await;
        site.train_by(SLOW);
        let workers = (0..2).map(|_| site.start("worker", &["run"])).collect();
        let id = site.publish().await;
        assert_done_once(&site, &id, workers).await;
        site.broker().ctl(&["eval", &timer(1_800_000, 60_000)]).await;
    });
}

/// The lease is so long that the message is not kept hidden in time: it goes to another worker again and again.
fn longer_than_visibility(pair: Pair) {
    let ground = Ground::new(BROKER, QUICK);
    in_lanes(1, vec![()], async |()| {
        let mut site = Site::new(&ground, pair).await;
        site.set("TRAINYARD_LEASE", "9s");
        site.set("TRAINYARD_VISIBILITY", "1s");
        site.train_by(SLOW);
        let workers = (0..2).map(|_| site.start("worker", &["run"])).collect();
        let id = site.publish().await;
        assert_done_once(&site, &id, workers).await;
    });
}

#[test]
fn a_job_longer_than_its_messages_visibility_runs_once() {
    longer_than_visibility(Pair::EmbeddedDirectory);
}

#[test]
#[ignore = "make test-failure"]
fn a_job_longer_than_its_messages_visibility_on_rabbitmq_runs_once() {
    longer_than_visibility(Pair::RabbitS3);
}

#[test]
#[ignore = "make test-failure"]
fn a_job_longer_than_its_messages_visibility_on_sqs_runs_once() {
    longer_than_visibility(Pair::SqsS3);
}

/// Some jobs, published directly.
async fn publish(site: &Site<'_>, numbers: std::ops::Range<u32>) -> Vec<JobId> {
    let mut ids = Vec::new();
    for number in numbers {
        let id = site.record(&site.job(number)).await;
        site.ring(&id).await;
        ids.push(id);
    }
    ids
}

/// What is to go away was there when they began: who cannot begin ends with an error, which is not what is tested.
async fn all_answer(processes: &[Running]) {
    for process in processes {
        process.answers().await;
    }
}

async fn assert_all_end(site: &Site<'_>, ids: &[JobId], processes: Vec<Running>) {
    for id in ids {
        assert_eq!(site.ended(id).await, Status::Registered);
    }
    site.emptied().await;
    for process in processes {
        process.stop().await;
    }
    assert_registered(site, ids).await;
}

#[test]
#[ignore = "make test-failure"]
fn all_jobs_end_though_the_broker_is_killed_under_them() {
    let ground = Ground::new(BROKER, QUICK);
    in_lanes(1, vec![()], async |()| {
        let mut site = Site::alone(&ground, Pair::RabbitDirectory).await;
        site.train_by("progress 1; sleep 0.3; export_model");
        let processes = vec![
            site.start("worker", &["run"]),
            site.start("worker", &["run", "--slots", "2"]),
            site.start("dispatcher", &["run"]),
        ];
        all_answer(&processes).await;
        let ids = publish(&site, 0..12).await;
        for _ in 0..2 {
            site.broker().ask("stop".into()).await;
            site.broker().ask("start".into()).await;
        }
        assert_all_end(&site, &ids, processes).await;
    });
}

#[test]
#[ignore = "make test-failure"]
fn all_jobs_end_though_the_broker_is_out_of_disk_for_a_while() {
    let ground = Ground::new(BROKER, QUICK);
    in_lanes(1, vec![()], async |()| {
        let site = Site::alone(&ground, Pair::RabbitDirectory).await;
        let mut ids = publish(&site, 0..6).await;
        site.broker().ctl(&["set_disk_free_limit", "1000000GB"]).await;
        let processes = vec![site.start("worker", &["run"]), site.start("dispatcher", &["run"])];
        // What is in the queue is done: acknowledging needs no disk.
        for id in &ids {
            assert_eq!(site.ended(id).await, Status::Registered);
        }
        // A job that is published meanwhile is recorded, its message refused, and its publisher told so.
        let id = site.record(&site.job(6)).await;
        let refused = site.queue.publish(&tests::fleet::message(&id), Duration::ZERO).await;
        assert!(refused.is_err(), "a broker out of disk took a message");
        site.broker().ctl(&["set_disk_free_limit", "1MB"]).await;
        // Nobody publishes it again: it is found in the ledger.
        ids.push(id);
        assert_all_end(&site, &ids, processes).await;
    });
}

/// Connections to the store are cut again and again, and none is taken, for `away`; the jobs are in the middle.
fn all_jobs_end_though_the_store_is_away(pair: Pair, jobs: u32, away: Duration) {
    let ground = Ground::new(BROKER, QUICK);
    in_lanes(1, vec![()], async |()| {
        let mut site = Site::new(&ground, pair).await;
        let proxy = site.store_behind_proxy().await;
        site.train_by("progress 1; sleep 1; export_model");
        let processes = vec![
            site.start("worker", &["run"]),
            site.start("worker", &["run", "--slots", "2"]),
            site.start("dispatcher", &["run"]),
        ];
        all_answer(&processes).await;
        let ids = publish(&site, 0..jobs).await;
        // A trainer runs, and most jobs are still to come.
        until("a job is claimed", async || {
            (site.state(&ids[0]).await.state.token > 0).then_some(())
        })
        .await;
        proxy.set(Fault {
            refuse: true,
            ..Fault::default()
        });
        let (began, before) = (Instant::now(), ended(&site, &ids).await);
        proxy.cut();
        until("the store was away for long enough", async || {
            proxy.cut();
            (began.elapsed() >= away).then_some(())
        })
        .await;
        let meanwhile = ended(&site, &ids).await;
        assert!(
            before < ids.len() && meanwhile <= before + 1,
            "the store was not away: {before} and then {meanwhile} of {jobs} jobs had ended"
        );
        proxy.set(Fault::default());
        assert_all_end(&site, &ids, processes).await;
    });
}

/// How many of the jobs have.
async fn ended(site: &Site<'_>, ids: &[JobId]) -> usize {
    let mut count = 0;
    for id in ids {
        count += usize::from(site.state(id).await.state.status.is_terminal());
    }
    count
}

#[test]
fn all_jobs_end_though_the_store_is_away_for_some_leases() {
    all_jobs_end_though_the_store_is_away(Pair::SqsS3, 3, Duration::from_secs(4));
}

#[test]
#[ignore = "make test-failure"]
fn all_jobs_on_rabbitmq_end_though_the_store_is_away_for_half_a_minute() {
    all_jobs_end_though_the_store_is_away(Pair::RabbitS3, 8, Duration::from_secs(30));
}

#[test]
#[ignore = "make test-failure"]
fn all_jobs_on_sqs_end_though_the_store_is_away_for_half_a_minute() {
    all_jobs_end_though_the_store_is_away(Pair::SqsS3, 8, Duration::from_secs(30));
}

/// Between the record and the message its publisher dies; nobody publishes again.
#[test]
fn a_job_without_a_message_is_announced_by_the_dispatcher() {
    let ground = Ground::new(BROKER, QUICK);
    in_lanes(1, vec![()], async |()| {
        let site = Site::new(&ground, Pair::EmbeddedDirectory).await;
        let id = site.record(&site.job(0)).await;
        let processes = vec![site.start("dispatcher", &["run"])];
        until("it is announced", async || (site.depth().await.ready > 0).then_some(())).await;
        let worker = site.start("worker", &["run"]);
        assert_all_end(&site, &[id], processes.into_iter().chain([worker]).collect()).await;
    });
}
