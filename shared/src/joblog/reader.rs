//! Reading a job's log.

use super::folder;
use crate::job::JobId;
use crate::store::{Key, Store, StoreError};
use std::sync::Arc;

/// Reads the log of all claims of a job, oldest first; may be asked again for what was added since.
#[derive(Debug)]
pub struct JobLogReader {
    store: Arc<dyn Store>,
    job: JobId,
    /// The last chunk that was read: (token, number).
    last: Option<(u64, u64)>,
}

impl JobLogReader {
    /// Starts at the beginning.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, job: JobId) -> Self {
        Self { store, job, last: None }
    }

    /// The text that was added since the last call; empty if there is none. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// The store's. The next call goes on where this one failed.
    pub async fn next(&mut self) -> Result<String, StoreError> {
        let mut text = String::new();
        for (position, key) in self.new_chunks().await? {
            let object = match self.store.get(&key).await {
                Ok(object) => object,
                // Hand out what is there; the failure comes again with the next call if it lasts.
                Err(_) if !text.is_empty() => return Ok(text),
                Err(error) => return Err(error),
            };
            if let Some(object) = object {
                text.push_str(&String::from_utf8_lossy(&object.bytes));
            }
            self.last = Some(position);
        }
        Ok(text)
    }

    async fn new_chunks(&self) -> Result<Vec<((u64, u64), Key)>, StoreError> {
        let Ok(prefix) = folder(&self.job) else {
            return Ok(Vec::new());
        };
        let mut chunks: Vec<_> = self
            .store
            .list(&prefix)
            .await?
            .into_iter()
            .filter_map(|entry| Some((position(&prefix, &entry.key)?, entry.key)))
            .filter(|(position, _)| Some(*position) > self.last)
            .collect();
        chunks.sort();
        Ok(chunks)
    }
}

/// The last lines of a job's log, at most `lines`, oldest first; reads no more chunks than that takes.
///
/// # Errors
/// The store's.
pub async fn tail(store: &dyn Store, job: &JobId, lines: usize) -> Result<Vec<String>, StoreError> {
    let Ok(prefix) = folder(job) else {
        return Ok(Vec::new());
    };
    let entries = store.list(&prefix).await?.into_iter();
    let mut chunks: Vec<_> = entries
        .filter_map(|entry| Some((position(&prefix, &entry.key)?, entry.key)))
        .collect();
    chunks.sort();
    let mut text = String::new();
    for (_, key) in chunks.iter().rev() {
        if let Some(object) = store.get(key).await? {
            text.insert_str(0, &String::from_utf8_lossy(&object.bytes));
        }
        if text.lines().count() > lines {
            break;
        }
    }
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}

/// `<prefix>/<token>/<number>`; anything else is not ours.
fn position(prefix: &Key, key: &Key) -> Option<(u64, u64)> {
    let (token, number) = key
        .as_str()
        .strip_prefix(prefix.as_str())?
        .strip_prefix('/')?
        .split_once('/')?;
    Some((token.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::position;
    use crate::store::Key;

    #[test]
    fn positions_are_numbers_and_strangers_are_left_out() {
        let prefix = Key::new("trainyard/jobs/x/logs").unwrap();
        let of = |rest: &str| position(&prefix, &prefix.join(rest).unwrap());
        assert_eq!(of("2/00000010"), Some((2, 10)));
        assert!(of("10/00000001") > of("9/00000002"));
        assert_eq!(of("2/readme"), None);
        assert_eq!(of("2"), None);
    }
}
