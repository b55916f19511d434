//! What a store holds, as a value: operations on it are functions, so every one of them can be tried from every state.

use super::intern::Interner;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use shared::store::{Conflict, Key};

/// One object: key, bytes, and how often it was written, which is its etag.
pub type Row = (u32, u32, u32);
/// All objects, in order of key numbers.
pub type Content = Vec<Row>;

/// A store operation with numbers for keys and bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as the methods of Store are")]
pub enum Operation {
    Get(u32),
    Size(u32),
    Digest(u32),
    Names(u32),
    List(u32),
    PutNew(u32, u32),
    Replace(u32, u32, u32),
    CopyNew(u32, u32),
    Delete(u32),
}

impl Operation {
    /// Whether it may change the store, so that a lost answer leaves something open.
    pub fn is_conditional_write(&self) -> bool {
        matches!(self, Self::PutNew(..) | Self::Replace(..) | Self::CopyNew(..))
    }
}

/// The answer to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as the operations are")]
pub enum Answer {
    Object(Option<(u32, u32)>),
    Bytes(Option<u32>),
    Names(Vec<String>),
    Keys(Vec<u32>),
    Written(u32),
    Conflict(Conflict),
    Done,
}

/// Numbers of keys, bytes, contents, operations and answers of one exploration.
#[derive(Debug, Default)]
pub struct Tables {
    /// Keys.
    pub keys: Interner<String>,
    /// Bytes.
    pub bytes: Interner<Bytes>,
    /// Whole stores.
    pub contents: Interner<Content>,
    /// Operations.
    pub operations: Interner<Operation>,
    /// Answers.
    pub answers: Interner<Answer>,
    digests: Vec<String>,
}

impl Tables {
    /// SHA-256 of bytes in hexadecimal.
    pub fn digest(&mut self, bytes: u32) -> String {
        while self.digests.len() < self.bytes.len() {
            let next = u32::try_from(self.digests.len()).expect("fewer than 2^32 values");
            self.digests.push(hex::encode(Sha256::digest(self.bytes.get(next))));
        }
        self.digests[bytes as usize].clone()
    }

    /// The object at a key: its bytes and etag.
    pub fn object(&mut self, content: u32, key: &str) -> Option<(u32, u32)> {
        let key = self.keys.id(key.to_owned());
        find(self.contents.get(content), key).map(|(_, bytes, etag)| (bytes, etag))
    }

    /// The bytes at a key.
    pub fn read(&mut self, content: u32, key: &str) -> Option<Bytes> {
        let (bytes, _) = self.object(content, key)?;
        Some(self.bytes.get(bytes).clone())
    }

    /// An operation in words.
    pub fn describe(&self, operation: u32) -> String {
        let key = |id: u32| self.keys.get(id).trim_start_matches("trainyard/").to_owned();
        match *self.operations.get(operation) {
            Operation::Get(at) => format!("get {}", key(at)),
            Operation::Size(at) => format!("size of {}", key(at)),
            Operation::Digest(at) => format!("digest of {}", key(at)),
            Operation::Names(at) => format!("names below {}", key(at)),
            Operation::List(at) => format!("list {}", key(at)),
            Operation::PutNew(at, _) => format!("put new {}", key(at)),
            Operation::Replace(at, etag, _) => format!("replace {} at {etag}", key(at)),
            Operation::CopyNew(from, to) => format!("copy {} to {}", key(from), key(to)),
            Operation::Delete(at) => format!("delete {}", key(at)),
        }
    }

    /// Does an operation: the store afterwards, and the answer.
    pub fn apply(&mut self, content: u32, operation: u32) -> (u32, u32) {
        let operation = self.operations.get(operation).clone();
        let rows = self.contents.get(content).clone();
        let (after, answer) = self.evaluate(rows, &operation);
        let after = after.map_or(content, |rows| self.contents.id(rows));
        (after, self.answers.id(answer))
    }

    fn evaluate(&self, mut rows: Content, operation: &Operation) -> (Option<Content>, Answer) {
        match *operation {
            Operation::Get(key) => (
                None,
                Answer::Object(find(&rows, key).map(|(_, bytes, etag)| (bytes, etag))),
            ),
            Operation::Size(key) | Operation::Digest(key) => {
                (None, Answer::Bytes(find(&rows, key).map(|(_, bytes, _)| bytes)))
            }
            Operation::Names(prefix) => (None, Answer::Names(self.names(&rows, prefix))),
            Operation::List(prefix) => (None, Answer::Keys(self.below(&rows, prefix))),
            Operation::PutNew(key, bytes) => self.create(rows, key, Some(bytes)),
            Operation::CopyNew(from, to) => {
                let source = find(&rows, from).map(|(_, bytes, _)| bytes);
                self.create(rows, to, source)
            }
            Operation::Replace(key, etag, bytes) => match rows.iter_mut().find(|row| row.0 == key) {
                None => (None, Answer::Conflict(Conflict::Gone)),
                Some(row) if row.2 != etag => (None, Answer::Conflict(Conflict::Changed)),
                Some(row) => {
                    (row.1, row.2) = (bytes, etag + 1);
                    (Some(rows), Answer::Written(etag + 1))
                }
            },
            Operation::Delete(key) => {
                rows.retain(|row| row.0 != key);
                (Some(rows), Answer::Done)
            }
        }
    }

    fn create(&self, mut rows: Content, key: u32, bytes: Option<u32>) -> (Option<Content>, Answer) {
        let Some(bytes) = bytes else {
            return (None, Answer::Conflict(Conflict::Gone));
        };
        match rows.binary_search_by_key(&key, |row| row.0) {
            Ok(_) => (None, Answer::Conflict(Conflict::Changed)),
            Err(place) => {
                rows.insert(place, (key, bytes, 1));
                (Some(rows), Answer::Written(1))
            }
        }
    }

    fn below(&self, rows: &Content, prefix: u32) -> Vec<u32> {
        let prefix = format!("{}/", self.keys.get(prefix));
        let mut keys: Vec<u32> = rows
            .iter()
            .map(|row| row.0)
            .filter(|key| self.keys.get(*key).starts_with(&prefix))
            .collect();
        keys.sort_by_key(|key| self.keys.get(*key));
        keys
    }

    fn names(&self, rows: &Content, prefix: u32) -> Vec<String> {
        let skip = self.keys.get(prefix).len() + 1;
        let name = |key: u32| {
            self.keys.get(key)[skip..]
                .split('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let mut names: Vec<String> = self.below(rows, prefix).into_iter().map(name).collect();
        names.dedup();
        names
    }
}

fn find(rows: &Content, key: u32) -> Option<Row> {
    rows.binary_search_by_key(&key, |row| row.0)
        .ok()
        .map(|place| rows[place])
}

/// A key as the store's own type; only keys that were keys are numbered.
pub fn key(text: &str) -> Key {
    Key::new(text).expect("it was a key when it was numbered")
}
