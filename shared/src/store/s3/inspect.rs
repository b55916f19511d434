//! What can be learnt of a bucket, for `dispatcher doctor`. What is tried is removed again.

use super::S3Store;
use super::errors::Refusal;
use super::server_time::ServerTime;
use crate::aws::AwsAccess;
use crate::connect::{ConnectError, without_credentials};
use crate::store::{Conflict, Key};
use anyhow::anyhow;
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};

/// What was asked for, or that it must not be asked for with these keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<T> {
    /// The answer.
    Told(T),
    /// Denied.
    NotAllowed,
}

/// A look at a bucket.
#[derive(Debug)]
pub struct Inspection {
    /// Seconds that the server's clock is ahead of ours; `None`: it does not tell its time.
    pub ahead_s: Option<i64>,
    /// Whether the bucket keeps what is replaced and deleted.
    pub versioning: anyhow::Result<Asked<bool>>,
    /// Uploads in parts that have begun and not ended.
    pub uploads: anyhow::Result<Asked<usize>>,
    /// Whether an upload of parts does not overwrite what is there: the condition of CompleteMultipartUpload.
    pub parts: anyhow::Result<()>,
    /// Whether copies are made by CopyObject, see [`super::Copies`].
    pub copies: super::Copies,
}

/// Looks at the bucket of a URL.
///
/// # Errors
/// As [`crate::store::connect`].
pub async fn inspect(url: &str, aws: &AwsAccess) -> Result<Inspection, ConnectError> {
    let fault = |reason: &str| ConnectError::Url {
        what: "store",
        url: without_credentials(url),
        reason: reason.to_owned(),
    };
    let rest = url.strip_prefix("s3:").ok_or_else(|| fault("it is no bucket"))?;
    let store = S3Store::open(rest, aws).await.map_err(fault)?;
    let (client, bucket) = (&store.clients.repeating, &store.address.bucket);
    let time = ServerTime::default();
    let uploads = client
        .list_multipart_uploads()
        .bucket(bucket)
        .prefix(store.address.root());
    let uploads = uploads.customize().interceptor(time.clone()).send().await;
    let versioning = client.get_bucket_versioning().bucket(bucket).send().await;
    Ok(Inspection {
        ahead_s: time.now().zip(ours()).map(|(theirs, ours)| theirs - ours),
        versioning: asked(versioning.map(|it| it.status.is_some_and(|status| status.as_str() == "Enabled"))),
        uploads: asked(uploads.map(|it| it.uploads().len())),
        parts: store.try_parts().await,
        copies: store.copies,
    })
}

impl S3Store {
    async fn try_parts(&self) -> anyhow::Result<()> {
        let key = Key::new(format!("trainyard/doctor/{}", uuid::Uuid::new_v4().simple()))?;
        self.create(&key, Bytes::from_static(b"1")).await?;
        let tried = async {
            let upload = self.begin(&key, None, Some(ChecksumAlgorithm::Crc32)).await?;
            let part = self.send_part(&upload, 1, Bytes::from_static(b"2")).await;
            self.end(&upload, part.map(|part| vec![part])).await
        };
        let tried = tried.await;
        self.remove(&key).await?;
        match tried {
            Err(error) if error.conflict() == Some(Conflict::Changed) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => Err(anyhow!(
                "an upload of parts overwrites what is there; large files are not safe in it"
            )),
        }
    }
}

fn ours() -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(now.as_secs()).ok()
}

fn asked<T, E>(answer: Result<T, E>) -> anyhow::Result<Asked<T>>
where
    Refusal: From<E>,
{
    match answer.map_err(Refusal::from) {
        Ok(told) => Ok(Asked::Told(told)),
        Err(refusal) if refusal.status() == Some(403) => Ok(Asked::NotAllowed),
        Err(refusal) => Err(refusal.into_source()),
    }
}
