//! One file a command.

pub(crate) mod cancel;
pub(crate) mod dead;
pub(crate) mod doctor;
pub(crate) mod logs;
pub(crate) mod models;
pub(crate) mod publish;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod wait;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::github::GitHub;
use crate::site::Site;
use shared::exit::ExitCode;

/// Does what the command line asks, and tells the CI's step of its jobs.
///
/// # Errors
/// What a command fails with, with its exit code.
pub(crate) async fn execute(cli: Cli, github: Option<&mut GitHub>) -> Result<ExitCode, Failure> {
    let site = Site::new(cli.config, cli.output);
    match cli.command {
        Command::Publish(args) => publish::execute(&site, github, *args).await,
        Command::Wait(args) => wait::execute(&site, github, args).await,
        Command::Status(args) => status::execute(&site, args).await,
        Command::Logs(args) => logs::execute(&site, args).await,
        Command::Cancel(args) => cancel::execute(&site, args).await,
        Command::Dead(command) => dead::execute(&site, command).await,
        Command::Models(args) => models::execute(&site, args).await,
        Command::Doctor(args) => doctor::execute(&site, args).await,
        Command::Setup(args) => setup::execute(&site, args).await,
        Command::Run(args) => run::execute(&site, args).await,
    }
}
