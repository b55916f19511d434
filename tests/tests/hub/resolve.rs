//! What a revision is, and what a user is told when it is nothing.

use crate::bench::{Bench, MODEL, WEIGHTS, fetch, offline, write_model};
use anyhow::Result;
use shared::hub::{Hub, HubError, HubFile, HubModel, HubSettings, Kind, Needs};
use tests::hub_server::{Fault, What, commit_of};
use trainer_protocol::Task;

#[tokio::test]
async fn branches_tags_and_commits_become_commits() -> Result<()> {
    let bench = Bench::new().await?;
    write_model(&bench.repository("acme/mini@v1.0"), 2)?;
    let (main, tag) = (
        commit_of(&bench.repository(MODEL))?,
        commit_of(&bench.repository("acme/mini@v1.0"))?,
    );
    let hub = bench.hub()?;
    for (revision, commit) in [
        ("main", &main),
        ("v1.0", &tag),
        (&tag[..8], &tag),
        (main.as_str(), &main),
    ] {
        let model = hub.resolve(MODEL, revision, Needs::default()).await?.model;
        assert_eq!((&model.commit, model.revision.as_str()), (commit, revision));
        assert_eq!(model.repository, MODEL);
    }
    Ok(())
}

/// The error of resolving, its text with all reasons, and whether it is the user's to mend.
async fn refusal(bench: &Bench, repository: &str, revision: &str) -> Result<(HubError, String)> {
    let error = bench
        .hub()?
        .resolve(repository, revision, Needs::default())
        .await
        .expect_err("nothing to resolve");
    let text = format!("{:#}", anyhow::anyhow!("{error}"));
    Ok((error, text))
}

#[tokio::test]
async fn what_is_not_there_is_a_user_error_that_names_it() -> Result<()> {
    let bench = Bench::new().await?;
    let (error, text) = refusal(&bench, "acme/absent", "main").await?;
    assert!(
        matches!(error, HubError::NoRepository { .. }) && text.contains("acme/absent"),
        "{text}"
    );
    assert_eq!(error.kind(), Kind::User);
    let (error, text) = refusal(&bench, MODEL, "v9").await?;
    assert!(
        matches!(error, HubError::NoRevision { .. }) && text.contains("\"v9\""),
        "{text}"
    );
    assert_eq!(error.kind(), Kind::User);
    let (error, _) = refusal(&bench, MODEL, &"0".repeat(40)).await?;
    assert!(matches!(error, HubError::NoRevision { .. }));
    // Known for certain at once: nothing of it was asked twice.
    assert_eq!(bench.server.seen().len(), 3);
    Ok(())
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_without_asking() -> Result<()> {
    let bench = Bench::new().await?;
    for (repository, revision) in [
        ("../etc", "main"),
        ("a/b/c", "main"),
        (MODEL, "../x"),
        (MODEL, ""),
        (MODEL, "a b"),
    ] {
        let (error, _) = refusal(&bench, repository, revision).await?;
        assert_eq!(error.kind(), Kind::User);
    }
    assert!(bench.server.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_repository_without_weights_that_can_be_read_is_refused_with_what_it_holds() -> Result<()> {
    let bench = Bench::new().await?;
    for weights in ["model.safetensors", "pytorch_model.bin"] {
        bench.hub()?.resolve(MODEL, "main", Needs::default()).await?;
        std::fs::remove_file(bench.repository(MODEL).join(weights))?;
    }
    let (error, text) = refusal(&bench, MODEL, "main").await?;
    assert_eq!(error.kind(), Kind::User);
    assert!(
        text.contains("pytorch_model.bin") && text.contains("tf_model.h5"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_gated_model_tells_to_accept_the_licence_and_set_a_token() -> Result<()> {
    let bench = Bench::new().await?;
    std::fs::write(bench.repository(MODEL).join(".gated"), "hf_right\n")?;
    let (error, text) = refusal(&bench, MODEL, "main").await?;
    assert_eq!(error.kind(), Kind::User);
    let page = format!("{}/{MODEL}", bench.server.url());
    assert!(
        text.contains("licence") && text.contains("HF_TOKEN") && text.contains(&page),
        "{text}"
    );
    let error = bench
        .hub_with_token("hf_marked_wrong")?
        .resolve(MODEL, "main", Needs::default())
        .await
        .expect_err("the wrong token");
    assert!(matches!(error, HubError::Gated { status: 403, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hf_marked_wrong"));
    bench
        .hub_with_token("hf_right")?
        .resolve(MODEL, "main", Needs::default())
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_long_list_of_files_is_read_page_by_page() -> Result<()> {
    let bench = Bench::new().await?;
    let paged = tests::hub_server::HubServer::start_at(&bench.repository(""), 0, 3).await?;
    let mut settings = bench.settings();
    settings.endpoint = paged.url();
    shared::hub::Hub::new(settings)?
        .resolve(MODEL, "main", Needs::default())
        .await?;
    let pages = paged.seen().iter().filter(|seen| seen.line.contains("/tree/")).count();
    assert_eq!(pages, 5, "14 files, 3 a page");
    Ok(())
}

#[tokio::test]
async fn a_hostile_file_name_refuses_the_repository() -> Result<()> {
    let bench = Bench::new().await?;
    for path in ["../../etc/passwd", "/etc/passwd", "a\\..\\b", "a//b", ""] {
        bench
            .server
            .inject(Fault::new("/tree/", 1, What::Name { path: path.into() }));
        let (error, text) = refusal(&bench, MODEL, "main").await?;
        assert!(matches!(error, HubError::HostileFileName { .. }), "{text}");
        assert_eq!(error.kind(), Kind::User);
    }
    Ok(())
}

/// Writes the config of [`MODEL`].
fn configure(bench: &Bench, config: &str) -> Result<()> {
    Ok(std::fs::write(bench.repository(MODEL).join("config.json"), config)?)
}

#[tokio::test]
async fn a_listing_tells_what_is_read_and_what_is_left() -> Result<()> {
    let bench = Bench::new().await?;
    let found = bench.hub()?.resolve(MODEL, "main", Needs::default()).await?;
    let paths = |files: &[HubFile]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let read = [
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    assert_eq!(paths(&found.files), read);
    assert_eq!(found.files.len() + found.others.len(), 14);
    assert!(paths(&found.others).contains(&"pytorch_model.bin".to_owned()));
    assert_eq!(found.weights().map(|file| file.size).sum::<u64>(), WEIGHTS as u64);
    let snapshot = bench.hub()?.fetch(&found.model, Needs::default(), &|_| ()).await?;
    assert_eq!(snapshot.files(), found.files, "what was told is what is fetched");
    let again = offline(&bench)?.resolve(MODEL, "main", Needs::default()).await?;
    assert_eq!(again, found, "the cache tells the same");
    Ok(())
}

#[tokio::test]
async fn shards_are_told_one_by_one() -> Result<()> {
    let bench = Bench::new().await?;
    let folder = bench.repository(MODEL);
    std::fs::rename(folder.join("model.safetensors"), folder.join("one.safetensors"))?;
    std::fs::write(folder.join("two.safetensors"), "second")?;
    std::fs::write(folder.join("adapter.safetensors"), "not named")?;
    let index = |second: &str| {
        let map = serde_json::json!({"weight_map": {"a": "one.safetensors", "b": second}});
        std::fs::write(folder.join("model.safetensors.index.json"), map.to_string())
    };
    index("two.safetensors")?;
    let found = bench.hub()?.resolve(MODEL, "main", Needs::default()).await?;
    let sizes: Vec<u64> = found.weights().map(|file| file.size).collect();
    assert_eq!(sizes, [WEIGHTS as u64, 6]);
    index("three.safetensors")?;
    let (error, text) = refusal(&bench, MODEL, "main").await?;
    assert!(
        error.kind() == Kind::User && text.contains("three.safetensors"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_config_that_cannot_be_used_is_refused_online_and_offline_alike() -> Result<()> {
    let token = Needs::of(Task::TokenClassification, false);
    for (config, needs, words) in [
        ("<html>", Needs::default(), ["config.json", "no JSON object"]),
        ("{}", Needs::default(), ["config.json", "model_type"]),
        (
            r#"{"model_type": "bert", "architectures": ["BertForMaskedLM"]}"#,
            token,
            ["ForTokenClassification", "TRAIN=true"],
        ),
        (
            r#"{"model_type": "bert", "architectures": ["BertForTokenClassification"], "id2label": {"1": "O"}}"#,
            token,
            ["id2label", "TRAIN=true"],
        ),
    ] {
        let bench = Bench::new().await?;
        configure(&bench, config)?;
        let online = bench.hub()?.resolve(MODEL, "main", needs).await.expect_err(config);
        let commit = commit_of(&bench.repository(MODEL))?;
        for word in words.into_iter().chain([MODEL, &commit]) {
            assert!(online.to_string().contains(word), "{word} is missing in {online}");
        }
        assert_eq!(online.kind(), Kind::User);
        let model = HubModel {
            repository: MODEL.into(),
            revision: "main".into(),
            commit,
        };
        bench.hub()?.fetch(&model, Needs::default(), &|_| ()).await?;
        let cached = offline(&bench)?.resolve(MODEL, "main", needs).await.expect_err(config);
        assert_eq!(cached.to_string(), online.to_string());
        // A job that trains makes its own head.
        let trains = bench
            .hub()?
            .resolve(MODEL, "main", Needs::of(Task::TokenClassification, true))
            .await;
        assert_eq!(trains.is_ok(), needs == token);
    }
    Ok(())
}

#[tokio::test]
async fn a_model_that_the_cache_may_never_hold_is_refused_at_once() -> Result<()> {
    let bench = Bench::new().await?;
    let limited = |limit: u64| {
        Hub::new(HubSettings {
            limit_bytes: Some(limit),
            ..bench.settings()
        })
    };
    let needed = bench.hub()?.resolve(MODEL, "main", Needs::default()).await?.bytes();
    limited(needed)?.resolve(MODEL, "main", Needs::default()).await?;
    let error = limited(needed - 1)?
        .resolve(MODEL, "main", Needs::default())
        .await
        .expect_err("too large");
    assert_eq!(error.kind(), Kind::Capacity);
    let text = error.to_string();
    assert!(
        text.contains("TRAINYARD_HUB_CACHE_GIB") && text.contains(&needed.to_string()),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_config_of_a_size_that_nobody_reads_is_not_read() -> Result<()> {
    let bench = Bench::new().await?;
    configure(&bench, &" ".repeat(5 << 20))?;
    let (error, text) = refusal(&bench, MODEL, "main").await?;
    assert_eq!(error.kind(), Kind::User);
    assert!(text.contains("config.json of a readable size"), "{text}");
    assert_eq!(bench.server.bytes_sent("config.json"), 0);
    Ok(())
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_found_under_its_old_name() -> Result<()> {
    let bench = Bench::new().await?;
    std::fs::create_dir_all(bench.repository("mini-base"))?;
    std::fs::write(bench.repository("mini-base/.renamed"), MODEL)?;
    std::fs::write(bench.repository(MODEL).join(".gated"), "hf_right\n")?;
    let hub = bench.hub_with_token("hf_right")?;
    let found = hub.resolve("mini-base", "main", Needs::default()).await?;
    assert_eq!(found.model.commit, commit_of(&bench.repository(MODEL))?);
    assert_eq!(found.model.repository, "mini-base", "the name that the project wrote");
    let snapshot = fetch(&hub, &found.model).await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    let seen = bench.server.seen();
    for old in ["GET /api/models/mini-base", "GET /mini-base/resolve/"] {
        assert!(
            seen.iter().any(|seen| seen.line.starts_with(old)),
            "{old} was not asked"
        );
    }
    assert!(
        seen.iter().all(|seen| seen.authorized != seen.line.contains("/lfs/")),
        "{seen:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_token_along() -> Result<()> {
    let bench = Bench::new().await?;
    let other = tests::hub_server::HubServer::start(&bench.repository("")).await?;
    let to = format!("{}/{MODEL}/resolve/main/config.json", other.url());
    bench
        .server
        .inject(Fault::new("/config.json", u32::MAX, What::Redirect { to }));
    bench
        .hub_with_token("hf_marked")?
        .resolve(MODEL, "main", Needs::default())
        .await?;
    let seen = other.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| !seen.authorized), "{seen:?}");
    Ok(())
}
