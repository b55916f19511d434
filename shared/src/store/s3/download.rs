//! Objects that become files, in ranges, several at once.

use super::S3Store;
use super::errors::{Refusal, conflict, local, unavailable, verify};
use super::objects::{Head, PAUSES, next};
use crate::store::{Conflict, Key, StoreError};
use anyhow::anyhow;
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

/// Tries of a range in a row that bring nothing.
const TRIES: u32 = 6;

/// Bytes `from` to `until`, without the last.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: u64,
    until: u64,
}

impl S3Store {
    /// Writes the object to a new file, which gets its name when all of it is there and has the promised SHA-256.
    pub(super) async fn fetch_file(&self, key: &Key, path: &Path, sha256: &str) -> Result<(), StoreError> {
        let head = self.head(key).await?.ok_or_else(|| conflict(key, Conflict::Gone))?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let create = move || tempfile::Builder::new().prefix(".part-").tempfile_in(folder);
        let file = tokio::task::spawn_blocking(create)
            .await
            .map_err(|error| unavailable(key, error))?;
        let file = file.map_err(|error| local(key, error))?;
        let (sender, receiver) = mpsc::channel(2);
        let writer = tokio::task::spawn_blocking(move || write(file, receiver));
        let fetched = self.ranges(key, &head, sender).await;
        let written = writer.await.map_err(|error| unavailable(key, error))?;
        // What the writer met explains why nobody took the bytes.
        let (file, found) = written.map_err(|error| local(key, error))?;
        fetched?;
        verify(key, sha256, found)?;
        // Not synced: what is fetched for work can be fetched again.
        file.persist(path).map(drop).map_err(|error| local(key, error.error))
    }

    /// SHA-256 of an object that another wrote.
    pub(super) async fn digest(&self, key: &Key, head: &Head) -> Result<String, StoreError> {
        let (sender, mut receiver) = mpsc::channel::<Vec<Bytes>>(2);
        let hash = async {
            let mut digest = Sha256::new();
            while let Some(chunks) = receiver.recv().await {
                chunks.iter().for_each(|chunk| digest.update(chunk));
            }
            hex::encode(digest.finalize())
        };
        let (fetched, digest) = tokio::join!(self.ranges(key, head, sender), hash);
        fetched.map(|()| digest)
    }

    /// All bytes in order, fetched several ranges at once. They are those of one content, which the etag names.
    async fn ranges(&self, key: &Key, head: &Head, sender: mpsc::Sender<Vec<Bytes>>) -> Result<(), StoreError> {
        let size = self.transfer.range.max(1);
        let ranges = (0..head.size.div_ceil(size)).map(|number| Range {
            from: number * size,
            until: head.size.min((number + 1) * size),
        });
        let mut fetched = futures::stream::iter(ranges)
            .map(|range| self.range(key, &head.etag, range))
            .buffered(self.transfer.parts_at_once(size));
        while let Some(chunks) = fetched.next().await {
            if sender.send(chunks?).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// One range. Where the connection breaks, the rest is asked for.
    async fn range(&self, key: &Key, etag: &str, range: Range) -> Result<Vec<Bytes>, StoreError> {
        let mut left = range;
        let mut chunks = Vec::new();
        let mut tried = 0;
        loop {
            let before = left.from;
            let Err(error) = self.rest(key, etag, &mut left, &mut chunks).await else {
                return Ok(chunks);
            };
            tried = if left.from > before { 1 } else { tried + 1 };
            if tried == TRIES || !matches!(error, StoreError::Unavailable { .. }) {
                return Err(error);
            }
            tracing::debug!(%key, at = left.from, until = left.until, %error, "broke off, goes on");
            tokio::time::sleep(PAUSES.random_delay(tried)).await;
        }
    }

    async fn rest(&self, key: &Key, etag: &str, left: &mut Range, chunks: &mut Vec<Bytes>) -> Result<(), StoreError> {
        let request = self.clients.repeating.get_object();
        let request = request
            .bucket(&self.address.bucket)
            .key(self.address.name(key))
            .if_match(etag)
            .range(format!("bytes={}-{}", left.from, left.until - 1));
        let answer = match request.send().await.map_err(Refusal::from) {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_absence() => return Err(conflict(key, Conflict::Gone)),
            // Replaced or written anew since its etag was read: the beginning does not fit the end.
            Err(refusal) if refusal.status() == Some(412) => return Err(conflict(key, Conflict::Changed)),
            Err(refusal) => return Err(refusal.reading(key)),
        };
        let wanted = format!("bytes {}-{}/", left.from, left.until - 1);
        if !answer
            .content_range
            .as_deref()
            .is_some_and(|range| range.starts_with(&wanted))
        {
            return Err(unavailable(
                key,
                anyhow!("the store did not answer with the range that it was asked for"),
            ));
        }
        let mut body = answer.body;
        while let Some(chunk) = next(&mut body).await.map_err(|error| unavailable(key, error))? {
            let count = chunk.len() as u64;
            if count > left.until - left.from {
                return Err(unavailable(key, anyhow!("the store sent more than it was asked for")));
            }
            left.from += count;
            chunks.push(chunk);
        }
        if left.from < left.until {
            return Err(unavailable(
                key,
                anyhow!("{} bytes did not come", left.until - left.from),
            ));
        }
        Ok(())
    }
}

/// Writes what comes and hashes it. Blocking.
fn write(mut file: NamedTempFile, mut receiver: mpsc::Receiver<Vec<Bytes>>) -> io::Result<(NamedTempFile, String)> {
    let mut digest = Sha256::new();
    while let Some(chunks) = receiver.blocking_recv() {
        for chunk in chunks {
            digest.update(&chunk);
            file.write_all(&chunk)?;
        }
    }
    Ok((file, hex::encode(digest.finalize())))
}
