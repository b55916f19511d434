//! Settings of the machines, not of a project: queue, store, registry, lease, hub.

use super::store_url::{self, StoreChoice};
use super::{Connection, SettingsError, Variables};
use crate::aws::{AwsAccess, AwsKeys};
use crate::secret::Secret;
use crate::sweeper::Retention;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The fleet's variables. Anything else in `config/fleet.env` is an error.
pub const FLEET_VARIABLES: [&str; 47] = [
    "TRAINYARD_QUEUE_URL",
    "TRAINYARD_STORE_URL",
    "TRAINYARD_REGISTRY_URL",
    "TRAINYARD_METRICS_ADDR",
    "TRAINYARD_LEASE",
    "TRAINYARD_GRACE",
    "TRAINYARD_KEEP_CHECKPOINTS",
    "TRAINYARD_KEEP_JOBS",
    "TRAINYARD_WORK",
    "TRAINYARD_HUB_CACHE_GIB",
    "TRAINYARD_BUILD_TAG",
    "TRAINYARD_TRAINER",
    "TRAINYARD_LOG_FORMAT",
    "TRAINYARD_HOST",
    "TRAINYARD_PROTECT",
    "TRAINYARD_SERVICE_ACCOUNT",
    "TRAINYARD_S3_ENDPOINT",
    "TRAINYARD_S3_PATH_STYLE",
    "ONCLUSIVEML_TRACKING_BACKEND_USE_S3_BACKEND",
    "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_BUCKET",
    "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_PREFIX",
    "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_ROOT",
    "ONCLUSIVEML_TRACKING_BACKEND_S3_BUCKET_PREFIX",
    "ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT",
    "NEPTUNE_API_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "RUST_LOG",
    "XDG_CACHE_HOME",
];

/// Read, but not the fleet's own.
const HOME: &str = "HOME";

const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Settings of the machines. Holds secrets, of which `Debug` shows none.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// `TRAINYARD_QUEUE_URL`, default `embedded:.trainyard/queue.db`.
    pub queue_url: Connection,
    /// Where jobs and versions lie: `TRAINYARD_STORE_URL`, else from the component's variables, else
    /// `file:.trainyard/store`.
    pub store_url: Connection,
    /// `TRAINYARD_REGISTRY_URL`, default `bucket:`: the store itself.
    pub registry_url: Connection,
    /// `TRAINYARD_METRICS_ADDR`, default `127.0.0.1:9464`.
    pub metrics_addr: SocketAddr,
    /// `TRAINYARD_LEASE`, default 30 s: how long a worker may be silent.
    pub lease: Duration,
    /// `TRAINYARD_GRACE`, default 90 s: how long a worker may take to stop.
    pub grace: Duration,
    /// `TRAINYARD_KEEP_CHECKPOINTS`, default 0 s, and `TRAINYARD_KEEP_JOBS`, default 30 days.
    pub retention: Retention,
    /// `TRAINYARD_HOST`, default the host's own name: what a worker calls its host. Errors on two hosts are two witnesses.
    pub host: Option<String>,
    /// `TRAINYARD_PROTECT`, default none: who is told that a busy worker shall not be scaled in.
    pub protect: Option<Protect>,
    /// `TRAINYARD_SERVICE_ACCOUNT`: folder of the pod's token, where it is not mounted as usual.
    pub service_account: Option<PathBuf>,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT`, default `http://169.254.169.254`; `None` with
    /// `AWS_EC2_METADATA_DISABLED=true`. Where spot notices come from.
    pub metadata_endpoint: Option<String>,
    /// `TRAINYARD_WORK`, default `.trainyard/work`: folders of running jobs.
    pub work: PathBuf,
    /// `TRAINYARD_BUILD_TAG`, default `dev-<version>`: the image tag of this build.
    pub build_tag: String,
    /// How S3 and SQS are reached.
    pub aws: AwsAccess,
    /// `NEPTUNE_API_TOKEN`.
    pub neptune_api_token: Option<Secret>,
    /// `ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT`, default `dev`.
    pub environment: String,
    /// Folder of registered versions in the store: `ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_PREFIX`, default
    /// `neptune-ai-model-registry`.
    pub registry_root: String,
    /// `HF_ENDPOINT`, default `https://huggingface.co`; without a slash at its end.
    pub hf_endpoint: String,
    /// `HF_TOKEN`.
    pub hf_token: Option<Secret>,
    /// `HF_HUB_CACHE`, else `hub` below `HF_HOME`, `$XDG_CACHE_HOME/huggingface` or `~/.cache/huggingface`.
    pub hf_hub_cache: PathBuf,
    /// `HF_HUB_OFFLINE`, default false: models come from the hub cache alone.
    pub hf_offline: bool,
    /// `TRAINYARD_HUB_CACHE_GIB`, default 50: bytes that the hub cache may hold.
    pub hub_cache_bytes: u64,
    /// What a person should know before anything runs, for example why a bucket is not used.
    pub notices: Vec<String>,
}

/// Who can be told that a worker is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protect {
    /// The cluster that the worker's pod runs in.
    Kubernetes,
}

impl Fleet {
    /// From a process environment alone.
    ///
    /// # Errors
    /// See [`Fleet::load`].
    pub fn from_env(environment: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        Self::load(environment, &Variables::new(), None)
    }

    /// From `--set` and a process environment, then a project's dotenv file (both with `--set` are in
    /// [`crate::project::Project::fleet`]), then a dotenv file of the fleet (`config/fleet.env`), then defaults.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable and where it was written: a value of the wrong type, a variable of
    /// `file` that the fleet does not know, settings that contradict each other, a file that cannot be read.
    pub fn load(
        environment: &BTreeMap<String, String>,
        project: &Variables,
        file: Option<&Path>,
    ) -> Result<Self, SettingsError> {
        let mut variables = Variables::new();
        // What a project holds includes the environment's variables, in their order with `--set`.
        variables.add_all(project);
        variables.add_environment(environment, |name| FLEET_VARIABLES.contains(&name));
        if let Some(path) = file {
            let mut from_file = Variables::new();
            from_file.add_file(path, environment)?;
            from_file.refuse_unknown(&FLEET_VARIABLES.into_iter().collect(), "the fleet")?;
            variables.add_all(&from_file);
        }
        variables.add_environment(environment, |name| name == HOME);
        Self::from_variables(&variables)
    }

    fn from_variables(variables: &Variables) -> Result<Self, SettingsError> {
        let StoreChoice {
            url: store_url,
            environment,
            root,
            notice,
        } = store_url::choose(variables)?;
        let lease = between(variables, "TRAINYARD_LEASE", &LEASE)?.unwrap_or(Duration::from_secs(30));
        Ok(Self {
            queue_url: url(
                variables,
                "TRAINYARD_QUEUE_URL",
                "embedded:.trainyard/queue.db",
                &QUEUES,
            )?,
            store_url,
            registry_url: url(variables, "TRAINYARD_REGISTRY_URL", "bucket:", &REGISTRIES)?,
            metrics_addr: variables
                .read("TRAINYARD_METRICS_ADDR", |text| {
                    text.parse()
                        .map_err(|_| "an address and port, for example 127.0.0.1:9464".to_owned())
                })?
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9464))),
            lease,
            grace: variables
                .duration("TRAINYARD_GRACE")?
                .unwrap_or(Duration::from_secs(90)),
            retention: retention(variables)?,
            host: variables.read("TRAINYARD_HOST", host_name)?,
            protect: variables.word("TRAINYARD_PROTECT", &PROTECT)?.unwrap_or_default(),
            service_account: variables.text("TRAINYARD_SERVICE_ACCOUNT").map(PathBuf::from),
            metadata_endpoint: metadata_endpoint(variables)?,
            work: variables
                .text("TRAINYARD_WORK")
                .unwrap_or_else(|| ".trainyard/work".into())
                .into(),
            build_tag: variables
                .text("TRAINYARD_BUILD_TAG")
                .unwrap_or_else(|| concat!("dev-", env!("CARGO_PKG_VERSION")).to_owned()),
            aws: aws(variables)?,
            neptune_api_token: variables.secret("NEPTUNE_API_TOKEN"),
            environment,
            registry_root: root,
            hf_endpoint: hub_endpoint(variables)?,
            hf_token: variables.secret("HF_TOKEN"),
            hf_hub_cache: hub_cache(variables),
            hf_offline: variables.boolean("HF_HUB_OFFLINE")?.unwrap_or(false),
            hub_cache_bytes: variables
                .number("TRAINYARD_HUB_CACHE_GIB", &(1..=1 << 20))?
                .unwrap_or(50_u64)
                << 30,
            notices: notice.into_iter().collect(),
        })
    }
}

const PROTECT: [(&str, Option<Protect>); 2] = [("none", None), ("kubernetes", Some(Protect::Kubernetes))];
const QUEUES: [&str; 4] = ["embedded:", "amqp://", "amqps://", "sqs://"];
const REGISTRIES: [&str; 4] = ["bucket:", "neptune:", "mlflow+http://", "mlflow+https://"];

/// A URL with one of the known beginnings; whether this build can connect to it is said by `connect`.
fn url(variables: &Variables, name: &str, default: &str, known: &[&str]) -> Result<Connection, SettingsError> {
    let found = variables.read(name, |text| {
        let known_scheme = known.iter().any(|scheme| text.starts_with(scheme));
        known_scheme
            .then(|| Connection::new(text.to_owned()))
            .ok_or_else(|| format!("a URL that begins with one of {}", known.join(", ")))
    })?;
    Ok(found.unwrap_or_else(|| Connection::new(default.to_owned())))
}

fn between(
    variables: &Variables,
    name: &str,
    range: &RangeInclusive<Duration>,
) -> Result<Option<Duration>, SettingsError> {
    let Some(duration) = variables.duration(name)? else {
        return Ok(None);
    };
    let bounds = || {
        format!(
            "expected {} to {}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        )
    };
    if range.contains(&duration) {
        Ok(Some(duration))
    } else {
        Err(variables.invalid(name, bounds()))
    }
}

fn retention(variables: &Variables) -> Result<Retention, SettingsError> {
    let time = |name: &str| {
        variables.read(name, |text| match text {
            "forever" => Ok(Duration::MAX),
            text => humantime::parse_duration(text)
                .map_err(|_| "a duration with its unit, for example 0s or 30d, or forever".to_owned()),
        })
    };
    let default = Retention::default();
    Ok(Retention {
        checkpoints: time("TRAINYARD_KEEP_CHECKPOINTS")?.unwrap_or(default.checkpoints),
        jobs: time("TRAINYARD_KEEP_JOBS")?.unwrap_or(default.jobs),
    })
}

fn aws(variables: &Variables) -> Result<AwsAccess, SettingsError> {
    let first = |names: &[&str]| names.iter().find_map(|name| variables.text(name));
    // That one key comes with the other was checked with the store.
    let keys = variables
        .secret("AWS_ACCESS_KEY_ID")
        .zip(variables.secret("AWS_SECRET_ACCESS_KEY"));
    Ok(AwsAccess {
        s3_endpoint: first(&store_url::ENDPOINTS),
        s3_path_style: variables.boolean("TRAINYARD_S3_PATH_STYLE")?,
        sqs_endpoint: first(&["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"]),
        region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
        profile: variables.text("AWS_PROFILE"),
        keys: keys.map(|(id, secret)| AwsKeys {
            id,
            secret,
            session: variables.secret("AWS_SESSION_TOKEN"),
        }),
    })
}

fn hub_endpoint(variables: &Variables) -> Result<String, SettingsError> {
    let endpoint = variables.read("HF_ENDPOINT", http_url)?;
    Ok(endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned()))
}

/// The variables of AWS's own clients, with their meaning.
fn metadata_endpoint(variables: &Variables) -> Result<Option<String>, SettingsError> {
    if variables.boolean("AWS_EC2_METADATA_DISABLED")?.unwrap_or(false) {
        return Ok(None);
    }
    let endpoint = variables.read("AWS_EC2_METADATA_SERVICE_ENDPOINT", http_url)?;
    Ok(Some(endpoint.unwrap_or_else(|| "http://169.254.169.254".to_owned())))
}

/// Without a slash at its end.
fn http_url(text: &str) -> Result<String, String> {
    let valid = text.starts_with("http://") || text.starts_with("https://");
    valid
        .then(|| text.trim_end_matches('/').to_owned())
        .ok_or_else(|| "an http(s) URL".to_owned())
}

/// Part of keys in the store, as every worker's name is.
fn host_name(text: &str) -> Result<String, String> {
    let plain = text.len() <= 60 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain
        .then(|| text.to_owned())
        .ok_or_else(|| "at most 60 letters, digits and hyphens".to_owned())
}

/// The order of `huggingface_hub.constants`.
fn hub_cache(variables: &Variables) -> PathBuf {
    let folder = |name: &str| variables.text(name).map(PathBuf::from);
    let cache_home = || folder("XDG_CACHE_HOME").or_else(|| Some(folder(HOME)?.join(".cache")));
    let home = || folder("HF_HOME").or_else(|| Some(cache_home()?.join("huggingface")));
    folder("HF_HUB_CACHE")
        .or_else(|| Some(home()?.join("hub")))
        .unwrap_or_else(|| ".trainyard/hub".into())
}
