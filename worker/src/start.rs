//! From settings to a worker that is ready to run.

use crate::accelerator::{self, Found};
use crate::cli::Run;
use crate::context::{Context, Identity, TrainerProgram};
use crate::interruption::Grace;
use crate::metrics::Metrics;
use crate::models::HubModels;
use crate::protect::{self, Pod};
use crate::trainer_process;
use crate::work_folder::WorkFolder;
use anyhow::Context as _;
use prometheus::Registry;
use shared::connect::ConnectError;
use shared::exit::ExitCode;
use shared::hub::HubSettings;
use shared::ledger::{LeaseWatch, Ledger};
use shared::settings::{Fleet, Protect, Variables};
use shared::shutdown::Shutdown;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Settings of the machine, below those of the environment; need not be there.
const FLEET_FILE: &str = "config/fleet.env";
/// Names another trainer than the one beside this executable.
const TRAINER: &str = "TRAINYARD_TRAINER";
/// The default of the fleet may be taken; one that somebody wrote may not.
const METRICS_ADDR: &str = "TRAINYARD_METRICS_ADDR";

/// Why a worker did not start, and the exit code for it.
#[derive(Debug, thiserror::Error)]
#[error("failed to start the worker")]
pub struct StartError {
    /// 64 or 69.
    pub code: ExitCode,
    #[source]
    source: anyhow::Error,
}

impl StartError {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: ExitCode::Usage,
            source: error.into(),
        }
    }

    fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: ExitCode::Unreachable,
            source: error.into(),
        }
    }
}

impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> Self {
        if error.is_usage() {
            Self::usage(error)
        } else {
            Self::unreachable(error)
        }
    }
}

/// Settings, checked, before anything is opened.
#[derive(Debug)]
pub struct Prepared {
    /// Of the fleet.
    pub fleet: Fleet,
    /// Whether somebody chose the monitor's address.
    pub explicit_address: bool,
    found: Found,
    trainer: TrainerProgram,
}

/// Reads the settings and looks for the accelerator and the trainer.
///
/// # Errors
/// Exit code 64, naming the variable.
pub fn prepare(run: &Run) -> Result<Prepared, StartError> {
    // A variable that is no UTF-8 is none of ours.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    // The same file as the dispatcher's, or the two could look at different stores.
    let file = Path::new(FLEET_FILE);
    let file = file.exists().then_some(file);
    let fleet = Fleet::load(&environment, &Variables::new(), file).map_err(StartError::usage)?;
    for notice in &fleet.notices {
        tracing::warn!("{notice}");
    }
    let found = accelerator::probe(run.accelerator).map_err(StartError::usage)?;
    let trainer = TrainerProgram {
        program: find_trainer(environment.get(TRAINER).map(Path::new)).map_err(StartError::usage)?,
        leading: Vec::new(),
        environment: trainer_process::environment(std::env::vars_os(), threads(run.slots.get())),
        once: Mutex::new(trainer_process::once()),
    };
    Ok(Prepared {
        explicit_address: environment.contains_key(METRICS_ADDR),
        fleet,
        found,
        trainer,
    })
}

/// Opens store and queue and makes everything that the parts of a worker share.
///
/// # Errors
/// Exit code 69 for a backend that cannot be reached, 64 for a URL that names none.
pub async fn connect(prepared: Prepared, registry: &Registry, shutdown: Shutdown) -> Result<Context, StartError> {
    let Prepared {
        fleet, found, trainer, ..
    } = prepared;
    let store = shared::store::connect(fleet.store_url.expose(), &fleet.aws).await?;
    let queue = shared::queue::connect(fleet.queue_url.expose(), &fleet.aws).await?;
    let metrics = Metrics::new(registry).map_err(StartError::usage)?;
    let identity = identify(&fleet, &found);
    metrics
        .build_info
        .with_label_values(&[env!("CARGO_PKG_VERSION"), identity.build.as_str()])
        .set(1);
    let work = WorkFolder::open(&absolute(&fleet.work), &identity.worker).map_err(StartError::unreachable)?;
    let hub = HubSettings::from(&fleet);
    tracing::info!(worker = identity.worker, build = identity.build, accelerator = %identity.accelerator, devices = ?found.devices, "worker");
    Ok(Context {
        ledger: Ledger::new(store),
        queue,
        models: Arc::new(HubModels::new(hub)),
        metrics,
        identity,
        lease: fleet.lease,
        grace: Grace::new(fleet.grace),
        trainer,
        work,
        shutdown,
        leases: Mutex::new(LeaseWatch::default()),
        watched: Mutex::new(HashSet::new()),
    })
}

/// The worker's own pod, where a setting asks for its protection. What is missing is said, and ends nothing.
#[must_use]
pub fn pod(fleet: &Fleet) -> Option<Pod> {
    let Some(Protect::Kubernetes) = fleet.protect else {
        return None;
    };
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let open = || {
        let account = fleet
            .service_account
            .as_deref()
            .unwrap_or(Path::new(protect::SERVICE_ACCOUNT));
        let (host, port) = (
            variable("KUBERNETES_SERVICE_HOST")?,
            variable("KUBERNETES_SERVICE_PORT")?,
        );
        // A pod's host name is its own, unless it is long or the pod uses the host's network.
        let name = variable("POD_NAME").unwrap_or_else(|_| node_name());
        Pod::open(account, &host, &port, &name)
    };
    open()
        .inspect_err(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "TRAINYARD_PROTECT=kubernetes has no effect here"
            );
        })
        .ok()
}

fn identify(fleet: &Fleet, found: &Found) -> Identity {
    let host = fleet.host.clone().unwrap_or_else(host_name);
    // A process number comes again after a restart, in containers at once: the rest of the name does not.
    let unique = uuid::Uuid::new_v4().simple().to_string();
    Identity {
        worker: format!("{host}-{}-{}", std::process::id(), &unique[..8]),
        host,
        build: fleet.build_tag.clone(),
        accelerator: found.accelerator,
    }
}

/// The host's name, as far as it can be part of a key.
fn host_name() -> String {
    let plain: String = node_name()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .take(60)
        .collect();
    if plain.is_empty() { "host".to_owned() } else { plain }
}

fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Trainers run in a folder of their own choice: their paths must not depend on it.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The trainer's executable.
fn find_trainer(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = match asked {
        Some(path) => absolute(path),
        None => std::env::current_exe()
            .context("failed to find the own executable")?
            .with_file_name("trainer"),
    };
    anyhow::ensure!(
        program.is_file(),
        "failed to find the trainer {}: build it, or name one in {TRAINER}",
        program.display()
    );
    Ok(program)
}

/// Trainers that run side by side share the processors; a single one decides for itself.
fn threads(slots: usize) -> Option<usize> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (slots > 1).then(|| (processors / slots).max(1))
}

#[cfg(test)]
mod tests {
    use super::{find_trainer, host_name, threads};
    use std::path::Path;

    #[test]
    fn a_trainer_that_is_not_there_is_named_with_its_variable() {
        let error = find_trainer(Some(Path::new("/nowhere/trainer")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nowhere/trainer") && error.contains("TRAINYARD_TRAINER"),
            "{error}"
        );
    }

    #[test]
    fn side_by_side_trainers_get_a_thread_at_least() {
        assert_eq!(threads(1), None);
        assert_eq!(threads(100_000), Some(1));
    }

    #[test]
    fn host_names_make_keys() {
        let name = host_name();
        assert!(
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "{name}"
        );
    }
}
