//! What is said of a bucket before anything is lost: when it is opened, and by `dispatcher doctor`.

use crate::place::place;
use shared::aws::AwsAccess;
use shared::store::s3::{Asked, inspect};
use shared::store::{Store, connect};
use tests::aws::{AwsServer, SECRET_KEY};
use tests::s3_faults::Fault;
use tests::store_suite::key;

async fn refused(url: &str, access: &AwsAccess) -> String {
    let error = connect(url, access).await.expect_err("must be refused");
    assert!(!error.is_usage(), "{error}");
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(!text.contains(SECRET_KEY), "{text}");
    text
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_told_with_its_remedy() {
    let place = place().await;
    let access = AwsAccess {
        s3_endpoint: Some(place.faults.endpoint().to_owned()),
        ..AwsServer::get().access()
    };
    let text = refused("s3://nobody-made-this", &access).await;
    assert!(text.contains("no bucket nobody-made-this"), "{text}");
    for (status, code, says) in [
        (403, "AccessDenied", "deploy/iam"),
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "ExpiredToken", "not valid"),
        (301, "PermanentRedirect", "AWS_REGION"),
    ] {
        place
            .faults
            .inject("GET", "list-type=2", 1, Fault::Answered(status, code));
        let text = refused(&format!("s3://{}/yard", place.bucket), &access).await;
        assert!(text.contains(says) && text.contains(code), "{code}: {text}");
    }
    let nobody = AwsAccess {
        // The port of discard, which nobody listens to here.
        s3_endpoint: Some("http://127.0.0.1:9".into()),
        ..AwsServer::get().access()
    };
    let text = refused("s3://bucket", &nobody).await;
    assert!(text.contains("TRAINYARD_S3_ENDPOINT"), "{text}");
}

#[tokio::test]
async fn ages_are_by_the_servers_clock() {
    let place = place().await;
    place
        .direct
        .put_new(&key("age/object"), "x".into())
        .await
        .expect("wins");
    place
        .faults
        .inject("GET", "list-type=2", 1, Fault::Dated("Thu, 01 Jan 2099 00:00:00 GMT"));
    let listed = place.store.list(&key("age")).await.expect("lists");
    assert!(listed[0].age_seconds > 365 * 24 * 3600, "{listed:?}");
    place
        .faults
        .inject("GET", "list-type=2", 1, Fault::Dated("Thu, 01 Jan 2015 00:00:00 GMT"));
    let listed = place.store.list(&key("age")).await.expect("lists");
    assert_eq!(listed[0].age_seconds, 0, "what lies in the future is new");
}

#[tokio::test]
async fn an_inspection_finds_clock_versions_and_uploads() {
    let place = place().await;
    let access = AwsAccess {
        s3_endpoint: Some(place.faults.endpoint().to_owned()),
        ..AwsServer::get().access()
    };
    let url = format!("s3://{}/yard", place.bucket);
    // As S3 says it; moto's own answer has another name for the document, which the client does not take.
    let never = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>";
    place.faults.inject("GET", "versioning", 1, Fault::Told(never));
    let found = inspect(&url, &access).await.expect("looked at");
    assert!(found.ahead_s.is_some_and(|ahead| ahead.abs() < 30), "{found:?}");
    found.parts.expect("an upload of parts overwrites nothing");
    assert_eq!(found.versioning.expect("told"), Asked::Told(false));
    assert_eq!(found.uploads.expect("told"), Asked::Told(0));

    place
        .faults
        .inject("GET", "uploads", 1, Fault::Dated("Thu, 01 Jan 2099 00:00:00 GMT"));
    place
        .faults
        .inject("GET", "versioning", 1, Fault::Answered(403, "AccessDenied"));
    let found = inspect(&url, &access).await.expect("looked at");
    assert!(found.ahead_s.is_some_and(|ahead| ahead > 365 * 24 * 3600), "{found:?}");
    assert_eq!(found.versioning.expect("told"), Asked::NotAllowed);

    place
        .faults
        .inject("GET", "uploads", 1, Fault::Answered(403, "AccessDenied"));
    place
        .faults
        .inject("GET", "versioning", 1, Fault::Answered(405, "MethodNotAllowed"));
    let found = inspect(&url, &access).await.expect("looked at");
    assert_eq!(found.uploads.expect("told"), Asked::NotAllowed);
    found.versioning.expect_err("it does not know");

    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    place.faults.inject("GET", "versioning", 1, Fault::Told(on));
    let found = inspect(&url, &access).await.expect("looked at");
    assert_eq!(found.versioning.expect("told"), Asked::Told(true));
    assert_eq!(place.faults.faults_left(), 0);
}
