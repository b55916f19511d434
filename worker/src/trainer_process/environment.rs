//! What a trainer gets to know of the worker's environment: nothing that could be a secret.

use std::ffi::OsString;

/// Passed on as they are. `RUST_BACKTRACE` is not among them: where memory is short, the backtrace of a failed allocation
/// fails to allocate, and std waits for a lock that it holds itself; a trainer has to end then.
const KEPT: [&str; 5] = ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "RUST_LOG", "CUDA_VISIBLE_DEVICES"];
/// Passed on by the beginning of their name: threads and instruction sets of the math libraries.
const KEPT_PREFIXES: [&str; 5] = ["OMP_", "GOMP_", "MKL_", "ONEDNN_", "ATEN_"];
/// Set where the worker's environment says nothing else. Text has many lengths, and libtorch keeps code and scratch for
/// every shape it meets: without these bounds that is most of a training's memory. And threads of GNU's OpenMP wait for each
/// other by spinning, 300,000 rounds by default: where others want the same processors, one that spins keeps the one it
/// waits for from running (a keyword job beside three compilers: 13.6 s by default, 2.3 s so). With 1,000 rounds a
/// training that is alone loses a tenth of its speed.
const SET: [(&str, &str); 4] = [
    ("GOMP_SPINCOUNT", "20000"),
    ("LRU_CACHE_CAPACITY", "16"),
    ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"),
    // Its stdin ends when the worker does.
    ("TRAINYARD_SUPERVISED", "1"),
];
/// The test hook of builds with debug assertions.
const CRASH_AT: &str = "TRAINYARD_CRASH_AT";

/// What only the first trainer of a worker gets: the point at which a test lets it die.
#[must_use]
pub fn once() -> Vec<(OsString, OsString)> {
    let armed = std::env::var_os(CRASH_AT).filter(|_| cfg!(debug_assertions));
    armed.map(|point| (CRASH_AT.into(), point)).into_iter().collect()
}

/// The environment of a trainer, out of the worker's. `threads`: what to set where `OMP_NUM_THREADS` is not.
pub fn environment(
    own: impl IntoIterator<Item = (OsString, OsString)>,
    threads: Option<usize>,
) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<(OsString, OsString)> = own.into_iter().filter(|(name, _)| is_kept(name)).collect();
    let threads = threads.map(|count| ("OMP_NUM_THREADS", count.to_string()));
    let set = SET
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .chain(threads);
    for (name, value) in set {
        if !kept.iter().any(|(known, _)| known == name) {
            kept.push((name.into(), value.into()));
        }
    }
    kept
}

fn is_kept(name: &OsString) -> bool {
    let Some(name) = name.to_str() else { return false };
    KEPT.contains(&name)
        || SET.iter().any(|(set, _)| *set == name)
        || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::environment;
    use std::ffi::OsString;

    fn of(own: &[(&str, &str)], threads: Option<usize>) -> Vec<(String, String)> {
        let own = own
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let text = |text: OsString| text.into_string().unwrap();
        let mut all: Vec<_> = environment(own, threads)
            .into_iter()
            .map(|(n, v)| (text(n), text(v)))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn credentials_and_what_could_hang_it_stay_with_the_worker() {
        let found = of(
            &[
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("HF_TOKEN", "secret"),
                ("NEPTUNE_API_TOKEN", "secret"),
                ("TRAINYARD_QUEUE_URL", "amqp://user:secret@host"),
                ("HOME", "/home/x"),
                ("RUST_BACKTRACE", "1"),
                ("PATH", "/bin"),
                ("OMP_NUM_THREADS", "2"),
            ],
            Some(8),
        );
        let expected = [
            ("GOMP_SPINCOUNT", "20000"),
            ("LRU_CACHE_CAPACITY", "16"),
            ("OMP_NUM_THREADS", "2"),
            ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"),
            ("PATH", "/bin"),
            ("TRAINYARD_SUPERVISED", "1"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_bound_of_the_user_wins() {
        let found = of(&[("LRU_CACHE_CAPACITY", "1024")], None);
        assert!(found.contains(&("LRU_CACHE_CAPACITY".into(), "1024".into())));
        assert_eq!(found.iter().filter(|(name, _)| name == "LRU_CACHE_CAPACITY").count(), 1);
    }
}
