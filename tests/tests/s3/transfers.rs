//! Large files: in parts, resumed, all or nothing.

use crate::place::{Place, SMALL, conflict, content, digest, place};
use shared::store::{Conflict, Key, Store};
use std::path::PathBuf;
use tempfile::TempDir;
use tests::s3_faults::Fault;
use tests::store_suite::key;

fn file(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, content).expect("a file");
    (folder, path)
}

async fn uploads(place: &Place) -> String {
    let url = format!("{}/{}?uploads", tests::aws::AwsServer::get().endpoint(), place.bucket);
    reqwest::get(url)
        .await
        .expect("moto answers")
        .text()
        .await
        .expect("text")
}

async fn assert_is(place: &Place, key: &Key, content: &[u8]) {
    let found = place.direct.get(key).await.expect("reads").expect("is there");
    assert!(found.bytes == content, "other bytes");
    assert_eq!(place.direct.sha256(key).await.expect("reads"), Some(digest(content)));
    assert!(!uploads(place).await.contains("<UploadId>"), "an upload is left");
}

#[tokio::test]
async fn a_large_file_goes_in_parts_that_are_sent_again_where_they_fail() {
    let place = place().await;
    let content = content(13 << 20);
    let (_folder, path) = file(&content);
    let object = key("large/resumed");
    place.faults.inject("PUT", "partNumber=1", 1, Fault::RequestLost);
    place.faults.inject("PUT", "partNumber=2", 1, Fault::ReplyLost);
    place
        .faults
        .inject("PUT", "partNumber=3", 2, Fault::Answered(503, "SlowDown"));
    place
        .faults
        .inject("POST", "uploads", 1, Fault::Answered(500, "InternalError"));
    place
        .store
        .put_file_new(&object, &path, &digest(&content))
        .await
        .expect("wins");
    assert_eq!(place.faults.faults_left(), 0);
    assert_eq!(
        place.faults.seen("partNumber="),
        3 + 4,
        "only what failed is sent again"
    );
    assert_is(&place, &object, &content).await;
    let again = place.store.put_file_new(&object, &path, &digest(&content)).await;
    assert_eq!(conflict(again), Conflict::Changed);
}

#[tokio::test]
async fn the_last_request_of_an_upload_decides_like_any_conditional_write() {
    let place = place().await;
    let content = content(6 << 20);
    let (_folder, path) = file(&content);
    let faults = [
        (
            Fault::Answered(409, "ConditionalRequestConflict"),
            Conflict::Retry,
            false,
        ),
        (Fault::Answered(412, "PreconditionFailed"), Conflict::Changed, false),
        (Fault::Answered(404, "NoSuchUpload"), Conflict::Retry, false),
        // Some failures come in the body of an answer that began as a success.
        (Fault::Answered(200, "InternalError"), Conflict::Unknown, false),
        (Fault::Answered(503, "SlowDown"), Conflict::Unknown, false),
        (Fault::RequestLost, Conflict::Unknown, false),
        (Fault::ReplyLost, Conflict::Unknown, true),
    ];
    for (number, (fault, expected, happened)) in faults.into_iter().enumerate() {
        let object = key(&format!("decides/{number}"));
        place.faults.inject("POST", "uploadId=", 1, fault);
        let said = conflict(place.store.put_file_new(&object, &path, &digest(&content)).await);
        assert_eq!(said, expected, "{fault:?}");
        assert_eq!(
            place.direct.size(&object).await.expect("reads").is_some(),
            happened,
            "{fault:?}"
        );
        assert!(
            !uploads(&place).await.contains("<UploadId>"),
            "{fault:?} leaves an upload"
        );
    }
}

#[tokio::test]
async fn a_completion_that_comes_late_finds_nothing_to_complete() {
    let place = place().await;
    let content = content(6 << 20);
    let (_folder, path) = file(&content);
    let object = key("late/object");
    place.faults.inject("POST", "uploadId=", 1, Fault::Late);
    let said = conflict(place.store.put_file_new(&object, &path, &digest(&content)).await);
    assert_eq!(said, Conflict::Unknown);
    assert!(place.faults.deliver_late().await >= 400);
    assert_eq!(place.direct.size(&object).await.expect("reads"), None);
}

#[tokio::test]
async fn of_two_uploads_to_one_key_one_wins() {
    let place = place().await;
    let (one, two) = (content(6 << 20), vec![7; 6 << 20]);
    let (_one, one_path) = file(&one);
    let (_two, two_path) = file(&two);
    let object = key("raced/object");
    let (one_digest, two_digest) = (digest(&one), digest(&two));
    let (first, second) = tokio::join!(
        place.store.put_file_new(&object, &one_path, &one_digest),
        place.store.put_file_new(&object, &two_path, &two_digest),
    );
    assert_eq!([&first, &second].iter().filter(|it| it.is_ok()).count(), 1);
    let winner = if first.is_ok() { &one } else { &two };
    assert_is(&place, &object, winner).await;
}

#[tokio::test]
async fn a_large_file_that_is_not_as_promised_stays_out() {
    let place = place().await;
    let (_folder, path) = file(&content(6 << 20));
    let object = key("promised/large");
    let error = place.store.put_file_new(&object, &path, &digest(b"other")).await;
    assert!(
        matches!(error, Err(shared::store::StoreError::Digest { .. })),
        "{error:?}"
    );
    assert_eq!(place.direct.size(&object).await.expect("reads"), None);
    assert!(!uploads(&place).await.contains("<UploadId>"));
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke() {
    let place = place().await;
    let object = key("download");
    let content = content(1_000_000);
    place
        .direct
        .put_new(&object, content.clone().into())
        .await
        .expect("wins");
    let ranges = content.len().div_ceil(SMALL.range as usize);
    place.faults.inject("GET", "download", 3, Fault::BodyCut(10_000));
    place.faults.inject("GET", "download", 2, Fault::BodyCut(0));
    place.faults.inject("GET", "download", 1, Fault::ReplyLost);
    place
        .faults
        .inject("GET", "download", 1, Fault::Answered(503, "SlowDown"));
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("target");
    place
        .store
        .get_file(&object, &target, &digest(&content))
        .await
        .expect("reads");
    assert_eq!(std::fs::read(&target).expect("a file"), content);
    assert_eq!(place.faults.faults_left(), 0);
    assert_eq!(place.faults.seen("GET"), ranges + 7);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[tokio::test]
async fn a_download_that_cannot_go_on_leaves_no_file() {
    let place = place().await;
    let object = key("download");
    let content = content(200_000);
    place
        .direct
        .put_new(&object, content.clone().into())
        .await
        .expect("wins");
    place.faults.inject("GET", "download", 1000, Fault::BodyCut(0));
    let folder = tempfile::tempdir().expect("a folder");
    let error = place
        .store
        .get_file(&object, &folder.path().join("target"), &digest(&content))
        .await;
    assert!(
        matches!(error, Err(shared::store::StoreError::Unavailable { .. })),
        "{error:?}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
