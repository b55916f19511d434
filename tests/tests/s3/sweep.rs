//! Uploads that nobody completes.

use crate::place::place;
use shared::store::Store;
use std::time::Duration;
use tests::aws::AwsServer;
use tests::store_suite::key;

/// moto says of every upload that it began in 2010.
#[tokio::test]
async fn old_uploads_of_ours_are_removed_and_no_others() {
    let place = place().await;
    let url = |name: &str| format!("{}/{}/{name}?uploads", AwsServer::get().endpoint(), place.bucket);
    let client = reqwest::Client::new();
    for name in [
        "yard/trainyard/jobs/a",
        "yard/trainyard/jobs/b",
        "yard/other",
        "trainyard/jobs/c",
    ] {
        let begun = client.post(url(name)).send().await.expect("moto answers");
        assert!(begun.status().is_success(), "{begun:?}");
    }
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    assert_eq!(
        place
            .store
            .sweep_uploads(&key("trainyard"), century)
            .await
            .expect("lists"),
        0
    );
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(
        place.store.sweep_uploads(&key("trainyard"), day).await.expect("sweeps"),
        2
    );
    assert_eq!(
        place.store.sweep_uploads(&key("trainyard"), day).await.expect("sweeps"),
        0
    );
    let left = client
        .get(url("").replace("/?", "?"))
        .send()
        .await
        .expect("moto answers");
    let left = left.text().await.expect("text");
    assert!(
        left.contains("yard/other") && left.contains("trainyard/jobs/c"),
        "{left}"
    );
}
