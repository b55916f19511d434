//! The files of a trainer's checkpoint: its folder, and the plain files beside it.

use std::fs;
use std::io;
use std::path::{Component, Path};

/// Files that a trainer has not finished end so.
const PARTIAL: &str = ".partial";

/// Links the checkpoint `folder` of `checkpoints`, and the plain files beside it, into the new folder `kept`, where
/// they stay whatever the trainer removes. The layout below `kept` is that below `checkpoints`, so it can be laid back.
///
/// # Errors
/// The file system's, or a folder that is no plain name: a trainer's word must not lead out of its place.
pub(super) fn keep(checkpoints: &Path, folder: &str, kept: &Path) -> io::Result<()> {
    let mut components = Path::new(folder).components();
    if !matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    ) {
        return Err(io::Error::other(format!(
            "{folder:?} is no folder below its checkpoints"
        )));
    }
    link_all(&checkpoints.join(folder), &kept.join(folder))?;
    for entry in fs::read_dir(checkpoints)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && !name.to_string_lossy().ends_with(PARTIAL) {
            fs::hard_link(entry.path(), kept.join(name))?;
        }
    }
    Ok(())
}

fn link_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            link_all(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::keep;
    use std::fs;

    #[test]
    fn a_kept_checkpoint_outlives_the_trainers_own() {
        let folder = tempfile::tempdir().unwrap();
        let (checkpoints, kept) = (folder.path().join("checkpoints"), folder.path().join("kept"));
        fs::create_dir_all(checkpoints.join("checkpoint-2")).unwrap();
        fs::create_dir_all(checkpoints.join("checkpoint-1")).unwrap();
        for (file, text) in [
            ("checkpoint-2/a", "two"),
            ("checkpoint-1/a", "one"),
            ("best-1", "best"),
            ("best.partial", ""),
        ] {
            fs::write(checkpoints.join(file), text).unwrap();
        }
        keep(&checkpoints, "checkpoint-2", &kept).unwrap();
        fs::remove_dir_all(&checkpoints).unwrap();

        assert_eq!(fs::read_to_string(kept.join("checkpoint-2/a")).unwrap(), "two");
        assert_eq!(fs::read_to_string(kept.join("best-1")).unwrap(), "best");
        assert!(!kept.join("best.partial").exists() && !kept.join("checkpoint-1").exists());
    }

    #[test]
    fn checkpoints_stay_in_their_place() {
        let folder = tempfile::tempdir().unwrap();
        for hostile in ["", ".", "..", "../x", "/etc", "a/b"] {
            assert!(
                keep(folder.path(), hostile, &folder.path().join("kept")).is_err(),
                "{hostile}"
            );
        }
    }
}
