//! A worker at work: the pool, and what runs beside it.

use crate::cli::Run;
use crate::context::Context;
use crate::drain::Drain;
use crate::follow::{follow, settle_ended};
use crate::pool::Pool;
use crate::protect::Pod;
use crate::{caretaker, heartbeat, interruption, protect};
use shared::exit::ExitCode;
use shared::fleet_series::FleetSeries;
use shared::monitor::Readiness;
use shared::sweeper::Retention;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a worker does beside its jobs.
#[derive(Debug)]
pub struct Beside {
    /// Looks after the fleet and shows its series, as a worker does where queue and store are on one machine.
    pub fleet: Option<(FleetSeries, Retention)>,
    /// Where the machine says that it is about to end.
    pub metadata_endpoint: Option<String>,
    /// Whom to tell that it is busy.
    pub pod: Option<Pod>,
}

/// Works as the command line says, and returns the exit code.
pub async fn run(context: Context, readiness: Readiness, run: &Run, also: Beside) -> ExitCode {
    let context = Arc::new(context);
    let pool = Arc::new(Pool::new(Arc::clone(&context), readiness.clone(), run.slots.get()));
    let beside = CancellationToken::new();
    tokio::spawn(interruption::limit(context.shutdown.clone(), context.grace.clone()));
    // These two end with the process: a spot notice may still shorten a stop that has begun.
    if let Some(endpoint) = also.metadata_endpoint {
        let (shutdown, grace) = (context.shutdown.clone(), context.grace.clone());
        tokio::spawn(interruption::instance::watch(endpoint, shutdown, grace));
    }
    if let Some(pod) = also.pod {
        tokio::spawn(protect::run(pod, pool.watch_busy()));
    }
    let beating = tokio::spawn(heartbeat::run(
        Arc::clone(&context),
        Arc::clone(&pool),
        readiness,
        beside.clone(),
    ));
    let caring = also.fleet.map(|(series, retention)| {
        let care = caretaker::run(Arc::clone(&context), series, retention, beside.clone());
        tokio::spawn(care)
    });

    let code = work(&context, &pool, run).await;

    beside.cancel();
    // A panic in either is in the log; the jobs are settled.
    let _ = beating.await;
    if let Some(caring) = caring {
        let _ = caring.await;
    }
    code
}

async fn work(context: &Context, pool: &Pool, run: &Run) -> ExitCode {
    if let Some(id) = &run.job {
        return until_hard_stop(context, follow(context, id))
            .await
            .unwrap_or(ExitCode::Running);
    }
    if run.once {
        let first = async {
            let (id, _) = pool.first().await?;
            Some(follow(context, &id).await)
        };
        return until_hard_stop(context, first)
            .await
            .flatten()
            .unwrap_or(ExitCode::Running);
    }
    pool.run(run.drain.then(Drain::default)).await;
    if run.drain && !context.shutdown.is_stopping() {
        settle_ended(context).await;
    }
    ExitCode::Ok
}

/// `None`: it was not finished in time. Jobs in hand get a moment to let go of their trainers.
async fn until_hard_stop<T>(context: &Context, doing: impl Future<Output = T>) -> Option<T> {
    const LAST: Duration = Duration::from_secs(2);
    let stopped = async {
        context.shutdown.hard().cancelled().await;
        tokio::time::sleep(LAST).await;
    };
    tokio::select! {
        done = doing => Some(done),
        () = stopped => None,
    }
}
