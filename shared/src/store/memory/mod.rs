//! A store in memory, for tests: exact, and able to fail on demand.
//!
//! It is the model that the real backends are compared with, and the place where callers meet what a network does to
//! conditional writes: see [`Fault`].

mod faults;

pub use faults::{Fault, Operation};

use super::{Conflict, Entry, Etag, Key, Object, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use faults::Faults;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Objects of one process. Clones do not exist: share it in an `Arc`.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, (u64, Bytes)>,
    writes: u64,
    faults: Faults,
    late: Vec<Write>,
}

#[derive(Debug, Clone)]
enum Write {
    New(Key, Bytes),
    Replace(Key, Etag, Bytes),
    Copy(Key, Key),
}

impl MemoryStore {
    /// An empty store without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `operation` on a key that contains `key_part` fail with `fault`. Faults wait in line: the first
    /// that fits is used up.
    pub fn inject(&self, operation: Operation, key_part: &str, fault: Fault) {
        self.inner().faults.push(operation, key_part, fault);
    }

    /// Faults that nothing has met yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.inner().faults.len()
    }

    /// Writes that are still on their way ([`Fault::Late`]).
    #[must_use]
    pub fn late(&self) -> usize {
        self.inner().late.len()
    }

    /// The oldest write on its way arrives now; whether it won. `None`: there was none.
    pub fn deliver_late(&self) -> Option<Result<Etag, Conflict>> {
        let mut inner = self.inner();
        if inner.late.is_empty() {
            return None;
        }
        let write = inner.late.remove(0);
        Some(inner.apply(&write))
    }

    /// Everything in it, for comparisons.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        self.inner()
            .objects
            .iter()
            .map(|(key, (_, bytes))| (key.clone(), bytes.clone()))
            .collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code panics between two changes that belong together, so a poisoned lock guards whole data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, operation: Operation, key: &Key, write: Write) -> Result<Etag, StoreError> {
        let mut inner = self.inner();
        let fault = inner.faults.take(operation, key);
        let outcome = match fault {
            None => inner.apply(&write),
            Some(Fault::LostReply) => inner.apply(&write).and(Err(Conflict::Unknown)),
            Some(Fault::LostRequest) => Err(Conflict::Unknown),
            Some(Fault::Late) => {
                inner.late.push(write);
                Err(Conflict::Unknown)
            }
            Some(Fault::Raced) => Err(Conflict::Retry),
            Some(other) => return Err(other.error(key)),
        };
        outcome.map_err(|conflict| StoreError::Conflict {
            key: key.clone(),
            conflict,
        })
    }

    fn read<T>(&self, key: &Key, read: impl FnOnce(&Inner) -> T) -> Result<T, StoreError> {
        let mut inner = self.inner();
        match inner.faults.take(Operation::Read, key) {
            None => Ok(read(&inner)),
            Some(fault) => Err(fault.error(key)),
        }
    }
}

impl Inner {
    fn apply(&mut self, write: &Write) -> Result<Etag, Conflict> {
        let (key, bytes) = match write {
            Write::New(key, bytes) => match self.objects.get(key.as_str()) {
                Some(_) => return Err(Conflict::Changed),
                None => (key, bytes.clone()),
            },
            Write::Replace(key, etag, bytes) => match self.objects.get(key.as_str()) {
                None => return Err(Conflict::Gone),
                Some((version, _)) if version.to_string() != etag.0 => return Err(Conflict::Changed),
                Some(_) => (key, bytes.clone()),
            },
            Write::Copy(from, to) => match (self.objects.get(from.as_str()), self.objects.get(to.as_str())) {
                (None, _) => return Err(Conflict::Gone),
                (_, Some(_)) => return Err(Conflict::Changed),
                (Some((_, bytes)), None) => (to, bytes.clone()),
            },
        };
        self.writes += 1;
        self.objects.insert(key.as_str().to_owned(), (self.writes, bytes));
        Ok(Etag(self.writes.to_string()))
    }

    fn below<'a>(&'a self, prefix: &Key) -> impl Iterator<Item = (&'a str, &'a Bytes)> {
        let prefix = format!("{prefix}/");
        self.objects
            .range(prefix.clone()..)
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(key, (_, bytes))| (key.as_str(), bytes))
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        self.read(key, |inner| {
            let (version, bytes) = inner.objects.get(key.as_str())?;
            Some(Object {
                bytes: bytes.clone(),
                etag: Etag(version.to_string()),
            })
        })
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.read(key, |inner| {
            inner.objects.get(key.as_str()).map(|(_, bytes)| bytes.len() as u64)
        })
    }

    async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<Etag, StoreError> {
        self.write(Operation::PutNew, key, Write::New(key.clone(), bytes))
    }

    async fn replace(&self, key: &Key, etag: &Etag, bytes: Bytes) -> Result<Etag, StoreError> {
        self.write(
            Operation::Replace,
            key,
            Write::Replace(key.clone(), etag.clone(), bytes),
        )
    }

    async fn copy_new(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        self.write(Operation::CopyNew, to, Write::Copy(from.clone(), to.clone()))
            .map(drop)
    }

    async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        self.read(prefix, |inner| {
            let entry = |(key, bytes): (&str, &Bytes)| {
                let key = Key::new(key).ok()?;
                Some(Entry {
                    key,
                    size: bytes.len() as u64,
                    age_seconds: 0,
                })
            };
            inner.below(prefix).filter_map(entry).collect()
        })
    }

    async fn list_names(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        self.read(prefix, |inner| {
            let skip = prefix.as_str().len() + 1;
            let name = |(key, _): (&str, &Bytes)| key[skip..].split('/').next().unwrap_or_default().to_owned();
            let names: BTreeSet<String> = inner.below(prefix).map(name).collect();
            names.into_iter().collect()
        })
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let fault = inner.faults.take(Operation::Delete, key);
        if fault.is_none_or(|fault| fault == Fault::LostReply) {
            inner.objects.remove(key.as_str());
        }
        fault.map_or(Ok(()), |fault| Err(fault.error(key)))
    }

    async fn put_file_new(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        let bytes = tokio::fs::read(file).await.map_err(|error| unavailable(key, error))?;
        verify(key, sha256, &bytes)?;
        self.write(Operation::PutNew, key, Write::New(key.clone(), bytes.into()))
            .map(drop)
    }

    async fn get_file(&self, key: &Key, file: &Path, sha256: &str) -> Result<(), StoreError> {
        let Some(object) = self.get(key).await? else {
            return Err(StoreError::Conflict {
                key: key.clone(),
                conflict: Conflict::Gone,
            });
        };
        verify(key, sha256, &object.bytes)?;
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        tokio::fs::write(&part, &object.bytes)
            .await
            .map_err(|error| unavailable(key, error))?;
        tokio::fs::rename(&part, file)
            .await
            .map_err(|error| unavailable(key, error))
    }

    async fn sha256(&self, key: &Key) -> Result<Option<String>, StoreError> {
        self.read(key, |inner| {
            inner.objects.get(key.as_str()).map(|(_, bytes)| digest(bytes))
        })
    }

    fn location(&self, key: &Key) -> String {
        format!("memory:{key}")
    }
}

fn unavailable(key: &Key, error: std::io::Error) -> StoreError {
    StoreError::Unavailable {
        key: key.clone(),
        source: error.into(),
    }
}

fn verify(key: &Key, expected: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let found = digest(bytes);
    if found == expected {
        return Ok(());
    }
    Err(StoreError::Digest {
        key: key.clone(),
        expected: expected.to_owned(),
        found,
    })
}
