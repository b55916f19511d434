//! Many writers wait for the disk together.

use rustix::fs::{fstat, fstatfs, fsync, syncfs};
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Waiting writers from which on one sync of the file system serves all. Below, each syncs its own file or folder: that
/// does not wait for what others write there, such as a trainer's checkpoint.
const MANY: usize = 16;

/// ext4, XFS, Btrfs, F2FS (statfs(2)).
const TRUSTED: [i64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

/// Whether a sync of its file system is known to wait for the disk: with FUSE it does not, and who knows of others.
fn syncs_all(open: BorrowedFd<'_>) -> bool {
    fstatfs(open).is_ok_and(|found| TRUSTED.contains(&found.f_type))
}

/// Makes what was written survive the loss of power.
#[derive(Debug, Default)]
pub(super) struct Together {
    systems: Mutex<HashMap<u64, System>>,
    ended: Condvar,
}

/// The syncs of one file system, which are numbered from 1.
#[derive(Debug, Default)]
struct System {
    waiting: usize,
    begun: u64,
    ended: u64,
    running: bool,
    /// Numbers of those that failed, with why.
    failed: Vec<(u64, Errno)>,
}

impl Together {
    /// What was written to the files and folders `open` before this call is on disk after it.
    pub(super) fn sync(&self, open: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let trusted = open.first().is_some_and(|first| syncs_all(*first));
        self.sync_from(if trusted { MANY } else { usize::MAX }, open)
    }

    fn sync_from(&self, many: usize, open: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let Some((first, others)) = open.split_first() else {
            return Ok(());
        };
        let device = fstat(first)?.st_dev;
        // A folder can be a mount point.
        let elsewhere = others.iter().map(|other| Ok(fstat(other)?.st_dev != device));
        let elsewhere = elsewhere.collect::<Result<Vec<bool>, Errno>>()?.contains(&true);
        let mut systems = self.systems();
        let system = systems.entry(device).or_default();
        system.waiting += 1;
        let synced = if elsewhere || system.waiting < many {
            drop(systems);
            open.iter().try_for_each(fsync)
        } else {
            // One that is running began before our write may have ended.
            let number = system.begun + 1;
            drop(systems);
            self.wait_for(number, device, *first)
        };
        self.systems().entry(device).or_default().waiting -= 1;
        synced
    }

    /// Waits until sync `number` has ended; makes it where nobody else does.
    fn wait_for(&self, number: u64, device: u64, open: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut systems = self.systems();
        loop {
            let system = systems.entry(device).or_default();
            if system.ended >= number {
                let failed = system.failed.iter().find(|(failed, _)| *failed == number);
                return failed.map_or(Ok(()), |(_, error)| Err(*error));
            }
            if system.running {
                systems = self.ended.wait(systems).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            system.running = true;
            system.begun += 1;
            let mine = system.begun;
            drop(systems);
            let synced = syncfs(open);
            systems = self.systems();
            let system = systems.entry(device).or_default();
            system.running = false;
            system.ended = mine;
            if let Err(error) = synced {
                system.failed.push((mine, error));
            }
            self.ended.notify_all();
        }
    }

    fn systems(&self) -> MutexGuard<'_, HashMap<u64, System>> {
        self.systems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn all_who_wait_while_one_runs_are_served_by_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create(folder.path().join("file")).expect("a file");
        let device = fstat(&file).expect("a file").st_dev;
        let together = Together::default();
        {
            let mut systems = together.systems();
            let system = systems.entry(device).or_default();
            (system.running, system.begun) = (true, 1);
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| together.sync_from(1, &[file.as_fd()]).expect("syncs"));
            }
            while together.systems()[&device].waiting < 8 {
                std::thread::yield_now();
            }
            let mut systems = together.systems();
            let system = systems.entry(device).or_default();
            (system.running, system.ended) = (false, 1);
            together.ended.notify_all();
        });
        let systems = together.systems();
        let system = &systems[&device];
        assert_eq!(
            (system.waiting, system.running, system.begun, system.ended),
            (0, false, 2, 2)
        );
    }

    #[test]
    fn a_sync_that_fails_fails_for_who_waited_for_it_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create(folder.path().join("file")).expect("a file");
        let together = Together::default();
        together.sync_from(1, &[file.as_fd()]).expect("syncs");
        let device = fstat(&file).expect("a file").st_dev;
        together
            .systems()
            .entry(device)
            .or_default()
            .failed
            .push((1, Errno::IO));
        assert_eq!(together.wait_for(1, device, file.as_fd()), Err(Errno::IO));
        assert_eq!(together.wait_for(2, device, file.as_fd()), Ok(()));
    }
}
