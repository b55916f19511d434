//! The host's processors.

/// For people: how many processors this process may use.
pub(super) fn describe() -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} processors")
}
