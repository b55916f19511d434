//! `dispatcher logs JOB`

use crate::failure::Failure;
use crate::out;
use crate::site::Site;
use shared::exit::ExitCode;
use shared::job::JobId;
use shared::joblog::JobLogReader;
use std::sync::Arc;
use std::time::Duration;

/// How often a followed log is asked for more.
const POLL: Duration = Duration::from_millis(500);

/// Show what a job wrote to its log, of all attempts, oldest first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job.
    #[arg(value_name = "JOB")]
    pub job: JobId,
    /// Go on until the job has ended.
    #[arg(long, short)]
    pub follow: bool,
}

/// Prints the log as text; with `--output json` as one object a line: `{"text": …}`.
///
/// # Errors
/// Exit 64 for a job that nobody published.
pub(crate) async fn execute(site: &Site, args: Args) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    yard.job(&args.job).await?;
    let mut log = JobLogReader::new(Arc::clone(yard.ledger.store()), args.job.clone());
    loop {
        // The state first: what a job wrote before it ended is there when its end is.
        let ended = yard.state(&args.job).await?.status.is_terminal();
        out::log_text(site.format, &log.next().await?)?;
        if ended || !args.follow {
            return Ok(ExitCode::Ok);
        }
        tokio::time::sleep(POLL).await;
    }
}
