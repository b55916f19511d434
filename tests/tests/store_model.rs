//! Every store does what the store in memory does, whatever the sequence of operations.

use bytes::Bytes;
use proptest::prelude::*;
use shared::aws::AwsAccess;
use shared::store::memory::MemoryStore;
use shared::store::{Conflict, Etag, Store, StoreError, connect};
use std::collections::BTreeSet;
use tests::aws::AwsServer;
use tests::store_suite::key;

/// No one is a folder of another.
const KEYS: [&str; 6] = ["a/b", "a/b-c", "a/c/d", "a/c/e", "f", "g/h"];
const PREFIXES: [&str; 5] = ["a", "a/b", "a/c", "g", "z"];

#[derive(Debug, Clone)]
enum Step {
    PutNew(usize),
    /// With the etag of the n-th last write that won, of whichever key.
    Replace(usize, usize),
    ReplacePresent(usize),
    Copy(usize, usize),
    Delete(usize),
    /// Opens the store anew, as another process would.
    Reopen,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let at = 0..KEYS.len();
    let step = prop_oneof![
        3 => at.clone().prop_map(Step::PutNew),
        1 => (at.clone(), 0..4_usize).prop_map(|(key, back)| Step::Replace(key, back)),
        6 => (0..3_usize).prop_map(Step::ReplacePresent),
        2 => (at.clone(), at.clone()).prop_map(|(from, to)| Step::Copy(from, to)),
        2 => at.prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..most)
}

fn outcome<T>(result: Result<T, StoreError>) -> Result<T, Conflict> {
    result.map_err(|error| error.conflict().unwrap_or_else(|| panic!("{error:?}")))
}

/// What both answered, if it was the same.
fn same<T>(
    real: Result<T, StoreError>,
    memory: Result<T, StoreError>,
) -> Result<Result<(T, T), Conflict>, TestCaseError> {
    match (outcome(real), outcome(memory)) {
        (Ok(real), Ok(memory)) => Ok(Ok((real, memory))),
        (Err(real), Err(memory)) => {
            prop_assert_eq!(real, memory);
            Ok(Err(memory))
        }
        (real, memory) => Err(TestCaseError::fail(format!(
            "one won: real {:?}, memory {:?}",
            real.map(drop),
            memory.map(drop)
        ))),
    }
}

async fn compare(real: &dyn Store, memory: &MemoryStore) -> Result<(), TestCaseError> {
    for name in KEYS {
        let key = key(name);
        let bytes = |object: Option<shared::store::Object>| object.map(|object| object.bytes);
        let found = same(real.get(&key).await, memory.get(&key).await)?;
        let (ours, model) = found.map_err(|conflict| TestCaseError::fail(conflict.to_string()))?;
        prop_assert_eq!(bytes(ours), bytes(model), "{}", name);
        prop_assert_eq!(outcome(real.size(&key).await), outcome(memory.size(&key).await));
        prop_assert_eq!(outcome(real.sha256(&key).await), outcome(memory.sha256(&key).await));
    }
    for prefix in PREFIXES {
        let prefix = key(prefix);
        let sizes = |result: Result<Vec<shared::store::Entry>, StoreError>| {
            outcome(result).map(|entries| {
                entries
                    .into_iter()
                    .map(|entry| (entry.key, entry.size))
                    .collect::<Vec<_>>()
            })
        };
        prop_assert_eq!(sizes(real.list(&prefix).await), sizes(memory.list(&prefix).await));
        prop_assert_eq!(
            outcome(real.list_names(&prefix).await),
            outcome(memory.list_names(&prefix).await)
        );
    }
    Ok(())
}

async fn follow(url: &str, access: &AwsAccess, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let open = async || connect(url, access).await.expect("a store");
    let mut real = open().await;
    let memory = MemoryStore::new();
    // A directory's copy is a link and so has its source's time of writing, of which etags are made: a stale etag may
    // fit a copy of the very content that it names. Copies are for objects that do not change.
    let mut copies = BTreeSet::new();
    let mut etags: Vec<(Etag, Etag)> = vec![(Etag("never".into()), Etag("never".into()))];
    for (number, step) in steps.into_iter().enumerate() {
        let bytes = Bytes::from("x".repeat(number % 7) + &number.to_string());
        match step {
            Step::PutNew(at) => {
                let key = key(KEYS[at]);
                etags.extend(same(
                    real.put_new(&key, bytes.clone()).await,
                    memory.put_new(&key, bytes).await,
                )?);
            }
            Step::Replace(at, _) if copies.contains(&at) => {}
            Step::Replace(at, back) => {
                let key = key(KEYS[at]);
                let (ours, model) = etags[etags.len().saturating_sub(back + 1)].clone();
                let replaced = real.replace(&key, &ours, bytes.clone()).await;
                etags.extend(same(replaced, memory.replace(&key, &model, bytes).await)?);
            }
            Step::ReplacePresent(at) => {
                let key = key(KEYS[at]);
                let present = (outcome(real.get(&key).await), outcome(memory.get(&key).await));
                if let (Ok(Some(ours)), Ok(Some(model))) = present {
                    let replaced = real.replace(&key, &ours.etag, bytes.clone()).await;
                    etags.extend(same(replaced, memory.replace(&key, &model.etag, bytes).await)?);
                }
            }
            Step::Copy(from, to) => {
                copies.insert(to);
                let (from, to) = (key(KEYS[from]), key(KEYS[to]));
                same(real.copy_new(&from, &to).await, memory.copy_new(&from, &to).await)?.ok();
            }
            Step::Delete(at) => {
                let key = key(KEYS[at]);
                same(real.delete(&key).await, memory.delete(&key).await)?.ok();
            }
            Step::Reopen => real = open().await,
        }
        compare(&*real, &memory).await?;
    }
    Ok(())
}

fn run(future: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_directory_is_the_store_in_memory(steps in steps(70)) {
        let folder = tempfile::tempdir()?;
        let url = format!("file:{}", folder.path().join("store").display());
        run(follow(&url, &AwsAccess::default(), steps))?;
    }
}

proptest! {
    // Each step is compared by two dozen requests.
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn the_bucket_is_the_store_in_memory(steps in steps(30)) {
        let server = AwsServer::get();
        run(async {
            let url = format!("s3://{}/model", server.bucket().await);
            follow(&url, &server.access(), steps).await
        })?;
    }
}
