//! The conformance suite over every store.

use shared::store::memory::MemoryStore;
use std::sync::Arc;
use tempfile::TempDir;
use tests::aws::AwsServer;
use tests::store_suite::{self as suite, SharedStore};

/// A store, and what must live as long as it.
struct Place {
    store: SharedStore,
    _folder: Option<TempDir>,
}

async fn directory() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file:{}", folder.path().join("store").display());
    let store = shared::store::connect(&url, &shared::aws::AwsAccess::default())
        .await
        .expect("a store");
    Place {
        store,
        _folder: Some(folder),
    }
}

async fn memory() -> Place {
    Place {
        store: Arc::new(MemoryStore::new()),
        _folder: None,
    }
}

/// A bucket of moto; in a folder of it, since that is the harder case.
async fn s3() -> Place {
    let server = AwsServer::get();
    let url = format!("s3://{}/a folder/of ours", server.bucket().await);
    let store = shared::store::connect(&url, &server.access()).await.expect("a store");
    Place { store, _folder: None }
}

/// A test for each promise, with a store of its own.
macro_rules! promises {
    ($backend:ident, $($promise:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let place = super::$backend().await;
            super::suite::$promise(&*place.store).await;
        }
    )+ };
}

/// The same for promises to several callers at once.
macro_rules! races {
    ($backend:ident, $($promise:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let place = super::$backend().await;
            super::suite::$promise(place.store.clone()).await;
        }
    )+ };
}

/// All promises, for each backend.
macro_rules! conformance {
    ($($backend:ident),+) => { $(
        mod $backend {
            promises!(
                $backend,
                absent_objects_read_as_none,
                put_new_creates_once,
                replace_needs_the_present_etag,
                size_and_digest_follow_replacements,
                replacing_nothing_is_gone,
                deleted_objects_may_be_created_anew,
                copy_new_copies_once,
                copies_live_apart_from_their_source,
                empty_and_large_objects_are_whole,
                awkward_names_are_names,
                locations_name_the_key,
                lists_are_whole_and_in_order,
                names_are_of_one_level,
                the_highest_number_is_of_a_name_that_is_there,
                folders_vanish_with_their_objects,
                replaced_objects_are_listed_once,
                fresh_objects_are_young,
                lists_show_what_was_answered,
                files_go_in_and_out_unchanged,
                files_that_are_not_as_promised_stay_out,
                objects_that_are_not_as_promised_stay_in,
                files_create_only_new_objects,
                files_that_are_missing_create_nothing,
            );
            races!(
                $backend,
                one_creator_wins,
                one_copier_wins,
                one_replacer_wins,
                increments_are_counted_once,
                readers_see_whole_contents_that_never_go_back,
                abandoned_writes_leave_nothing_half,
            );
        }
    )+ };
}

conformance!(directory, memory, s3);
