//! Without the hub: what is in the cache is enough, and what is not there is said.

use crate::bench::{Bench, MODEL, fetch, offline};
use anyhow::Result;
use shared::hub::{Hub, HubError, HubModel, HubSettings, Kind, Needs};
use std::time::Duration;
use tests::hub_server::{Fault, HubServer, What, commit_of};

/// A hub that is not there: nothing listens at port 9 of this host.
fn away(bench: &Bench) -> Result<Hub> {
    Ok(Hub::new(HubSettings {
        endpoint: "http://127.0.0.1:9".into(),
        ..bench.settings()
    })?)
}

#[tokio::test]
async fn a_warm_cache_is_enough() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, snapshot) = bench.fetched().await?;
    drop(snapshot);
    bench.server.forget();
    for hub in [away(&bench)?, offline(&bench)?] {
        for revision in ["main", &model.commit] {
            let found = hub.resolve(MODEL, revision, Needs::default()).await?.model;
            assert_eq!(found.commit, model.commit);
            bench.assert_equal(fetch(&hub, &found).await?.folder(), MODEL)?;
        }
    }
    assert!(bench.server.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_branch_that_moved_is_seen_while_the_hub_answers() -> Result<()> {
    let bench = Bench::new().await?;
    let (old, _snapshot) = bench.fetched().await?;
    std::fs::write(
        bench.repository(MODEL).join("config.json"),
        r#"{"model_type": "distilbert"}"#,
    )?;
    let new = commit_of(&bench.repository(MODEL))?;
    assert_ne!(old.commit, new);
    assert_eq!(
        bench
            .hub()?
            .resolve(MODEL, "main", Needs::default())
            .await?
            .model
            .commit,
        new
    );
    bench.server.inject(Fault::status("/revision/", u32::MAX, 503));
    assert_eq!(
        bench
            .hub()?
            .resolve(MODEL, "main", Needs::default())
            .await?
            .model
            .commit,
        old.commit,
        "what was fetched last"
    );
    Ok(())
}

#[tokio::test]
async fn a_silent_hub_is_not_waited_for_where_the_cache_has_an_answer() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, _snapshot) = bench.fetched().await?;
    bench.server.inject(Fault::new("/revision/", u32::MAX, What::Silent));
    let mut settings = bench.settings();
    settings.patience.read_idle = Duration::from_secs(3600);
    settings.patience.with_cache = Duration::from_millis(300);
    let found = tokio::time::timeout(
        Duration::from_secs(30),
        Hub::new(settings)?.resolve(MODEL, "main", Needs::default()),
    )
    .await??;
    assert_eq!(found.model.commit, model.commit);
    Ok(())
}

#[tokio::test]
async fn a_cold_cache_without_the_hub_is_infrastructure() -> Result<()> {
    let bench = Bench::new().await?;
    let error = away(&bench)?
        .resolve(MODEL, "main", Needs::default())
        .await
        .expect_err("nobody there");
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Infrastructure);
    let error = offline(&bench)?
        .resolve(MODEL, "main", Needs::default())
        .await
        .expect_err("not in the cache");
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    assert_eq!(error.kind(), Kind::Infrastructure);
    assert!(bench.server.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_incomplete_snapshot_is_not_taken_for_whole() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, snapshot) = bench.fetched().await?;
    let weights = std::fs::canonicalize(snapshot.folder().join("model.safetensors"))?;
    drop(snapshot);
    std::fs::remove_file(weights)?;
    let hub = offline(&bench)?;
    assert!(matches!(
        hub.resolve(MODEL, &model.commit, Needs::default()).await,
        Err(HubError::Offline { .. })
    ));
    let error = hub
        .fetch(&model, Needs::default(), &|_| ())
        .await
        .expect_err("no weights");
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    Ok(())
}

#[tokio::test]
async fn refused_access_is_not_covered_up_by_the_cache() -> Result<()> {
    let bench = Bench::new().await?;
    bench.fetched().await?;
    std::fs::remove_dir_all(bench.repository(MODEL))?;
    let error = bench
        .hub()?
        .resolve(MODEL, "main", Needs::default())
        .await
        .expect_err("removed from the hub");
    assert!(matches!(error, HubError::NoRepository { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_needs_only_the_pinned_commit() -> Result<()> {
    let bench = Bench::new().await?;
    let commit = commit_of(&bench.repository(MODEL))?;
    // Another process's hub, as on another machine: nothing was resolved here.
    let other = HubServer::start(&bench.repository("")).await?;
    let hub = Hub::new(HubSettings {
        endpoint: other.url(),
        ..bench.settings()
    })?;
    let model = HubModel {
        repository: MODEL.into(),
        revision: "main".into(),
        commit,
    };
    bench.assert_equal(fetch(&hub, &model).await?.folder(), MODEL)
}
