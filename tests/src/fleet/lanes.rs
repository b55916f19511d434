//! Many small trials side by side: nearly all of each is waiting for a lease to end.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Runs `trial` for every item, `lanes` at a time, each lane with a runtime of its own.
///
/// # Panics
/// With the first trial that does, when all lanes have ended.
pub fn in_lanes<T: Send>(lanes: usize, items: Vec<T>, trial: impl AsyncFn(T) + Sync) {
    let items = Mutex::new(VecDeque::from(items));
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lane = || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        while let Some(item) = next() {
            runtime.block_on(trial(item));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(lane);
        }
    });
}
