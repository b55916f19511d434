//! The `worker` binary: settings, telemetry, build, run, exit code.

use clap::Parser;
use prometheus::Registry;
use shared::exit::ExitCode;
use shared::fleet_series::FleetSeries;
use shared::monitor::{Monitor, Readiness};
use shared::shutdown::Shutdown;
use std::error::Error;
use worker::cli::{Cli, Command, Run};
use worker::run::Beside;
use worker::{run, start};

fn main() -> std::process::ExitCode {
    let Command::Run(run) = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage(&error),
    };
    let outcome = shared::telemetry::start("info,hyper=warn,reqwest=warn")
        .map_err(|error| complain(ExitCode::Usage, &error))
        .and_then(|()| start::prepare(&run).map_err(|error| complain(error.code, &error)))
        .and_then(|prepared| work(prepared, &run));
    outcome.unwrap_or_else(|code| code).into()
}

/// Two threads: this process waits for others nearly all the time, and an idle one shall be small.
fn work(prepared: start::Prepared, run: &Run) -> Result<ExitCode, ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| complain(ExitCode::Infrastructure, &error))?
        .block_on(serve(prepared, run))
}

async fn serve(prepared: start::Prepared, run: &Run) -> Result<ExitCode, ExitCode> {
    let shutdown = Shutdown::on_signals().map_err(|error| complain(ExitCode::Infrastructure, &error))?;
    let (registry, readiness) = (Registry::new(), Readiness::default());
    let monitor = Monitor::bind(prepared.fleet.metrics_addr, prepared.explicit_address)
        .await
        .map_err(|error| complain(ExitCode::Usage, &error))?;
    // Queue and store on one machine: there need not be a dispatcher that looks after them.
    let alone = prepared.fleet.queue_url.scheme() == "embedded";
    let fleet = alone.then(|| FleetSeries::register(&registry)).transpose();
    let fleet = fleet.map_err(|error| complain(ExitCode::Infrastructure, &error))?;
    let also = Beside {
        fleet: fleet.map(|series| (series, prepared.fleet.retention)),
        metadata_endpoint: prepared.fleet.metadata_endpoint.clone(),
        pod: start::pod(&prepared.fleet),
    };
    let context = start::connect(prepared, &registry, shutdown.clone())
        .await
        .map_err(|error| complain(error.code, &error))?;
    if let Some(monitor) = monitor {
        if let Ok(address) = monitor.address() {
            tracing::info!(url = %format_args!("http://{address}/metrics"), "metrics");
        }
        tokio::spawn(monitor.serve(registry, readiness.clone(), shutdown.hard().clone()));
    }
    Ok(run::run(context, readiness, run, also).await)
}

fn usage(error: &clap::Error) -> std::process::ExitCode {
    // The terminal may be gone; there is nobody else to tell.
    let _ = error.print();
    let code = if error.use_stderr() {
        ExitCode::Usage
    } else {
        ExitCode::Ok
    };
    code.into()
}

fn complain(code: ExitCode, error: &dyn Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text.push_str(&format!(": {reason}"));
        source = reason.source();
    }
    eprintln!("worker: {text}");
    code
}
