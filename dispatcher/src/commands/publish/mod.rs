//! `dispatcher publish`: from settings to a job in the ledger and a message in the queue, and on request to its end.

mod prepare;
mod reading;
pub(crate) mod record;

use crate::failure::Failure;
use crate::follow::{Follow, Limits};
use crate::github::GitHub;
use crate::matrix;
use crate::out;
use crate::site::{Site, Yard};
use anyhow::anyhow;
use prepare::{Order, Prepared};
pub(crate) use record::Published;
use shared::exit::ExitCode;
use shared::hub::{Hub, HubSettings};
use shared::job::Accelerator;
use shared::settings::{Fleet, Variables};
use std::path::PathBuf;
use std::time::Duration;

/// Publish a job, or a whole matrix of them. The same request again is the same job; its id is the last line of
/// standard output.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent option of the command line"
)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["project", "matrix"])))]
pub(crate) struct Args {
    /// Folder of the project below the configuration.
    #[arg(long, value_name = "NAME", requires = "tag")]
    pub project: Option<String>,
    /// A YAML list of {runner-kind, self-hosted-runner-type, project, tag}: one job each.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["env_file", "set", "runner"])]
    pub matrix: Option<PathBuf>,
    /// The image tag; for entries of a matrix that have none of their own.
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// The project's settings instead of dev.env in its folder.
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// One setting that wins over environment and file; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = prepare::pair)]
    pub set: Vec<(String, String)>,
    /// Whose workers take it [default: of the runner's type, else cpu].
    #[arg(long, value_name = "cpu|gpu|inf1", conflicts_with = "runner")]
    pub accelerator: Option<Accelerator>,
    /// Instance type of the CI's runner, for example inf1.2xlarge.
    #[arg(long, value_name = "TYPE")]
    pub runner: Option<String>,
    /// Train and evaluate on a few rows only; registers nothing.
    #[arg(long)]
    pub sample: bool,
    /// Do everything but register the result.
    #[arg(long)]
    pub no_register: bool,
    /// Refuse workers that were built from another tag.
    #[arg(long)]
    pub exact_worker: bool,
    /// Make another job of the same content; with a key, repeating the command with that key is the same job again.
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true)]
    pub force: Option<Option<String>>,
    /// Check the settings and stop before any connection.
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Wait until the job has ended; exits with its code. On an embedded queue without a live worker, run it here.
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this time (for example 30min) and exit 75.
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

/// Publishes.
///
/// # Errors
/// Exit 64 for bad settings before any connection, 20 for a model that the hub does not have, 69 for a hub, store or
/// queue that cannot be reached.
pub(crate) async fn execute(site: &Site, github: Option<&mut GitHub>, args: Args) -> Result<ExitCode, Failure> {
    let prepared = orders(&args)?
        .into_iter()
        .map(|order| prepare::prepare(site, order))
        .collect::<Result<Vec<_>, _>>()?;
    for prepared in &prepared {
        prepared.tell_notices();
    }
    if args.dry_run {
        out::settings_valid(site.format, &prepared.iter().map(Prepared::name).collect::<Vec<_>>())?;
        return Ok(ExitCode::Ok);
    }
    let yard = Yard::connect(fleet_of(site, &prepared)?).await?;
    // Asks nothing until a model is resolved.
    let hub = Hub::new(HubSettings::from(&yard.fleet)).map_err(Failure::usage)?;
    let mut published = Vec::new();
    for prepared in prepared {
        let project = prepared.name().to_owned();
        let one = publish_one(site, &yard, &hub, prepared).await;
        published.push(one.map_err(|failure| failure.while_doing(format!("failed to publish {project}")))?);
    }
    let code = if args.wait {
        wait(site, &yard, &mut published, args.timeout).await?
    } else {
        ExitCode::of_all(&published.iter().map(|one| one.code).collect::<Vec<_>>())
    };
    out::published(site.format, &yard, &published)?;
    match github {
        Some(github) if args.wait => {
            let jobs = published.iter().map(|one| (&one.job, &one.view, one.code));
            github.report(&yard, jobs).await?;
        }
        Some(github) => github.published(published.iter().map(|one| (&one.view, one.code)))?,
        None => {}
    }
    Ok(code)
}

async fn publish_one(site: &Site, yard: &Yard, hub: &Hub, prepared: Prepared) -> Result<Published, Failure> {
    let looked = prepared.resolve(site, hub).await?;
    for model in &looked.models {
        eprintln!("{model}");
    }
    record::store_data(yard, &looked.job, &looked.files).await?;
    record::record(yard, looked).await
}

async fn wait(
    site: &Site,
    yard: &Yard,
    published: &mut [Published],
    timeout: Option<Duration>,
) -> Result<ExitCode, Failure> {
    let mut follow = Follow::new(yard);
    for one in published.iter() {
        follow.add(one.view.id.clone(), one.job.clone());
    }
    let limits = Limits {
        timeout,
        run_here: true,
    };
    let ended = follow.until_ended(site, limits).await?;
    for one in published.iter_mut() {
        if let Some(end) = ended.iter().find(|end| end.view.id == one.view.id) {
            one.view.clone_from(&end.view);
            one.code = end.code;
        }
    }
    Ok(ExitCode::of_all(
        &published.iter().map(|one| one.code).collect::<Vec<_>>(),
    ))
}

fn orders(args: &Args) -> Result<Vec<Order>, Failure> {
    let order = |project: &str, tag: &str, accelerator: Accelerator| Order {
        project: project.to_owned(),
        tag: tag.to_owned(),
        accelerator,
        env_file: args.env_file.clone(),
        set: args.set.clone(),
        sample: args.sample,
        register: !args.no_register,
        exact_worker: args.exact_worker,
        force: args.force.clone(),
    };
    let accelerator = |runner: Option<&str>| {
        let of_runner = || runner.map_or(Accelerator::Cpu, Accelerator::of_runner);
        args.accelerator.unwrap_or_else(of_runner)
    };
    if let Some(file) = &args.matrix {
        let entries = matrix::read(file).map_err(Failure::usage)?;
        let orders = entries.iter().enumerate().map(|(index, entry)| {
            let tag = entry.tag(args.tag.as_deref()).ok_or_else(|| {
                let text = "the entry has no tag of its own and --tag is not given";
                Failure::usage(anyhow!(
                    "failed to use the matrix {}: [{index}].tag: {text}",
                    file.display()
                ))
            })?;
            let runner = entry.self_hosted_runner_type.as_deref();
            Ok(order(&entry.project, tag, accelerator(runner)))
        });
        return orders.collect();
    }
    // The command line demands both where there is no matrix.
    let (project, tag) = (
        args.project.as_deref().unwrap_or_default(),
        args.tag.as_deref().unwrap_or_default(),
    );
    Ok(vec![order(project, tag, accelerator(args.runner.as_deref()))])
}

/// The fleet's settings, with what the projects say about it; they must agree on where everything lies.
fn fleet_of(site: &Site, prepared: &[Prepared]) -> Result<Fleet, Failure> {
    let mut first: Option<(Fleet, &str)> = None;
    for prepared in prepared {
        let fleet = site.fleet(prepared.fleet())?;
        match &first {
            None => {
                for notice in &fleet.notices {
                    tracing::warn!("{notice}");
                }
                first = Some((fleet, prepared.name()));
            }
            Some((known, of)) if known.store_url == fleet.store_url && known.queue_url == fleet.queue_url => {
                tracing::debug!(project = prepared.name(), first = of, "the same store and queue");
            }
            Some((known, of)) => {
                return Err(Failure::usage(anyhow!(
                    "failed to publish the matrix: {of} lies in {} and {} in {}; set TRAINYARD_STORE_URL, or publish them apart",
                    known.store_url,
                    prepared.name(),
                    fleet.store_url
                )));
            }
        }
    }
    match first {
        Some((fleet, _)) => Ok(fleet),
        None => site.fleet(&Variables::new()),
    }
}
