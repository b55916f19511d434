//! Whether the kernel killed something for want of memory.

use std::path::{Path, PathBuf};

/// The count of such kills at some moment: of this process's cgroup where it says so, else of the whole host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfMemoryKills(Option<u64>);

impl OutOfMemoryKills {
    /// As of now.
    pub(super) fn count() -> Self {
        Self(of_cgroup().or_else(of_host))
    }

    /// There were more since.
    pub(super) fn rose(self) -> bool {
        matches!((self.0, Self::count().0), (Some(before), Some(now)) if now > before)
    }
}

fn of_cgroup() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    number_after(&std::fs::read_to_string(events_file(&own)?).ok()?, "oom_kill")
}

fn of_host() -> Option<u64> {
    number_after(&std::fs::read_to_string("/proc/vmstat").ok()?, "oom_kill")
}

/// cgroup v2 has one line, `0::/path`.
fn events_file(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new("/sys/fs/cgroup").join(path).join("memory.events"))
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{events_file, number_after};
    use std::path::Path;

    #[test]
    fn reads_the_kernels_counters() {
        let events = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 5\n";
        assert_eq!(number_after(events, "oom_kill"), Some(2));
        assert_eq!(number_after("pgfault 7\n", "oom_kill"), None);
    }

    #[test]
    fn finds_the_cgroup() {
        let file = events_file("1:name=x:/old\n0::/system.slice/worker.service\n").unwrap();
        assert_eq!(
            file,
            Path::new("/sys/fs/cgroup/system.slice/worker.service/memory.events")
        );
        assert_eq!(events_file("1:cpu:/old\n"), None);
    }
}
