//! Which store, which environment, which root: the component's variables and ours reconciled.

use super::{Connection, SettingsError, Variables};

/// Places that may name an S3 endpoint, the first of which wins.
pub(super) const ENDPOINTS: [&str; 3] = ["TRAINYARD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

const STORE: &str = "TRAINYARD_STORE_URL";
const USE_S3: &str = "ONCLUSIVEML_TRACKING_BACKEND_USE_S3_BACKEND";
const BUCKET: &str = "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_BUCKET";
const BUCKET_PREFIX: &str = "ONCLUSIVEML_TRACKING_BACKEND_S3_BUCKET_PREFIX";
const PREFIX: &str = "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_PREFIX";
const ROOT: &str = "ONCLUSIVEML_TRACKING_BACKEND_S3_BACKEND_ROOT";
const ENVIRONMENT: &str = "ONCLUSIVEML_TRACKING_BACKEND_ENVIRONMENT";
const ENVIRONMENTS: [(&str, &str); 3] = [("dev", "dev"), ("stage", "stage"), ("prod", "prod")];
const DEFAULT_BUCKET_PREFIX: &str = "onclusive-model-store-";

/// What was chosen.
#[derive(Debug)]
pub(crate) struct StoreChoice {
    pub(crate) url: Connection,
    pub(crate) environment: String,
    pub(crate) root: String,
    pub(crate) notice: Option<String>,
}

/// `TRAINYARD_STORE_URL` wins; else with `…_USE_S3_BACKEND=true` and AWS credentials or an endpoint the bucket; else a
/// folder. A bucket of one environment never goes with the name of another.
pub(crate) fn choose(variables: &Variables) -> Result<StoreChoice, SettingsError> {
    let stated = variables.word(ENVIRONMENT, &ENVIRONMENTS)?;
    let root = root(variables)?;
    let use_s3 = variables.boolean(USE_S3)?.unwrap_or(false);
    half_credentials(variables)?;
    let bucket = bucket(variables, stated)?;
    let (url, notice) = match variables.text(STORE) {
        Some(url) => (explicit(variables, url, stated)?, None),
        None if use_s3 && has_access(variables) => {
            let bucket = bucket.ok_or_else(|| SettingsError::Missing {
                variable: ENVIRONMENT.to_owned(),
                reason: format!(
                    "{USE_S3} is true, so it ({}) or {BUCKET} must say which bucket",
                    "dev, stage or prod"
                ),
            })?;
            (format!("s3://{bucket}"), None)
        }
        None => {
            let notice = format!(
                "{USE_S3} is true, but there are neither AWS credentials nor an S3 endpoint: the store is the folder .trainyard/store"
            );
            ("file:.trainyard/store".to_owned(), use_s3.then_some(notice))
        }
    };
    Ok(StoreChoice {
        url: Connection::new(url),
        environment: stated.unwrap_or("dev").to_owned(),
        root,
        notice,
    })
}

fn root(variables: &Variables) -> Result<String, SettingsError> {
    let name = if variables.get(PREFIX).is_some() { PREFIX } else { ROOT };
    let root = variables.read(name, |text| {
        let trimmed = text.trim_matches('/').to_owned();
        crate::job::names::root(&trimmed)
            .then_some(trimmed)
            .ok_or_else(|| "a folder in the store, for example neptune-ai-model-registry".to_owned())
    })?;
    Ok(root.unwrap_or_else(|| "neptune-ai-model-registry".to_owned()))
}

fn bucket(variables: &Variables, stated: Option<&str>) -> Result<Option<String>, SettingsError> {
    if let Some(bucket) = variables.text(BUCKET) {
        fits_environment(variables, BUCKET, &bucket, stated)?;
        return Ok(Some(bucket));
    }
    let prefix = variables
        .text(BUCKET_PREFIX)
        .unwrap_or_else(|| DEFAULT_BUCKET_PREFIX.to_owned());
    Ok(stated.map(|environment| format!("{prefix}{environment}")))
}

fn explicit(variables: &Variables, url: String, stated: Option<&str>) -> Result<String, SettingsError> {
    let Some(rest) = url.strip_prefix("s3://") else {
        let valid = url.strip_prefix("file:").is_some_and(|path| !path.is_empty());
        return if valid {
            Ok(url)
        } else {
            Err(variables.invalid(STORE, "expected file:PATH or s3://BUCKET"))
        };
    };
    let bucket = rest.split('/').next().unwrap_or_default();
    fits_environment(variables, STORE, bucket, stated)?;
    match variables.text(BUCKET) {
        Some(other) if other != bucket => {
            Err(variables.contradiction(STORE, BUCKET, format!("{bucket:?} and {other:?} are two buckets")))
        }
        _ => Ok(url),
    }
}

/// The component's buckets carry their environment's name.
fn fits_environment(
    variables: &Variables,
    name: &str,
    bucket: &str,
    stated: Option<&str>,
) -> Result<(), SettingsError> {
    let (Some(of_bucket), Some(stated)) = (bucket.strip_prefix(DEFAULT_BUCKET_PREFIX), stated) else {
        return Ok(());
    };
    if of_bucket == stated || !ENVIRONMENTS.iter().any(|(word, _)| *word == of_bucket) {
        return Ok(());
    }
    Err(variables.contradiction(
        name,
        ENVIRONMENT,
        format!("the bucket {bucket:?} is not that of {stated:?}"),
    ))
}

fn half_credentials(variables: &Variables) -> Result<(), SettingsError> {
    let (id, key) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let (there, missing) = match (variables.get(id), variables.get(key)) {
        (Some(_), None) => (id, key),
        (None, Some(_)) => (key, id),
        _ => return Ok(()),
    };
    Err(SettingsError::Missing {
        variable: missing.to_owned(),
        reason: format!("{there} from {} needs it", variables.origin(there)),
    })
}

fn has_access(variables: &Variables) -> bool {
    let credentials = [
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    credentials
        .iter()
        .chain(&ENDPOINTS)
        .any(|name| variables.get(name).is_some())
}
