//! Every kind of conditional write under every fault: what is said of it, and what became of it.

use crate::place::{Place, conflict, digest, place};
use bytes::Bytes;
use shared::store::{Conflict, Etag, Key, Store, StoreError};
use tests::s3_faults::Fault;
use tests::store_suite::key;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    PutNew,
    Replace,
    PutFileNew,
    CopyNew,
}

const KINDS: [Kind; 4] = [Kind::PutNew, Kind::Replace, Kind::PutFileNew, Kind::CopyNew];

/// A fault, what the store must say of it, and whether the write happened.
const FAULTS: [(Fault, Conflict, bool); 8] = [
    (
        Fault::Answered(409, "ConditionalRequestConflict"),
        Conflict::Retry,
        false,
    ),
    (Fault::Answered(412, "PreconditionFailed"), Conflict::Changed, false),
    (Fault::Answered(500, "InternalError"), Conflict::Unknown, false),
    (Fault::Answered(503, "SlowDown"), Conflict::Unknown, false),
    (Fault::DoneButAnswered(500, "InternalError"), Conflict::Unknown, true),
    (Fault::DoneButAnswered(503, "SlowDown"), Conflict::Unknown, true),
    (Fault::RequestLost, Conflict::Unknown, false),
    (Fault::ReplyLost, Conflict::Unknown, true),
];

async fn write(place: &Place, kind: Kind, key: &Key, etag: &Option<Etag>) -> Result<(), StoreError> {
    let store = &place.store;
    let new = Bytes::from_static(b"new");
    match kind {
        Kind::PutNew => store.put_new(key, new).await.map(drop),
        Kind::Replace => store.replace(key, etag.as_ref().expect("an etag"), new).await.map(drop),
        Kind::CopyNew => store.copy_new(&self::key("source"), key).await,
        Kind::PutFileNew => {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("file");
            std::fs::write(&file, &new).expect("a file");
            store.put_file_new(key, &file, &digest(&new)).await
        }
    }
}

#[tokio::test]
async fn each_fault_of_each_kind_of_write_is_told_apart_and_nothing_is_repeated() {
    let place = place().await;
    place.direct.put_new(&key("source"), "new".into()).await.expect("wins");
    for kind in KINDS {
        for (number, (fault, expected, happened)) in FAULTS.into_iter().enumerate() {
            let key = key(&format!("{kind:?}/{number}"));
            let etag = match kind {
                Kind::Replace => Some(place.direct.put_new(&key, "old".into()).await.expect("wins")),
                _ => None,
            };
            place.faults.inject("PUT", key.as_str(), 1, fault);
            let before = place.faults.seen(&format!("PUT /{}", place.bucket));
            let said = conflict(write(&place, kind, &key, &etag).await);
            assert_eq!(said, expected, "{kind:?} {fault:?}");
            let sent = place.faults.seen(&format!("PUT /{}", place.bucket)) - before;
            assert_eq!(sent, 1, "{kind:?} {fault:?} was repeated");
            let found = place.direct.get(&key).await.expect("reads").map(|object| object.bytes);
            let expected = match (happened, kind) {
                (true, _) => Some("new"),
                (false, Kind::Replace) => Some("old"),
                (false, _) => None,
            };
            assert_eq!(found, expected.map(Bytes::from), "{kind:?} {fault:?}");
        }
    }
    assert_eq!(place.faults.faults_left(), 0);
}

#[tokio::test]
async fn a_refusal_is_no_conflict() {
    let place = place().await;
    let object = key("denied");
    place
        .faults
        .inject("PUT", "denied", 1, Fault::Answered(403, "AccessDenied"));
    let denied = place.store.put_new(&object, "x".into()).await.expect_err("denied");
    assert!(matches!(denied, StoreError::Denied { .. }), "{denied:?}");
    place
        .faults
        .inject("PUT", "denied", 1, Fault::Answered(507, "XMinioStorageFull"));
    let full = place.store.put_new(&object, "x".into()).await.expect_err("full");
    assert!(matches!(full, StoreError::NoSpace { .. }), "{full:?}");
    place
        .faults
        .inject("PUT", "denied", 1, Fault::Answered(404, "NoSuchBucket"));
    let gone = place.store.put_new(&object, "x".into()).await.expect_err("no bucket");
    assert!(matches!(gone, StoreError::Unavailable { .. }), "{gone:?}");
    place
        .faults
        .inject("PUT", "denied", 1, Fault::Answered(501, "NotImplemented"));
    let unknown = place.store.put_new(&object, "x".into()).await.expect_err("not known");
    assert!(matches!(unknown, StoreError::Unavailable { .. }), "{unknown:?}");
}

#[tokio::test]
async fn a_late_write_cannot_win_once_another_has() {
    let place = place().await;
    let object = key("late");
    let etag = place.direct.put_new(&object, "0".into()).await.expect("wins");
    place.faults.inject("PUT", "late", 1, Fault::Late);
    let lost = place.store.replace(&object, &etag, "1".into()).await;
    assert_eq!(conflict(lost), Conflict::Unknown);
    place.store.replace(&object, &etag, "2".into()).await.expect("wins");
    assert_eq!(place.faults.deliver_late().await, 412);
    let found = place.direct.get(&object).await.expect("reads").expect("is there");
    assert_eq!(found.bytes, "2");
}

#[tokio::test]
async fn reads_and_deletions_outlast_what_passes() {
    let place = place().await;
    let object = key("read");
    place.direct.put_new(&object, "content".into()).await.expect("wins");
    for fault in [
        Fault::Answered(500, "InternalError"),
        Fault::Answered(503, "SlowDown"),
        Fault::RequestLost,
        Fault::ReplyLost,
        Fault::BodyCut(3),
        Fault::BodyCorrupted,
    ] {
        place.faults.inject("GET", "read", 1, fault);
        let found = place.store.get(&object).await.expect("reads").expect("is there");
        assert_eq!(found.bytes, "content", "{fault:?}");
    }
    place
        .faults
        .inject("GET", "list-type=2", 2, Fault::Answered(503, "SlowDown"));
    assert_eq!(place.store.list(&key("nothing")).await.expect("lists"), []);
    place.faults.inject("DELETE", "read", 1, Fault::ReplyLost);
    place.store.delete(&object).await.expect("deletes");
    assert_eq!(place.faults.faults_left(), 0);
}
