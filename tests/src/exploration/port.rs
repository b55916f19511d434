//! A store that does nothing by itself: every operation waits until the exploration answers it.

use super::Rule;
use super::objects::{Answer, Operation, Tables, key};
use async_trait::async_trait;
use bytes::Bytes;
use shared::store::{Conflict, Entry, Etag, Key, Object, Store, StoreError};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// The tables, shared by all ports of one exploration.
pub type SharedTables = Arc<Mutex<Tables>>;

/// Locks without regard to poison: a failed assertion elsewhere is reported by itself.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between one running program and the exploration.
#[derive(Debug, Default)]
pub struct Port {
    /// The operation that the program waits for.
    pub request: Option<Operation>,
    /// Its answer.
    pub answer: Option<Answer>,
    /// Whom the answer wakes: a stream of concurrent futures polls only those that were woken.
    pub waker: Option<Waker>,
    /// What a store that copies nothing claims to have copied.
    pub pretended: Option<String>,
}

/// The store as one program sees it.
#[derive(Debug, Clone)]
pub struct PortStore {
    /// To the exploration.
    pub port: Arc<Mutex<Port>>,
    /// For keys and bytes.
    pub tables: SharedTables,
    /// The rule that is left out.
    pub without: Option<Rule>,
    /// Held by the operation that waits for its answer. What a program does side by side is explored in the one order in
    /// which it begins: those operations write different keys, and nobody acts on one before all are answered.
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

impl PortStore {
    async fn ask(&self, operation: Operation) -> Answer {
        let _turn = self.turn.lock().await;
        let mut asked = false;
        std::future::poll_fn(move |context| {
            let mut port = lock(&self.port);
            if !asked {
                assert!(
                    port.request.is_none(),
                    "a program of the exploration does one operation at a time"
                );
                port.request = Some(operation.clone());
                asked = true;
                port.waker = Some(context.waker().clone());
            } else if let Some(answer) = port.answer.take() {
                return Poll::Ready(answer);
            }
            Poll::Pending
        })
        .await
    }

    fn number(&self, key: &Key) -> u32 {
        let key = match self.without {
            Some(Rule::EpochsStageApart) => in_one_epoch(key.as_str()),
            _ => key.as_str().to_owned(),
        };
        lock(&self.tables).keys.id(key)
    }

    fn bytes(&self, id: u32) -> Bytes {
        lock(&self.tables).bytes.get(id).clone()
    }

    async fn create(&self, at: &Key, bytes: Bytes) -> Result<Etag, StoreError> {
        let bytes = lock(&self.tables).bytes.id(bytes);
        let operation = Operation::PutNew(self.number(at), bytes);
        written(at, self.ask(operation).await)
    }
}

/// `…/staged/<epoch>/…` without regard to the epoch.
fn in_one_epoch(key: &str) -> String {
    match key.split_once("/staged/") {
        Some((job, blob)) => match blob.split_once('/') {
            Some((_, name)) => format!("{job}/staged/0/{name}"),
            None => format!("{job}/staged/0"),
        },
        None => key.to_owned(),
    }
}

fn written(at: &Key, answer: Answer) -> Result<Etag, StoreError> {
    match answer {
        Answer::Written(etag) => Ok(Etag(etag.to_string())),
        Answer::Conflict(conflict) => Err(StoreError::Conflict {
            key: at.clone(),
            conflict,
        }),
        other => unreachable!("{other:?} answers no write"),
    }
}

#[async_trait]
impl Store for PortStore {
    async fn get(&self, at: &Key) -> Result<Option<Object>, StoreError> {
        match self.ask(Operation::Get(self.number(at))).await {
            Answer::Object(object) => Ok(object.map(|(bytes, etag)| Object {
                bytes: self.bytes(bytes),
                etag: Etag(etag.to_string()),
            })),
            other => unreachable!("{other:?} answers no get"),
        }
    }

    async fn size(&self, at: &Key) -> Result<Option<u64>, StoreError> {
        match self.ask(Operation::Size(self.number(at))).await {
            Answer::Bytes(bytes) => Ok(bytes.map(|id| self.bytes(id).len() as u64)),
            other => unreachable!("{other:?} answers no size"),
        }
    }

    async fn put_new(&self, at: &Key, bytes: Bytes) -> Result<Etag, StoreError> {
        self.create(at, bytes).await
    }

    async fn replace(&self, at: &Key, etag: &Etag, bytes: Bytes) -> Result<Etag, StoreError> {
        let bytes = lock(&self.tables).bytes.id(bytes);
        let etag = etag.0.parse().expect("an etag of this store");
        written(at, self.ask(Operation::Replace(self.number(at), etag, bytes)).await)
    }

    async fn copy_new(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        if self.without == Some(Rule::CopiesAreVerified) && to.name().starts_with("weights") {
            lock(&self.port).pretended = Some(from.name().to_owned());
            return Ok(());
        }
        let operation = Operation::CopyNew(self.number(from), self.number(to));
        written(to, self.ask(operation).await).map(|_| ())
    }

    async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        match self.ask(Operation::List(self.number(prefix))).await {
            Answer::Keys(keys) => {
                let tables = lock(&self.tables);
                Ok(keys
                    .iter()
                    .map(|id| Entry {
                        key: key(tables.keys.get(*id)),
                        size: 0,
                        age_seconds: 0,
                    })
                    .collect())
            }
            other => unreachable!("{other:?} answers no list"),
        }
    }

    async fn list_names(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        match self.ask(Operation::Names(self.number(prefix))).await {
            Answer::Names(names) => Ok(names),
            other => unreachable!("{other:?} answers no list of names"),
        }
    }

    async fn delete(&self, at: &Key) -> Result<(), StoreError> {
        self.ask(Operation::Delete(self.number(at))).await;
        Ok(())
    }

    async fn put_file_new(&self, at: &Key, file: &Path, _sha256: &str) -> Result<(), StoreError> {
        let bytes = std::fs::read(file).map_err(|error| StoreError::Unavailable {
            key: at.clone(),
            source: error.into(),
        })?;
        self.create(at, bytes.into()).await.map(|_| ())
    }

    async fn get_file(&self, at: &Key, _file: &Path, _sha256: &str) -> Result<(), StoreError> {
        // Nothing that is explored here reads into files.
        Err(StoreError::Conflict {
            key: at.clone(),
            conflict: Conflict::Gone,
        })
    }

    async fn sha256(&self, at: &Key) -> Result<Option<String>, StoreError> {
        if let Some(pretended) = lock(&self.port).pretended.take() {
            return Ok(Some(pretended));
        }
        match self.ask(Operation::Digest(self.number(at))).await {
            Answer::Bytes(bytes) => Ok(bytes.map(|id| lock(&self.tables).digest(id))),
            other => unreachable!("{other:?} answers no digest"),
        }
    }

    fn location(&self, at: &Key) -> String {
        at.to_string()
    }
}
