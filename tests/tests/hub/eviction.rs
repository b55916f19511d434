//! The cache's limit, and who is spared.

use crate::bench::{Bench, MODEL, WEIGHTS, fetch, write_model};
use anyhow::Result;
use shared::hub::{Hub, HubError, HubSettings, Kind, Needs, Snapshot};

/// Room for so many models and a half.
fn limited(bench: &Bench, models: u64) -> Result<Hub> {
    let limit = models * WEIGHTS as u64 + WEIGHTS as u64 / 2;
    Ok(Hub::new(HubSettings {
        limit_bytes: Some(limit),
        ..bench.settings()
    })?)
}

async fn fetched(hub: &Hub, repository: &str, revision: &str) -> Result<Snapshot> {
    fetch(hub, &hub.resolve(repository, revision, Needs::default()).await?.model).await
}

async fn three_models() -> Result<Bench> {
    let bench = Bench::new().await?;
    for (name, seed) in [("acme/second", 2), ("acme/third", 3)] {
        write_model(&bench.repository(name), seed)?;
    }
    Ok(bench)
}

#[tokio::test]
async fn the_least_recently_used_snapshot_goes_first() -> Result<()> {
    let bench = three_models().await?;
    let hub = limited(&bench, 2)?;
    let first = fetched(&hub, MODEL, "main").await?.folder().to_owned();
    let second = fetched(&hub, "acme/second", "main").await?.folder().to_owned();
    // What a process leaves that is killed while it links.
    let of_second = bench.cache().join("models--acme--second/trainyard");
    std::os::unix::fs::symlink("../../blobs/gone", of_second.join(".trainyard-killed"))?;
    // Used again, though older.
    fetched(&hub, MODEL, "main").await?;
    let third = fetched(&hub, "acme/third", "main").await?.folder().to_owned();
    assert!(first.exists() && !second.exists() && third.exists());
    let left = std::fs::read_dir(bench.cache().join("models--acme--second/blobs"))?.count();
    assert_eq!(left, 0, "its bytes are gone");
    assert_eq!(std::fs::read_dir(of_second)?.count(), 0, "so is what is said of it");
    bench.assert_equal(fetched(&hub, "acme/second", "main").await?.folder(), "acme/second")
}

#[tokio::test]
async fn what_is_in_use_stays_and_the_newcomer_waits_for_another_time() -> Result<()> {
    let bench = three_models().await?;
    let hub = limited(&bench, 2)?;
    let first = fetched(&hub, MODEL, "main").await?;
    let second = fetched(&hub, "acme/second", "main").await?;
    let model = hub.resolve("acme/third", "main", Needs::default()).await?.model;
    let error = hub.fetch(&model, Needs::default(), &|_| ()).await.expect_err("no room");
    assert!(matches!(error, HubError::CacheFull { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Capacity);
    bench.assert_equal(first.folder(), MODEL)?;
    bench.assert_equal(second.folder(), "acme/second")?;
    drop(second);
    bench.assert_equal(fetch(&hub, &model).await?.folder(), "acme/third")?;
    bench.assert_equal(first.folder(), MODEL)
}

#[tokio::test]
async fn bytes_that_another_commit_shares_stay() -> Result<()> {
    let bench = three_models().await?;
    // The same weights at another revision: one blob, two snapshots.
    write_model(&bench.repository("acme/mini@v1"), 1)?;
    std::fs::write(
        bench.repository("acme/mini@v1").join("config.json"),
        r#"{"model_type": "other"}"#,
    )?;
    let hub = limited(&bench, 1)?;
    let old = fetched(&hub, MODEL, "v1").await?.folder().to_owned();
    let kept = fetched(&hub, MODEL, "main").await?;
    assert!(old.exists(), "both fit, since they share");
    let model = hub.resolve("acme/second", "main", Needs::default()).await?.model;
    assert!(
        hub.fetch(&model, Needs::default(), &|_| ()).await.is_err(),
        "the shared weights are in use"
    );
    assert!(!old.exists());
    bench.assert_equal(kept.folder(), MODEL)
}

#[tokio::test]
async fn what_python_put_there_counts_but_stays() -> Result<()> {
    let bench = three_models().await?;
    let theirs = bench.cache().join("models--other--model/blobs");
    std::fs::create_dir_all(&theirs)?;
    std::fs::write(theirs.join("0".repeat(64)), vec![0; WEIGHTS])?;
    let hub = limited(&bench, 2)?;
    let first = fetched(&hub, MODEL, "main").await?.folder().to_owned();
    fetched(&hub, "acme/second", "main").await?;
    assert!(!first.exists() && theirs.join("0".repeat(64)).exists());
    Ok(())
}
