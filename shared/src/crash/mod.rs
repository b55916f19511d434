//! Points at which a test may kill or freeze the process. In builds without `debug_assertions` there is nothing here.
//!
//! * `TRAINYARD_CRASH_AT=<point>[:<passage>]`: SIGKILL to the own process at that passage (the first, if none is said).
//! * `TRAINYARD_FREEZE_AT=<point>[:<passage>]`: SIGSTOP, from which a test wakes it.
//! * `TRAINYARD_PASSAGES=<file>`: every passage as a line at the end of this file, so that a test can learn which there are.
//!
//! Besides those that stand in the code by name, every write of a store and every call of a queue is a point before and
//! after it, for example `store.replace.state.json.before`; so is every event in a trainer's life, for example
//! `trainer.started`.

#[cfg(debug_assertions)]
mod queue;
#[cfg(debug_assertions)]
mod store;

use crate::queue::Queue;
use crate::store::Store;
use std::sync::Arc;

/// Passes a point.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// The store, with a point before and after each write where a test asks for points.
pub(crate) fn around_store(store: Arc<dyn Store>) -> Arc<dyn Store> {
    #[cfg(debug_assertions)]
    if armed::is_armed() {
        return Arc::new(store::PassedStore(store));
    }
    store
}

/// The queue, with a point before and after each call where a test asks for points.
pub(crate) fn around_queue(queue: Arc<dyn Queue>) -> Arc<dyn Queue> {
    #[cfg(debug_assertions)]
    if armed::is_armed() {
        return Arc::new(queue::PassedQueue(queue));
    }
    queue
}

/// A call between two points.
#[cfg(debug_assertions)]
async fn passing<T>(name: &str, call: impl Future<Output = T>) -> T {
    point(&format!("{name}.before"));
    let done = call.await;
    point(&format!("{name}.after"));
    done
}

#[cfg(debug_assertions)]
mod armed {
    use rustix::process::{Signal, getpid, kill_process};
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARMED: LazyLock<Armed> = LazyLock::new(Armed::from_environment);

    struct Armed {
        marks: Vec<Mark>,
        passages: Option<File>,
    }

    /// What is to happen where.
    struct Mark {
        point: String,
        passage: u32,
        passed: AtomicU32,
        signal: Signal,
    }

    pub(super) fn is_armed() -> bool {
        !ARMED.marks.is_empty() || ARMED.passages.is_some()
    }

    pub(super) fn pass(name: &str) {
        if let Some(mut passages) = ARMED.passages.as_ref() {
            // One write, so that lines of several threads do not mix.
            let _ = passages.write_all(format!("{name}\n").as_bytes());
        }
        for mark in ARMED.marks.iter().filter(|mark| mark.point == name) {
            if mark.passed.fetch_add(1, Ordering::SeqCst) + 1 == mark.passage {
                signal_self(mark.signal);
            }
        }
    }

    impl Armed {
        fn from_environment() -> Self {
            let mark = |(variable, signal)| {
                let (point, passage) = parse(&std::env::var(variable).ok()?);
                Some(Mark {
                    point,
                    passage,
                    passed: AtomicU32::new(0),
                    signal,
                })
            };
            let file = std::env::var_os("TRAINYARD_PASSAGES");
            Self {
                marks: [
                    ("TRAINYARD_CRASH_AT", Signal::KILL),
                    ("TRAINYARD_FREEZE_AT", Signal::STOP),
                ]
                .into_iter()
                .filter_map(mark)
                .collect(),
                passages: file.and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok()),
            }
        }
    }

    pub(super) fn parse(text: &str) -> (String, u32) {
        match text.rsplit_once(':').map(|(name, passage)| (name, passage.parse())) {
            Some((name, Ok(passage))) => (name.to_owned(), passage),
            _ => (text.to_owned(), 1),
        }
    }

    fn signal_self(signal: Signal) {
        let sent = kill_process(getpid(), signal);
        // Nothing may run after a kill: no destructor, no flush, as if the power had gone.
        if signal == Signal::KILL || sent.is_err() {
            std::process::abort();
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::parse;

    #[test]
    fn a_point_may_say_its_passage() {
        assert_eq!(parse("after-card"), ("after-card".to_owned(), 1));
        assert_eq!(parse("between-copies:3"), ("between-copies".to_owned(), 3));
    }
}
