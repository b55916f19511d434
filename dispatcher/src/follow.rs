//! Watching jobs until they have ended: the ledger alone decides, whoever does the work.

use crate::failure::Failure;
use crate::job_view::JobView;
use crate::liveness::Live;
use crate::local_worker::LocalWorker;
use crate::screen::Screen;
use crate::site::{Site, Yard};
use shared::exit::ExitCode;
use shared::job::{Job, JobId};
use shared::ledger::{LedgerError, State};
use shared::shutdown::Shutdown;
use std::time::Duration;
use tokio::time::Instant;

/// How often the ledger is asked: a folder costs nothing, a bucket costs money.
const POLL_FOLDER: Duration = Duration::from_millis(200);
const POLL_BUCKET: Duration = Duration::from_secs(3);
/// How often workers are looked for.
const LOOK_FOR_WORKERS: Duration = Duration::from_secs(2);
/// A store that is away for longer ends the watch.
const STORE_AWAY: Duration = Duration::from_secs(60);

/// How long to watch, and what to do when nobody works.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Then give up; the jobs go on.
    pub timeout: Option<Duration>,
    /// Start a worker here where none lives (embedded queue).
    pub run_here: bool,
}

/// How a watched job ended, or how it stood at the timeout.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The job.
    pub job: Job,
    /// As it was seen last.
    pub view: JobView,
    /// What it means for scripts.
    pub code: ExitCode,
}

/// Jobs that are watched.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    yard: &'a Yard,
    jobs: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    id: JobId,
    job: Job,
    state: State,
}

impl<'a> Follow<'a> {
    /// Nothing yet.
    #[must_use]
    pub(crate) fn new(yard: &'a Yard) -> Self {
        Self { yard, jobs: Vec::new() }
    }

    /// Adds a job; the same again counts once.
    pub(crate) fn add(&mut self, id: JobId, job: Job) {
        if self.jobs.iter().all(|watched| watched.id != id) {
            let state = State::first();
            self.jobs.push(Watched { id, job, state });
        }
    }

    /// Watches until every job has ended, the time is over, or the process is told to stop; then, with the jobs as
    /// they stand, in the order in which they were added.
    ///
    /// # Errors
    /// The store is away for a minute, a record is broken, a worker cannot be started.
    pub(crate) async fn until_ended(mut self, site: &Site, limits: Limits) -> Result<Vec<Ended>, Failure> {
        let shutdown = Shutdown::on_signals().map_err(|error| Failure::new(ExitCode::Infrastructure, error))?;
        let mut screen = Screen::new(site.format);
        let deadline = limits.timeout.map(|timeout| Instant::now() + timeout);
        let poll = if self.yard.fleet.store_url.scheme() == "file" {
            POLL_FOLDER
        } else {
            POLL_BUCKET
        };
        let mut attendance = Attendance::new(limits.run_here);
        let mut answered = Instant::now();
        loop {
            match self.refresh(&mut screen).await {
                Ok(()) => answered = Instant::now(),
                Err(LedgerError::Store(error)) if answered.elapsed() < STORE_AWAY => {
                    screen.note(&format!("the store gives no answer, trying again: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if self.all_ended() || over || shutdown.is_stopping() {
                break;
            }
            attendance.check(&self, &mut screen).await?;
            tokio::select! {
                () = tokio::time::sleep(poll) => {}
                () = shutdown.soft().cancelled() => {}
            }
        }
        attendance.leave(self.all_ended(), &mut screen, &shutdown).await;
        self.refresh(&mut screen).await?;
        screen.finish();
        Ok(self.into_ended())
    }

    async fn refresh(&mut self, screen: &mut Screen) -> Result<(), LedgerError> {
        for watched in &mut self.jobs {
            if !watched.state.status.is_terminal() {
                watched.state = self.yard.state(&watched.id).await?;
            }
            screen.show(&watched.job, &watched.state, &watched.id);
        }
        Ok(())
    }

    fn all_ended(&self) -> bool {
        self.jobs.iter().all(|watched| watched.state.status.is_terminal())
    }

    fn into_ended(self) -> Vec<Ended> {
        let ended = |watched: Watched| Ended {
            view: JobView::new(&watched.id, &watched.job, &watched.state, None),
            code: ExitCode::of(&watched.state),
            job: watched.job,
        };
        self.jobs.into_iter().map(ended).collect()
    }
}

/// Whether anybody is there to do the work, and the worker that is started if nobody is.
#[derive(Debug)]
struct Attendance {
    run_here: bool,
    looked: Option<Instant>,
    told: Vec<JobId>,
    local: Option<LocalWorker>,
}

impl Attendance {
    fn new(run_here: bool) -> Self {
        Self {
            run_here,
            looked: None,
            told: Vec::new(),
            local: None,
        }
    }

    /// Looks for workers, says once a job what to start, or starts one for the first job that nobody will take.
    async fn check(&mut self, follow: &Follow<'_>, screen: &mut Screen) -> Result<(), Failure> {
        if let Some(local) = &mut self.local {
            let waiting = follow.jobs.iter().find(|watched| !watched.state.status.is_terminal());
            return local.attend(waiting.map(|watched| (&watched.id, &watched.job)), screen);
        }
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_FOR_WORKERS) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let live = Live::look(follow.yard).await?;
        for watched in &follow.jobs {
            let accelerator = watched.job.content.accelerator;
            if watched.state.status.is_terminal() || live.has(accelerator) || self.told.contains(&watched.id) {
                continue;
            }
            if self.run_here && follow.yard.is_embedded() {
                screen.note(&format!("no worker is alive for {accelerator}: running the job here"));
                self.local = Some(LocalWorker::new(&follow.yard.fleet));
                return Ok(());
            }
            self.told.push(watched.id.clone());
            screen.note(&format!(
                "no worker is alive for {accelerator}, {} waits; start one: worker run --accelerator {accelerator}",
                watched.job.content.project
            ));
        }
        Ok(())
    }

    /// Ends the worker that was started here and waits for it.
    async fn leave(self, ended: bool, screen: &mut Screen, shutdown: &Shutdown) {
        if let Some(local) = self.local {
            local.stop(ended, screen, shutdown).await;
        }
    }
}
