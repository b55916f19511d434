//! Work for libtorch's own threads. Others beside them would wait for those, which spin between two operations.

use super::said;
use std::ffi::{c_char, c_void};
use std::sync::Mutex;

unsafe extern "C" {
    fn trainer_parallel(
        count: i64,
        work: unsafe extern "C" fn(*const c_void, i64),
        context: *const c_void,
    ) -> *mut c_char;
}

/// What all threads see of a [`for_each`].
struct Shared<T, F> {
    items: Vec<Mutex<Option<T>>>,
    work: F,
}

/// `work` for each of `items`, as many at the same time as libtorch has threads; each thread has a part of them, one after
/// the other.
pub(crate) fn for_each<T: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let items: Vec<_> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let count = items.len() as i64;
    let shared = Shared { items, work };
    // SAFETY: `one` gets back the pointer that is given here, of which the type is its own, and only until the call ends;
    // items are sent to one thread each, and `work` may be called by several.
    let ended = unsafe { trainer_parallel(count, one_of(&shared), (&raw const shared).cast()) };
    if let Err(text) = said(ended) {
        panic!("{text}");
    }
}

/// The function that does an item of `shared`.
fn one_of<T: Send, F: Fn(T) + Sync>(_: &Shared<T, F>) -> unsafe extern "C" fn(*const c_void, i64) {
    /// A panic ends the process: it may not go on through functions of C++.
    unsafe extern "C" fn one<T: Send, F: Fn(T) + Sync>(shared: *const c_void, number: i64) {
        // SAFETY: it is the pointer that `for_each` gave, which waits meanwhile.
        let shared = unsafe { &*shared.cast::<Shared<T, F>>() };
        let item = shared
            .items
            .get(number as usize)
            .and_then(|item| item.lock().ok()?.take());
        if let Some(item) = item {
            (shared.work)(item);
        }
    }
    one::<T, F>
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_whatever_the_threads() {
        let before = tch::get_num_threads();
        for threads in [1, 2, 3] {
            tch::set_num_threads(threads);
            for count in [0_usize, 1, 2, 7, 1000] {
                let mut done = vec![0; count];
                for_each(done.iter_mut().enumerate(), |(number, done)| *done += number + 1);
                let expected: Vec<usize> = (1..=count).collect();
                assert_eq!(done, expected);
            }
        }
        tch::set_num_threads(before);
    }
}
