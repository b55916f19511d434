//! The `dispatcher` binary: publishes train jobs, waits for them, shows and repairs them.

mod cli;
mod commands;
mod existing;
mod failure;
#[cfg(test)]
mod fixture;
mod follow;
mod github;
mod job_view;
mod liveness;
mod local_worker;
mod matrix;
mod out;
mod screen;
mod site;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code.into(),
    };
    if let Err(error) = shared::telemetry::start("warn") {
        return fail(&failure::Failure::usage(error));
    }
    // One thread is enough for a few requests, and it starts in no time.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&failure::Failure::new(shared::exit::ExitCode::Infrastructure, error)),
    };
    let mut github = github::GitHub::of(|name| std::env::var(name).ok());
    github.iter_mut().for_each(github::GitHub::hush);
    let result = runtime.block_on(commands::execute(cli, github.as_mut()));
    // A request that hangs must not keep a command from ending.
    runtime.shutdown_background();
    let code = match &result {
        Ok(code) => (*code).into(),
        Err(failure) => fail(failure),
    };
    if let Some(github) = &mut github {
        match &result {
            Ok(_) => github.speak(),
            Err(failure) => github.failed(failure),
        }
    }
    code
}

fn fail(failure: &failure::Failure) -> ExitCode {
    eprintln!("{}", failure.to_text());
    failure.code.into()
}
