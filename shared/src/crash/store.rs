//! A store whose writes are points.

use super::passing;
use crate::store::{Entry, Etag, Key, Object, Rank, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Every write of the store between two points.
#[derive(Debug)]
pub(super) struct PassedStore(pub(super) Arc<dyn Store>);

/// `store.<call>.<kind of object>`.
fn name(call: &str, key: &Key) -> String {
    format!("store.{call}.{}", kind(key))
}

/// What an object is, without what differs from run to run.
fn kind(key: &Key) -> &str {
    let names: Vec<&str> = key.as_str().split('/').take(4).collect();
    match names[..] {
        ["trainyard", "jobs", _, kind] => kind,
        ["trainyard", kind, ..] => kind,
        _ if key.name() == "model_card" => "card",
        _ => "version",
    }
}

#[async_trait]
impl Store for PassedStore {
    async fn get(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        self.0.get(key).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.0.size(key).await
    }

    async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<Etag, StoreError> {
        passing(&name("put_new", key), self.0.put_new(key, bytes)).await
    }

    async fn replace(&self, key: &Key, etag: &Etag, bytes: Bytes) -> Result<Etag, StoreError> {
        passing(&name("replace", key), self.0.replace(key, etag, bytes)).await
    }

    async fn copy_new(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        passing(&name("copy_new", to), self.0.copy_new(from, to)).await
    }

    async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        self.0.list(prefix).await
    }

    async fn list_names(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        self.0.list_names(prefix).await
    }

    async fn highest(&self, prefix: &Key, rank: Rank) -> Result<Option<u64>, StoreError> {
        self.0.highest(prefix, rank).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        passing(&name("delete", key), self.0.delete(key)).await
    }

    async fn put_file_new(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        passing(&name("put_file_new", key), self.0.put_file_new(key, file, sha256)).await
    }

    async fn get_file(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        self.0.get_file(key, file, sha256).await
    }

    async fn sha256(&self, key: &Key) -> Result<Option<String>, StoreError> {
        self.0.sha256(key).await
    }

    async fn sweep_uploads(&self, prefix: &Key, older_than: Duration) -> Result<u64, StoreError> {
        self.0.sweep_uploads(prefix, older_than).await
    }

    fn location(&self, key: &Key) -> String {
        self.0.location(key)
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, kind};

    #[test]
    fn kinds_say_what_an_object_is_and_not_whose() {
        for (key, expected) in [
            ("trainyard/jobs/0123/state.json", "state.json"),
            ("trainyard/jobs/0123/staged/0/abc", "staged"),
            ("trainyard/versions/ws/project/M/1", "versions"),
            ("trainyard/workers/host-1.json", "workers"),
            ("root/ws/project/M/M-1/model/manifest", "version"),
            ("root/ws/project/M/M-1/model/model_card", "card"),
        ] {
            assert_eq!(kind(&Key::new(key).expect("a key")), expected);
        }
    }
}
