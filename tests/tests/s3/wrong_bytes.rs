//! Bytes that are not what was written are refused, wherever they went wrong.

use crate::place::{content, digest, place};
use shared::store::{Store, StoreError};
use tests::s3_faults::Fault;
use tests::store_suite::key;

#[tokio::test]
async fn wrong_bytes_are_never_returned() {
    let place = place().await;
    let object = key("wrong/object");
    let right = content(10_000);
    place.direct.put_new(&object, right.clone().into()).await.expect("wins");
    place.faults.inject("GET", "wrong/object", 1000, Fault::BodyCorrupted);
    let error = place.store.get(&object).await.expect_err("must be refused");
    let StoreError::Digest { expected, found, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(expected, digest(&right));
    assert_ne!(found, expected);
}

#[tokio::test]
async fn a_file_of_wrong_bytes_does_not_come_out() {
    let place = place().await;
    let object = key("wrong/file");
    let right = content(300_000);
    place.direct.put_new(&object, right.clone().into()).await.expect("wins");
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("target");
    place.faults.inject("GET", "wrong/file", 1, Fault::BodyCorrupted);
    let error = place
        .store
        .get_file(&object, &target, &digest(&right))
        .await
        .expect_err("must be refused");
    assert!(matches!(error, StoreError::Digest { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    place
        .store
        .get_file(&object, &target, &digest(&right))
        .await
        .expect("the next is right");
    assert_eq!(std::fs::read(&target).expect("a file"), right);
}

/// Somebody put other bytes into the bucket with the metadata of the right ones.
#[tokio::test]
async fn an_object_that_was_tampered_with_is_found_out() {
    let place = place().await;
    let object = key("tampered");
    let url = format!(
        "{}/{}/yard/tampered",
        tests::aws::AwsServer::get().endpoint(),
        place.bucket
    );
    let put = reqwest::Client::new()
        .put(url)
        .header("x-amz-meta-sha256", digest(b"original"))
        .body("tampered!");
    assert!(put.send().await.expect("moto answers").status().is_success());
    let error = place.direct.get(&object).await.expect_err("must be refused");
    assert!(matches!(error, StoreError::Digest { .. }), "{error:?}");
}

/// Objects of other programs have no digest with them: it is counted.
#[tokio::test]
async fn the_digest_of_a_foreign_object_is_that_of_its_bytes() {
    let place = place().await;
    let body = content(200_000);
    let url = format!(
        "{}/{}/yard/foreign",
        tests::aws::AwsServer::get().endpoint(),
        place.bucket
    );
    let put = reqwest::Client::new().put(url).body(body.clone());
    assert!(put.send().await.expect("moto answers").status().is_success());
    assert_eq!(
        place.store.sha256(&key("foreign")).await.expect("reads"),
        Some(digest(&body))
    );
    assert!(place.faults.seen("GET") >= 4, "not in ranges");
}
