//! `dispatcher doctor`: whether this machine can do its part.

use crate::failure::Failure;
use crate::out;
use crate::site::{Site, Yard};
use serde::Serialize;
use shared::exit::ExitCode;
use shared::settings::{Fleet, Variables};

mod broker;
mod bucket;
mod checks;
mod sqs;

/// Check this machine's set-up.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but a person should know.
    Warning,
    /// It does not work.
    Failed,
}

/// One check and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub found: String,
}

/// What this command does not look at; it says so.
const NOT_CHECKED: [&str; 3] = [
    "whether the hub grants access to each project's models (publish does)",
    "whether other machines reach the same store and queue",
    "accelerators: the worker probes its own when it starts",
];

/// Checks settings, folders, store, queue, hub, trainer, disk and workers.
///
/// # Errors
/// Exit 64 for bad settings. Everything else is a finding: exit 69 if any check failed.
pub(crate) async fn execute(site: &Site, _args: Args) -> Result<ExitCode, Failure> {
    let fleet = site.fleet(&Variables::new())?;
    let found = all(site, &fleet).await;
    let is_rabbit = broker::is_one(&fleet);
    let not_checked: Vec<&str> = NOT_CHECKED
        .into_iter()
        .chain(is_rabbit.then_some(broker::NOT_CHECKED))
        .collect();
    let failed = found.iter().any(|check| check.verdict == Verdict::Failed);
    match site.format {
        crate::cli::Format::Json => {
            out::document(&serde_json::json!({ "checks": found, "not_checked": not_checked }))?;
        }
        crate::cli::Format::Text => {
            let mut table = out::table(&["check", "", "found"]);
            for check in &found {
                let verdict = format!("{:?}", check.verdict).to_lowercase();
                table.add_row([check.what.to_owned(), verdict, check.found.clone()]);
            }
            out::print(&format!("{table}\nnot checked: {}", not_checked.join("; ")))?;
        }
    }
    Ok(if failed { ExitCode::Unreachable } else { ExitCode::Ok })
}

async fn all(site: &Site, fleet: &Fleet) -> Vec<Check> {
    let mut found = vec![checks::projects(site)];
    match Yard::connect(fleet.clone()).await {
        Ok(yard) => {
            found.push(checks::store(&yard).await);
            found.extend(bucket::checks(&yard).await);
            let broker = if broker::is_one(fleet) {
                broker::checks(&yard).await
            } else {
                Vec::new()
            };
            // One line for what is wrong, not another for what follows from it.
            if !broker::failed(&broker) {
                found.push(checks::queue(&yard).await);
            }
            found.extend(broker);
            found.extend(sqs::checks(&yard).await);
            found.push(checks::workers(&yard).await);
        }
        Err(failure) => found.push(Check {
            what: "store",
            verdict: Verdict::Failed,
            found: failure.to_text(),
        }),
    }
    found.push(checks::work_folder(fleet));
    found.push(checks::hub(site, fleet).await);
    found.push(checks::program(site, fleet, "worker", None).await);
    found.push(checks::program(site, fleet, "trainer", Some("TRAINYARD_TRAINER")).await);
    found.push(checks::disk(fleet));
    found
}
