//! The fleet's settings: defaults, the store that follows from the component's variables, contradictions, errors.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use shared::settings::{Fleet, Protect, SettingsError, Variables};
use std::collections::BTreeMap;
use std::time::Duration;

const USE_S3: &str = "ONCLUSIVEML_TRACKING_BACKEND_USE_S3_BACKEND";
const BUCKET: &str = "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_BUCKET";
const PREFIX: &str = "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_PREFIX";
const ENVIRONMENT: &str = "ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT";
const KEY: (&str, &str) = ("AWS_ACCESS_KEY_ID", "AKIA");
const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "s");

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn fleet(pairs: &[(&str, &str)]) -> Result<Fleet, SettingsError> {
    Fleet::from_env(&environment(pairs))
}

fn store(pairs: &[(&str, &str)]) -> String {
    fleet(pairs).unwrap().store_url.to_string()
}

fn error(pairs: &[(&str, &str)]) -> String {
    fleet(pairs).unwrap_err().to_string()
}

#[test]
fn one_machine_needs_no_settings() {
    let fleet = fleet(&[("PATH", "/bin"), ("HOME", "/home/u")]).unwrap();
    assert_eq!(fleet.queue_url.expose(), "embedded:.trainyard/queue.db");
    assert_eq!(fleet.store_url.expose(), "file:.trainyard/store");
    assert_eq!(fleet.registry_url.expose(), "bucket:");
    assert_eq!(fleet.metrics_addr.to_string(), "127.0.0.1:9464");
    assert_eq!(
        (fleet.lease, fleet.grace),
        (Duration::from_secs(30), Duration::from_secs(90))
    );
    assert_eq!(
        (fleet.retention.checkpoints, fleet.retention.jobs),
        (Duration::ZERO, Duration::from_secs(30 * 86_400))
    );
    assert_eq!(
        (fleet.environment.as_str(), fleet.registry_root.as_str()),
        ("dev", "neptune-ai-model-registry")
    );
    assert_eq!(fleet.hf_endpoint, "https://huggingface.co");
    assert_eq!(
        fleet.hf_hub_cache,
        std::path::Path::new("/home/u/.cache/huggingface/hub")
    );
    assert!(fleet.notices.is_empty() && fleet.hf_token.is_none());
}

#[test]
fn retention_is_a_time_or_for_ever() {
    let fleet = fleet(&[("TRAINYARD_KEEP_CHECKPOINTS", "2h"), ("TRAINYARD_KEEP_JOBS", "forever")]).unwrap();
    assert_eq!(fleet.retention.checkpoints, Duration::from_secs(7200));
    assert_eq!(fleet.retention.jobs, Duration::MAX);
    for name in ["TRAINYARD_KEEP_CHECKPOINTS", "TRAINYARD_KEEP_JOBS"] {
        let said = error(&[(name, "30")]);
        assert!(said.contains(name) && said.contains("30d, or forever"), "{said}");
    }
}

#[test]
fn the_store_follows_from_the_components_variables() {
    let s3 = (USE_S3, "True");
    assert_eq!(
        store(&[s3, KEY, SECRET, (ENVIRONMENT, "stage")]),
        "s3://onclusive-model-store-stage"
    );
    assert_eq!(
        store(&[s3, ("AWS_ENDPOINT_URL", "http://localhost:5000"), (BUCKET, "mine")]),
        "s3://mine"
    );
    assert_eq!(
        store(&[s3, ("AWS_PROFILE", "ci"), (ENVIRONMENT, "prod")]),
        "s3://onclusive-model-store-prod"
    );
    assert_eq!(
        store(&[(USE_S3, "false"), KEY, SECRET, (ENVIRONMENT, "stage")]),
        "file:.trainyard/store"
    );
    assert_eq!(
        store(&[s3, KEY, SECRET, (BUCKET, "b"), ("TRAINYARD_STORE_URL", "file:/x")]),
        "file:/x"
    );
    assert_eq!(fleet(&[(PREFIX, "models/all/")]).unwrap().registry_root, "models/all");
}

#[test]
fn a_bucket_that_cannot_be_used_is_said() {
    let fleet = fleet(&[(USE_S3, "true"), (ENVIRONMENT, "stage")]).unwrap();
    assert_eq!(fleet.store_url.expose(), "file:.trainyard/store");
    assert!(
        fleet.notices[0].contains(USE_S3) && fleet.notices[0].contains(".trainyard/store"),
        "{:?}",
        fleet.notices
    );
}

#[test]
fn contradictions_name_both_variables() {
    let wrong_bucket = error(&[(ENVIRONMENT, "dev"), (BUCKET, "onclusive-model-store-prod")]);
    assert!(
        wrong_bucket.contains(BUCKET) && wrong_bucket.contains(ENVIRONMENT),
        "{wrong_bucket}"
    );
    let wrong_url = error(&[
        (ENVIRONMENT, "dev"),
        ("TRAINYARD_STORE_URL", "s3://onclusive-model-store-prod/x"),
    ]);
    assert!(
        wrong_url.contains("TRAINYARD_STORE_URL") && wrong_url.contains(ENVIRONMENT),
        "{wrong_url}"
    );
    let two_buckets = error(&[(BUCKET, "a"), ("TRAINYARD_STORE_URL", "s3://b")]);
    assert!(
        two_buckets.contains("TRAINYARD_STORE_URL") && two_buckets.contains(BUCKET),
        "{two_buckets}"
    );
    let no_bucket = error(&[(USE_S3, "true"), KEY, SECRET]);
    assert!(
        no_bucket.contains(ENVIRONMENT) && no_bucket.contains(BUCKET),
        "{no_bucket}"
    );
    let half = error(&[KEY]);
    assert!(
        half.contains("AWS_SECRET_ACCESS_KEY") && half.contains("AWS_ACCESS_KEY_ID"),
        "{half}"
    );
}

#[test]
fn wrong_values_name_the_variable_its_origin_and_what_is_expected() {
    let cases = [
        ("TRAINYARD_LEASE", "30", "with its unit"),
        ("TRAINYARD_LEASE", "100ms", "expected 1s"),
        ("TRAINYARD_GRACE", "soon", "with its unit"),
        ("TRAINYARD_METRICS_ADDR", "9464", "127.0.0.1:9464"),
        ("TRAINYARD_QUEUE_URL", "redis://x", "embedded:"),
        ("TRAINYARD_STORE_URL", "/srv/store", "file:PATH"),
        ("TRAINYARD_REGISTRY_URL", "wandb:", "mlflow+http://"),
        ("TRAINYARD_HUB_CACHE_GIB", "0", "from 1 to"),
        ("HF_ENDPOINT", "huggingface.co", "http(s) URL"),
        (ENVIRONMENT, "production", "dev, stage, prod"),
        (PREFIX, "../x", "folder in the store"),
        (USE_S3, "maybe", "true or false"),
    ];
    for (name, value, expected) in cases {
        let said = error(&[(name, value)]);
        assert!(
            said.contains(name) && said.contains("process environment") && said.contains(expected),
            "{said}"
        );
    }
}

#[test]
fn the_fleets_file_goes_behind_the_environment_and_may_hold_only_its_variables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.env");
    std::fs::write(&path, "TRAINYARD_LEASE=10s\nTRAINYARD_GRACE=20s\n").unwrap();
    let fleet = Fleet::load(
        &environment(&[("TRAINYARD_LEASE", "5s")]),
        &Variables::new(),
        Some(&path),
    )
    .unwrap();
    assert_eq!(
        (fleet.lease, fleet.grace),
        (Duration::from_secs(5), Duration::from_secs(20))
    );

    std::fs::write(&path, "# fleet\nTRAINYARD_LAESE=10s\n").unwrap();
    let said = Fleet::load(&environment(&[]), &Variables::new(), Some(&path))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("TRAINYARD_LAESE") && said.contains("line 2") && said.contains("mean TRAINYARD_LEASE?"),
        "{said}"
    );
}

#[test]
fn the_shipped_file_of_the_fleet_says_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/fleet.env");
    let shipped = Fleet::load(&environment(&[]), &Variables::new(), Some(path.as_ref())).unwrap();
    let bare = fleet(&[]).unwrap();
    assert_eq!(format!("{shipped:?}"), format!("{bare:?}"));
}

#[test]
fn the_machines_own_notices_are_looked_for_unless_switched_off() {
    let endpoint = |pairs: &[(&str, &str)]| fleet(pairs).unwrap().metadata_endpoint;
    assert_eq!(endpoint(&[]).as_deref(), Some("http://169.254.169.254"));
    let other = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd00:ec2::254]/");
    assert_eq!(endpoint(&[other]).as_deref(), Some("http://[fd00:ec2::254]"));
    assert_eq!(endpoint(&[other, ("AWS_EC2_METADATA_DISABLED", "true")]), None);
    assert_eq!(fleet(&[]).unwrap().protect, None);
    assert_eq!(
        fleet(&[("TRAINYARD_PROTECT", "kubernetes")]).unwrap().protect,
        Some(Protect::Kubernetes)
    );
    for (name, value, expected) in [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254", "http(s) URL"),
        ("TRAINYARD_PROTECT", "ecs", "none, kubernetes"),
        ("TRAINYARD_HOST", "a/b", "letters, digits and hyphens"),
    ] {
        let said = error(&[(name, value)]);
        assert!(said.contains(name) && said.contains(expected), "{said}");
    }
}
