//! Promises to several callers at once, and to those who give up.

use super::{SharedStore, bytes, callers, conflict, key, text};
use futures::FutureExt;
use shared::store::{Conflict, Key, Store};
use std::collections::BTreeMap;

/// Adds one to `caller`'s own entry of a counter, as the write discipline of the ledger has it: a conflict is read
/// anew, and after a lost answer the content tells. The counter holds an entry for each caller, so that a lost update
/// shows.
///
/// # Panics
/// If an update was lost, or the store failed otherwise.
pub async fn increment(store: &dyn Store, counter: &Key, caller: &str) -> u64 {
    let mut target = None;
    loop {
        let object = store.get(counter).await.expect("reads");
        let (etag, mut counts) = match object {
            Some(object) => (
                Some(object.etag),
                serde_json::from_slice(&object.bytes).expect("a counter"),
            ),
            None => (None, BTreeMap::<String, u64>::new()),
        };
        let own = counts.entry(caller.to_owned()).or_default();
        match target {
            Some(target) if *own == target => return target,
            Some(target) => assert_eq!(*own + 1, target, "an update was lost"),
            None => target = Some(*own + 1),
        }
        *own += 1;
        let (own, content) = (*own, serde_json::to_vec(&counts).expect("JSON"));
        let written = match etag {
            Some(etag) => store.replace(counter, &etag, content.into()).await,
            None => store.put_new(counter, content.into()).await,
        };
        match written {
            Ok(_) => return own,
            Err(error) => assert!(error.conflict().is_some(), "{error:?}"),
        }
    }
}

/// The counter that [`increment`] keeps.
pub async fn counts(store: &dyn Store, counter: &Key) -> BTreeMap<String, u64> {
    let object = store.get(counter).await.expect("reads").expect("is there");
    serde_json::from_slice(&object.bytes).expect("a counter")
}

/// Of several who create one object, one wins, and it is its content that stays.
pub async fn one_creator_wins(store: SharedStore) {
    for round in 0..10 {
        let object = key(&format!("creators/{round}"));
        let created = callers(|caller| {
            let (store, object) = (store.clone(), object.clone());
            async move { store.put_new(&object, bytes(caller.to_string())).await }
        });
        let created = created.await;
        let winners: Vec<usize> = (0..created.len()).filter(|caller| created[*caller].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{created:?}");
        assert_eq!(text(&*store, &object).await, Some(winners[0].to_string()));
    }
}

/// Of several copies to one key, one wins.
pub async fn one_copier_wins(store: SharedStore) {
    for caller in 0..super::CALLERS {
        store
            .put_new(&key(&format!("copiers/from/{caller}")), bytes(caller.to_string()))
            .await
            .expect("wins");
    }
    let to = key("copiers/to");
    let copied = callers(|caller| {
        let (store, to) = (store.clone(), to.clone());
        async move { store.copy_new(&key(&format!("copiers/from/{caller}")), &to).await }
    });
    let copied = copied.await;
    let winners: Vec<usize> = (0..copied.len()).filter(|caller| copied[*caller].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{copied:?}");
    assert_eq!(text(&*store, &to).await, Some(winners[0].to_string()));
}

/// Of several who replace one content, one wins.
pub async fn one_replacer_wins(store: SharedStore) {
    let object = key("replacers/object");
    let mut etag = store.put_new(&object, bytes("start")).await.expect("wins");
    for round in 0..20 {
        let replaced = callers(|caller| {
            let (store, object, etag) = (store.clone(), object.clone(), etag.clone());
            async move { store.replace(&object, &etag, bytes(format!("{round} {caller}"))).await }
        });
        let mut won = Vec::new();
        for (caller, result) in replaced.await.into_iter().enumerate() {
            match result {
                Ok(etag) => won.push((caller, etag)),
                lost => assert!(matches!(conflict(lost), Conflict::Changed | Conflict::Retry)),
            }
        }
        let [(winner, new)] = won.as_slice() else {
            panic!("winners: {won:?}")
        };
        assert_eq!(text(&*store, &object).await, Some(format!("{round} {winner}")));
        etag = new.clone();
    }
}

/// Every increment is counted once.
pub async fn increments_are_counted_once(store: SharedStore) {
    let counter = key("counter/object");
    callers(|caller| {
        let (store, counter) = (store.clone(), counter.clone());
        async move {
            for _ in 0..10 {
                increment(&*store, &counter, &caller.to_string()).await;
            }
        }
    })
    .await;
    let counted = counts(&*store, &counter).await;
    assert_eq!(counted.len(), super::CALLERS);
    assert!(counted.values().all(|count| *count == 10), "{counted:?}");
}

/// Readers see whole contents, and never an older one than before.
pub async fn readers_see_whole_contents_that_never_go_back(store: SharedStore) {
    const ROUNDS: usize = 60;
    let object = key("readers/object");
    let content = |round: usize| bytes(format!("{round} ").repeat(2000));
    let mut etag = store.put_new(&object, content(0)).await.expect("wins");
    let reader = {
        let (store, object) = (store.clone(), object.clone());
        tokio::spawn(async move {
            let mut newest = 0;
            while newest < ROUNDS {
                let read = text(&*store, &object).await.expect("is there");
                let mut words = read
                    .split_whitespace()
                    .map(|word| word.parse::<usize>().expect("a number"));
                let first = words.next().expect("a word");
                assert_eq!(words.filter(|word| *word == first).count(), 1999, "a mixed content");
                assert!(first >= newest, "went back from {newest} to {first}");
                newest = first;
                let listed = store.list(&key("readers")).await.expect("lists");
                assert_eq!(listed.len(), 1, "not listed in the middle of a replacement");
            }
        })
    };
    for round in 1..=ROUNDS {
        etag = store.replace(&object, &etag, content(round)).await.expect("wins");
    }
    reader.await.expect("the reader is content");
}

/// A write that its caller gave up leaves the object whole or absent, and the key usable.
pub async fn abandoned_writes_leave_nothing_half(store: SharedStore) {
    let content = || bytes("whole ".repeat(100_000));
    for round in 0..20 {
        let object = key(&format!("abandoned/{round}"));
        // Polled once and dropped: the request is on its way.
        drop(store.put_new(&object, content()).now_or_never());
        if let Some(found) = store.get(&object).await.expect("reads") {
            assert_eq!(found.bytes, content());
        }
        let again = store.put_new(&object, content()).await;
        if again.is_err() {
            assert_eq!(conflict(again), Conflict::Changed);
        }
        assert_eq!(
            store.get(&object).await.expect("reads").expect("is there").bytes,
            content()
        );
    }
}
