//! Numbers that a process remembers, so that it need not look for them again; each only grows.

use crate::store::Key;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A number for a key. Lost with the process, and true without it: it only saves looking.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Key, u64>>);

impl Known {
    /// What is remembered of a key.
    pub(crate) fn get(&self, key: &Key) -> Option<u64> {
        self.lock().get(key).copied()
    }

    /// Remembers a number, unless a higher one is known.
    pub(crate) fn raise(&self, key: &Key, number: u64) {
        let mut known = self.lock();
        match known.get_mut(key) {
            Some(there) => *there = number.max(*there),
            None => drop(known.insert(key.clone(), number)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
