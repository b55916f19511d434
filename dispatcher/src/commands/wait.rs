//! `dispatcher wait JOB…`

use crate::failure::Failure;
use crate::follow::{Follow, Limits};
use crate::github::GitHub;
use crate::out;
use crate::site::Site;
use shared::exit::ExitCode;
use shared::job::JobId;
use std::time::Duration;

/// Wait until jobs have ended; exits with their code, of several with the first of 30, 20, 10, 40, 75 that occurs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs to wait for.
    #[arg(required = true, value_name = "JOB")]
    pub jobs: Vec<JobId>,
    /// Give up after this time (for example 30min) and exit 75; the jobs go on.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

/// Waits.
///
/// # Errors
/// Exit 64 for a job that nobody published.
pub(crate) async fn execute(site: &Site, github: Option<&mut GitHub>, args: Args) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    let mut follow = Follow::new(&yard);
    for id in &args.jobs {
        follow.add(id.clone(), yard.job(id).await?);
    }
    let limits = Limits {
        timeout: args.timeout,
        run_here: false,
    };
    let views = follow.until_ended(site, limits).await?;
    out::ended(site.format, &yard, &views)?;
    if let Some(github) = github {
        let jobs = views.iter().map(|ended| (&ended.job, &ended.view, ended.code));
        github.report(&yard, jobs).await?;
    }
    Ok(ExitCode::of_all(
        &views.iter().map(|ended| ended.code).collect::<Vec<_>>(),
    ))
}
