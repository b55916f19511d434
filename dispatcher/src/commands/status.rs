//! `dispatcher status [JOB]`

use crate::failure::Failure;
use crate::job_view::JobView;
use crate::liveness::Live;
use crate::out;
use crate::site::{Site, Yard};
use shared::exit::ExitCode;
use shared::job::JobId;

/// Show one job, or all of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job; without it, all.
    #[arg(value_name = "JOB")]
    pub job: Option<JobId>,
}

/// Prints a table; with `--output json` one object for a job, a list of such objects for all.
///
/// # Errors
/// Exit 64 for a job that nobody published.
pub(crate) async fn execute(site: &Site, args: Args) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    let live = Live::look(&yard).await?;
    match args.job {
        Some(id) => out::job(site.format, &view(&yard, &live, &id).await?)?,
        None => {
            let mut views = Vec::new();
            for id in yard.ledger.jobs().await? {
                match view(&yard, &live, &id).await {
                    Ok(view) => views.push(view),
                    // One broken record must not hide all others.
                    Err(failure) => eprintln!("{}", failure.to_text()),
                }
            }
            out::jobs(site.format, &views)?;
        }
    }
    Ok(ExitCode::Ok)
}

async fn view(yard: &Yard, live: &Live, id: &JobId) -> Result<JobView, Failure> {
    let job = yard.job(id).await?;
    let state = yard.state(id).await?;
    Ok(JobView::new(id, &job, &state, Some(live.has(job.content.accelerator))))
}
