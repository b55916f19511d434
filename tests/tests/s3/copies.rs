//! Copies on the server.

use crate::place::{conflict, content, digest, place};
use shared::store::s3::{Copies, S3Store};
use shared::store::{Conflict, Store};
use tests::aws::AwsServer;
use tests::s3_faults::Fault;
use tests::store_suite::key;

/// Why copies are not made by CopyObject where the server is not known: moto overwrites.
#[tokio::test]
async fn moto_does_not_look_at_the_condition_of_a_copy() {
    let server = AwsServer::get();
    let url = format!("//{}", server.bucket().await);
    let store = S3Store::open(&url, &server.access()).await.expect("an address");
    let store = store.with_copies(Copies::Conditional);
    store.put_new(&key("from"), "new".into()).await.expect("wins");
    store.put_new(&key("to"), "old".into()).await.expect("wins");
    let copied = store.copy_new(&key("from"), &key("to")).await;
    assert!(copied.is_ok(), "moto has learnt it: {copied:?}");
}

#[tokio::test]
async fn a_copy_by_the_server_keeps_bytes_and_digest() {
    let server = AwsServer::get();
    let url = format!("//{}/ä folder", server.bucket().await);
    let store = S3Store::open(&url, &server.access()).await.expect("an address");
    let store = store.with_copies(Copies::Conditional);
    let body = content(2_000_000);
    store
        .put_new(&key("from +%/x"), body.clone().into())
        .await
        .expect("wins");
    store.copy_new(&key("from +%/x"), &key("to")).await.expect("wins");
    assert_eq!(
        store.get(&key("to")).await.expect("reads").expect("is there").bytes,
        body
    );
    assert_eq!(store.sha256(&key("to")).await.expect("reads"), Some(digest(&body)));
    assert_eq!(
        conflict(store.copy_new(&key("none"), &key("new")).await),
        Conflict::Gone
    );
}

#[tokio::test]
async fn a_refused_copy_by_the_server_is_told_apart() {
    let place = place().await;
    let store = S3Store::clone(&place.store).with_copies(Copies::Conditional);
    place.direct.put_new(&key("from"), "new".into()).await.expect("wins");
    place.direct.put_new(&key("there"), "old".into()).await.expect("wins");
    let refused = Fault::Answered(412, "PreconditionFailed");
    place.faults.inject("PUT", "there", 1, refused);
    assert_eq!(
        conflict(store.copy_new(&key("from"), &key("there")).await),
        Conflict::Changed
    );
    // About the source, then: nothing is there.
    place.faults.inject("PUT", "absent", 1, refused);
    assert_eq!(
        conflict(store.copy_new(&key("from"), &key("absent")).await),
        Conflict::Retry
    );
    for (fault, expected) in [
        (Fault::Answered(409, "ConditionalRequestConflict"), Conflict::Retry),
        (Fault::Answered(200, "InternalError"), Conflict::Unknown),
        (Fault::ReplyLost, Conflict::Unknown),
    ] {
        place.faults.inject("PUT", "other", 1, fault);
        assert_eq!(
            conflict(store.copy_new(&key("from"), &key("other")).await),
            expected,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_large_copy_is_made_of_a_part_and_wins_once() {
    let place = place().await;
    let body = content(3 << 20);
    place
        .direct
        .put_new(&key("from"), body.clone().into())
        .await
        .expect("wins");
    place.faults.inject("PUT", "partNumber=1", 1, Fault::ReplyLost);
    place.store.copy_new(&key("from"), &key("to")).await.expect("wins");
    // One answer that says how large it is, whose bytes are left.
    assert_eq!(place.faults.seen("GET /"), 1, "the bytes came here");
    let found = place.direct.get(&key("to")).await.expect("reads").expect("is there");
    assert!(found.bytes == body);
    assert_eq!(
        place.direct.sha256(&key("to")).await.expect("reads"),
        Some(digest(&body))
    );
    let again = place.store.copy_new(&key("from"), &key("to")).await;
    assert_eq!(conflict(again), Conflict::Changed);
}

#[tokio::test]
async fn of_two_large_copies_to_one_key_one_wins() {
    let place = place().await;
    let (one, two) = (content(2 << 20), vec![1; 2 << 20]);
    place
        .direct
        .put_new(&key("one"), one.clone().into())
        .await
        .expect("wins");
    place
        .direct
        .put_new(&key("two"), two.clone().into())
        .await
        .expect("wins");
    let (one_key, two_key, to) = (key("one"), key("two"), key("to"));
    let (first, second) = tokio::join!(place.store.copy_new(&one_key, &to), place.store.copy_new(&two_key, &to));
    assert_eq!([&first, &second].iter().filter(|it| it.is_ok()).count(), 1);
    let found = place.direct.get(&to).await.expect("reads").expect("is there");
    assert!(found.bytes == if first.is_ok() { one } else { two });
}
