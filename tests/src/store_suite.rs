//! What every [`Store`] promises, one promise a function.
//!
//! Each takes a store of its own or a shared one: it uses only keys below its own prefix, which must be empty. A
//! backend passes if every function returns. Nothing here knows which backend it is.

use bytes::Bytes;
use futures::future::join_all;
use sha2::{Digest, Sha256};
use shared::store::{Conflict, Etag, Key, Store, StoreError};
use std::sync::Arc;

mod files;
mod lists;
mod races;

pub use files::*;
pub use lists::*;
pub use races::*;

/// A key, which must be one.
pub fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn text(store: &dyn Store, key: &Key) -> Option<String> {
    let object = store.get(key).await.expect("reads")?;
    Some(String::from_utf8(object.bytes.to_vec()).expect("text"))
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Conflict {
    let error = result.expect_err("must not win");
    error.conflict().unwrap_or_else(|| panic!("no conflict but {error:?}"))
}

/// Nothing is found where nothing was written.
pub async fn absent_objects_read_as_none(store: &dyn Store) {
    let absent = key("absent/a/b");
    assert!(store.get(&absent).await.expect("reads").is_none());
    assert_eq!(store.size(&absent).await.expect("reads"), None);
    assert_eq!(store.sha256(&absent).await.expect("reads"), None);
    assert_eq!(store.list(&absent).await.expect("lists"), []);
    assert_eq!(store.list_names(&absent).await.expect("lists"), [""; 0]);
    store.delete(&absent).await.expect("nothing to do");
}

/// The first write is kept, the second is told so.
pub async fn put_new_creates_once(store: &dyn Store) {
    let key = key("put/new/object");
    let etag = store.put_new(&key, bytes("first")).await.expect("wins");
    assert_eq!(conflict(store.put_new(&key, bytes("second")).await), Conflict::Changed);
    let object = store.get(&key).await.expect("reads").expect("is there");
    assert_eq!((&object.bytes[..], object.etag), (&b"first"[..], etag));
    assert_eq!(store.size(&key).await.expect("reads"), Some(5));
    assert_eq!(store.sha256(&key).await.expect("reads"), Some(digest(b"first")));
}

/// Only who knows the present content may replace it, even after very many replacements.
pub async fn replace_needs_the_present_etag(store: &dyn Store) {
    let key = key("replace/object");
    let first = store.put_new(&key, bytes("0")).await.expect("wins");
    let mut etag = first.clone();
    let mut seen = vec![first.clone()];
    for round in 1..=50 {
        let next = store
            .replace(&key, &etag, bytes(round.to_string()))
            .await
            .expect("wins");
        assert!(!seen.contains(&next), "an etag came back");
        seen.push(next.clone());
        assert_eq!(
            conflict(store.replace(&key, &etag, bytes("stale")).await),
            Conflict::Changed
        );
        assert_eq!(
            conflict(store.replace(&key, &first, bytes("stale")).await),
            Conflict::Changed
        );
        assert_eq!(conflict(store.put_new(&key, bytes("new")).await), Conflict::Changed);
        assert_eq!(text(store, &key).await, Some(round.to_string()));
        assert_eq!(store.get(&key).await.expect("reads").expect("is there").etag, next);
        etag = next;
    }
    assert_eq!(
        conflict(store.replace(&key, &Etag("nonsense".into()), bytes("x")).await),
        Conflict::Changed
    );
}

/// Size and digest are those of the newest content.
pub async fn size_and_digest_follow_replacements(store: &dyn Store) {
    let key = key("follow/object");
    let etag = store.put_new(&key, bytes("short")).await.expect("wins");
    store.replace(&key, &etag, bytes("rather longer")).await.expect("wins");
    assert_eq!(store.size(&key).await.expect("reads"), Some(13));
    assert_eq!(store.sha256(&key).await.expect("reads"), Some(digest(b"rather longer")));
}

/// An object that is not there cannot be replaced, whether it never was or was deleted.
pub async fn replacing_nothing_is_gone(store: &dyn Store) {
    let key = key("gone/object");
    assert_eq!(
        conflict(store.replace(&key, &Etag("any".into()), bytes("x")).await),
        Conflict::Gone
    );
    let etag = store.put_new(&key, bytes("a")).await.expect("wins");
    let etag = store.replace(&key, &etag, bytes("b")).await.expect("wins");
    store.delete(&key).await.expect("deletes");
    assert_eq!(conflict(store.replace(&key, &etag, bytes("c")).await), Conflict::Gone);
}

/// What was deleted is gone for every reader, and its key free for a new object; old etags do not fit that one.
pub async fn deleted_objects_may_be_created_anew(store: &dyn Store) {
    for (name, replaced) in [("plain", 0), ("once", 1), ("often", 40)] {
        let key = key(&format!("delete/{name}"));
        let mut etag = store.put_new(&key, bytes("old")).await.expect("wins");
        for round in 0..replaced {
            etag = store
                .replace(&key, &etag, bytes(format!("old {round}")))
                .await
                .expect("wins");
        }
        for _ in 0..2 {
            store.delete(&key).await.expect("deletes, or has nothing to do");
            assert_eq!(text(store, &key).await, None);
            assert_eq!(store.size(&key).await.expect("reads"), None);
            assert_eq!(store.list(&self::key("delete")).await.expect("lists"), []);
            assert_eq!(store.list_names(&self::key("delete")).await.expect("lists"), [""; 0]);
        }
        let new = store.put_new(&key, bytes("new")).await.expect("wins");
        assert_eq!(
            conflict(store.replace(&key, &etag, bytes("stale")).await),
            Conflict::Changed
        );
        store.replace(&key, &new, bytes("newer")).await.expect("wins");
        assert_eq!(text(store, &key).await, Some("newer".into()));
        store.delete(&key).await.expect("deletes");
    }
}

/// A copy has the bytes of its source, once.
pub async fn copy_new_copies_once(store: &dyn Store) {
    let (from, to) = (key("copy/from"), key("copy/deep/below/to"));
    assert_eq!(conflict(store.copy_new(&from, &to).await), Conflict::Gone);
    store.put_new(&from, bytes("content")).await.expect("wins");
    store.copy_new(&from, &to).await.expect("wins");
    assert_eq!(conflict(store.copy_new(&from, &to).await), Conflict::Changed);
    assert_eq!(text(store, &to).await, Some("content".into()));
    assert_eq!(store.sha256(&to).await.expect("reads"), Some(digest(b"content")));
}

/// Source and copy have nothing more to do with each other.
pub async fn copies_live_apart_from_their_source(store: &dyn Store) {
    let (from, to, late) = (key("apart/from"), key("apart/to"), key("apart/late"));
    let etag = store.put_new(&from, bytes("old")).await.expect("wins");
    store.copy_new(&from, &to).await.expect("wins");
    store.replace(&from, &etag, bytes("new")).await.expect("wins");
    assert_eq!(text(store, &to).await, Some("old".into()));
    store.copy_new(&from, &late).await.expect("wins");
    store.delete(&from).await.expect("deletes");
    assert_eq!(
        conflict(store.copy_new(&from, &key("apart/third")).await),
        Conflict::Gone
    );
    assert_eq!(text(store, &to).await, Some("old".into()));
    let copied = store.get(&late).await.expect("reads").expect("is there");
    assert_eq!(&copied.bytes[..], b"new");
    store
        .replace(&late, &copied.etag, bytes("newest"))
        .await
        .expect("a copy is an object like any other");
    assert_eq!(text(store, &late).await, Some("newest".into()));
}

/// Nothing and much are contents too.
pub async fn empty_and_large_objects_are_whole(store: &dyn Store) {
    let empty = key("sizes/empty");
    let etag = store.put_new(&empty, Bytes::new()).await.expect("wins");
    assert_eq!(text(store, &empty).await, Some(String::new()));
    assert_eq!(conflict(store.put_new(&empty, Bytes::new()).await), Conflict::Changed);
    store.replace(&empty, &etag, Bytes::new()).await.expect("wins");
    let large: Bytes = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
    store.put_new(&key("sizes/large"), large.clone()).await.expect("wins");
    assert_eq!(
        store
            .get(&key("sizes/large"))
            .await
            .expect("reads")
            .expect("is there")
            .bytes,
        large
    );
    assert_eq!(
        store.sha256(&key("sizes/large")).await.expect("reads"),
        Some(digest(&large))
    );
}

/// Every name that is one can be written, replaced, listed and deleted, and none is another's.
pub async fn awkward_names_are_names(store: &dyn Store) {
    let long = "n".repeat(250);
    let names = [
        " ",
        "a b",
        "ä-日本語-🚂",
        "%2e%2e",
        ".hidden",
        "-rf",
        "*?[x]",
        "~",
        "a~",
        "NUL",
        "a+b&c=d;e",
        &long,
    ];
    for name in names {
        let key = key(&format!("names/{name}"));
        let etag = store.put_new(&key, bytes(name)).await.expect("wins");
        store
            .replace(&key, &etag, bytes(format!("{name}!")))
            .await
            .expect("wins");
    }
    for name in names {
        assert_eq!(
            text(store, &key(&format!("names/{name}"))).await,
            Some(format!("{name}!"))
        );
    }
    let mut sorted = names.map(str::to_owned);
    sorted.sort();
    assert_eq!(store.list_names(&key("names")).await.expect("lists"), sorted);
    for name in names {
        store.delete(&key(&format!("names/{name}"))).await.expect("deletes");
    }
    assert_eq!(store.list(&key("names")).await.expect("lists"), []);
}

/// A location tells people where to look: it ends with the key.
pub async fn locations_name_the_key(store: &dyn Store) {
    let location = store.location(&key("place/object"));
    assert!(location.ends_with("place/object"), "{location}");
}

/// The number of parallel callers in the suites of races.
const CALLERS: usize = 8;

async fn callers<F: Future>(call: impl Fn(usize) -> F) -> Vec<F::Output> {
    join_all((0..CALLERS).map(call)).await
}

/// A store that may be given to several tasks.
pub type SharedStore = Arc<dyn Store>;
