//! Uploads that nobody completes.

use crate::place::place;
use shared::aws::AwsAccess;
use shared::store::Store;
use shared::sweeper::Sweeper;
use std::time::Duration;
use tests::aws::AwsServer;
use tests::store_suite::key;
use tests::yard::Yard;

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

#[tokio::test]
async fn a_sweeper_looks_for_them_now_and_then() {
    let place = place().await;
    let yard = Yard::over(place.store.clone()).await;
    let url = format!("embedded:{}", yard.folder.path().join("queue.db").display());
    let queue = shared::queue::connect(&url, &AwsAccess::default())
        .await
        .expect("a queue");
    let mut sweeper = Sweeper::new(yard.ledger.clone(), queue);
    let begin = format!(
        "{}/{}/yard/trainyard/x?uploads",
        AwsServer::get().endpoint(),
        place.bucket
    );
    let begun = reqwest::Client::new().post(begin).send().await.expect("moto answers");
    assert!(begun.status().is_success(), "{begun:?}");
    yard.pass(3599);
    assert_eq!(sweeper.sweep().await.expect("swept").deleted, 0);
    yard.pass(1);
    assert_eq!(sweeper.sweep().await.expect("swept").deleted, 1);
    assert_eq!(place.faults.seen("?uploads"), 1, "not with every sweep");
}
