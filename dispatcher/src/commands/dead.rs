//! `dispatcher dead list|show|requeue`: the ledger's failed jobs, not the broker's dead letters.

use crate::existing::{self, Requeue};
use crate::failure::Failure;
use crate::job_view::JobView;
use crate::out::{self, DeadJob, DeadView};
use crate::site::{Site, Yard};
use anyhow::anyhow;
use serde_json::json;
use shared::exit::ExitCode;
use shared::job::JobId;
use shared::joblog;
use shared::ledger::{Applied, Event, FailureCause, State, Status};

/// Lines of a job's log that `show` repeats.
const LOG_LINES: usize = 20;

/// Jobs that ended badly.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All failed jobs and why they failed.
    List {
        /// Only those that failed for this cause.
        #[arg(long, value_name = "CAUSE", value_parser = cause)]
        cause: Option<FailureCause>,
    },
    /// One job with its cause, attempts, last errors and last log lines.
    Show {
        /// The job.
        #[arg(value_name = "JOB")]
        job: JobId,
    },
    /// Re-open failed or cancelled jobs: a new epoch with fresh budgets, from the last checkpoint.
    Requeue {
        /// The jobs.
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "JOB")]
        jobs: Vec<JobId>,
        /// All failed jobs; after an outage with --cause infrastructure.
        #[arg(long)]
        all: bool,
        /// Of all, only those that failed for this cause.
        #[arg(long, conflicts_with = "jobs", value_name = "CAUSE", value_parser = cause)]
        cause: Option<FailureCause>,
    },
}

/// As `dead show --output json` writes them.
fn cause(text: &str) -> Result<FailureCause, String> {
    serde_json::from_value(json!(text))
        .map_err(|_| "expected infrastructure, trainer_killed, capacity, user, quality, poison or internal".to_owned())
}

/// Lists, shows or requeues.
///
/// # Errors
/// Exit 64 for a job that nobody published or that ended well, before any job is touched.
pub(crate) async fn execute(site: &Site, command: Command) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    match command {
        Command::List { cause } => {
            let mut views = Vec::new();
            for (id, state) in failed(&yard, cause).await? {
                let view = JobView::new(&id, &yard.job(&id).await?, &state, None);
                views.push(DeadView::new(view, &state));
            }
            out::dead_jobs(site.format, &views)?;
        }
        Command::Show { job } => out::dead_job(site.format, &show(&yard, &job).await?)?,
        Command::Requeue { jobs, all, cause } => {
            let jobs = if all {
                failed(&yard, cause).await?.into_iter().map(|(id, _)| id).collect()
            } else {
                jobs
            };
            for id in &jobs {
                yard.job(id).await?;
                check(id, yard.state(id).await?.status)?;
            }
            let mut views = Vec::new();
            for id in &jobs {
                views.push(requeue(&yard, id).await?);
            }
            out::jobs(site.format, &views)?;
        }
    }
    Ok(ExitCode::Ok)
}

async fn failed(yard: &Yard, cause: Option<FailureCause>) -> Result<Vec<(JobId, State)>, Failure> {
    let mut found = Vec::new();
    for id in yard.ledger.jobs().await? {
        let state = yard.state(&id).await?;
        if state.status == Status::Failed && cause.is_none_or(|cause| state.failure == Some(cause)) {
            found.push((id, state));
        }
    }
    Ok(found)
}

async fn show(yard: &Yard, id: &JobId) -> Result<DeadJob, Failure> {
    let job = yard.job(id).await?;
    let state = yard.state(id).await?;
    let log = joblog::tail(yard.ledger.store().as_ref(), id, LOG_LINES).await?;
    Ok(DeadJob {
        job: JobView::new(id, &job, &state, None),
        failure: state.failure,
        claims_lost: state.claims_lost,
        errors: state.errors,
        attempts: yard.ledger.attempts(id).await?,
        log,
    })
}

fn check(id: &JobId, status: Status) -> Result<(), Failure> {
    if existing::requeue(status) != Requeue::Refuse {
        return Ok(());
    }
    Err(Failure::usage(anyhow!(
        "failed to requeue {id}: it ended well, {status}; publish --force makes another version"
    )))
}

async fn requeue(yard: &Yard, id: &JobId) -> Result<JobView, Failure> {
    let job = yard.job(id).await?;
    let state = loop {
        let snapshot = yard.ledger.read(id).await?;
        match existing::requeue(snapshot.state.status) {
            Requeue::Reopen => {
                if let Applied::Won(won) = yard.ledger.apply(id, &snapshot, &Event::Reopen).await? {
                    yard.announce(&job).await?;
                    break won.state;
                }
            }
            Requeue::SendAgain => {
                yard.announce(&job).await?;
                break snapshot.state;
            }
            Requeue::Attach => break snapshot.state,
            Requeue::Refuse => check(id, snapshot.state.status)?,
        }
    };
    Ok(JobView::new(id, &job, &state, None))
}
