//! The peer: Celery as it comes, with publisher confirms and `acks_late`.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join(".tools/celery/bin/python"));
    command
        .arg(root().join("tests/python/celery_peer.py"))
        .args(arguments)
        // Of the broker's users only this one is in a process's environment, and never in an argument.
        .env("CELERY_PEER_URL", url)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    command
}

fn numbers(mut command: Command) -> Result<Vec<f64>> {
    let done = command
        .output()
        .context("failed to run Celery: scripts/bench.sh installs it")?;
    ensure!(done.status.success(), "Celery failed: {}", done.status);
    let text = String::from_utf8(done.stdout)?;
    text.lines().map(|line| Ok(line.parse()?)).collect()
}

/// Messages a second, one after the other, each confirmed.
pub(crate) fn publish(url: &str, count: u32) -> Result<f64> {
    let seconds = numbers(command(url, &["publish", &count.to_string()]))?;
    Ok(f64::from(count) / seconds.first().context("Celery said nothing")?)
}

/// Milliseconds from sending a task to its start in an idle worker.
pub(crate) fn latency(url: &str, count: u32, folder: &Path) -> Result<Vec<f64>> {
    let file = folder.join("celery-starts").display().to_string();
    let found = numbers(command(url, &["latency", &count.to_string(), &file]))?;
    ensure!(
        found.len() == count as usize,
        "Celery ran {} of {count} tasks",
        found.len()
    );
    Ok(found)
}
