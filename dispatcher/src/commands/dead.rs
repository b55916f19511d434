//! `dispatcher dead list|show|requeue`: the ledger's failed jobs, not the broker's dead letters.

use crate::existing::{self, Requeue};
use crate::failure::Failure;
use crate::job_view::JobView;
use crate::out;
use crate::site::{Site, Yard};
use anyhow::anyhow;
use shared::exit::ExitCode;
use shared::job::JobId;
use shared::ledger::{Applied, Event, Status};

/// Jobs that ended badly.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All failed jobs and why they failed.
    List,
    /// One job with its last errors.
    Show {
        /// The job.
        #[arg(value_name = "JOB")]
        job: JobId,
    },
    /// Re-open failed or cancelled jobs: a new epoch with fresh budgets, from the last checkpoint.
    Requeue {
        /// The jobs.
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<JobId>,
    },
}

/// Lists, shows or requeues.
///
/// # Errors
/// Exit 64 for a job that nobody published or that ended well.
pub(crate) async fn execute(site: &Site, command: Command) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    match command {
        Command::List => out::jobs(site.format, &failed(&yard).await?)?,
        Command::Show { job } => {
            let state = yard.state(&job).await?;
            let view = JobView::new(&job, &yard.job(&job).await?, &state, None);
            out::dead_job(site.format, &view, &state.errors)?;
        }
        Command::Requeue { jobs } => {
            let mut views = Vec::new();
            for id in &jobs {
                views.push(requeue(&yard, id).await?);
            }
            out::jobs(site.format, &views)?;
        }
    }
    Ok(ExitCode::Ok)
}

async fn failed(yard: &Yard) -> Result<Vec<JobView>, Failure> {
    let mut views = Vec::new();
    for id in yard.ledger.jobs().await? {
        let state = yard.state(&id).await?;
        if state.status == Status::Failed {
            views.push(JobView::new(&id, &yard.job(&id).await?, &state, None));
        }
    }
    Ok(views)
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
            Requeue::Refuse => {
                return Err(Failure::usage(anyhow!(
                    "failed to requeue {id}: it ended well, {}; publish --force makes another version",
                    snapshot.state.status
                )));
            }
        }
    };
    Ok(JobView::new(id, &job, &state, None))
}
