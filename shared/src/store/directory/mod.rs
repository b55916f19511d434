//! Objects as files below a folder, shared by the processes of one machine.
//!
//! * Objects that are written once are plain files under their key: any tool can read them. Objects that change are
//!   generations, see [`generations`].
//! * No lock is ever held, so a stopped or killed process stops nobody.
//! * A won write is on disk (file, then folder) when it is answered. Files get their name only when they are whole.
//! * No symbolic link below the root is followed, and none is made: where one is planted, access is denied.
//! * Needs a local file system. [`Conflict::Retry`](super::Conflict::Retry) never occurs;
//!   [`Conflict::Unknown`](super::Conflict::Unknown) only for a writer that was stopped in the middle of its write:
//!   a replacer while at least 16 others replaced, a creator while another one did.
//! * A key that changes should be deleted only when nobody replaces it any more: who replaces it at that moment hears
//!   [`Conflict::Gone`](super::Conflict::Gone), but a reader may have seen the replacement.
//! * An etag names generation, time of writing and content. A copy has its source's time, so of two copies of one
//!   content under one key, the first deleted in between, both have the same etag.
//! * An [`Entry`]'s age is by the modification time; a hard link made by `copy_new` has that of its source.

mod errors;
mod generations;
mod listing;
mod objects;
mod root;
mod stream;
mod temporary;
#[cfg(test)]
mod tests;
mod together;
mod writes;

use super::{Entry, Etag, Key, Object, Rank, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use errors::failed;
use objects::Objects;
use root::Root;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A store in a folder.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    objects: Arc<Objects>,
}

impl DirectoryStore {
    /// The store in `folder`, which is created by the first write.
    ///
    /// # Errors
    /// `folder` is no folder, or neither it nor the folder that it would be created in can be written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            objects: Arc::new(Objects::new(Root::open(folder)?)),
        })
    }

    async fn blocking<T, F>(&self, key: &Key, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Objects, &Key) -> Result<T, StoreError> + Send + 'static,
    {
        let objects = Arc::clone(&self.objects);
        let owned = key.clone();
        match tokio::task::spawn_blocking(move || work(&objects, &owned)).await {
            Ok(outcome) => outcome,
            // The runtime is going down.
            Err(error) => Err(StoreError::Unavailable {
                key: key.clone(),
                source: error.into(),
            }),
        }
    }
}

#[async_trait]
impl Store for DirectoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        self.blocking(key, |objects, key| objects.get(key)).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.blocking(key, |objects, key| objects.size(key)).await
    }

    async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<Etag, StoreError> {
        self.blocking(key, move |objects, key| objects.put_new(key, &bytes))
            .await
    }

    async fn replace(&self, key: &Key, etag: &Etag, bytes: Bytes) -> Result<Etag, StoreError> {
        let etag = etag.clone();
        self.blocking(key, move |objects, key| objects.replace(key, &etag, &bytes))
            .await
    }

    async fn copy_new(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        let from = from.clone();
        self.blocking(to, move |objects, to| objects.copy_new(&from, to)).await
    }

    async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        let list = |objects: &Objects, key: &Key| listing::entries(objects.root(), key).map_err(|e| failed(key, e));
        self.blocking(prefix, list).await
    }

    async fn list_names(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        let list = |objects: &Objects, key: &Key| listing::names(objects.root(), key).map_err(|e| failed(key, e));
        self.blocking(prefix, list).await
    }

    async fn highest(&self, prefix: &Key, rank: Rank) -> Result<Option<u64>, StoreError> {
        let highest = move |objects: &Objects, key: &Key| {
            listing::highest(objects.root(), key, &*rank).map_err(|e| failed(key, e))
        };
        self.blocking(prefix, highest).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.blocking(key, |objects, key| objects.delete(key)).await
    }

    async fn put_file_new(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        let (file, sha256) = (file.to_owned(), sha256.to_owned());
        self.blocking(key, move |objects, key| objects.put_file_new(key, &file, &sha256))
            .await
    }

    async fn get_file(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        let (file, sha256) = (file.to_owned(), sha256.to_owned());
        self.blocking(key, move |objects, key| objects.get_file(key, &file, &sha256))
            .await
    }

    async fn sha256(&self, key: &Key) -> Result<Option<String>, StoreError> {
        self.blocking(key, |objects, key| objects.sha256(key)).await
    }

    fn location(&self, key: &Key) -> String {
        self.objects.root().path().join(key.as_str()).display().to_string()
    }
}
