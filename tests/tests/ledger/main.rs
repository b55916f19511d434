//! What ledger, checkpoints, publication and sweeper promise, over every store that several processes can share.

mod suite;

use tests::aws::AwsServer;
use tests::yard::Yard;

async fn directory() -> Yard {
    Yard::new().await
}

async fn s3() -> Yard {
    let server = AwsServer::get();
    let url = format!("s3://{}/yard", server.bucket().await);
    let store = shared::store::connect(&url, &server.access()).await.expect("a store");
    Yard::over(store).await
}

/// A test for each promise and each store.
macro_rules! promises {
    ($backend:ident: $($promise:ident),+ $(,)?) => {
        mod $backend { $(
            #[tokio::test]
            async fn $promise() {
                super::suite::$promise(super::$backend().await).await;
            }
        )+ }
    };
    ($($backend:ident),+ => $promises:tt) => { $( promises!(@ $backend $promises); )+ };
    (@ $backend:ident { $($promise:ident),+ $(,)? }) => { promises!($backend: $($promise),+); };
}

promises!(directory, s3 => {
    publishing_the_same_content_again_finds_the_job_and_keeps_its_first_lineage,
    a_state_of_a_newer_schema_is_said_to_be_newer_whatever_else_is_in_it,
    of_two_claims_from_one_state_one_wins,
    an_owner_goes_on_after_another_handle_wrote_and_is_fenced_by_a_cancel,
    an_owner_may_go_on_for_nine_tenths_of_its_lease,
    a_registered_version_is_whole_and_a_second_publisher_finds_it,
    a_number_of_a_folder_that_was_there_before_is_not_taken,
    paths_that_leave_the_version_or_shadow_the_card_are_refused,
    foreign_bytes_at_a_key_of_the_version_are_never_overwritten,
    the_newest_whole_checkpoint_is_restored_and_older_ones_go,
    a_sweeper_announces_a_job_without_message_at_once_and_expires_a_silent_owner,
    a_sweeper_leaves_a_publisher_that_renews_alone,
    a_sweeper_deletes_what_was_staged_only_when_its_epoch_is_over,
    a_registered_job_is_read_no_more,
});
