//! Objects in a bucket of S3, or of another server that speaks its protocol.
//!
//! * Conditional writes are S3's own (`If-None-Match: *`, `If-Match`); the server must keep them. None is ever repeated
//!   here. 412 is [`Changed`](super::Conflict::Changed), 409 [`Retry`](super::Conflict::Retry), 404
//!   [`Gone`](super::Conflict::Gone); no answer, or one of 5xx, [`Unknown`](super::Conflict::Unknown).
//! * The SHA-256 of what we write is kept as metadata (`x-amz-meta-sha256`), also by copies. Whatever is read is
//!   compared with it: wrong bytes are [`StoreError::Digest`] and never returned.
//! * **An etag names a content, not a writing of it** (S3's is an MD5): who writes the same bytes again brings an old
//!   etag back. What is replaced must therefore never repeat itself, as the ledger's states do not.
//! * Large files go in and out in parts, several at once; a part that fails is sent or fetched again. A file's object
//!   appears when all its parts are there and its SHA-256 is the promised one. See [`Transfer`].
//! * Uploads in parts whose writer died cost money until [`Store::sweep_uploads`] removes them.
//! * An [`Entry`]'s age is by the server's clock: `Date` of the answer less `LastModified`.
//! * Copies on the server: see [`Copies`].

mod address;
mod clients;
mod copies;
mod download;
mod errors;
mod files;
mod inspect;
mod listing;
mod look;
mod objects;
mod server_time;
mod sweep;
mod upload;

pub use copies::Copies;
pub use files::Transfer;
pub use inspect::{Asked, Inspection, inspect};

use super::{Entry, Etag, Key, Object, Store, StoreError};
use crate::aws::AwsAccess;
use address::Address;
use async_trait::async_trait;
use bytes::Bytes;
use clients::Clients;
use std::path::Path;
use std::time::Duration;

/// Under this name the metadata of an object hold the SHA-256 of its bytes.
const SHA256: &str = "sha256";

/// A store in a bucket.
#[derive(Debug, Clone)]
pub struct S3Store {
    clients: Clients,
    address: Address,
    transfer: Transfer,
    copies: Copies,
}

impl S3Store {
    /// The store in the bucket and folder that `rest`, the part of `s3://BUCKET[/PREFIX]` behind `s3:`, names.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub async fn open(rest: &str, access: &AwsAccess) -> Result<Self, &'static str> {
        let address = Address::parse(rest)?;
        let clients = Clients::open(access).await;
        Ok(Self {
            copies: Copies::of(clients.endpoint.as_deref()),
            clients,
            address,
            transfer: Transfer::default(),
        })
    }

    /// With other sizes of parts.
    #[must_use]
    pub fn with_transfer(self, transfer: Transfer) -> Self {
        Self { transfer, ..self }
    }

    /// With another way to copy.
    #[must_use]
    pub fn with_copies(self, copies: Copies) -> Self {
        Self { copies, ..self }
    }
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        self.read(key).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        Ok(self.head(key).await?.map(|head| head.size))
    }

    async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<Etag, StoreError> {
        self.create(key, bytes).await
    }

    async fn replace(&self, key: &Key, etag: &Etag, bytes: Bytes) -> Result<Etag, StoreError> {
        self.swap(key, etag, bytes).await
    }

    async fn copy_new(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        self.copy(from, to).await
    }

    async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        self.entries(prefix).await
    }

    async fn list_names(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        self.names(prefix).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.remove(key).await
    }

    async fn put_file_new(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        self.send_file(key, file, sha256).await
    }

    async fn get_file(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        self.fetch_file(key, file, sha256).await
    }

    async fn sha256(&self, key: &Key) -> Result<Option<String>, StoreError> {
        match self.head(key).await? {
            None => Ok(None),
            Some(head) if head.sha256.is_some() => Ok(head.sha256),
            Some(head) => self.digest(key, &head).await.map(Some),
        }
    }

    async fn sweep_uploads(&self, prefix: &Key, older_than: Duration) -> Result<u64, StoreError> {
        self.abort_old_uploads(prefix, older_than).await
    }

    fn location(&self, key: &Key) -> String {
        format!("s3://{}/{}", self.address.bucket, self.address.name(key))
    }
}
