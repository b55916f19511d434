//! The command line.

use crate::commands::{cancel, dead, doctor, logs, models, publish, run, setup, status, wait};
use clap::{Parser, Subcommand, ValueEnum};
use shared::exit::ExitCode;
use std::path::PathBuf;

/// Publishes train jobs, waits for them, shows and repairs them.
///
/// Exit codes of `publish --wait` and `wait`: 0 registered or completed, 10 below the quality gate, 20 the project is
/// at fault, 30 infrastructure, 40 cancelled, 64 bad usage or settings, 69 something cannot be reached, 75 still
/// running at the timeout.
#[derive(Debug, Parser)]
#[command(
    name = "dispatcher",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// How results are written to standard output; everything else goes to standard error.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Folder with one folder a project, and fleet.env.
    #[arg(long, global = true, value_name = "DIR", default_value = "config")]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and lines for people.
    Text,
    /// One JSON document (docs/cli.md).
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a job, or a whole matrix of them; the same request again is the same job.
    Publish(Box<publish::Args>),
    /// Wait until jobs have ended; exits with their code.
    Wait(wait::Args),
    /// Show one job, or all of them.
    Status(status::Args),
    /// Show what a job wrote to its log.
    Logs(logs::Args),
    /// Cancel a job that is not published yet.
    Cancel(cancel::Args),
    /// Jobs that ended badly: list, show, requeue.
    #[command(subcommand)]
    Dead(dead::Command),
    /// Show registered versions as their consumers read them.
    Models(models::Args),
    /// Check this machine's set-up.
    Doctor(doctor::Args),
    /// Declare what the RabbitMQ of TRAINYARD_QUEUE_URL needs, once; repeating it changes nothing.
    Setup(setup::Args),
    /// The long-lived part: expires dead leases, announces lost jobs, sweeps, serves /metrics.
    Run(run::Args),
}

/// Reads the command line; help, version and mistakes are printed here, and the code to exit with comes back.
///
/// # Errors
/// [`ExitCode::Usage`] for a mistake, [`ExitCode::Ok`] for help and version.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let code = if error.use_stderr() {
            ExitCode::Usage
        } else {
            ExitCode::Ok
        };
        // Nobody is there to hear that standard error is closed.
        let _ = error.print();
        code
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_exclude_each_other_where_both_make_no_sense() {
        for wrong in [
            "publish --tag t",
            "publish --project p",
            "publish --project p --matrix m.yaml --tag t",
            "publish --project p --tag t --accelerator cpu --runner inf1.2xlarge",
            "publish --matrix m.yaml --env-file e --tag t",
            "publish --project p --tag t --timeout 5s",
            "publish --project p --tag t --accelerator tpu",
            "publish --project p --tag t --set NOVALUE",
            "wait",
            "wait nonsense",
            "dead",
        ] {
            let words = std::iter::once("dispatcher").chain(wrong.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{wrong}");
        }
        for right in [
            "publish --project p --tag t --force --wait --timeout 5min --set A=1 --set B=x=y",
            "publish --project p --tag t --force=ci-7",
            "publish --matrix m.yaml --tag t --wait",
            "wait 0123456789abcdef0123456789abcdef --output json",
            "--config elsewhere status",
            "dead requeue 0123456789abcdef0123456789abcdef",
        ] {
            let words = std::iter::once("dispatcher").chain(right.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{right}");
        }
    }
}
