//! A trainer process: started, listened to, stopped.
//!
//! The trainer dies with its worker: the kernel kills it when the thread that started it ends (`PR_SET_PDEATHSIG`),
//! and its stdin, a pipe that nobody writes to, ends when the worker does.

mod end;
mod environment;
mod out_of_memory;

use end::Stop;
pub use end::TrainerEnd;
pub use environment::{environment, once};

use crate::bounded_lines::BoundedLines;
use crate::interruption::Interruption;
use out_of_memory::OutOfMemoryKills;
use rustix::process::{Pid, Signal, kill_process};
use shared::crash;
use shared::joblog::JobLog;
use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, BufReader};
use tokio::process::{Child, Command};
use trainer_protocol::Event;

/// A longer line on the trainer's stdout is no event, in bytes.
const EVENT_BYTES: usize = 256 * 1024;
/// A longer line on its stderr is cut, in bytes.
const LOG_LINE_BYTES: usize = 16 * 1024;
/// How long the pipes of an ended trainer may stay open in a stranger's hands.
const PIPES_TAIL: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Debug, Clone)]
pub struct TrainerProcess {
    /// The executable.
    pub program: PathBuf,
    /// Put before the protocol's arguments; for programs that are interpreted.
    pub leading: Vec<OsString>,
    /// `JOB.json`.
    pub job: PathBuf,
    /// `--inputs`.
    pub inputs: PathBuf,
    /// `--outputs`.
    pub outputs: PathBuf,
    /// `--checkpoints`.
    pub checkpoints: PathBuf,
    /// Everything the process gets to know of the worker's environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// The process could not be started or watched.
#[derive(Debug, thiserror::Error)]
#[error("failed to run the trainer {program}")]
pub struct TrainerProcessError {
    program: PathBuf,
    #[source]
    source: std::io::Error,
}

impl TrainerProcess {
    /// Runs the trainer to its end. `interruption` stops it: softly, it is told to write a checkpoint and end, and
    /// killed if it takes longer than the grace time; hard, it is killed. Every event is handed to `on_event`, every
    /// line of its stderr goes into the job's log.
    ///
    /// Dropping the future kills the process.
    ///
    /// # Errors
    /// The process cannot be started.
    pub async fn run(
        &self,
        interruption: &Interruption,
        log: &JobLog,
        mut on_event: impl FnMut(Event),
    ) -> Result<TrainerEnd, TrainerProcessError> {
        let failed = |source| TrainerProcessError {
            program: self.program.clone(),
            source,
        };
        let memory = OutOfMemoryKills::count();
        let mut child = self.spawn().map_err(failed)?;
        crash::point("trainer.started");
        // Held until the trainer has ended: it takes the end of its stdin for the end of the worker.
        let _stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());

        let mut account = end::Account::default();
        let mut last_words = String::new();
        let reading = async {
            tokio::join!(
                read_events(stdout, log, |event| {
                    crash::point("trainer.event");
                    account.note(&event);
                    on_event(event);
                }),
                read_log(stderr, log, &mut last_words),
            );
        };
        let ended = until_end(supervise(&mut child, interruption), reading).await;
        let (status, stop) = ended.map_err(failed)?;
        crash::point("trainer.ended");
        Ok(account.end(status, stop, memory.rose(), &last_words))
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.leading)
            .arg(&self.job)
            .arg("--inputs")
            .arg(&self.inputs)
            .arg("--outputs")
            .arg(&self.outputs)
            .arg("--checkpoints")
            .arg(&self.checkpoints)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is for the worker, which tells the trainer in its own way.
            .process_group(0)
            .kill_on_drop(true);
        die_with_parent(&mut command);
        command.spawn()
    }
}

/// Lets the kernel kill the child when the thread that starts it ends. Threads of the runtime live as long as it does.
#[expect(
    unsafe_code,
    reason = "pre_exec runs between fork and exec; the closure makes one system call, allocates nothing and takes no lock"
)]
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

/// Reads while the process lives, and then what is left in its pipes.
async fn until_end<T>(supervising: impl Future<Output = T>, reading: impl Future<Output = ()>) -> T {
    let (mut supervising, mut reading) = (pin!(supervising), pin!(reading));
    tokio::select! {
        ended = &mut supervising => {
            if tokio::time::timeout(PIPES_TAIL, reading).await.is_err() {
                tracing::warn!("the trainer has ended, its pipes are still open");
            }
            ended
        }
        () = &mut reading => supervising.await,
    }
}

/// Waits for the end; says what was done for it from here.
async fn supervise(child: &mut Child, interruption: &Interruption) -> std::io::Result<(ExitStatus, Stop)> {
    tokio::select! {
        status = child.wait() => return Ok((status?, Stop::Nothing)),
        () = interruption.hard().cancelled() => return kill(child).await,
        () = interruption.soft().cancelled() => {}
    }
    let part = interruption.trainers_part();
    if part.is_zero() {
        tracing::warn!("there is no time left to save another checkpoint: the trainer is killed");
        return kill(child).await;
    }
    terminate(child);
    tokio::select! {
        status = child.wait() => Ok((status?, Stop::Told)),
        () = interruption.hard().cancelled() => kill(child).await,
        () = tokio::time::sleep(part) => {
            tracing::warn!("the trainer did not end within its grace time and is killed");
            kill(child).await
        }
    }
}

async fn kill(child: &mut Child) -> std::io::Result<(ExitStatus, Stop)> {
    child.start_kill()?;
    Ok((child.wait().await?, Stop::Killed))
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::TERM)) {
        tracing::warn!(%error, "the trainer could not be told to stop");
    }
}

/// Hands every event on. Lines that are none are said in the log: a trainer of another make may print.
async fn read_events(stdout: Option<impl AsyncRead + Unpin>, log: &JobLog, mut on_event: impl FnMut(Event)) {
    let Some(stdout) = stdout else { return };
    let mut lines = BoundedLines::new(BufReader::new(stdout), EVENT_BYTES);
    while let Ok(Some(line)) = lines.next().await {
        match serde_json::from_str::<Event>(&line.text) {
            Ok(event) if !line.cut => on_event(event),
            _ if line.text.trim().is_empty() => {}
            _ => log.line(&format!("(no event on stdout) {}", line.text)),
        }
    }
}

async fn read_log(stderr: Option<impl AsyncRead + Unpin>, log: &JobLog, last_words: &mut String) {
    let Some(stderr) = stderr else { return };
    let mut lines = BoundedLines::new(BufReader::new(stderr), LOG_LINE_BYTES);
    while let Ok(Some(line)) = lines.next().await {
        log.line(&line.text);
        if !line.text.trim().is_empty() {
            *last_words = line.text;
        }
    }
}
