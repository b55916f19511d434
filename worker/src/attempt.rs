//! One attempt at a job: read where it stands, claim it if it can be claimed, do it, write how it ended.

use crate::context::Context;
use crate::failure::{self, chain};
use crate::interruption::Interruption;
use crate::lease::{LeaseKeeper, Lost};
use crate::outcome::{Ending, Failure};
use crate::pipeline;
use crate::stages::Work;
use crate::work_folder::ClaimFolder;
use shared::job::{Job, JobId};
use shared::joblog::{JobLog, JobLogTask};
use shared::ledger::{Attempt, Claim, ClaimError, Claimed, Lease, LedgerError, OnFenced, Snapshot, State, Status};
use shared::queue::Receipt;
use shared::telemetry::Chain;
use std::sync::Arc;
use std::time::Duration;

/// What the last words of an attempt may take: log and record are for people.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempted {
    /// In which way.
    pub ending: Ending,
    /// The state after the owner's last write, where it wrote one.
    pub state: Option<State>,
}

impl From<Ending> for Attempted {
    fn from(ending: Ending) -> Self {
        Self { ending, state: None }
    }
}

/// Does what the state of the job allows. `receipt`: its message, kept hidden as long as the work goes on.
///
/// A worker that is fenced in the middle reads the state again and acts on what is there.
pub async fn attempt(context: &Context, id: &JobId, receipt: Option<&Receipt>) -> Attempted {
    loop {
        let attempted = once(context, id, receipt).await.unwrap_or_else(Attempted::from);
        if attempted.ending != Ending::Fenced || context.shutdown.is_stopping() {
            return attempted;
        }
    }
}

async fn once(context: &Context, id: &JobId, receipt: Option<&Receipt>) -> Result<Attempted, Ending> {
    let job = context.ledger.job(id).await.map_err(unreadable)?;
    let job = job.ok_or_else(|| Ending::NoJob {
        reason: format!("there is no job {id}"),
    })?;
    let before = context.ledger.read(id).await.map_err(unreadable)?;
    if before.state.status.is_terminal() {
        context.forget(id);
        return Err(Ending::EndedBefore);
    }
    if before.state.status != Status::Publishing {
        check_fit(context, &job)?;
    }
    if before.state.status == Status::Running
        && let Lease::Held { for_at_least } = context.observe(id, &before)
    {
        return Err(Ending::HeldByAnother { for_at_least });
    }
    match context
        .ledger
        .claim(id, &before, context.claimant(), Some(on_fenced(context)))
        .await
        .map_err(unreadable)?
    {
        Claimed::Won(claim) => Ok(own(context, &job, &before, &claim, receipt).await),
        Claimed::Refused(_) => Err(Ending::Fenced),
        Claimed::Poisoned(now) => Err(Ending::Poisoned {
            message: now.state.cause.unwrap_or_default(),
        }),
    }
}

/// What a job that cannot be read means.
fn unreadable(error: LedgerError) -> Ending {
    let message = chain(&error);
    match error {
        LedgerError::Newer { .. } => Ending::Newer { message },
        LedgerError::Invalid { .. } | LedgerError::Key(_) => Ending::NoJob { reason: message },
        _ => Ending::LedgerAway { message },
    }
}

fn check_fit(context: &Context, job: &Job) -> Result<(), Ending> {
    let (own, content) = (&context.identity, &job.content);
    let refused = |reason| Err(Ending::NotForThisWorker { reason });
    if content.accelerator != own.accelerator {
        return refused(format!(
            "it asks for {}, this worker has {}",
            content.accelerator, own.accelerator
        ));
    }
    if content.tag != own.build {
        let mismatch = format!("it asks for the build {}, this worker is {}", content.tag, own.build);
        if content.exact_worker {
            return refused(mismatch);
        }
        tracing::warn!(project = content.project, "{mismatch}");
    }
    Ok(())
}

fn on_fenced(context: &Context) -> OnFenced {
    let (counter, worker) = (context.metrics.fenced_writes.clone(), context.identity.worker.clone());
    Arc::new(move |now: &Snapshot| {
        // A publisher's own renewal that comes after its own last write is nobody's loss.
        if now.state.status != Status::Registered || now.state.worker != worker {
            counter.inc();
        }
    })
}

/// The job is ours.
async fn own(context: &Context, job: &Job, before: &Snapshot, claim: &Claim, receipt: Option<&Receipt>) -> Attempted {
    let started_at = context.ledger.clock().written_at();
    let claimed = claim.snapshot().await;
    observe_wait(context, job, &claimed);
    let doorbell = receipt.map(|receipt| (Arc::clone(&context.queue), receipt.clone()));
    let mut keeper = LeaseKeeper::start(claim.clone(), context.lease, doorbell, &context.metrics);
    let store = Arc::clone(context.ledger.store());
    let (log, log_task) = JobLog::start(store, claim.id().clone(), claim.token());
    greet(context, job, &log);

    let folder = context.work.claim(claim.id(), claim.token());
    let ending = match &folder {
        Err(error) => Ending::Failed(failure::file("the working folder", error)),
        Ok(folder) => tokio::select! {
            ending = work(context, job, before, claim, &claimed, folder, &log) => ending,
            lost = keeper.lost() => match lost {
                Lost::Fenced => Ending::Fenced,
                Lost::Silent => Ending::LeaseLost,
            },
        },
    };
    let emptied = tokio::task::spawn_blocking(move || drop(folder));
    let ending = after_decision(ending, claim).await;
    log.line(&format!("{}: {}", ending.name(), ending.message()));
    drop(log);
    let attempted = last_words(context, claim, started_at, ending, log_task).await;
    // A panic in it leaves files to the next worker's sweep.
    let _ = emptied.await;
    attempted
}

/// Log, closing write and record.
async fn last_words(
    context: &Context,
    claim: &Claim,
    started_at: String,
    ending: Ending,
    log_task: JobLogTask,
) -> Attempted {
    let logged = tokio::time::timeout(LAST_WORDS, log_task.close());
    if ending.verdict().event.is_none() {
        let attempted = close(claim, ending).await;
        let _ = tokio::join!(logged, record(context, claim, started_at, &attempted));
        return attempted;
    }
    // Before the closing write: who follows the log stops when the job has ended.
    let _ = logged.await;
    let attempted = close(claim, ending).await;
    record(context, claim, started_at, &attempted).await;
    attempted
}

async fn work(
    context: &Context,
    job: &Job,
    before: &Snapshot,
    claim: &Claim,
    claimed: &Snapshot,
    folder: &ClaimFolder,
    log: &JobLog,
) -> Ending {
    let interruption = Interruption::of(&context.shutdown, &context.grace);
    let work = Work {
        context,
        job,
        claim,
        before,
        folder,
        log,
        interruption: &interruption,
    };
    pipeline::run(&work, claimed).await
}

fn greet(context: &Context, job: &Job, log: &JobLog) {
    let own = &context.identity;
    log.line(&format!(
        "worker {} on {}, build {}, {}",
        own.worker, own.host, own.build, own.accelerator
    ));
    if job.content.tag != own.build {
        log.line(&format!("warning: the job asks for the build {}", job.content.tag));
    }
}

/// The decision stands: nothing can be given back or fail any more, only be done later.
async fn after_decision(ending: Ending, claim: &Claim) -> Ending {
    let undone = matches!(ending, Ending::Interrupted | Ending::Failed(_));
    if undone && claim.snapshot().await.state.status == Status::Publishing {
        return Ending::PublishingStalled {
            message: format!("{}: {}", ending.name(), ending.message()),
        };
    }
    ending
}

/// Writes how the job ended.
async fn close(claim: &Claim, ending: Ending) -> Attempted {
    if let Ending::Failed(Failure { cause, message }) = &ending {
        tracing::error!(job = %claim.id(), ?cause, "{message}");
    }
    let Some(event) = ending.verdict().event else {
        return ending.into();
    };
    match claim.write(event).await {
        Ok(now) => Attempted {
            ending,
            state: Some(now.state),
        },
        Err(ClaimError::Fenced(_)) => Ending::Fenced.into(),
        Err(ClaimError::Ledger(error)) => Ending::LedgerAway { message: chain(&error) }.into(),
    }
}

async fn record(context: &Context, claim: &Claim, started_at: String, attempted: &Attempted) {
    let own = &context.identity;
    let attempt = Attempt {
        schema: Attempt::SCHEMA,
        token: claim.token(),
        epoch: claim.epoch(),
        worker: own.worker.clone(),
        host: own.host.clone(),
        build_tag: own.build.clone(),
        started_at,
        ended_at: context.ledger.clock().written_at(),
        outcome: attempted.ending.name().to_owned(),
        message: attempted.ending.message(),
    };
    tracing::info!(job = %claim.id(), token = claim.token(), outcome = attempt.outcome, "attempt ended");
    match tokio::time::timeout(LAST_WORDS, claim.record(&attempt)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(job = %claim.id(), error = %Chain(&error), "the attempt was not recorded"),
        Err(_) => tracing::warn!(job = %claim.id(), "the attempt was not recorded: the store did not answer"),
    }
}

/// From publishing to the first claim, where both clocks make sense together.
fn observe_wait(context: &Context, job: &Job, claimed: &Snapshot) {
    if claimed.state.token != 1 {
        return;
    }
    if let Ok(published) = job.lineage.published_at.parse::<jiff::Timestamp>() {
        let waited = jiff::Timestamp::now().duration_since(published).as_secs_f64();
        if waited >= 0.0 {
            context.metrics.queue_wait_seconds.observe(waited);
        }
    }
}
