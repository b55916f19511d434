//! Objects that are made of parts. Nobody sees one before the request that completes it, which decides.

use super::errors::{Refusal, local, unavailable, verify};
use super::files::Source;
use super::objects::metadata;
use super::{S3Store, clients};
use crate::crash;
use crate::store::{Key, StoreError};
use anyhow::anyhow;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use std::io;
use tokio::sync::mpsc;

/// An upload that has begun.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) key: Key,
    pub(super) id: String,
}

impl S3Store {
    /// Sends a file in parts, several at once. The object appears only if all of it had the promised SHA-256.
    pub(super) async fn send_parts(&self, key: &Key, source: Source, sha256: &str) -> Result<(), StoreError> {
        let upload = self.begin(key, Some(sha256), Some(ChecksumAlgorithm::Crc32)).await?;
        let sent = self.parts_of(&upload, source, sha256).await;
        self.end(&upload, sent).await
    }

    /// Begins an object of parts.
    pub(super) async fn begin(
        &self,
        key: &Key,
        sha256: Option<&str>,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Upload, StoreError> {
        let request = self.clients.repeating.create_multipart_upload();
        let request = request
            .bucket(&self.address.bucket)
            .key(self.address.name(key))
            .set_metadata(sha256.map(metadata))
            .set_checksum_algorithm(checksum);
        let begun = request
            .send()
            .await
            .map_err(|error| Refusal::from(error).reading(key))?;
        let id = begun
            .upload_id
            .ok_or_else(|| unavailable(key, anyhow!("the store gave the upload no id")))?;
        crash::point("upload-begun");
        Ok(Upload { key: key.clone(), id })
    }

    async fn parts_of(&self, upload: &Upload, source: Source, sha256: &str) -> Result<Vec<CompletedPart>, StoreError> {
        let part = self.transfer.part_of(source.size);
        let (pieces, digest) = pieces(source, part);
        let sent: Result<Vec<_>, _> = pieces
            .map(|(number, bytes)| self.send_part(upload, number, bytes))
            .buffer_unordered(self.transfer.parts_at_once(part))
            .try_collect()
            .await;
        let sent = sent?;
        let found = digest.await.map_err(|error| unavailable(&upload.key, error))?;
        verify(&upload.key, sha256, found.map_err(|error| local(&upload.key, error))?)?;
        Ok(sent)
    }

    /// Sends a part, again and again where the connection breaks: the same part twice is one.
    pub(super) async fn send_part(
        &self,
        upload: &Upload,
        number: i32,
        bytes: Bytes,
    ) -> Result<CompletedPart, StoreError> {
        let limit = clients::patience_for(bytes.len() as u64);
        let request = self.clients.repeating.upload_part();
        let request = request
            .bucket(&self.address.bucket)
            .key(self.address.name(&upload.key))
            .upload_id(&upload.id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(bytes));
        let sent = request.customize().config_override(clients::within(limit)).send().await;
        let sent = sent.map_err(|error| Refusal::from(error).reading(&upload.key))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .build())
    }

    /// Completes the object if all its parts are there and it does not exist; else removes what was sent.
    pub(super) async fn end(
        &self,
        upload: &Upload,
        parts: Result<Vec<CompletedPart>, StoreError>,
    ) -> Result<(), StoreError> {
        let ended = match parts {
            Ok(parts) => self.complete(upload, parts).await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            // After a lost answer too: where the request is still on its way, it finds nothing to complete.
            if let Err(error) = self
                .abort(&upload.key, &self.address.name(&upload.key), &upload.id)
                .await
            {
                tracing::warn!(key = %upload.key, %error, "left an upload for the sweeper");
            }
        }
        ended
    }

    async fn complete(&self, upload: &Upload, mut parts: Vec<CompletedPart>) -> Result<(), StoreError> {
        crash::point("upload-sent");
        parts.sort_by_key(CompletedPart::part_number);
        let limit = clients::patience_for((parts.len() as u64) << 20);
        let request = self.clients.once.complete_multipart_upload().if_none_match("*");
        let request = request
            .bucket(&self.address.bucket)
            .key(self.address.name(&upload.key))
            .upload_id(&upload.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        let answer = request.customize().config_override(clients::within(limit)).send().await;
        answer
            .map(drop)
            .map_err(|error| Refusal::from(error).writing(&upload.key))
    }

    /// Removes an upload and its parts; that it is not there is fine.
    pub(super) async fn abort(&self, key: &Key, name: &str, id: &str) -> Result<(), StoreError> {
        let request = self.clients.repeating.abort_multipart_upload();
        let answer = request
            .bucket(&self.address.bucket)
            .key(name)
            .upload_id(id)
            .send()
            .await;
        match answer.map_err(Refusal::from) {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_absence() => Ok(()),
            Err(refusal) => Err(refusal.reading(key)),
        }
    }
}

/// Reads a file in pieces as they are wanted, and hashes it meanwhile. Who stops listening stops the reading.
fn pieces(
    mut source: Source,
    size: u64,
) -> (
    impl Stream<Item = (i32, Bytes)>,
    tokio::task::JoinHandle<io::Result<String>>,
) {
    let (sender, receiver) = mpsc::channel(1);
    let reader = tokio::task::spawn_blocking(move || {
        let mut number = 0;
        while let Some(bytes) = source.next(size)? {
            number += 1;
            if sender.blocking_send((number, bytes)).is_err() {
                break;
            }
        }
        Ok(source.digest())
    });
    let pieces = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (pieces, reader)
}
