//! Promises about listings.

use super::{bytes, digest, key};
use shared::store::Store;
use std::sync::Arc;

/// A listing has every object below the prefix, in order of whole keys, and nothing of its neighbours.
pub async fn lists_are_whole_and_in_order(store: &dyn Store) {
    // `a-b` and `a.b` sort before `a/b`, though the folder `a` sorts before them.
    let inside = ["list/a-b", "list/a.b", "list/a/b", "list/a/c/d", "list/b", "list/b0/x"];
    for outside in ["list0", "lis/a", "list-a/b"] {
        store.put_new(&key(outside), bytes("outside")).await.expect("wins");
    }
    for name in inside {
        store.put_new(&key(name), bytes(name)).await.expect("wins");
    }
    let listed = store.list(&key("list")).await.expect("lists");
    let keys: Vec<&str> = listed.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, inside);
    for entry in &listed {
        assert_eq!(entry.size, entry.key.as_str().len() as u64);
    }
    let below: Vec<_> = store
        .list(&key("list/a"))
        .await
        .expect("lists")
        .into_iter()
        .map(|entry| entry.key)
        .collect();
    assert_eq!(below, [key("list/a/b"), key("list/a/c/d")]);
    assert_eq!(store.list(&key("list/b")).await.expect("an object is no folder"), []);
}

/// Names are those of one level, objects and folders alike.
pub async fn names_are_of_one_level(store: &dyn Store) {
    for name in ["level/b/x/y", "level/a", "level/b/z", "level/c/x/y/z"] {
        store.put_new(&key(name), bytes("x")).await.expect("wins");
    }
    assert_eq!(store.list_names(&key("level")).await.expect("lists"), ["a", "b", "c"]);
    assert_eq!(store.list_names(&key("level/b")).await.expect("lists"), ["x", "z"]);
    assert_eq!(
        store.list_names(&key("level/a")).await.expect("an object is no folder"),
        [""; 0]
    );
}

/// The highest number is that of a name that is there.
pub async fn the_highest_number_is_of_a_name_that_is_there(store: &dyn Store) {
    let number = |name: &str| name.strip_prefix("v-")?.parse().ok();
    let highest = async || store.highest(&key("ranked"), Arc::new(number)).await.expect("lists");
    assert_eq!(highest().await, None);
    for name in ["v-2/a", "v-10/a/b", "v-9", "v-11/a/b", "w-12/a", "v-x"] {
        let object = key("ranked").join(name).expect("a key");
        store.put_new(&object, bytes("x")).await.expect("wins");
    }
    assert_eq!(highest().await, Some(11));
    store.delete(&key("ranked/v-11/a/b")).await.expect("deletes");
    assert_eq!(highest().await, Some(10));
}

/// Folders are only a manner of speaking: without objects there are none.
pub async fn folders_vanish_with_their_objects(store: &dyn Store) {
    store.put_new(&key("vanish/a/b/c"), bytes("x")).await.expect("wins");
    store.put_new(&key("vanish/d"), bytes("x")).await.expect("wins");
    store.delete(&key("vanish/a/b/c")).await.expect("deletes");
    assert_eq!(store.list_names(&key("vanish")).await.expect("lists"), ["d"]);
    assert_eq!(store.list_names(&key("vanish/a")).await.expect("lists"), [""; 0]);
    store
        .put_new(&key("vanish/a/b/c"), bytes("y"))
        .await
        .expect("may come back");
    assert_eq!(store.list_names(&key("vanish")).await.expect("lists"), ["a", "d"]);
}

/// An object is listed once, with its newest size, however often it was replaced.
pub async fn replaced_objects_are_listed_once(store: &dyn Store) {
    let object = key("listed/object");
    let mut etag = store.put_new(&object, bytes("")).await.expect("wins");
    for round in 1..=40 {
        etag = store
            .replace(&object, &etag, bytes("x".repeat(round)))
            .await
            .expect("wins");
        let listed = store.list(&key("listed")).await.expect("lists");
        let found: Vec<_> = listed.iter().map(|entry| (entry.key.as_str(), entry.size)).collect();
        assert_eq!(found, [("listed/object", round as u64)]);
        assert_eq!(store.list_names(&key("listed")).await.expect("lists"), ["object"]);
    }
}

/// Ages are counted on the store's clock: what was written just now is young, whatever this host's clock says.
pub async fn fresh_objects_are_young(store: &dyn Store) {
    store.put_new(&key("age/object"), bytes("x")).await.expect("wins");
    let listed = store.list(&key("age")).await.expect("lists");
    assert_eq!(listed.len(), 1);
    assert!(listed[0].age_seconds < 300, "{}", listed[0].age_seconds);
}

/// A listing shows every write that was answered before it began.
pub async fn lists_show_what_was_answered(store: &dyn Store) {
    for round in 0..40 {
        let name = key(&format!("fresh/{}/{round:02}", digest(&[round])));
        store.put_new(&name, bytes("x")).await.expect("wins");
        let listed = store.list(&key("fresh")).await.expect("lists");
        assert_eq!(listed.len(), usize::from(round) + 1);
        assert!(listed.iter().any(|entry| entry.key == name));
    }
}
