//! Ledger, checkpoints, publication and sweeper over a store of any kind and the embedded queue.

use shared::fleet_series::FleetSeries;
use shared::job::Accelerator;
use shared::ledger::{Applied, Claim, ClaimError, Created, Event, LedgerError, Snapshot, Status, checkpoint};
use shared::publication::{Destination, LocalFile, PublicationError, roll_forward, stage};
use shared::queue::Queue;
use shared::store::Key;
use shared::sweeper::Sweeper;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::yard::{Yard, claimant, facts};

pub(crate) async fn publishing_the_same_content_again_finds_the_job_and_keeps_its_first_lineage(yard: Yard) {
    let mut again = yard.job.clone();
    again.lineage.dispatcher = "another".into();
    assert_eq!(yard.ledger.create(&again).await.expect("found"), Created::Existing);
    assert_eq!(yard.ledger.job(&yard.id).await.expect("read"), Some(yard.job.clone()));
    assert_eq!(
        yard.ledger.jobs().await.expect("listed"),
        std::slice::from_ref(&yard.id)
    );
}

pub(crate) async fn a_state_of_a_newer_schema_is_said_to_be_newer_whatever_else_is_in_it(yard: Yard) {
    let key = Key::new(format!("trainyard/jobs/{}/state.json", yard.id)).expect("a key");
    let body = r#"{"schema": 999, "tomorrow": true}"#;
    yard.ledger.store().put_new(&key, body.into()).await.expect("written");
    let error = yard.ledger.read(&yard.id).await.expect_err("it is newer");
    assert!(matches!(error, LedgerError::Newer { found: 999, .. }), "{error}");
}

pub(crate) async fn of_two_claims_from_one_state_one_wins(yard: Yard) {
    let from = yard.read().await;
    let event = Event::Claim(claimant());
    let both = futures::future::join_all((0..2).map(|_| yard.ledger.apply(&yard.id, &from, &event)));
    let won = both
        .await
        .into_iter()
        .filter(|it| matches!(it, Ok(Applied::Won(_))))
        .count();
    assert_eq!(won, 1);
    assert_eq!(yard.read().await.state.token, 1);
}

pub(crate) async fn an_owner_goes_on_after_another_handle_wrote_and_is_fenced_by_a_cancel(yard: Yard) {
    let fenced = Arc::new(Mutex::new(0));
    let count = fenced.clone();
    let hook = Arc::new(move |_: &Snapshot| *count.lock().expect("a counter") += 1);
    let won = yard.claim().await.snapshot().await;
    let claim = Claim::new(yard.ledger.clone(), yard.id.clone(), won.clone(), Some(hook));
    yard.ledger
        .apply(&yard.id, &won, &Event::Renew)
        .await
        .expect("a write beside the handle");
    claim
        .write(Event::Stage("train".into()))
        .await
        .expect("the etag is adopted");
    let cancel = Event::Cancel {
        reason: "by hand".into(),
    };
    yard.ledger
        .apply(&yard.id, &yard.read().await, &cancel)
        .await
        .expect("cancelled");
    let error = claim.write(Event::Renew).await.expect_err("fenced");
    assert!(matches!(error, ClaimError::Fenced(now) if now.state.status == Status::Cancelled));
    assert_eq!(*fenced.lock().expect("a counter"), 1);
}

pub(crate) async fn an_owner_may_go_on_for_nine_tenths_of_its_lease(yard: Yard) {
    let claim = yard.claim().await;
    assert_eq!(claim.time_left(), Duration::from_secs(27));
    yard.pass(20);
    assert_eq!(claim.time_left(), Duration::from_secs(7));
    claim.write(Event::Renew).await.expect("renewed");
    assert_eq!(claim.time_left(), Duration::from_secs(27));
    yard.pass(30);
    assert_eq!(claim.time_left(), Duration::ZERO);
}

pub(crate) async fn a_registered_version_is_whole_and_a_second_publisher_finds_it(yard: Yard) {
    let claim = yard.claim().await;
    let decision = stage(&claim, &yard.job, yard.files(), &facts()).await.expect("staged");
    let place = format!(
        "{}/",
        Destination::new(&yard.job.content.target).expect("a place").versions()
    );
    let invisible = yard
        .ledger
        .store()
        .list(&Key::new(place.trim_end_matches('/')).expect("a key"))
        .await;
    assert!(
        invisible.expect("listed").is_empty(),
        "nothing is visible before the decision"
    );
    let decided = claim.write(Event::Decide(decision.clone())).await.expect("decided");
    let first = roll_forward(&yard.ledger, &yard.id, &yard.job, &decided)
        .await
        .expect("registered");
    let second = roll_forward(&yard.ledger, &yard.id, &yard.job, &decided)
        .await
        .expect("found");
    assert_eq!(
        (first.version, first.won, second.version, second.won),
        (1, true, 1, false)
    );
    let name = format!("{}-1", yard.job.content.target.model);
    let card = yard
        .get(&format!("{place}{name}/model/model_card"))
        .await
        .expect("a card");
    let card: serde_json::Value = serde_json::from_str(&card).expect("JSON");
    assert_eq!(card["version"], name.as_str());
    assert_eq!(card["manifest_sha256"], decision.manifest_sha256.as_str());
    assert_eq!(card["training_data"][0], format!("data/train/{name}.parquet"));
    assert_eq!(
        card["github_action_context"].as_object().map(serde_json::Map::len),
        Some(15)
    );
    assert_eq!(card["model_params"]["huggingface_pipeline_task"], "sentiment-analysis");
    assert_eq!(
        yard.get(&format!("{place}{name}/data/train/{name}.parquet"))
            .await
            .as_deref(),
        Some("rows")
    );
    assert_eq!(yard.read().await.state.version, Some(1));
}

pub(crate) async fn a_number_of_a_folder_that_was_there_before_is_not_taken(yard: Yard) {
    let destination = Destination::new(&yard.job.content.target).expect("a place");
    let old = destination.file(54, "model/model_card").expect("a key");
    yard.ledger.store().put_new(&old, "{}".into()).await.expect("written");
    let claim = yard.claim().await;
    let decision = stage(&claim, &yard.job, yard.files(), &facts()).await.expect("staged");
    let decided = claim.write(Event::Decide(decision)).await.expect("decided");
    let published = roll_forward(&yard.ledger, &yard.id, &yard.job, &decided)
        .await
        .expect("registered");
    assert_eq!(published.version, 55);
}

pub(crate) async fn paths_that_leave_the_version_or_shadow_the_card_are_refused(yard: Yard) {
    let claim = yard.claim().await;
    for path in [
        "../other/config.json",
        "/etc/passwd",
        "model/model_card",
        "model/manifest",
        "a//b",
    ] {
        let files = vec![LocalFile {
            path: path.into(),
            source: yard.file("x", "x"),
        }];
        let error = stage(&claim, &yard.job, files, &facts()).await.expect_err(path);
        assert!(matches!(error, PublicationError::Path { .. }), "{path}: {error}");
    }
}

pub(crate) async fn foreign_bytes_at_a_key_of_the_version_are_never_overwritten(yard: Yard) {
    let claim = yard.claim().await;
    let decision = stage(&claim, &yard.job, yard.files(), &facts()).await.expect("staged");
    let decided = claim.write(Event::Decide(decision)).await.expect("decided");
    let destination = Destination::new(&yard.job.content.target).expect("a place");
    let key = destination.file(1, "model/model_artifacts/config.json").expect("a key");
    yard.ledger
        .store()
        .put_new(&key, "foreign".into())
        .await
        .expect("written");
    let error = roll_forward(&yard.ledger, &yard.id, &yard.job, &decided)
        .await
        .expect_err("refused");
    assert!(
        matches!(error, PublicationError::Ledger(LedgerError::Different { .. })),
        "{error}"
    );
    assert_eq!(yard.get(key.as_str()).await.as_deref(), Some("foreign"));
    assert_eq!(yard.read().await.state.status, Status::Publishing);
}

fn write_checkpoint(yard: &Yard, step: u64) -> PathBuf {
    yard.file(&format!("step-{step}/weights.bin"), &format!("weights at {step}"));
    yard.file(&format!("step-{step}/more/cursor.json"), "{}");
    yard.folder.path().join("local").join(format!("step-{step}"))
}

fn restored(into: &Path) -> String {
    std::fs::read_to_string(into.join("weights.bin")).expect("restored")
}

pub(crate) async fn the_newest_whole_checkpoint_is_restored_and_older_ones_go(yard: Yard) {
    let claim = yard.claim().await;
    for step in [10, 20, 30] {
        assert!(
            checkpoint::save(&claim, "main", step, &write_checkpoint(&yard, step))
                .await
                .expect("saved")
        );
    }
    assert!(
        !checkpoint::save(&claim, "main", 30, &write_checkpoint(&yard, 30))
            .await
            .expect("skipped")
    );
    let below = format!("trainyard/jobs/{}/checkpoints/1/main", yard.id);
    let names = yard
        .ledger
        .store()
        .list_names(&Key::new(&below).expect("a key"))
        .await
        .expect("listed");
    assert_eq!(names, ["20", "30"]);

    let state = yard.read().await.state;
    let into = yard.folder.path().join("one");
    let step = checkpoint::restore(&yard.ledger, &yard.id, &state, "main", &into)
        .await
        .expect("restored");
    assert_eq!((step, restored(&into).as_str()), (Some(30), "weights at 30"));

    let manifest = Key::new(format!("{below}/30/manifest")).expect("a key");
    yard.ledger.store().delete(&manifest).await.expect("damaged");
    let into = yard.folder.path().join("two");
    let step = checkpoint::restore(&yard.ledger, &yard.id, &state, "main", &into)
        .await
        .expect("restored");
    assert_eq!((step, restored(&into).as_str()), (Some(20), "weights at 20"));
    let none = checkpoint::restore(
        &yard.ledger,
        &yard.id,
        &state,
        "other",
        &yard.folder.path().join("three"),
    )
    .await;
    assert_eq!(none.expect("an answer"), None);
}

async fn queue(yard: &Yard) -> Arc<dyn Queue> {
    let url = format!("embedded:{}", yard.folder.path().join("queue.db").display());
    shared::queue::connect(&url, &shared::aws::AwsAccess::default())
        .await
        .expect("a queue")
}

pub(crate) async fn a_sweeper_announces_a_job_without_message_at_once_and_expires_a_silent_owner(yard: Yard) {
    let queue = queue(&yard).await;
    let accelerator: Accelerator = yard.job.content.accelerator;
    let mut sweeper = Sweeper::new(yard.ledger.clone(), queue.clone());
    assert_eq!(sweeper.sweep().await.expect("swept").announced, 1);
    assert_eq!(sweeper.sweep().await.expect("swept").announced, 0, "its message waits");
    let delivery = queue
        .receive(accelerator, Duration::ZERO)
        .await
        .expect("an answer")
        .expect("a message");
    assert_eq!(delivery.message().expect("a message").job, yard.id);
    let claim = yard.claim().await;

    sweeper.sweep().await.expect("swept");
    yard.pass(29);
    claim.write(Event::Renew).await.expect("renewed");
    yard.pass(29);
    assert_eq!(sweeper.sweep().await.expect("swept").expired, 0, "the owner has spoken");
    yard.pass(30);
    let swept = sweeper.sweep().await.expect("swept");
    assert_eq!((swept.expired, swept.announced), (1, 1));
    let now = yard.read().await.state;
    assert_eq!((now.status, now.claims_lost), (Status::Queued, 1));
    assert!(matches!(claim.write(Event::Renew).await, Err(ClaimError::Fenced(_))));
}

/// Not every queue tells of messages in other hands, so to a sweeper a publisher's message may be nowhere.
pub(crate) async fn a_sweeper_leaves_a_publisher_that_renews_alone(yard: Yard) {
    let queue = queue(&yard).await;
    let mut sweeper = Sweeper::new(yard.ledger.clone(), queue.clone());
    let claim = yard.claim().await;
    let decision = stage(&claim, &yard.job, yard.files(), &facts()).await.expect("staged");
    claim.write(Event::Decide(decision)).await.expect("decided");
    for _ in 0..3 {
        assert_eq!(sweeper.sweep().await.expect("swept").announced, 0, "it has a publisher");
        yard.pass(20);
        claim.write(Event::Renew).await.expect("renewed");
    }
    assert_eq!(sweeper.sweep().await.expect("swept").announced, 0, "it has spoken");
    yard.pass(30);
    assert_eq!(
        sweeper.sweep().await.expect("swept").announced,
        1,
        "it was silent for its lease"
    );
}

pub(crate) async fn a_sweeper_deletes_what_was_staged_only_when_its_epoch_is_over(yard: Yard) {
    let claim = yard.claim().await;
    stage(&claim, &yard.job, yard.files(), &facts()).await.expect("staged");
    let mut sweeper = Sweeper::new(yard.ledger.clone(), queue(&yard).await);
    assert_eq!(
        sweeper.sweep().await.expect("swept").deleted,
        0,
        "the attempt may need it"
    );
    let cancel = Event::Cancel {
        reason: "by hand".into(),
    };
    yard.ledger
        .apply(&yard.id, &yard.read().await, &cancel)
        .await
        .expect("cancelled");
    assert_eq!(
        sweeper.sweep().await.expect("swept").deleted,
        4,
        "two files, manifest and card"
    );
    yard.ledger
        .apply(&yard.id, &yard.read().await, &Event::Reopen)
        .await
        .expect("re-opened");
    let again = yard.claim().await;
    assert_eq!(again.epoch(), 1);
    stage(&again, &yard.job, yard.files(), &facts())
        .await
        .expect("staged anew");
    assert_eq!(sweeper.sweep().await.expect("swept").deleted, 0, "another epoch's");
}

/// Where the retention has nothing to let go of, either. Without its state the job would be one that waits.
pub(crate) async fn a_registered_job_is_read_no_more(yard: Yard) {
    let queue = queue(&yard).await;
    let (registry, again) = (prometheus::Registry::new(), prometheus::Registry::new());
    let reading = |registry| {
        let series = FleetSeries::register(registry).expect("new series");
        series.reading(yard.ledger.clone(), queue.clone())
    };
    let sweeper = || Sweeper::new(yard.ledger.clone(), queue.clone());
    let waits = |registry: &prometheus::Registry| {
        let shown = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        let none = r#"trainyard_oldest_waiting_seconds{accelerator="cpu"} 0"#;
        !shown.lines().any(|line| line == none)
    };
    let claim = yard.claim().await;
    let decision = stage(&claim, &yard.job, yard.files(), &facts()).await.expect("staged");
    let decided = claim.write(Event::Decide(decision)).await.expect("decided");
    roll_forward(&yard.ledger, &yard.id, &yard.job, &decided)
        .await
        .expect("registered");
    let (mut old_sweeper, mut old_reading) = (sweeper(), reading(&registry));
    while old_sweeper.sweep().await.expect("swept").deleted > 0 {}
    old_reading.read().await.expect("read");

    let state = Key::new(format!("trainyard/jobs/{}/state.json", yard.id)).expect("a key");
    yard.ledger.store().delete(&state).await.expect("deleted");
    assert_eq!(old_sweeper.sweep().await.expect("swept").announced, 0);
    old_reading.read().await.expect("read");
    assert!(!waits(&registry));

    // So who does read it would be seen.
    assert_eq!(sweeper().sweep().await.expect("swept").announced, 1);
    reading(&again).read().await.expect("read");
    assert!(waits(&again));
}
