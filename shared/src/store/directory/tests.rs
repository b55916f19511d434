//! What only a directory can show: late links, planted links, and what lies where.

use super::errors::failed;
use super::generations::KEPT;
use super::objects::Objects;
use super::root::Root;
use crate::store::{Conflict, Key, StoreError};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

fn open(folder: &Path) -> Objects {
    Objects::new(Root::open(folder).expect("a root"))
}

fn place() -> (TempDir, Objects) {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = open(folder.path());
    (folder, objects)
}

fn content(objects: &Objects, key: &Key) -> Vec<u8> {
    objects.get(key).expect("reads").expect("is there").bytes.to_vec()
}

fn replace(objects: &Objects, key: &Key, rounds: u64) {
    for round in 0..rounds {
        let etag = objects.get(key).expect("reads").expect("is there").etag;
        objects
            .replace(key, &etag, format!("other {round}").as_bytes())
            .expect("wins");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("text")).collect();
    names.sort();
    names
}

fn denied<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Denied { .. })), "{result:?}");
}

/// However long a writer sleeps before its link, others go on and it does not win.
#[test]
fn a_writer_that_sleeps_before_its_link_cannot_win() {
    for others in [1, 2, KEPT - 1, KEPT, KEPT + 1, KEPT * 2 + 3] {
        let (folder, sleeper) = place();
        let key = key("job/state.json");
        let etag = sleeper.put_new(&key, b"start").expect("wins");
        let late = sleeper.prepare(&key, &etag, b"late").expect("its condition holds");
        let other = open(folder.path());
        replace(&other, &key, others);
        let error = sleeper.commit(&key, late).expect_err("must not win");
        let expected = if others > KEPT {
            Conflict::Unknown
        } else {
            Conflict::Changed
        };
        assert_eq!(error.conflict(), Some(expected), "after {others}");
        assert_eq!(content(&other, &key), format!("other {}", others - 1).into_bytes());
        let generations = names(&folder.path().join("job/state.json.~"));
        assert_eq!(
            generations.len() as u64,
            others.min(KEPT),
            "the late one left its file: {generations:?}"
        );
    }
}

#[test]
fn a_writer_that_sleeps_through_a_deletion_cannot_win() {
    for (replaced, created_anew) in [(0, false), (0, true), (1, false), (1, true), (KEPT + 1, false)] {
        let (folder, sleeper) = place();
        let key = key("job/state.json");
        sleeper.put_new(&key, b"start").expect("wins");
        replace(&sleeper, &key, replaced);
        let etag = sleeper.get(&key).expect("reads").expect("is there").etag;
        let late = sleeper.prepare(&key, &etag, b"late").expect("its condition holds");
        let other = open(folder.path());
        other.delete(&key).expect("deletes");
        if created_anew {
            other.put_new(&key, b"new").expect("wins");
        }
        let error = sleeper.commit(&key, late).expect_err("must not win");
        assert_eq!(error.conflict(), Some(Conflict::Gone), "{replaced} {created_anew}");
        let found = other.get(&key).expect("reads").map(|object| object.bytes.to_vec());
        assert_eq!(found, created_anew.then(|| b"new".to_vec()));
    }
}

#[test]
fn nothing_is_left_of_what_is_deleted() {
    let (folder, objects) = place();
    let key = key("workers/one.json");
    objects.put_new(&key, b"start").expect("wins");
    replace(&objects, &key, KEPT * 2);
    objects.delete(&key).expect("deletes");
    assert_eq!(names(folder.path()), [".~tmp"]);
    assert_eq!(names(&folder.path().join(".~tmp")), [""; 0]);
}

#[test]
fn what_is_written_once_is_a_plain_file() {
    let (folder, objects) = place();
    objects.put_new(&key("root/model/config.json"), b"{}").expect("wins");
    objects
        .copy_new(&key("root/model/config.json"), &key("root/copy"))
        .expect("wins");
    assert_eq!(
        fs::read(folder.path().join("root/model/config.json")).expect("a file"),
        b"{}"
    );
    assert_eq!(fs::read(folder.path().join("root/copy")).expect("a file"), b"{}");
    assert_eq!(names(folder.path()), [".~tmp", "root"]);
    assert_eq!(
        names(&folder.path().join(".~tmp")),
        [""; 0],
        "temporary files were left"
    );
}

#[test]
fn few_generations_are_kept() {
    let (folder, objects) = place();
    let key = key("state.json");
    objects.put_new(&key, b"start").expect("wins");
    replace(&objects, &key, KEPT * 4);
    let generations = names(&folder.path().join("state.json.~"));
    assert_eq!(generations.len() as u64, KEPT);
    assert_eq!(generations.last().map(String::as_str), Some("00000064"));
    assert!(
        !folder.path().join("state.json").exists(),
        "the first content is out of date and misleads people"
    );
}

#[test]
fn planted_links_lead_nowhere() {
    let (folder, objects) = place();
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret"), "secret").expect("a file");
    let plant = |name: &str, to: &Path| symlink(to, folder.path().join(name)).expect("a link");
    plant("folder", outside.path());
    plant("file", &outside.path().join("secret"));
    plant("dangling", &outside.path().join("none"));
    plant("changing.~", outside.path());
    fs::write(folder.path().join("changing"), "inside").expect("a file");
    for name in ["folder/secret", "folder/new", "file", "dangling", "changing"] {
        let key = key(name);
        denied(objects.get(&key));
        denied(objects.size(&key));
        denied(objects.sha256(&key));
        denied(objects.put_new(&key, b"x"));
        denied(objects.copy_new(&key, &self::key("stolen")));
        denied(objects.delete(&key));
    }
    assert_eq!(names(outside.path()), ["secret"]);
    assert_eq!(fs::read(outside.path().join("secret")).expect("a file"), b"secret");
    assert!(!folder.path().join("stolen").exists());
}

#[test]
fn a_planted_temporary_folder_leads_nowhere() {
    let (folder, objects) = place();
    let outside = tempfile::tempdir().expect("a folder");
    symlink(outside.path(), folder.path().join(".~tmp")).expect("a link");
    denied(objects.put_new(&key("object"), b"x"));
    assert_eq!(names(outside.path()), [""; 0]);
}

#[test]
fn a_planted_pipe_holds_nobody() {
    let (folder, objects) = place();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    denied(objects.get(&key("pipe")));
}

#[test]
fn an_object_is_no_folder() {
    let (_folder, objects) = place();
    objects.put_new(&key("object"), b"x").expect("wins");
    assert!(objects.get(&key("object/below")).expect("reads").is_none());
    let error = objects.put_new(&key("object/below"), b"x").expect_err("must fail");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[test]
fn temporary_files_of_the_dead_are_swept_after_a_day() {
    let (folder, objects) = place();
    let temporary = folder.path().join(".~tmp");
    fs::create_dir(&temporary).expect("a folder");
    for (name, age) in [("old", 25), ("young", 23)] {
        let file = File::create(temporary.join(name)).expect("a file");
        let written = SystemTime::now() - Duration::from_secs(age * 60 * 60);
        file.set_modified(written).expect("a time");
    }
    let discarded = temporary.join("discarded");
    fs::create_dir(&discarded).expect("a folder");
    fs::write(discarded.join("00000001"), "x").expect("a file");
    let written = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    File::open(&discarded)
        .expect("a folder")
        .set_modified(written)
        .expect("a time");
    objects.put_new(&key("object"), b"x").expect("wins");
    assert_eq!(names(&temporary), ["young"]);
}

#[test]
fn where_links_cannot_bytes_are_copied_once() {
    let (folder, objects) = place();
    objects.put_new(&key("from"), b"content").expect("wins");
    let source = || File::open(folder.path().join("from")).expect("a file");
    objects.copy_bytes(&mut source(), &key("to")).expect("wins");
    assert_eq!(content(&objects, &key("to")), b"content");
    let error = objects.copy_bytes(&mut source(), &key("to")).expect_err("is there");
    assert_eq!(error.conflict(), Some(Conflict::Changed));
}

#[test]
fn a_full_disk_and_a_closed_door_are_told_apart() {
    let error = |errno| failed(&key("object"), errno);
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        assert!(matches!(error(errno), StoreError::NoSpace { .. }));
    }
    for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::LOOP] {
        assert!(matches!(error(errno), StoreError::Denied { .. }));
    }
    for errno in [Errno::IO, Errno::STALE, Errno::MFILE] {
        assert!(matches!(error(errno), StoreError::Unavailable { .. }));
    }
}
