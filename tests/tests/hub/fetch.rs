//! From a commit to exactly the right bytes.

use crate::bench::{Bench, MODEL, WEIGHTS, fetch, files, write_model};
use anyhow::{Context, Result};
use shared::hub::{HubError, HubModel, Kind, Needs};
use std::sync::Mutex;
use tests::hub_server::{Fault, What, commit_of};

#[tokio::test]
async fn only_needed_files_come_and_equal_the_repositorys() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, snapshot) = bench.fetched().await?;
    let names: Vec<String> = files(snapshot.folder())?.into_keys().collect();
    let needed = [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "modules.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    assert_eq!(names, needed);
    bench.assert_equal(snapshot.folder(), MODEL)?;
    assert_eq!(
        snapshot
            .files()
            .iter()
            .map(|file| file.path.as_str())
            .collect::<Vec<_>>(),
        needed
    );
    assert!(
        bench
            .server
            .seen()
            .iter()
            .all(|seen| !seen.line.contains("pytorch_model.bin"))
    );
    assert_eq!(std::fs::read_to_string(bench.cached().join("refs/main"))?, model.commit);
    Ok(())
}

#[tokio::test]
async fn a_classifier_needs_no_file_of_sentence_transformers() -> Result<()> {
    let bench = Bench::new().await?;
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    let snapshot = hub.fetch(&model, Needs::default(), &|_| ()).await?;
    assert!(!snapshot.folder().join("modules.json").exists());
    drop(snapshot);
    // More is needed of the same snapshot later.
    assert!(
        fetch(&hub, &model)
            .await?
            .folder()
            .join("1_Pooling/config.json")
            .exists()
    );
    Ok(())
}

#[tokio::test]
async fn a_warm_cache_is_verified_without_the_hub() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, snapshot) = bench.fetched().await?;
    drop(snapshot);
    bench.server.forget();
    let hub = bench.hub()?;
    let pinned = hub.resolve(MODEL, &model.commit, Needs::default()).await?.model;
    fetch(&hub, &pinned).await?;
    assert!(bench.server.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn wrong_bytes_in_the_cache_are_replaced() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, snapshot) = bench.fetched().await?;
    let weights = std::fs::canonicalize(snapshot.folder().join("model.safetensors"))?;
    let config = std::fs::canonicalize(snapshot.folder().join("config.json"))?;
    drop(snapshot);
    // One byte of the weights, none more or less; and a config that is another file altogether.
    let mut bytes = std::fs::read(&weights)?;
    bytes[WEIGHTS / 2] ^= 1;
    std::fs::write(&weights, bytes)?;
    std::fs::write(&config, "<html>")?;
    let snapshot = fetch(&bench.hub()?, &model).await?;
    bench.assert_equal(snapshot.folder(), MODEL)
}

#[tokio::test]
async fn a_link_that_is_missing_or_points_elsewhere_is_mended() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, snapshot) = bench.fetched().await?;
    let folder = snapshot.folder().to_owned();
    drop(snapshot);
    std::fs::remove_file(folder.join("model.safetensors"))?;
    std::fs::remove_file(folder.join("vocab.txt"))?;
    std::os::unix::fs::symlink("/etc/passwd", folder.join("vocab.txt"))?;
    let snapshot = fetch(&bench.hub()?, &model).await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    assert!(snapshot.folder().join("model.safetensors").exists());
    Ok(())
}

#[tokio::test]
async fn progress_grows_to_the_whole_and_counts_what_came() -> Result<()> {
    let bench = Bench::new().await?;
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    let reports = Mutex::new(Vec::new());
    let note = |p: shared::hub::Progress<'_>| reports.lock().expect("no panic").push((p.done, p.total, p.received));
    hub.fetch(&model, Needs::default(), &note).await?;
    let reports = reports.into_inner()?;
    assert!(
        reports.windows(2).all(|pair| pair[0].0 <= pair[1].0),
        "it never goes back"
    );
    let (done, total, _) = *reports.last().context("reports")?;
    assert!(done == total && total > WEIGHTS as u64 && reports.len() > 10);
    assert_eq!(reports.iter().map(|report| report.2).sum::<u64>(), total);
    Ok(())
}

#[tokio::test]
async fn weights_in_shards_come_whole_and_no_other_shard_does() -> Result<()> {
    let bench = Bench::new().await?;
    let sharded = bench.repository("acme/sharded");
    write_model(&sharded, 3)?;
    std::fs::rename(
        sharded.join("model.safetensors"),
        sharded.join("model-00001-of-00002.safetensors"),
    )?;
    std::fs::write(sharded.join("model-00002-of-00002.safetensors"), "second")?;
    std::fs::write(sharded.join("adapter.safetensors"), "not named")?;
    let index = |second: &str| {
        let map = serde_json::json!({"a": "model-00001-of-00002.safetensors", "b": second});
        std::fs::write(
            sharded.join("model.safetensors.index.json"),
            serde_json::json!({"weight_map": map}).to_string(),
        )
    };
    index("model-00002-of-00002.safetensors")?;
    let hub = bench.hub()?;
    let snapshot = fetch(
        &hub,
        &hub.resolve("acme/sharded", "main", Needs::default()).await?.model,
    )
    .await?;
    bench.assert_equal(snapshot.folder(), "acme/sharded")?;
    assert!(snapshot.folder().join("model-00002-of-00002.safetensors").exists());
    assert!(!snapshot.folder().join("adapter.safetensors").exists());
    index("model-00003-of-00002.safetensors")?;
    // A job may have been published before this was looked at.
    let model = HubModel {
        repository: "acme/sharded".into(),
        revision: "main".into(),
        commit: commit_of(&sharded)?,
    };
    let error = hub
        .fetch(&model, Needs::default(), &|_| ())
        .await
        .expect_err("a shard is missing");
    assert!(
        error.kind() == Kind::User && error.to_string().contains("model-00003-of-00002"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn without_safetensors_the_weights_of_torch_come() -> Result<()> {
    let bench = Bench::new().await?;
    std::fs::remove_file(bench.repository(MODEL).join("model.safetensors"))?;
    let (_, snapshot) = bench.fetched().await?;
    let weights = std::fs::read(snapshot.folder().join("pytorch_model.bin"))?;
    assert_eq!(weights.len(), WEIGHTS);
    assert!(!snapshot.folder().join("tf_model.h5").exists());
    Ok(())
}

#[tokio::test]
async fn shards_of_torch_come_too() -> Result<()> {
    let bench = Bench::new().await?;
    let folder = bench.repository(MODEL);
    std::fs::remove_file(folder.join("model.safetensors"))?;
    std::fs::rename(
        folder.join("pytorch_model.bin"),
        folder.join("pytorch_model-00001-of-00001.bin"),
    )?;
    std::fs::write(folder.join("training_args.bin"), "not weights")?;
    std::fs::write(
        folder.join("pytorch_model.bin.index.json"),
        r#"{"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}"#,
    )?;
    let (_, snapshot) = bench.fetched().await?;
    assert!(snapshot.folder().join("pytorch_model-00001-of-00001.bin").exists());
    assert!(!snapshot.folder().join("training_args.bin").exists());
    Ok(())
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_to_no_other_host() -> Result<()> {
    let bench = Bench::new().await?;
    std::fs::write(bench.repository(MODEL).join(".gated"), "hf_right")?;
    let hub = bench.hub_with_token("hf_right")?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    fetch(&hub, &model).await?;
    let seen = bench.server.seen();
    let (large, rest): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| seen.line.contains("/lfs/"));
    assert!(!large.is_empty() && large.iter().all(|seen| !seen.authorized));
    assert!(rest.iter().all(|seen| seen.authorized));
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_a_matter_of_capacity() -> Result<()> {
    let bench = Bench::new().await?;
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    let listed = fetch(&hub, &model).await?;
    let weights = listed
        .files()
        .iter()
        .find(|file| file.path == "model.safetensors")
        .context("weights")?;
    let blobs = bench.cached().join("blobs");
    std::fs::remove_file(blobs.join(weights.digest.as_str()))?;
    // Every write to /dev/full fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", blobs.join(format!("{}.incomplete", weights.digest)))?;
    let error = hub
        .fetch(&model, Needs::default(), &|_| ())
        .await
        .expect_err("a full disk");
    assert!(matches!(error, HubError::DiskFull { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Capacity);
    Ok(())
}

#[tokio::test]
async fn a_redirect_that_never_ends_is_given_up() -> Result<()> {
    let bench = Bench::new().await?;
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    let to = format!("{}/{MODEL}/resolve/main/config.json", bench.server.url());
    bench
        .server
        .inject(Fault::new("config.json", u32::MAX, What::Redirect { to }));
    let error = hub
        .fetch(&model, Needs::default(), &|_| ())
        .await
        .expect_err("a circle");
    assert_eq!(error.kind(), Kind::Infrastructure);
    Ok(())
}
