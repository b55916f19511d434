//! The file: opened, created and brought to this version's schema.

use super::clock;
use anyhow::{Context, bail};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a statement waits for another process's, each of which takes milliseconds.
const BUSY: Duration = Duration::from_secs(10);

/// Version of the schema, in the file's `user_version`.
const SCHEMA: i64 = 1;

/// * `visible_at`: when it may be delivered, by [`clock::now`]; 0 is at once.
/// * `visible_wall`, `hidden_ms`: the same by [`clock::wall`], and how far ahead that was when it was set.
/// * `receipt`: of the delivery whose visibility ends at `visible_at`; NULL: it was published, put back or buried.
/// * `dead_reason`: NULL lives.
const CREATE: &str = "
CREATE TABLE messages (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    accelerator  TEXT    NOT NULL,
    body         BLOB    NOT NULL,
    visible_at   INTEGER NOT NULL,
    visible_wall INTEGER NOT NULL,
    hidden_ms    INTEGER NOT NULL,
    receipt      TEXT,
    deliveries   INTEGER NOT NULL DEFAULT 0,
    dead_reason  TEXT,
    dead_wall    INTEGER
) STRICT;
CREATE INDEX living ON messages (accelerator, id) WHERE dead_reason IS NULL;
CREATE INDEX dead ON messages (accelerator, id) WHERE dead_reason IS NOT NULL;
CREATE TABLE boot (id TEXT NOT NULL) STRICT;
INSERT INTO boot VALUES ('');
";

/// An open queue file.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    inode: (u64, u64),
}

impl Database {
    /// Opens `path`; creates it and its folder if `create`, otherwise a file that is not there is `None`.
    pub(super) fn open(path: &Path, create: bool) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            if !create {
                return creatable(path).map(|()| None);
            }
            if let Some(folder) = folder(path) {
                std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let flags = if create {
            flags | OpenFlags::SQLITE_OPEN_CREATE
        } else {
            flags
        };
        let mut connection = Connection::open_with_flags(path, flags)?;
        if connection.is_readonly("main")? {
            bail!("{} cannot be written", path.display());
        }
        connection.busy_timeout(BUSY)?;
        // Closing would otherwise wait for the disk to merge the log; the next writer's commit does that as well.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        write_ahead(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut connection, path)?;
        rebase(&mut connection, &clock::boot()?)?;
        let inode = inode(path).with_context(|| format!("{} was removed", path.display()))?;
        Ok(Some(Self { connection, inode }))
    }

    /// Whether the file under `path` is still the one that is open.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        inode(path) == Some(self.inode)
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn folder(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Whether `path` could be created: its nearest folder that exists is one, and ours to write.
fn creatable(path: &Path) -> anyhow::Result<()> {
    let path = std::path::absolute(path)?;
    let mut place: PathBuf = path;
    while place.pop() {
        let Ok(found) = std::fs::metadata(&place) else { continue };
        if !found.is_dir() {
            bail!("{} is no folder", place.display());
        }
        let allowed = rustix::fs::access(&place, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
        return allowed.with_context(|| format!("{} cannot be written", place.display()));
    }
    bail!("no folder above it exists")
}

/// Write-ahead log: readers do not wait for writers. The switch is written into the file and needs it alone, without
/// SQLite's own waiting, so of several processes that create it at once some try again.
fn write_ahead(connection: &Connection) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => bail!("the file system allows no write-ahead log (journal mode {mode})"),
            Err(error) if is_busy(&error) && started.elapsed() < BUSY => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "SQLite tells nobody when its lock is free; the loop has a deadline"
                )]
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn migrate(connection: &mut Connection, path: &Path) -> anyhow::Result<()> {
    if version(connection)? == SCHEMA {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Looked at again: another process may have been first.
    match version(&transaction)? {
        0 => {
            transaction.execute_batch(CREATE)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
            transaction.commit()?;
            File::open(folder(path).unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(())
        }
        SCHEMA => Ok(()),
        newer => bail!("its schema is {newer}, of a newer version of Trainyard; this one knows {SCHEMA}"),
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// After a boot: no holder lives any more, and what is left of every delay is counted on the new clock.
fn rebase(connection: &mut Connection, boot: &str) -> anyhow::Result<()> {
    let seen = |connection: &Connection| connection.query_row("SELECT id FROM boot", (), |row| row.get::<_, String>(0));
    if seen(connection)? == boot {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if seen(&transaction)? != boot {
        transaction.execute(
            "UPDATE messages SET receipt = NULL, visible_at = CASE
               WHEN receipt IS NOT NULL OR visible_at = 0 THEN 0
               ELSE ?1 + max(0, min(hidden_ms, visible_wall - ?2)) END",
            params![clock::now(), clock::wall()],
        )?;
        transaction.execute("UPDATE boot SET id = ?1", [boot])?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(database: &Database) -> Vec<i64> {
        let mut rows = database
            .connection
            .prepare("SELECT visible_at FROM messages ORDER BY id")
            .expect("a query");
        let found = rows.query_map((), |row| row.get(0)).expect("rows");
        found.collect::<Result<_, _>>().expect("numbers")
    }

    #[test]
    fn after_a_boot_nothing_is_in_hand_and_delays_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = Database::open(&folder.path().join("q.db"), true)
            .expect("opens")
            .expect("is there");
        // In hand; 10 s to go by the wall; overdue; the wall clock was set back by a day; ready.
        let wall = clock::wall();
        for (visible_at, visible_wall, hidden_ms, receipt) in [
            (i64::MAX, wall + 60_000, 60_000, Some("r")),
            (i64::MAX, wall + 10_000, 30_000, None),
            (i64::MAX, wall - 10_000, 30_000, None),
            (i64::MAX, wall + 86_400_000, 30_000, None),
            (0, wall, 0, None),
        ] {
            let insert = "INSERT INTO messages (accelerator, body, visible_at, visible_wall, hidden_ms, receipt)
                          VALUES ('cpu', x'', ?1, ?2, ?3, ?4)";
            let row = params![visible_at, visible_wall, hidden_ms, receipt];
            database.connection.execute(insert, row).expect("a row");
        }
        let before = clock::now();
        rebase(&mut database.connection, "another boot").expect("rebases");
        let left: Vec<i64> = visible(&database)
            .into_iter()
            .map(|at| if at == 0 { 0 } else { at - before })
            .collect();
        assert_eq!((left[0], left[4]), (0, 0));
        assert!((5_000..=10_000 + 5_000).contains(&left[1]), "{left:?}");
        assert!((0..=5_000).contains(&left[2]), "{left:?}");
        assert!((30_000..=35_000).contains(&left[3]), "{left:?}");
        let settled = visible(&database);
        rebase(&mut database.connection, "another boot").expect("does nothing");
        assert_eq!(visible(&database), settled);
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("q.db");
        let database = Database::open(&path, true).expect("opens").expect("is there");
        database
            .connection
            .pragma_update(None, "user_version", SCHEMA + 1)
            .expect("a version");
        drop(database);
        let error = Database::open(&path, true).expect_err("must be refused");
        assert!(error.to_string().contains("newer version"), "{error}");
    }
}
