//! A file, and connections to it by this VFS and by SQLite's own VFS, which stands for another copy
//! of SQLite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::TempDir;

pub struct Stage {
    _folder: TempDir,
    pub path: PathBuf,
}

pub fn stage() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    foreign(&path).execute_batch("create table t (x); insert into t values (1)").unwrap();
    Stage { _folder: folder, path }
}

pub fn ours(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, ofd_vfs::name().unwrap()).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection
}

pub fn foreign(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection
}

pub fn is_busy(result: &rusqlite::Result<()>) -> bool {
    matches!(result, Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::DatabaseBusy)
}

pub fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("select count(*) from t", [], |row| row.get(0))
}

pub fn descriptors_of(path: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    links.filter(|link| std::fs::read_link(link.as_ref().unwrap().path()).is_ok_and(|to| to == path)).count()
}

pub type Open = fn(&Path) -> Connection;

pub const PAIRS: [(Open, Open); 3] = [(ours, foreign), (foreign, ours), (ours, ours)];
