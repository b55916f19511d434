//! Named points at which a test may kill the process. In builds without `debug_assertions` there is nothing here.

/// Kills the own process with SIGKILL if `TRAINYARD_CRASH_AT` is `name`, or `name:3` on the third passage.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static POINT: LazyLock<Option<(String, u32)>> =
        LazyLock::new(|| std::env::var("TRAINYARD_CRASH_AT").ok().map(|text| parse(&text)));
    static PASSAGES: AtomicU32 = AtomicU32::new(0);

    pub(super) fn pass(name: &str) {
        let Some((wanted, passage)) = POINT.as_ref() else {
            return;
        };
        if wanted == name && PASSAGES.fetch_add(1, Ordering::SeqCst) + 1 == *passage {
            die();
        }
    }

    pub(super) fn parse(text: &str) -> (String, u32) {
        match text.rsplit_once(':').map(|(name, passage)| (name, passage.parse())) {
            Some((name, Ok(passage))) => (name.to_owned(), passage),
            _ => (text.to_owned(), 1),
        }
    }

    fn die() {
        // Nothing may run after this: no destructor, no flush, as if the power had gone.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
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
