//! Single objects: read, created, replaced, deleted.

use super::errors::{Refusal, conflict, unavailable, verify};
use super::{S3Store, SHA256};
use crate::backoff::Backoff;
use crate::store::{Conflict, Etag, Key, Object, StoreError};
use anyhow::anyhow;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::time::Duration;

/// A body of which nothing comes for this long has broken off.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// Reads of a body that breaks off.
const TRIES: u32 = 4;
/// Between two reads of a body that broke off.
pub(super) const PAUSES: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};

/// What S3 says about an object without its bytes.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) sha256: Option<String>,
}

impl Head {
    fn new(
        key: &Key,
        length: Option<i64>,
        etag: Option<String>,
        metadata: Option<HashMap<String, String>>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            size: self::length(key, length)?,
            etag: etag.ok_or_else(|| unavailable(key, anyhow!("the store gave no etag")))?,
            sha256: metadata.and_then(|mut all| all.remove(SHA256)),
        })
    }
}

/// What a read with a limit found.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// More bytes than were wanted; none of them was read.
    Larger(Head),
    Whole(Object),
}

impl S3Store {
    pub(super) async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        let request = self.clients.repeating.head_object();
        let answer = request
            .bucket(&self.address.bucket)
            .key(self.address.name(key))
            .send()
            .await;
        match answer.map_err(Refusal::from) {
            Ok(found) => Head::new(key, found.content_length, found.e_tag, found.metadata).map(Some),
            Err(refusal) if refusal.is_absence() => Ok(None),
            Err(refusal) => Err(refusal.reading(key)),
        }
    }

    /// The whole object.
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        match self.read_up_to(key, u64::MAX).await? {
            Found::Whole(object) => Ok(Some(object)),
            Found::Nothing | Found::Larger(_) => Ok(None),
        }
    }

    /// The whole object, if it has no more than `most` bytes. Bytes that broke off or are wrong are read again before
    /// that is believed.
    pub(super) async fn read_up_to(&self, key: &Key, most: u64) -> Result<Found, StoreError> {
        let mut tried = 0;
        loop {
            let request = self.clients.repeating.get_object();
            let answer = request
                .bucket(&self.address.bucket)
                .key(self.address.name(key))
                .send()
                .await;
            let found = match answer.map_err(Refusal::from) {
                Ok(found) => found,
                Err(refusal) if refusal.is_absence() => return Ok(Found::Nothing),
                Err(refusal) => return Err(refusal.reading(key)),
            };
            if length(key, found.content_length)? > most {
                return Head::new(key, found.content_length, found.e_tag, found.metadata).map(Found::Larger);
            }
            tried += 1;
            match whole(key, found).await {
                Ok(object) => return Ok(Found::Whole(object)),
                Err(error) if tried == TRIES => return Err(error),
                Err(error) => tracing::debug!(%key, %error, "read again"),
            }
            tokio::time::sleep(PAUSES.random_delay(tried)).await;
        }
    }

    pub(super) async fn create(&self, key: &Key, bytes: Bytes) -> Result<Etag, StoreError> {
        self.put(key, bytes, None).await
    }

    pub(super) async fn swap(&self, key: &Key, etag: &Etag, bytes: Bytes) -> Result<Etag, StoreError> {
        self.put(key, bytes, Some(etag)).await
    }

    async fn put(&self, key: &Key, bytes: Bytes, present: Option<&Etag>) -> Result<Etag, StoreError> {
        let request = match present {
            None => self.clients.once.put_object().if_none_match("*"),
            Some(etag) => self.clients.once.put_object().if_match(&etag.0),
        };
        let limit = super::clients::patience_for(bytes.len() as u64);
        let request = request
            .bucket(&self.address.bucket)
            .key(self.address.name(key))
            .metadata(SHA256, hex::encode(Sha256::digest(&bytes)))
            .body(ByteStream::from(bytes));
        let answer = request
            .customize()
            .config_override(super::clients::within(limit))
            .send()
            .await;
        let written = answer.map_err(|error| Refusal::from(error).writing(key))?;
        // Written, but by which name? Who reads again finds out.
        written.e_tag.map(Etag).ok_or_else(|| conflict(key, Conflict::Unknown))
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let request = self.clients.repeating.delete_object();
        let answer = request
            .bucket(&self.address.bucket)
            .key(self.address.name(key))
            .send()
            .await;
        match answer.map_err(Refusal::from) {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_absence() => Ok(()),
            Err(refusal) => Err(refusal.reading(key)),
        }
    }
}

/// The bytes of an answer, which are what its metadata say.
async fn whole(key: &Key, found: GetObjectOutput) -> Result<Object, StoreError> {
    let size = length(key, found.content_length)?;
    let etag = found
        .e_tag
        .ok_or_else(|| unavailable(key, anyhow!("the store gave no etag")))?;
    let mut bytes = BytesMut::with_capacity(usize::try_from(size.min(1 << 30)).unwrap_or_default());
    let mut body = found.body;
    while let Some(chunk) = next(&mut body).await.map_err(|error| unavailable(key, error))? {
        bytes.extend_from_slice(&chunk);
    }
    if bytes.len() as u64 != size {
        return Err(unavailable(key, anyhow!("{} of {size} bytes came", bytes.len())));
    }
    if let Some(promised) = found.metadata.unwrap_or_default().get(SHA256) {
        verify(key, promised, hex::encode(Sha256::digest(&bytes)))?;
    }
    Ok(Object {
        bytes: bytes.freeze(),
        etag: Etag(etag),
    })
}

/// The next bytes of a body.
pub(super) async fn next(body: &mut ByteStream) -> anyhow::Result<Option<Bytes>> {
    match tokio::time::timeout(SILENCE, body.next()).await {
        Ok(chunk) => Ok(chunk.transpose()?),
        Err(_) => Err(anyhow!("nothing came for {} s", SILENCE.as_secs())),
    }
}

fn length(key: &Key, given: Option<i64>) -> Result<u64, StoreError> {
    given
        .and_then(|size| u64::try_from(size).ok())
        .ok_or_else(|| unavailable(key, anyhow!("the store gave no size")))
}

/// The metadata of an object with this digest.
pub(super) fn metadata(sha256: &str) -> HashMap<String, String> {
    HashMap::from([(SHA256.to_owned(), sha256.to_owned())])
}
