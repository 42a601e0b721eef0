//! A file that was replaced while it is open: the journal at the path belongs to the new file.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;

use rusqlite::{Connection, OpenFlags};

const SPILLS: &str = "pragma cache_size = 1; begin immediate; \
     with recursive n(x) as (select 1 union all select x + 1 from n where x < 5000) insert into t select x from n";

#[test]
fn the_journal_of_a_file_that_replaced_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, journal) = (folder.path().join("a.db"), folder.path().join("a.db-journal"));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let ours = Connection::open_with_flags_and_vfs(&path, flags, ofd_vfs::name().unwrap()).unwrap();
    let count = || ours.query_row("select count(*) from t", [], |row| row.get::<_, i64>(0));
    ours.execute_batch("create table t (x)").unwrap();
    assert_eq!(count().unwrap(), 0);

    fs::rename(&path, folder.path().join("b.db")).unwrap();
    let another = Connection::open(&path).unwrap();
    another.execute_batch("create table t (x)").unwrap();
    another.execute_batch(SPILLS).unwrap();
    let before = fs::read(&journal).unwrap();
    assert!(!before.is_empty());
    let _ = count();
    assert_eq!(fs::read(&journal).unwrap(), before);
    another.execute_batch("commit").unwrap();
    assert_eq!(another.query_row("select count(*) from t", [], |row| row.get::<_, i64>(0)).unwrap(), 5000);
}
