//! A job into the ledger and its message into the queue, whatever became of it before.

use super::prepare::{LocalData, Looked};
use super::reading::Reading;
use crate::existing::{self, Publish};
use crate::failure::Failure;
use crate::job_view::JobView;
use crate::site::Yard;
use serde::Serialize;
use shared::crash;
use shared::exit::ExitCode;
use shared::job::Job;
use shared::ledger::{Applied, Event};
use shared::store::{Conflict, Key};

/// A job that is in the ledger.
#[derive(Debug)]
pub(crate) struct Published {
    /// The job.
    pub job: Job,
    /// What workers read of the hub for it.
    pub models: Vec<Reading>,
    /// As it stands.
    pub view: JobView,
    /// What publishing did.
    pub action: Action,
    /// 0, or the code of a job that failed before and would fail again.
    pub code: ExitCode,
}

/// What publishing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It is queued, and its message was sent.
    Queued,
    /// It is running or being published.
    Attached,
    /// It has ended well before.
    Existing,
    /// It failed or was cancelled before, and is queued again.
    Reopened,
    /// It failed before and would fail again.
    FailedBefore,
}

/// Makes sure that every data file of the job is in the store, where any worker can read it.
pub(super) async fn store_data(yard: &Yard, job: &Job, files: &[LocalData]) -> Result<(), Failure> {
    let store = yard.ledger.store();
    for file in files {
        let key = data_key(&file.sha256)?;
        if store.size(&key).await? == Some(file.size) {
            continue;
        }
        match store.put_file_new(&key, &file.path, &file.sha256).await {
            Ok(()) => {}
            // Somebody stored the same bytes at the same time.
            Err(error) if error.conflict() == Some(Conflict::Changed) => {}
            Err(error) => {
                let what = format!("failed to store {} of {}", file.path.display(), job.content.project);
                return Err(Failure::from(error).while_doing(what));
            }
        }
    }
    Ok(())
}

fn data_key(sha256: &str) -> Result<Key, Failure> {
    Key::new(format!("trainyard/data/{sha256}")).map_err(|error| Failure::new(ExitCode::Infrastructure, error))
}

/// Records the job and does what its state asks for: the job protocol, section 10.
pub(super) async fn record(yard: &Yard, looked: Looked) -> Result<Published, Failure> {
    let Looked { job, models, .. } = looked;
    let id = job.id();
    yard.ledger.create(&job).await?;
    crash::point("after-job-json");
    let (state, action, code) = loop {
        let snapshot = yard.ledger.read(&id).await?;
        match existing::publish(&snapshot.state) {
            Publish::SendAgain => {
                yard.announce(&job).await?;
                break (snapshot.state, Action::Queued, ExitCode::Ok);
            }
            Publish::Attach => break (snapshot.state, Action::Attached, ExitCode::Ok),
            Publish::Ended => break (snapshot.state, Action::Existing, ExitCode::Ok),
            Publish::Report(code) => break (snapshot.state, Action::FailedBefore, code),
            Publish::Reopen => {
                // Refused: another publisher re-opened it first; the table is read again.
                if let Applied::Won(won) = yard.ledger.apply(&id, &snapshot, &Event::Reopen).await? {
                    yard.announce(&job).await?;
                    break (won.state, Action::Reopened, ExitCode::Ok);
                }
            }
        }
    };
    crash::point("after-message");
    let view = JobView::new(&id, &job, &state, None);
    Ok(Published {
        job,
        models,
        view,
        action,
        code,
    })
}
