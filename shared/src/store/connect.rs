//! From a URL to a store.

use super::Store;
use super::directory::DirectoryStore;
use super::s3::S3Store;
use crate::aws::AwsAccess;
use crate::connect::{ConnectError, without_credentials};
use crate::crash;
use std::path::PathBuf;
use std::sync::Arc;

const KNOWN: &str =
    "known are file:PATH and s3://BUCKET[/PREFIX], for example TRAINYARD_STORE_URL=file:.trainyard/store";

/// Opens the store that `url` names: `file:PATH` (relative to the current folder, or absolute; `file:///PATH` too), or
/// `s3://BUCKET[/PREFIX]`, reached as `aws` says.
///
/// Nothing is created before the first write, so asking an empty place leaves no trace; that it cannot be written is
/// found here all the same for a folder, and that it cannot be listed for a bucket.
///
/// # Errors
/// [`ConnectError::Url`] for a scheme that is unknown or not in this version, [`ConnectError::Unreachable`] where
/// the folder is none, or neither it nor the folder it would be created in can be written, or the bucket is not there or
/// not for us.
pub async fn connect(url: &str, aws: &AwsAccess) -> Result<Arc<dyn Store>, ConnectError> {
    open(url, aws).await.map(crash::around_store)
}

async fn open(url: &str, aws: &AwsAccess) -> Result<Arc<dyn Store>, ConnectError> {
    let fault = |reason: &str| ConnectError::Url {
        what: "store",
        url: without_credentials(url),
        reason: format!("{reason}; {KNOWN}"),
    };
    let unreachable = |source: anyhow::Error| ConnectError::Unreachable {
        what: "store",
        url: without_credentials(url),
        source,
    };
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(fault("it has no scheme"));
    };
    match scheme {
        "file" => {
            let path = folder(rest).map_err(fault)?;
            let opened = tokio::task::spawn_blocking(move || DirectoryStore::open(&path)).await;
            let store = opened
                .map_err(anyhow::Error::from)
                .and_then(|store| store.map_err(anyhow::Error::from));
            Ok(Arc::new(store.map_err(unreachable)?))
        }
        "s3" => {
            let store = S3Store::open(rest, aws).await.map_err(fault)?;
            store.look().await.map_err(unreachable)?;
            Ok(Arc::new(store))
        }
        _ => Err(fault("unknown scheme")),
    }
}

fn folder(rest: &str) -> Result<PathBuf, &'static str> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err("a folder has no host: write file:PATH or file:///PATH"),
        None => rest,
    };
    if path.is_empty() {
        Err("it names no folder")
    } else {
        Ok(PathBuf::from(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_bucket_is_refused_without_showing_its_keys() {
        for url in [
            "s3://key:s3cret@bucket/prefix",
            "s3:bucket",
            "s3://",
            "s3://Bucket",
            "s3://bucket/a//b",
        ] {
            let error = connect(url, &AwsAccess::default()).await.expect_err("must be refused");
            assert!(error.is_usage(), "{error}");
            let text = error.to_string();
            assert!(text.contains("s3://BUCKET") && !text.contains("s3cret"), "{text}");
        }
    }

    #[tokio::test]
    async fn unknown_schemes_are_told_the_known_ones() {
        for url in ["ftp://x", "store", "file:", "file://host/x", ""] {
            let error = connect(url, &AwsAccess::default()).await.expect_err("must be refused");
            assert!(
                error.is_usage() && error.to_string().contains("file:") || url == "file:",
                "{url}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn connecting_creates_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/store");
        connect(&format!("file:{}", path.display()), &AwsAccess::default())
            .await
            .expect("a store");
        assert!(!folder.path().join("deep").exists());
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_the_folder_is_unreachable() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("file"), "").expect("a file");
        for path in ["file", "file/below"] {
            let error = connect(
                &format!("file:{}/{path}", folder.path().display()),
                &AwsAccess::default(),
            )
            .await
            .expect_err("must fail");
            assert!(!error.is_usage(), "{error}");
        }
    }
}
