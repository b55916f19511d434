//! The command line.

use clap::{Args, Parser, Subcommand};
use shared::job::{Accelerator, JobId};
use std::num::NonZeroUsize;

/// Takes train jobs, runs a trainer for each, and registers the result.
#[derive(Debug, Parser)]
#[command(name = "worker", version, about, after_help = SETTINGS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take jobs and do them
    #[command(after_help = SETTINGS)]
    Run(Run),
}

/// `worker run`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Run {
    /// Take the jobs of this accelerator: cpu, gpu or inf1 (inf1 trains on the host's CPU) [default: cpu]
    #[arg(long)]
    pub accelerator: Option<Accelerator>,
    /// End when the ledger has no unfinished job that this worker could take: ready, delayed or in another's hands
    #[arg(long)]
    pub drain: bool,
    /// Do one job, stay with it until it has ended, and exit with its code
    #[arg(long)]
    pub once: bool,
    /// Jobs at a time; each has its own trainer, and they share the processors
    #[arg(long, default_value = "1")]
    pub slots: NonZeroUsize,
    /// Do this job, without waiting for its message
    #[arg(long, hide = true, conflicts_with_all = ["drain", "once"])]
    pub job: Option<JobId>,
}

const SETTINGS: &str = "\
Settings (environment, then config/fleet.env):
  TRAINYARD_QUEUE_URL     embedded:PATH, amqp(s)://…        [default: embedded:.trainyard/queue.db]
  TRAINYARD_STORE_URL     file:PATH                         [default: file:.trainyard/store]
  TRAINYARD_METRICS_ADDR  /metrics, /livez, /readyz         [default: 127.0.0.1:9464]
  TRAINYARD_LEASE         how long a worker may be silent   [default: 30s]
  TRAINYARD_GRACE         from SIGTERM to the end           [default: 90s]
  TRAINYARD_HOST          what to call this host            [default: its name]
  TRAINYARD_PROTECT       kubernetes: a busy pod asks not to be scaled in  [default: none]
  TRAINYARD_WORK          folders of running jobs           [default: .trainyard/work]
  TRAINYARD_BUILD_TAG     the tag of this image             [default: dev-<version>]
  TRAINYARD_TRAINER       the trainer's executable          [default: `trainer` beside this one]
  TRAINYARD_LOG_FORMAT    human or json;  RUST_LOG: what is logged, for example info
  HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE              as in Python's huggingface_hub
  AWS_EC2_METADATA_DISABLED, AWS_EC2_METADATA_SERVICE_ENDPOINT  as in AWS's own clients

Exit codes of --once: 0 registered or completed, 10 quality gate, 20 user error, 30 infrastructure,
40 cancelled, 75 stopped before the job had ended; of all: 64 bad usage or settings, 69 unreachable.

SIGTERM, a spot notice, scale-in or a rebalance recommendation: take no more jobs, let trainers save a
checkpoint, give the jobs back, exit 0 (--once: 75) within the grace time or what the machine has left.
A second signal stops at once.";

#[cfg(test)]
mod tests {
    use super::{Cli, Command, Run};
    use clap::{CommandFactory, Parser};
    use shared::job::Accelerator;

    fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
        let words = ["worker", "run"].iter().chain(arguments);
        Cli::try_parse_from(words).map(
            |Cli {
                 command: Command::Run(run),
             }| run,
        )
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_are_read() {
        let all = run(&["--accelerator", "inf1", "--drain", "--slots", "3"]).unwrap();
        assert_eq!(
            (all.accelerator, all.drain, all.slots.get()),
            (Some(Accelerator::Inf1), true, 3)
        );
        assert_eq!(run(&[]).unwrap().slots.get(), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        let job = "0123456789abcdef0123456789abcdef";
        for arguments in [
            &["--slots", "0"][..],
            &["--accelerator", "tpu"],
            &["--job", "x"],
            &["--job", job, "--once"],
        ] {
            assert!(run(arguments).is_err(), "{arguments:?}");
        }
    }
}
