//! Promises about files that go in and out.

use super::{bytes, conflict, digest, key, text};
use shared::store::{Conflict, Store, StoreError};
use std::fs;
use std::path::Path;

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

/// A file comes out as it went in.
pub async fn files_go_in_and_out_unchanged(store: &dyn Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let content: Vec<u8> = (0..1_000_003_u32).map(|at| (at % 253) as u8).collect();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    for (name, content) in [("large", content.as_slice()), ("empty", b"")] {
        let object = key(&format!("files/{name}"));
        fs::write(&source, content).expect("a file");
        store
            .put_file_new(&object, &source, &digest(content))
            .await
            .expect("wins");
        // The store has its own copy: the file belongs to the caller.
        fs::write(&source, "something else").expect("a file");
        assert_eq!(store.size(&object).await.expect("reads"), Some(content.len() as u64));
        assert_eq!(store.sha256(&object).await.expect("reads"), Some(digest(content)));
        store.get_file(&object, &target, &digest(content)).await.expect("reads");
        assert_eq!(fs::read(&target).expect("a file"), content);
        fs::write(&target, "and this is the caller's too").expect("a file");
        assert_eq!(store.sha256(&object).await.expect("reads"), Some(digest(content)));
    }
    assert_eq!(entries(folder.path()), 2, "something was left beside the files");
}

/// A file whose bytes are not the promised ones creates nothing.
pub async fn files_that_are_not_as_promised_stay_out(store: &dyn Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    fs::write(&source, "tampered").expect("a file");
    let object = key("promised/in");
    let error = store
        .put_file_new(&object, &source, &digest(b"original"))
        .await
        .expect_err("must be refused");
    let StoreError::Digest { expected, found, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((expected, found), (digest(b"original"), digest(b"tampered")));
    assert_eq!(text(store, &object).await, None);
    assert_eq!(store.list(&key("promised")).await.expect("lists"), []);
}

/// An object whose bytes are not the promised ones does not come out, nor does one that is not there.
pub async fn objects_that_are_not_as_promised_stay_in(store: &dyn Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("target");
    let object = key("promised/out");
    assert_eq!(
        conflict(store.get_file(&object, &target, &digest(b"x")).await),
        Conflict::Gone
    );
    store.put_new(&object, bytes("content")).await.expect("wins");
    let error = store
        .get_file(&object, &target, &digest(b"other"))
        .await
        .expect_err("must be refused");
    assert!(matches!(error, StoreError::Digest { .. }), "{error:?}");
    assert_eq!(entries(folder.path()), 0, "something was left behind");
}

/// An existing object is never overwritten by a file.
pub async fn files_create_only_new_objects(store: &dyn Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    fs::write(&source, "second").expect("a file");
    let object = key("overwrite/object");
    store.put_new(&object, bytes("first")).await.expect("wins");
    assert_eq!(
        conflict(store.put_file_new(&object, &source, &digest(b"second")).await),
        Conflict::Changed
    );
    assert_eq!(text(store, &object).await, Some("first".into()));
}

/// A file that cannot be read creates nothing.
pub async fn files_that_are_missing_create_nothing(store: &dyn Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let object = key("missing/object");
    store
        .put_file_new(&object, &folder.path().join("none"), &digest(b""))
        .await
        .expect_err("must fail");
    assert_eq!(text(store, &object).await, None);
}
