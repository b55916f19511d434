//! What a revision is, and what a user is told when it is nothing.

use crate::bench::{Bench, MODEL, write_model};
use anyhow::Result;
use shared::hub::{HubError, Kind};
use tests::hub_server::{Fault, What, commit_of};

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
        let model = hub.resolve(MODEL, revision).await?;
        assert_eq!((&model.commit, model.revision.as_str()), (commit, revision));
        assert_eq!(model.repository, MODEL);
    }
    Ok(())
}

/// The error of resolving, its text with all reasons, and whether it is the user's to mend.
async fn refusal(bench: &Bench, repository: &str, revision: &str) -> Result<(HubError, String)> {
    let error = bench
        .hub()?
        .resolve(repository, revision)
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
        bench.hub()?.resolve(MODEL, "main").await?;
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
        .resolve(MODEL, "main")
        .await
        .expect_err("the wrong token");
    assert!(matches!(error, HubError::Gated { status: 403, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hf_marked_wrong"));
    bench.hub_with_token("hf_right")?.resolve(MODEL, "main").await?;
    Ok(())
}

#[tokio::test]
async fn a_long_list_of_files_is_read_page_by_page() -> Result<()> {
    let bench = Bench::new().await?;
    let paged = tests::hub_server::HubServer::start_at(&bench.repository(""), 0, 3).await?;
    let mut settings = bench.settings();
    settings.endpoint = paged.url();
    shared::hub::Hub::new(settings)?.resolve(MODEL, "main").await?;
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
