//! How much memory this process may still take.

use std::path::{Path, PathBuf};

/// Bytes that the host and every control group above this process leave it, caches that the kernel would give up
/// included; `None` where nothing says.
#[must_use]
pub fn available() -> Option<u64> {
    let host = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| of_host(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = folders(&groups, Path::new("/sys/fs/cgroup")).into_iter();
    left.filter_map(|folder| of_group(&folder)).chain(host).min()
}

fn of_host(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The folders of the groups that this process is in, those above included. In a container the path may be the host's and
/// not there; what is mounted is the container's own then.
fn folders(own: &str, root: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let root = match controllers {
            "" => root.to_owned(),
            _ if controllers.split(',').any(|name| name == "memory") => root.join("memory"),
            _ => continue,
        };
        let path = root.join(path.trim_start_matches('/'));
        folders.extend(
            path.ancestors()
                .take_while(|it| it.starts_with(&root))
                .map(Path::to_owned),
        );
    }
    folders
}

/// What a group's limit leaves, in version 2 or 1 of control groups.
fn of_group(folder: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, used, prefix) = match number("memory.max") {
        Some(limit) => (limit, number("memory.current")?, ""),
        None => (
            number("memory.limit_in_bytes")?,
            number("memory.usage_in_bytes")?,
            "total_",
        ),
    };
    let stat = read("memory.stat").unwrap_or_default();
    let cached = ["inactive_file", "active_file"].map(|name| {
        let line = stat
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{prefix}{name} ")));
        line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
    });
    Some(limit.saturating_sub(used.saturating_sub(cached.iter().sum())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, files: &[(&str, &str)]) {
        let folder = root.join(path);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    fn least(own: &str, root: &Path) -> Option<u64> {
        folders(own, root).iter().filter_map(|folder| of_group(folder)).min()
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let stat = "anon 500\ninactive_file 150\nactive_file 50\n";
        group(
            root.path(),
            "a",
            &[
                ("memory.max", "1000\n"),
                ("memory.current", "700\n"),
                ("memory.stat", stat),
            ],
        );
        group(
            root.path(),
            "a/b",
            &[("memory.max", "max\n"), ("memory.current", "600\n")],
        );
        assert_eq!(least("0::/a/b\n", root.path()), Some(500));
        assert_eq!(least("0::/\n", root.path()), None);
    }

    #[test]
    fn version_one_is_read_where_it_is_mounted() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("memory.limit_in_bytes", "1000\n"),
            ("memory.usage_in_bytes", "900\n"),
            (
                "memory.stat",
                "inactive_file 1\ntotal_inactive_file 300\ntotal_active_file 0\n",
            ),
        ];
        group(root.path(), "memory", &files);
        // The path is the host's, which a container does not see.
        let own = "5:cpu,cpuacct:/x\n4:memory:/docker/0123\n0::/\n";
        assert_eq!(least(own, root.path()), Some(400));
    }

    #[test]
    fn the_hosts_memory_is_in_kibibytes() {
        assert_eq!(of_host("MemTotal: 9 kB\nMemAvailable:   2 kB\n"), Some(2048));
        assert_eq!(of_host("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn this_host_says_something() {
        assert!(available().is_some_and(|bytes| bytes > 0));
    }
}
