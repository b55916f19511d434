//! Several processes and one cache.

use crate::bench::{Bench, MODEL, WEIGHTS, fetch, files, write_model};
use anyhow::{Context, Result};
use shared::hub::{Hub, HubError, HubSettings, Needs};
use std::path::Path;
use std::process::Stdio;
use tests::hub_server::{Fault, What};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

fn client(bench: &Bench, repository: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub-fetch"));
    command
        .arg(bench.server.url())
        .arg(bench.cache())
        .args([repository, "main"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// One that fetches [`MODEL`] and is killed at this point.
async fn is_killed_at(bench: &Bench, point: &str) -> Result<()> {
    let status = client(bench, MODEL).env("TRAINYARD_CRASH_AT", point).status().await?;
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "{status}"
    );
    Ok(())
}

/// The snapshot that the process says it has.
async fn folder(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().context("stdout")?;
    BufReader::new(stdout).lines().next_line().await?.context("a line")
}

#[tokio::test]
async fn many_processes_download_once() -> Result<()> {
    let bench = Bench::new().await?;
    let mut children = Vec::new();
    for _ in 0..5 {
        children.push(client(&bench, MODEL).spawn()?);
    }
    for child in &mut children {
        bench.assert_equal(Path::new(&folder(child).await?), MODEL)?;
        assert!(child.wait().await?.success());
    }
    assert_eq!(bench.server.bytes_sent("/lfs/"), WEIGHTS as u64);
    // Resolving reads config.json, and nothing else.
    for (path, most) in [("/config.json", 6), ("/1_Pooling/config.json", 1), ("/vocab.txt", 1)] {
        let asked = bench.server.seen().into_iter().filter(|seen| {
            let file = seen
                .line
                .rsplit_once("/resolve/")
                .and_then(|(_, rest)| rest.split_once('/'));
            file.is_some_and(|(_, file)| format!("/{file}") == path)
        });
        let asked = asked.count();
        assert!((1..=most).contains(&asked), "{path} was asked for {asked} times");
    }
    Ok(())
}

#[tokio::test]
async fn many_tasks_of_one_process_download_once() -> Result<()> {
    let bench = Bench::new().await?;
    let hub = bench.hub()?;
    let model = hub.resolve(MODEL, "main", Needs::default()).await?.model;
    let fetches = (0..5).map(|_| fetch(&hub, &model));
    for snapshot in futures::future::join_all(fetches).await {
        bench.assert_equal(snapshot?.folder(), MODEL)?;
    }
    assert_eq!(bench.server.bytes_sent("/lfs/"), WEIGHTS as u64);
    Ok(())
}

#[tokio::test]
async fn a_killed_download_is_resumed_at_its_byte_and_blocks_nobody() -> Result<()> {
    let bench = Bench::new().await?;
    // The point is in the middle of every file's transfer; files come in the order of their names, and those before the
    // weights are smaller than a piece.
    is_killed_at(&bench, "in-download").await?;
    let there = bench.incomplete()?;
    assert!(
        there > WEIGHTS as u64 / 2 && there < WEIGHTS as u64,
        "{there} bytes are there"
    );
    bench.server.forget();
    let (_, snapshot) = bench.fetched().await?;
    bench.assert_equal(snapshot.folder(), MODEL)?;
    let seen = bench.server.seen();
    let ranges: Vec<Option<u64>> = seen
        .iter()
        .filter(|s| s.line.contains("/lfs/"))
        .map(|s| s.range)
        .collect();
    assert_eq!(ranges, [Some(there)]);
    assert_eq!(bench.server.bytes_sent("/lfs/"), WEIGHTS as u64 - there);
    Ok(())
}

#[tokio::test]
async fn a_snapshot_shows_no_name_but_the_commits_at_any_moment() -> Result<()> {
    let bench = Bench::new().await?;
    let (model, snapshot) = bench.fetched().await?;
    let whole = files(snapshot.folder())?;
    for passage in 1..=whole.len() {
        std::fs::remove_dir_all(snapshot.folder())?;
        is_killed_at(&bench, &format!("in-link:{passage}")).await?;
        let there = files(snapshot.folder())?;
        assert_eq!(there.len(), passage - 1, "{:?}", there.keys());
        assert!(there.iter().all(|(path, content)| whole.get(path) == Some(content)));
    }
    let again = fetch(&bench.hub()?, &model).await?;
    assert!(files(again.folder())? == whole, "the snapshot is not what it was");
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_killed_download_takes_it_over() -> Result<()> {
    let bench = Bench::new().await?;
    bench
        .server
        .inject(Fault::new("/lfs/", 1, What::Stall { after: 1_000_000 }));
    let mut first = client(&bench, MODEL).spawn()?;
    // The first is in its download, and stays there: it waits 30 s for the next byte.
    while bench.server.bytes_sent("/lfs/") < 1_000_000 {
        assert!(first.try_wait()?.is_none(), "it ended early");
        tokio::task::yield_now().await;
    }
    let mut second = client(&bench, MODEL).spawn()?;
    first.kill().await?;
    bench.assert_equal(Path::new(&folder(&mut second).await?), MODEL)?;
    assert!(second.wait().await?.success());
    Ok(())
}

#[tokio::test]
async fn another_processs_snapshot_is_not_evicted_until_it_ends() -> Result<()> {
    let bench = Bench::new().await?;
    write_model(&bench.repository("acme/second"), 2)?;
    let mut reader = client(&bench, MODEL).arg("--hold").spawn()?;
    let held = folder(&mut reader).await?;
    let limit = WEIGHTS as u64 * 3 / 2;
    let hub = Hub::new(HubSettings {
        limit_bytes: Some(limit),
        ..bench.settings()
    })?;
    let model = hub.resolve("acme/second", "main", Needs::default()).await?.model;
    let refused = hub.fetch(&model, Needs::default(), &|_| ()).await;
    assert!(matches!(refused, Err(HubError::CacheFull { .. })), "{refused:?}");
    bench.assert_equal(Path::new(&held), MODEL)?;
    // Killed, not ended well: its claim goes with it.
    reader.kill().await?;
    let snapshot = fetch(&hub, &model).await?;
    bench.assert_equal(snapshot.folder(), "acme/second")?;
    assert!(!Path::new(&held).exists());
    Ok(())
}
