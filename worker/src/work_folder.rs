//! Local folders of jobs: `<work>/<worker>/<job>/<token>/`, and the removal of what dead workers left.
//!
//! `<work>/<worker>.lock` is held (flock) as long as the worker lives, however it ends; `<work>/sweep.lock` is held
//! while folders are made or swept, so a sweep never sees a worker that has a folder and not yet its lock.

use rustix::fs::{FlockOperation, flock};
use shared::job::JobId;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// A worker's own folder. Removed when dropped; swept by the next worker of the host if the process was killed.
#[derive(Debug)]
pub struct WorkFolder {
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

/// The folders cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to make the working folder {path}")]
pub struct WorkFolderError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl WorkFolder {
    /// Makes the folder of `worker` below `work` and sweeps what dead workers left there.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(work: &Path, worker: &str) -> Result<Self, WorkFolderError> {
        let folder = work.join(worker);
        let lock_path = work.join(format!("{worker}.lock"));
        let failed = |source| WorkFolderError {
            path: folder.clone(),
            source,
        };
        fs::create_dir_all(work).map_err(failed)?;
        let sweep = open_lock(&work.join("sweep.lock")).map_err(failed)?;
        flock(&sweep, FlockOperation::LockExclusive).map_err(|errno| failed(errno.into()))?;
        sweep_dead(work);
        let lock = open_lock(&lock_path).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed(errno.into()))?;
        fs::create_dir_all(&folder).map_err(failed)?;
        Ok(Self {
            folder,
            lock_path,
            _lock: lock,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes the empty folder of one claim.
    ///
    /// # Errors
    /// The file system's.
    pub fn claim(&self, job: &JobId, token: u64) -> std::io::Result<ClaimFolder> {
        let path = self.folder.join(job.as_str()).join(token.to_string());
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(ClaimFolder(path))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What stays is swept by the next worker.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// The folder of one claim, removed when dropped.
#[derive(Debug)]
pub struct ClaimFolder(PathBuf);

impl ClaimFolder {
    /// What the trainer reads.
    #[must_use]
    pub fn inputs(&self) -> PathBuf {
        self.0.join("inputs")
    }

    /// What the trainer writes for one pipeline.
    #[must_use]
    pub fn outputs(&self, pipeline: &str) -> PathBuf {
        self.0.join("outputs").join(pipeline)
    }

    /// Checkpoints of one pipeline.
    #[must_use]
    pub fn checkpoints(&self, pipeline: &str) -> PathBuf {
        self.0.join("checkpoints").join(pipeline)
    }

    /// Checkpoints of one pipeline on their way to the store.
    #[must_use]
    pub fn uploads(&self, pipeline: &str) -> PathBuf {
        self.0.join("uploads").join(pipeline)
    }

    /// A file of the worker itself, out of the trainer's folders.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The whole.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ClaimFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        if let Some(job) = self.0.parent() {
            // Fails while another claim of the job is there, which is right.
            let _ = fs::remove_dir(job);
        }
    }
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// Removes the folders of workers whose lock nobody holds. Best effort: the next start tries again.
fn sweep_dead(work: &Path) {
    let Ok(entries) = fs::read_dir(work) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_lock =
            path.extension() == Some(OsStr::new("lock")) && path.file_name() != Some(OsStr::new("sweep.lock"));
        let Some(name) = path.file_stem().and_then(OsStr::to_str) else {
            continue;
        };
        if !is_folder && !is_lock {
            continue;
        }
        let (folder, lock_path) = (work.join(name), work.join(format!("{name}.lock")));
        let alive =
            File::open(&lock_path).is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err());
        if !alive {
            tracing::info!(folder = %folder.display(), "removing what a dead worker left");
            let _ = fs::remove_dir_all(&folder);
            let _ = fs::remove_file(&lock_path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WorkFolder;
    use std::fs;

    #[test]
    fn sweeps_the_dead_and_leaves_the_living() {
        let work = tempfile::tempdir().unwrap();
        let living = WorkFolder::open(work.path(), "living").unwrap();
        fs::write(living.path().join("file"), "x").unwrap();
        // A killed worker leaves its folder and a lock that nobody holds.
        fs::create_dir_all(work.path().join("dead/job/1")).unwrap();
        fs::write(work.path().join("dead.lock"), "").unwrap();
        fs::create_dir_all(work.path().join("dead-without-lock")).unwrap();

        let next = WorkFolder::open(work.path(), "next").unwrap();
        assert!(!work.path().join("dead").exists() && !work.path().join("dead.lock").exists());
        assert!(!work.path().join("dead-without-lock").exists());
        assert!(living.path().join("file").exists() && next.path().exists());
    }

    #[test]
    fn leaves_nothing_when_it_ends() {
        let work = tempfile::tempdir().unwrap();
        let folder = WorkFolder::open(work.path(), "worker").unwrap();
        let job = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let claim = folder.claim(&job, 1).unwrap();
        fs::create_dir_all(claim.inputs()).unwrap();
        let path = claim.path().to_owned();
        drop(claim);
        assert!(!path.exists() && !path.parent().unwrap().exists());
        drop(folder);
        let left: Vec<_> = fs::read_dir(work.path())
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(left, ["sweep.lock"]);
    }

    #[test]
    fn a_name_in_use_is_refused() {
        let work = tempfile::tempdir().unwrap();
        let _first = WorkFolder::open(work.path(), "worker").unwrap();
        assert!(WorkFolder::open(work.path(), "worker").is_err());
    }
}
