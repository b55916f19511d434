//! A hub that answers late, wrongly, in part, or not at all.

use crate::bench::{Bench, MODEL, WEIGHTS, fetch};
use anyhow::{Context, Result};
use shared::hub::{HubError, Kind, Needs, Progress, Snapshot};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tests::hub_server::{Fault, What};

const CONTENT: &str = "/lfs/";

#[tokio::test]
async fn passing_server_errors_are_ridden_out() -> Result<()> {
    let bench = Bench::new().await?;
    for status in [500, 502, 503, 504, 408] {
        for line in ["/revision/", "/tree/", "resolve", CONTENT] {
            bench.server.inject(Fault::status(line, 1, status));
        }
        // Three attempts end in an error before the fourth: one for the revision, one for the list.
        let (_, snapshot) = bench.fetched().await.with_context(|| format!("status {status}"))?;
        bench.assert_equal(snapshot.folder(), MODEL)?;
        drop(snapshot);
        std::fs::remove_dir_all(bench.cache())?;
        bench.server.heal();
    }
    Ok(())
}

#[tokio::test]
async fn lasting_server_errors_are_infrastructure_after_all_attempts() -> Result<()> {
    let bench = Bench::new().await?;
    bench.server.inject(Fault::status("/revision/", u32::MAX, 503));
    let error = bench
        .hub()?
        .resolve(MODEL, "main", Needs::default())
        .await
        .expect_err("no answer");
    assert!(matches!(error, HubError::Unreachable { attempts: 4, .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Infrastructure);
    assert_eq!(bench.server.seen().len(), 4);
    Ok(())
}

#[tokio::test]
async fn too_many_requests_waits_as_long_as_the_hub_says() -> Result<()> {
    let bench = Bench::new().await?;
    let limit = What::Status {
        status: 429,
        retry_after: Some(1),
    };
    for line in ["/revision/", CONTENT] {
        bench.server.inject(Fault::new(line, 1, limit.clone()));
        let start = Instant::now();
        bench.fetched().await?;
        assert!(start.elapsed() >= Duration::from_secs(1), "{line}");
        std::fs::remove_dir_all(bench.cache())?;
    }
    // Nobody waits for an hour; the job comes back later.
    bench.server.inject(Fault::new(
        "/revision/",
        1,
        What::Status {
            status: 429,
            retry_after: Some(3600),
        },
    ));
    let error = bench
        .hub()?
        .resolve(MODEL, "main", Needs::default())
        .await
        .expect_err("too long");
    assert_eq!(error.kind(), Kind::Infrastructure);
    Ok(())
}

#[tokio::test]
async fn a_broken_download_goes_on_at_the_right_byte() -> Result<()> {
    let bench = Bench::new().await?;
    for after in [1_000_000, 700_000] {
        bench.server.inject(Fault::new(CONTENT, 1, What::Truncate { after }));
    }
    let (snapshot, received) = received_weights(&bench).await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    assert_eq!(received, WEIGHTS as u64, "no byte came twice");
    let seen = bench.server.seen();
    let ranges: Vec<_> = seen
        .iter()
        .filter(|s| s.line.contains(CONTENT))
        .map(|s| s.range)
        .collect();
    assert!(ranges.len() == 3 && ranges[0].is_none(), "{ranges:?}");
    assert!(
        ranges[1] > Some(0) && ranges[2] > ranges[1] && ranges[2] <= Some(1_700_000),
        "{ranges:?}"
    );
    Ok(())
}

/// Fetches the model; how many bytes of its weights came over the network.
async fn received_weights(bench: &Bench) -> Result<(Snapshot, u64)> {
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    let received = AtomicU64::new(0);
    let count = |progress: Progress<'_>| {
        if progress.file == "model.safetensors" {
            received.fetch_add(progress.received, Ordering::SeqCst);
        }
    };
    let snapshot = hub.fetch(&model, Needs::default(), &count).await?;
    Ok((snapshot, received.into_inner()))
}

#[tokio::test]
async fn more_breaks_than_attempts_are_no_failure_while_there_is_progress() -> Result<()> {
    let bench = Bench::new().await?;
    bench
        .server
        .inject(Fault::new(CONTENT, 10, What::Truncate { after: 200_000 }));
    let (snapshot, received) = received_weights(&bench).await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    assert_eq!(received, WEIGHTS as u64);
    Ok(())
}

#[tokio::test]
async fn what_was_fetched_in_part_is_resumed_by_a_later_run() -> Result<()> {
    let bench = Bench::new().await?;
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    bench
        .server
        .inject(Fault::new(CONTENT, 1, What::Truncate { after: 2_000_000 }));
    bench.server.inject(Fault::status(CONTENT, u32::MAX, 500));
    let error = hub.fetch(&model, Needs::default(), &|_| ()).await.expect_err("broken");
    assert_eq!(error.kind(), Kind::Infrastructure);
    bench.server.heal();
    bench.server.forget();
    let there = bench.incomplete()?;
    let (snapshot, received) = received_weights(&bench).await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    assert!(there > 0);
    assert_eq!(received, WEIGHTS as u64 - there);
    assert_eq!(bench.server.bytes_sent(CONTENT), WEIGHTS as u64 - there);
    Ok(())
}

#[tokio::test]
async fn a_hub_that_ignores_ranges_sends_the_file_anew() -> Result<()> {
    let bench = Bench::new().await?;
    bench
        .server
        .inject(Fault::new(CONTENT, 1, What::Truncate { after: 1_000_000 }));
    bench.server.inject(Fault::new(CONTENT, 1, What::IgnoreRange));
    let (_, snapshot) = bench.fetched().await?;
    bench.assert_equal(snapshot.folder(), MODEL)
}

#[tokio::test]
async fn a_page_instead_of_the_weights_never_becomes_the_weights() -> Result<()> {
    let bench = Bench::new().await?;
    bench.server.inject(Fault::new(CONTENT, 2, What::Html));
    let (_, snapshot) = bench.fetched().await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    drop(snapshot);
    std::fs::remove_dir_all(bench.cache())?;
    // 403 with a page, as a gated file's address answers.
    bench.server.inject(Fault::status(CONTENT, u32::MAX, 403));
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    let error = hub
        .fetch(&model, Needs::default(), &|_| ())
        .await
        .expect_err("forbidden");
    assert!(matches!(error, HubError::Gated { status: 403, .. }), "{error:?}");
    assert!(!bench.cached().join("snapshots").exists(), "nothing looks fetched");
    Ok(())
}

#[tokio::test]
async fn wrong_bytes_are_fetched_again_and_given_up_in_the_end() -> Result<()> {
    let bench = Bench::new().await?;
    bench.server.inject(Fault::new(CONTENT, 1, What::Corrupt));
    let (_, snapshot) = bench.fetched().await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    drop(snapshot);
    std::fs::remove_dir_all(bench.cache())?;
    bench.server.inject(Fault::new(CONTENT, u32::MAX, What::Corrupt));
    let error = bench.fetched().await.err().context("corrupt for ever")?;
    assert!(
        format!("{error:#}").contains("not those that the hub lists"),
        "{error:#}"
    );
    let blobs = std::fs::read_dir(bench.cached().join("blobs"))?.filter_map(Result::ok);
    let large = blobs.filter(|blob| blob.metadata().is_ok_and(|found| found.len() == WEIGHTS as u64));
    assert_eq!(large.count(), 0, "wrong bytes are not kept");
    Ok(())
}

#[tokio::test]
async fn a_silent_hub_does_not_hold_anybody_for_ever() -> Result<()> {
    let bench = Bench::new().await?;
    for (line, what) in [
        ("/revision/", What::Silent),
        ("/tree/", What::Silent),
        (CONTENT, What::Silent),
        (CONTENT, What::Stall { after: 1_500_000 }),
    ] {
        bench.server.inject(Fault::new(line, 1, what));
    }
    let mut settings = bench.settings();
    settings.patience.read_idle = Duration::from_millis(500);
    let hub = shared::hub::Hub::new(settings)?;
    let snapshot = fetch(&hub, &hub.resolve(MODEL, "main", Needs::default()).await?.model).await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    assert_eq!(bench.server.bytes_sent(CONTENT), WEIGHTS as u64);
    Ok(())
}

#[tokio::test]
async fn the_whole_has_a_deadline() -> Result<()> {
    let bench = Bench::new().await?;
    let model = bench.hub()?.resolve(MODEL, "main", Needs::default()).await?.model;
    let mut settings = bench.settings();
    settings.patience.whole = Duration::from_millis(300);
    settings.patience.read_idle = Duration::from_secs(60);
    bench
        .server
        .inject(Fault::new(CONTENT, u32::MAX, What::Stall { after: 10 }));
    let hub = shared::hub::Hub::new(settings)?;
    let error = hub
        .fetch(&model, Needs::default(), &|_| ())
        .await
        .expect_err("too slow");
    assert!(matches!(error, HubError::Deadline { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Infrastructure);
    Ok(())
}
