//! The checks, one function each.

use super::{Check, Verdict};
use crate::liveness::Live;
use crate::site::{Site, Yard};
use anyhow::{Context, anyhow};
use bytes::Bytes;
use shared::job::Accelerator;
use shared::ledger::{BootClock, Clock};
use shared::settings::Fleet;
use shared::store::{Conflict, Key, StoreError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A program or a host that says nothing for so long does not work.
const PATIENCE: Duration = Duration::from_secs(5);
/// Less free space than this is worth a warning: a small model with its checkpoints needs about as much.
const ROOM: u64 = 5 << 30;

pub(super) fn check(what: &'static str, result: anyhow::Result<String>) -> Check {
    let (verdict, found) = match result {
        Ok(found) => (Verdict::Ok, found),
        Err(error) => (Verdict::Failed, format!("{error:#}")),
    };
    Check { what, verdict, found }
}

pub(super) fn warning(what: &'static str, found: impl Into<String>) -> Check {
    Check {
        what,
        verdict: Verdict::Warning,
        found: found.into(),
    }
}

/// The configuration folder holds projects.
pub(super) fn projects(site: &Site) -> Check {
    let folder = site.config.display();
    let names: Vec<String> = std::fs::read_dir(&site.config)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("dev.env").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    if names.is_empty() {
        return warning(
            "projects",
            format!("{folder} holds no project; say where with --config"),
        );
    }
    check("projects", Ok(format!("{} in {folder}", names.len())))
}

/// Conditional writes work: an object is made, not made twice, not overwritten by a copy, replaced, not replaced by an old
/// etag, and deleted.
pub(super) async fn store(yard: &Yard) -> Check {
    check(
        "store",
        try_store(yard)
            .await
            .map(|()| format!("{} keeps conditional writes", yard.fleet.store_url)),
    )
}

async fn try_store(yard: &Yard) -> anyhow::Result<()> {
    let store = yard.ledger.store();
    let place = Key::new(format!("trainyard/doctor/{}", BootClock.write_id()))?;
    let (key, other) = (place.join("object")?, place.join("other")?);
    let first = store.put_new(&key, Bytes::from_static(b"1")).await?;
    let copied = store.copy_new(&key, &other).await;
    let copied_again = store.copy_new(&key, &other).await;
    let again = store.put_new(&key, Bytes::from_static(b"2")).await;
    let second = store.replace(&key, &first, Bytes::from_static(b"3")).await;
    let late = store.replace(&key, &first, Bytes::from_static(b"4")).await;
    let read = store.get(&key).await;
    store.delete(&key).await?;
    store.delete(&other).await?;
    copied.context("failed to copy an object")?;
    fn refused<T>(result: Result<T, StoreError>) -> bool {
        result.err().and_then(|error| error.conflict()) == Some(Conflict::Changed)
    }
    second.context("failed to replace an object")?;
    if !refused(again) || !refused(late) || !refused(copied_again) || read?.is_none_or(|object| object.bytes != "3") {
        return Err(anyhow!(
            "the store does not keep conditional writes; jobs are not safe in it"
        ));
    }
    Ok(())
}

/// The queue answers.
pub(super) async fn queue(yard: &Yard) -> Check {
    check("queue", try_queue(yard).await)
}

async fn try_queue(yard: &Yard) -> anyhow::Result<String> {
    let queue = yard.queue().await.map_err(|failure| anyhow!(failure.to_text()))?;
    let mut waiting = 0;
    for accelerator in Accelerator::ALL {
        let depth = queue.depth(accelerator).await?;
        waiting += depth.ready + depth.delayed + depth.in_flight;
    }
    Ok(format!("{} answers, {waiting} messages in it", yard.fleet.queue_url))
}

/// Who could take a job.
pub(super) async fn workers(yard: &Yard) -> Check {
    let live = match Live::look(yard).await {
        Ok(live) => live,
        Err(failure) => return check("workers", Err(anyhow!(failure.to_text()))),
    };
    let alive: Vec<String> = Accelerator::ALL
        .into_iter()
        .filter(|accelerator| live.has(*accelerator))
        .map(|one| one.to_string())
        .collect();
    match alive.is_empty() {
        false => check("workers", Ok(format!("alive for {}", alive.join(", ")))),
        true if yard.is_embedded() => check(
            "workers",
            Ok("none is alive; publish --wait runs a job here, worker run takes any".into()),
        ),
        true => warning("workers", "none is alive; start one: worker run"),
    }
}

/// Running jobs have a folder to work in.
pub(super) fn work_folder(fleet: &Fleet) -> Check {
    let folder = &fleet.work;
    let probe = folder.join(format!(".doctor-{}", BootClock.write_id()));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b"probe"))
        .and_then(|()| std::fs::remove_file(&probe));
    let said = || format!("failed to write in {} (TRAINYARD_WORK)", folder.display());
    check(
        "work folder",
        written
            .with_context(said)
            .map(|()| format!("{} can be written", folder.display())),
    )
}

/// The hub answers, or the cache has models.
pub(super) async fn hub(site: &Site, fleet: &Fleet) -> Check {
    let cached = std::fs::read_dir(&fleet.hf_hub_cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("models--"))
        .count();
    let cache = format!("{cached} models in the cache {}", fleet.hf_hub_cache.display());
    let endpoint = &fleet.hf_endpoint;
    let connected = match host_and_port(endpoint) {
        Some(address) => tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(address))
            .await
            .is_ok_and(|r| r.is_ok()),
        None => false,
    };
    let proxied = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
        .iter()
        .any(|name| site.environment.contains_key(*name));
    match (connected, cached) {
        (true, _) => check("hub", Ok(format!("{endpoint} takes connections; {cache}"))),
        (false, _) if proxied => warning(
            "hub",
            format!("{endpoint} was not tried, since a proxy is set; {cache}"),
        ),
        (false, 0) => check(
            "hub",
            Err(anyhow!("failed to connect to {endpoint} (HF_ENDPOINT); {cache}")),
        ),
        (false, _) => warning(
            "hub",
            format!("failed to connect to {endpoint}; only what is cached can be used: {cache}"),
        ),
    }
}

/// `host:port` of an HTTP address.
fn host_and_port(endpoint: &str) -> Option<String> {
    let (scheme, rest) = endpoint.split_once("://")?;
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let port = if scheme == "https" { 443 } else { 80 };
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    })
}

/// A program beside this one, or the one that a `variable` names, starts. A fleet's dispatcher can do without.
pub(super) async fn program(site: &Site, fleet: &Fleet, name: &'static str, variable: Option<&str>) -> Check {
    let named = variable
        .and_then(|variable| site.environment.get(variable))
        .map(PathBuf::from);
    let is_named = named.is_some();
    let path = match named.map_or_else(|| beside(name), Ok) {
        Ok(path) => path,
        Err(error) => return check(name, Err(error)),
    };
    let elsewhere = fleet.queue_url.scheme() != "embedded" && !is_named;
    if elsewhere && !path.is_file() {
        return warning(
            name,
            format!(
                "not on this machine ({}): jobs wait for other machines' workers",
                path.display()
            ),
        );
    }
    check(name, try_program(&path).await)
}

fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this executable")?;
    Ok(own.with_file_name(name))
}

async fn try_program(path: &Path) -> anyhow::Result<String> {
    if !path.is_file() {
        return Err(anyhow!("failed to find {}; build it: make start", path.display()));
    }
    let mut command = Command::new(path);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let said = || format!("failed to run {}", path.display());
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .with_context(said)?
        .with_context(said)?;
    let text = String::from_utf8_lossy(if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    })
    .into_owned();
    let line = text.lines().next().unwrap_or_default();
    if output.status.success() {
        Ok(line.to_owned())
    } else {
        Err(anyhow!("{}: {}: {line}", path.display(), output.status))
    }
}

/// There is room for a job.
pub(super) fn disk(fleet: &Fleet) -> Check {
    let folder = fleet
        .work
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(Path::new("."));
    let free = match rustix::fs::statvfs(folder) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            return check(
                "disk",
                Err(anyhow!(error).context(format!("failed to ask {} for its free space", folder.display()))),
            );
        }
    };
    let found = format!("{} MiB free at {}", free >> 20, folder.display());
    if free < ROOM {
        warning("disk", found)
    } else {
        check("disk", Ok(found))
    }
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn an_address_without_port_has_that_of_its_scheme() {
        let table = [
            ("https://huggingface.co", "huggingface.co:443"),
            ("http://127.0.0.1:8080/path", "127.0.0.1:8080"),
            ("http://user@hub.example/", "hub.example:80"),
        ];
        for (endpoint, expected) in table {
            assert_eq!(host_and_port(endpoint).as_deref(), Some(expected));
        }
        assert_eq!(host_and_port("nonsense"), None);
    }
}
