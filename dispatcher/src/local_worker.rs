//! The worker that `publish --wait` starts on an embedded queue when none lives: `worker run --job ID`, a process of
//! its own beside this executable. How it exits does not decide anything; the ledger does.

use crate::failure::Failure;
use crate::screen::Screen;
use anyhow::{Context, anyhow};
use shared::backoff::Backoff;
use shared::exit::ExitCode;
use shared::job::{Job, JobId};
use shared::settings::Fleet;
use shared::shutdown::Shutdown;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Workers that are started for one job. The ledger gives up after eleven claims in a row that said nothing, so this
/// only bounds workers that never get as far as a claim.
const STARTS: u32 = 16;
/// Between two starts.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(5),
};
/// After its job has ended, a worker still settles the message and sweeps.
const LEAVES_BY_ITSELF: Duration = Duration::from_secs(5);
/// Lines of the worker's log that may wait to be shown.
const LINES: usize = 256;

/// Runs one worker after the other, one job at a time.
#[derive(Debug)]
pub(crate) struct LocalWorker {
    fleet: Fleet,
    running: Option<Running>,
    job: Option<JobId>,
    starts: u32,
    next: Option<Instant>,
}

impl LocalWorker {
    /// None runs yet. It will use the store, queue and hub that these settings name, wherever they were written.
    #[must_use]
    pub(crate) fn new(fleet: &Fleet) -> Self {
        Self {
            fleet: fleet.clone(),
            running: None,
            job: None,
            starts: 0,
            next: None,
        }
    }

    /// To be called again and again: shows what the worker says, and starts one for `wanted` if none runs.
    ///
    /// # Errors
    /// There is no worker beside this executable, or it ended too often without ending the job.
    pub(crate) fn attend(&mut self, wanted: Option<(&JobId, &Job)>, screen: &mut Screen) -> Result<(), Failure> {
        if self.is_running(screen)? {
            return Ok(());
        }
        let Some((id, job)) = wanted else { return Ok(()) };
        if self.job.as_ref() != Some(id) {
            self.job = Some(id.clone());
            self.starts = 0;
            self.next = None;
        }
        if self.next.is_some_and(|next| Instant::now() < next) {
            return Ok(());
        }
        if self.starts >= STARTS {
            return Err(Failure::new(
                ExitCode::Infrastructure,
                anyhow!(
                    "failed to run {id} here: {STARTS} workers ended without ending it; dispatcher logs {id} shows why"
                ),
            ));
        }
        if self.starts > 0 {
            screen.note("the worker ended before the job did: starting it again");
        }
        self.starts += 1;
        self.running = Some(Running::start(id, job, &self.fleet)?);
        Ok(())
    }

    /// Whether the worker runs; if it has just ended, what that means.
    fn is_running(&mut self, screen: &mut Screen) -> Result<bool, Failure> {
        let Some(running) = &mut self.running else {
            return Ok(false);
        };
        let ended = running
            .child
            .try_wait()
            .map_err(|error| Failure::new(ExitCode::Infrastructure, error))?;
        running.show(screen);
        let Some(status) = ended else { return Ok(true) };
        self.running = None;
        self.next = Some(Instant::now() + BACKOFF.random_delay(self.starts));
        // These two say that it did not even begin, and the next one would not either.
        for code in [ExitCode::Usage, ExitCode::Unreachable] {
            if status.code() == Some(i32::from(code.number())) {
                return Err(Failure::new(
                    code,
                    anyhow!("failed to run the job here: the worker did not start"),
                ));
            }
        }
        Ok(false)
    }

    /// Ends the worker. After the last job has `ended` it leaves by itself; else, or if it takes too long, it is told
    /// to stop and saves its work. It is killed if this process is told to stop twice.
    pub(crate) async fn stop(self, ended: bool, screen: &mut Screen, shutdown: &Shutdown) {
        let Some(mut running) = self.running else { return };
        if ended
            && tokio::time::timeout(LEAVES_BY_ITSELF, running.child.wait())
                .await
                .is_ok()
        {
            return running.show(screen);
        }
        if !ended {
            screen.note("stopping: the worker saves its work (interrupt again to stop at once)");
        }
        running.terminate();
        let result = tokio::select! {
            exited = running.child.wait() => exited.map(|_| ()),
            () = shutdown.hard().cancelled() => running.child.kill().await,
        };
        running.show(screen);
        if let Err(error) = result {
            screen.note(&format!("the worker could not be stopped: {error}"));
        }
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(id: &JobId, job: &Job, fleet: &Fleet) -> Result<Self, Failure> {
        let program = sibling().map_err(|error| Failure::new(ExitCode::Infrastructure, error))?;
        let mut command = Command::new(&program);
        command
            .args([
                "run",
                "--job",
                id.as_str(),
                "--accelerator",
                &job.content.accelerator.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C on the terminal reaches the worker once, through this process.
            .process_group(0)
            .kill_on_drop(true);
        command
            .env("TRAINYARD_STORE_URL", fleet.store_url.expose())
            .env("TRAINYARD_QUEUE_URL", fleet.queue_url.expose())
            .env("HF_ENDPOINT", &fleet.hf_endpoint)
            .env("HF_HUB_CACHE", &fleet.hf_hub_cache);
        if let Some(token) = &fleet.hf_token {
            command.env("HF_TOKEN", token.expose());
        }
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))
            .map_err(|error| Failure::new(ExitCode::Infrastructure, error))?;
        let (sender, lines) = mpsc::channel(LINES);
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(async move {
                let mut reader = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = reader.next_line().await {
                    // A line that nobody has time to show is in the job's log.
                    let _ = sender.try_send(line);
                }
            });
        }
        Ok(Self { child, lines })
    }

    fn show(&mut self, screen: &mut Screen) {
        while let Ok(line) = self.lines.try_recv() {
            screen.note(&format!("worker: {line}"));
        }
    }

    fn terminate(&self) {
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // That it ended by itself in this moment is what was wanted.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

/// The `worker` beside this executable.
fn sibling() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this executable")?;
    let worker = own.with_file_name("worker");
    if worker.is_file() {
        Ok(worker)
    } else {
        Err(anyhow!(
            "failed to run the job here: there is no worker at {}; build it (make start), or start one elsewhere",
            worker.display()
        ))
    }
}
