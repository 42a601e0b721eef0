//! In one process with connections of SQLite's own VFS, which stand for another copy of SQLite:
//! they know POSIX locks only.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use ofd_vfs::{Claim, Claimed};
use rusqlite::{Connection, OpenFlags};

use common::{PAIRS, count, descriptors_of, foreign, is_busy, ours, stage};

#[test]
fn only_one_connection_writes_at_a_time() {
    for (one, other) in PAIRS {
        let stage = stage();
        let (one, other) = (one(&stage.path), other(&stage.path));
        one.execute_batch("begin immediate; insert into t values (2)").unwrap();
        assert!(is_busy(&other.execute_batch("begin immediate")));
        // Readers see the old contents until the commit, and the journal is not mistaken for a
        // stale one.
        assert_eq!(count(&other).unwrap(), 1);
        one.execute_batch("commit").unwrap();
        assert_eq!(count(&other).unwrap(), 2);
        other.execute_batch("begin exclusive; insert into t values (3)").unwrap();
        assert!(is_busy(&count(&one).map(drop)));
        other.execute_batch("rollback").unwrap();
        assert_eq!(count(&one).unwrap(), 2);
    }
}

#[test]
fn a_writer_waits_for_readers() {
    for (one, other) in PAIRS {
        let stage = stage();
        let (one, other) = (one(&stage.path), other(&stage.path));
        let mut statement = other.prepare("select x from t union all select 5").unwrap();
        let mut reading = statement.query([]).unwrap();
        reading.next().unwrap();
        one.execute_batch("begin; insert into t values (2)").unwrap();
        assert!(is_busy(&one.execute_batch("commit")));
        // A waiting writer keeps new readers out.
        let third = ours(&stage.path);
        assert!(is_busy(&count(&third).map(drop)));
        drop(reading);
        drop(statement);
        one.execute_batch("commit").unwrap();
        assert_eq!(count(&third).unwrap(), 2);
    }
}

#[test]
fn closing_a_connection_drops_no_lock_of_another() {
    for (one, other) in PAIRS {
        let stage = stage();
        let writer = one(&stage.path);
        writer.execute_batch("begin immediate; insert into t values (2)").unwrap();
        for _ in 0..3 {
            let passing = other(&stage.path);
            assert_eq!(count(&passing).unwrap(), 1);
        }
        assert!(is_busy(&ours(&stage.path).execute_batch("begin immediate")));
        assert!(is_busy(&foreign(&stage.path).execute_batch("begin immediate")));
        writer.execute_batch("commit").unwrap();
        drop(writer);
        // Closing that was deferred is done by now.
        drop(ours(&stage.path));
        assert_eq!(descriptors_of(&stage.path), 0);
    }
}

#[test]
fn a_hot_journal_is_rolled_back() {
    let stage = stage();
    let writer = ours(&stage.path);
    writer.execute_batch("pragma cache_size = 1; create table big (x)").unwrap();
    writer
        .execute_batch(
            "begin; with n(i) as (select 1 union all select i + 1 from n where i < 1000)
             insert into big select randomblob(500) from n",
        )
        .unwrap();
    // As after a power cut: some pages are written, and the journal holds their old contents.
    let copy = stage.path.with_file_name("copy.db");
    std::fs::copy(&stage.path, &copy).unwrap();
    std::fs::copy(stage.path.with_file_name("a.db-journal"), copy.with_file_name("copy.db-journal")).unwrap();
    let found = ours(&copy);
    let ok: String = found.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!((ok.as_str(), count(&found).unwrap()), ("ok", 1));
    assert!(!copy.with_file_name("copy.db-journal").exists());
}

#[test]
fn a_file_that_was_replaced_is_not_written_to() {
    let stage = stage();
    let connection = ours(&stage.path);
    count(&connection).unwrap();
    std::fs::rename(&stage.path, stage.path.with_file_name("moved.db")).unwrap();
    let error = connection.execute_batch("insert into t values (2)").unwrap_err();
    let rusqlite::Error::SqliteFailure(failure, _) = error else { panic!("{error}") };
    assert_eq!(failure.extended_code, rusqlite::ffi::SQLITE_READONLY_DBMOVED);
}

#[test]
fn a_read_only_file() {
    let stage = stage();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags_and_vfs(&stage.path, flags, ofd_vfs::name().unwrap()).unwrap();
    assert_eq!(count(&reader).unwrap(), 1);
    assert!(reader.execute_batch("insert into t values (2)").is_err());
    drop(reader);
    assert_eq!(descriptors_of(&stage.path), 0);
}

#[test]
fn a_claim_names_its_process_and_admits_connections_without_one() {
    let stage = stage();
    let Claimed::Ours(claim) = Claim::take(&stage.path).unwrap() else { panic!() };
    assert!(matches!(Claim::take(&stage.path).unwrap(), Claimed::By(process) if process == std::process::id()));
    for open in [ours, foreign] {
        open(&stage.path).execute_batch("insert into t values (2)").unwrap();
    }
    assert!(matches!(Claim::take(&stage.path).unwrap(), Claimed::By(_)));
    // The claim ends at once, even if the file cannot be closed yet.
    let reader = foreign(&stage.path);
    reader.execute_batch("begin; select * from t").unwrap();
    drop(claim);
    assert!(matches!(Claim::take(&stage.path).unwrap(), Claimed::Ours(_)));
}
