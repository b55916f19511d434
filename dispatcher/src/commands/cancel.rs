//! `dispatcher cancel JOB`

use crate::existing::{self, Cancel};
use crate::failure::Failure;
use crate::job_view::JobView;
use crate::out;
use crate::site::Site;
use anyhow::anyhow;
use shared::exit::ExitCode;
use shared::job::JobId;
use shared::ledger::{Applied, Event};

/// Cancel a job that is queued or running; refused once its bytes are decided.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job.
    #[arg(value_name = "JOB")]
    pub job: JobId,
    /// Why, for whoever looks at it later.
    #[arg(long, value_name = "TEXT", default_value = "cancelled by dispatcher cancel")]
    pub reason: String,
}

/// Cancels. Its owner stops at its next renewal.
///
/// # Errors
/// Exit 64 for a job that nobody published or that has ended, 75 for one that is being published.
pub(crate) async fn execute(site: &Site, args: Args) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    let job = yard.job(&args.job).await?;
    // Whoever wins in between has changed the state for good, so this ends: states go forward only.
    let state = loop {
        let snapshot = yard.ledger.read(&args.job).await?;
        match existing::cancel(snapshot.state.status) {
            Cancel::End => {
                let event = Event::Cancel {
                    reason: args.reason.clone(),
                };
                if let Applied::Won(won) = yard.ledger.apply(&args.job, &snapshot, &event).await? {
                    break won.state;
                }
            }
            Cancel::Already => break snapshot.state,
            Cancel::TooLate => {
                return Err(Failure::new(
                    ExitCode::Running,
                    anyhow!(
                        "failed to cancel {}: its result is decided and being published; dispatcher wait {} shows its end",
                        args.job,
                        args.job
                    ),
                ));
            }
            Cancel::Refuse => {
                return Err(Failure::usage(anyhow!(
                    "failed to cancel {}: it has ended, {}",
                    args.job,
                    snapshot.state.status
                )));
            }
        }
    };
    out::job(site.format, &JobView::new(&args.job, &job, &state, None))?;
    Ok(ExitCode::Ok)
}
