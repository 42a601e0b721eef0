//! Files in WAL mode, beside connections of SQLite's own VFS in the same process, which stand for
//! another copy of SQLite.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use common::{Open, PAIRS, Stage, count, descriptors_of, foreign, is_busy, ours, stage};

const TO_WAL: &str = "pragma journal_mode = wal";
const BACK: &str = "pragma journal_mode = delete";

fn stage_in_wal_mode() -> Stage {
    let stage = stage();
    foreign(&stage.path).execute_batch(TO_WAL).unwrap();
    stage
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("{}{suffix}", path.file_name().unwrap().to_str().unwrap()))
}

fn is_whole(connection: &Connection) -> bool {
    connection.query_row("pragma integrity_check", [], |row| row.get::<_, String>(0)).unwrap() == "ok"
}

/// Copies the files of a database to another path, as a power cut would leave them.
fn crash_copy(path: &Path) -> PathBuf {
    let copy = path.with_file_name("left.db");
    for suffix in ["", "-wal", "-shm"] {
        if beside(path, suffix).exists() {
            fs::copy(beside(path, suffix), beside(&copy, suffix)).unwrap();
        }
    }
    copy
}

#[test]
fn only_one_connection_writes_at_a_time_and_all_may_read() {
    for (one, other) in PAIRS {
        let stage = stage_in_wal_mode();
        let (one, other) = (one(&stage.path), other(&stage.path));
        one.execute_batch("begin immediate; insert into t values (2)").unwrap();
        assert!(is_busy(&other.execute_batch("begin immediate")));
        assert_eq!(count(&other).unwrap(), 1);
        other.execute_batch("begin; select count(*) from t").unwrap();
        assert_eq!(count(&other).unwrap(), 1);
        one.execute_batch("commit").unwrap();
        assert_eq!(count(&other).unwrap(), 1);
        other.execute_batch("commit").unwrap();
        assert_eq!(count(&other).unwrap(), 2);
        other.execute_batch("insert into t values (3)").unwrap();
        assert_eq!(count(&one).unwrap(), 3);
    }
}

#[test]
fn a_checkpoint_waits_for_readers() {
    for (one, other) in PAIRS {
        let stage = stage_in_wal_mode();
        let (one, other) = (one(&stage.path), other(&stage.path));
        let checkpoint = || one.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, i64>(0)).unwrap();
        other.execute_batch("begin; select * from t").unwrap();
        assert_eq!(count(&other).unwrap(), 1);
        one.execute_batch("insert into t values (2)").unwrap();
        assert_eq!(checkpoint(), 1);
        assert_eq!(count(&other).unwrap(), 1);
        other.execute_batch("commit").unwrap();
        assert_eq!(checkpoint(), 0);
        assert_eq!(count(&other).unwrap(), 2);
    }
}

#[test]
fn closing_a_connection_drops_no_lock_of_another_and_removes_nothing() {
    for (one, other) in PAIRS {
        let stage = stage_in_wal_mode();
        let writer = one(&stage.path);
        writer.execute_batch("insert into t values (2); begin immediate; insert into t values (3)").unwrap();
        let number = |suffix| fs::metadata(beside(&stage.path, suffix)).unwrap().ino();
        let numbers = ["-wal", "-shm"].map(number);
        for _ in 0..3 {
            let passing = other(&stage.path);
            assert_eq!(count(&passing).unwrap(), 2);
            assert!(is_busy(&passing.execute_batch("begin immediate")));
        }
        for open in [ours, foreign] {
            assert!(is_busy(&open(&stage.path).execute_batch("begin immediate")));
            assert!(is_busy(&open(&stage.path).execute_batch(BACK)));
        }
        writer.execute_batch("commit").unwrap();
        assert_eq!(["-wal", "-shm"].map(number), numbers);
        let left = crash_copy(&stage.path);
        assert_eq!(count(&foreign(&left)).unwrap(), 3);
        drop(writer);
        // The last connection to close has written everything back.
        drop(ours(&stage.path));
        for suffix in ["", "-wal", "-shm"] {
            assert_eq!(descriptors_of(&beside(&stage.path, suffix)), 0);
            assert_eq!(beside(&stage.path, suffix).exists(), suffix.is_empty());
        }
        assert_eq!(count(&foreign(&stage.path)).unwrap(), 3);
    }
}

#[test]
fn to_wal_mode_and_back_under_open_connections() {
    for (one, other) in PAIRS {
        let stage = stage();
        let staying = one(&stage.path);
        assert_eq!(count(&staying).unwrap(), 1);
        for round in 1..4 {
            let switching = other(&stage.path);
            switching.execute_batch(TO_WAL).unwrap();
            switching.execute_batch("insert into t values (2)").unwrap();
            assert_eq!(count(&staying).unwrap(), 3 * round - 1);
            staying.execute_batch("insert into t values (3)").unwrap();
            // A connection that has the file open in WAL mode keeps it in WAL mode, whichever copy
            // of SQLite is asked to change it.
            assert!(is_busy(&switching.execute_batch(BACK)));
            drop(switching);
            assert_eq!(count(&foreign(&crash_copy(&stage.path))).unwrap(), 3 * round);
            staying.execute_batch(BACK).unwrap();
            staying.execute_batch("insert into t values (4)").unwrap();
            assert!(!beside(&stage.path, "-wal").exists());
            assert_eq!(count(&other(&stage.path)).unwrap(), 3 * round + 1);
        }
        assert!(is_whole(&staying));
    }
}

#[test]
fn a_wal_left_by_a_crash_is_read() {
    let stage = stage_in_wal_mode();
    for (left_by, found_by) in PAIRS {
        let writer = left_by(&stage.path);
        writer.execute_batch("delete from t; insert into t values (1), (2), (3)").unwrap();
        let left = crash_copy(&stage.path);
        // The shared memory after a crash must not be trusted.
        fs::write(beside(&left, "-shm"), vec![7; 40_000]).unwrap();
        let found = found_by(&left);
        assert_eq!(count(&found).unwrap(), 3);
        assert!(is_whole(&found));
        drop(found);
        assert!(!beside(&left, "-wal").exists());
    }
}

/// More than one part of the shared memory: more than 4,096 pages in the WAL.
#[test]
fn a_large_wal() {
    let stage = stage_in_wal_mode();
    for (one, other) in PAIRS {
        let (one, other) = (one(&stage.path), other(&stage.path));
        one.execute_batch(
            "pragma wal_autocheckpoint = 0; drop table if exists big; create table big (x);
             with n(i) as (select 1 union all select i + 1 from n where i < 12000)
             insert into big select zeroblob(3000) from n",
        )
        .unwrap();
        assert!(fs::metadata(beside(&stage.path, "-shm")).unwrap().len() > 2 * 32_768);
        let rows = |connection: &Connection| {
            connection.query_row("select count(*) from big", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(rows(&other), 12_000);
        other.execute_batch("delete from big where rowid % 2").unwrap();
        assert_eq!(rows(&one), 6_000);
        assert!(is_whole(&one));
    }
}

#[test]
fn many_threads_write_at_once() {
    let stage = stage_in_wal_mode();
    let opens: [Open; 4] = [ours, foreign, ours, foreign];
    thread::scope(|scope| {
        for open in opens {
            let path = &stage.path;
            scope.spawn(move || {
                for _ in 0..20 {
                    // Each connection opens and closes the shared memory too.
                    let connection = open(path);
                    connection.busy_timeout(Duration::from_mins(10)).unwrap();
                    for _ in 0..5 {
                        connection.execute_batch("insert into t values (2)").unwrap();
                    }
                }
            });
        }
    });
    let last = ours(&stage.path);
    assert_eq!(count(&last).unwrap(), 1 + 4 * 20 * 5);
    assert!(is_whole(&last));
}

#[test]
fn closed_connections_leak_no_descriptors() {
    let stage = stage_in_wal_mode();
    let staying = foreign(&stage.path);
    assert_eq!(count(&staying).unwrap(), 1);
    let open = || ["", "-shm"].map(|suffix| descriptors_of(&beside(&stage.path, suffix)));
    assert_eq!(count(&ours(&stage.path)).unwrap(), 1);
    let before = open();
    for _ in 0..20 {
        assert_eq!(count(&ours(&stage.path)).unwrap(), 1);
    }
    assert_eq!(open(), before);
    drop(staying);
    drop(ours(&stage.path));
    assert_eq!(open(), [0, 0]);
}

#[test]
fn a_file_that_was_replaced_is_not_written_to_and_not_read_through_the_wal() {
    let stage = stage();
    let before_wal = ours(&stage.path);
    assert_eq!(count(&before_wal).unwrap(), 1);
    foreign(&stage.path).execute_batch(TO_WAL).unwrap();
    let in_wal = ours(&stage.path);
    in_wal.execute_batch("insert into t values (2)").unwrap();
    let (moved, other) = (stage.path.with_file_name("moved.db"), stage.path.with_file_name("other.db"));
    foreign(&other).execute_batch("create table t (x); insert into t values (1), (2), (3), (4)").unwrap();
    fs::rename(&stage.path, &moved).unwrap();
    fs::rename(&other, &stage.path).unwrap();
    for connection in [&in_wal, &before_wal] {
        let error = connection.execute_batch("insert into t values (3)").unwrap_err();
        let rusqlite::Error::SqliteFailure(failure, _) = error else { panic!("{error}") };
        assert_eq!(failure.extended_code, ffi::SQLITE_READONLY_DBMOVED);
    }
    drop(before_wal);
    drop(in_wal);
    // Each file has its own contents.
    assert_eq!(count(&foreign(&stage.path)).unwrap(), 4);
    assert_eq!(count(&foreign(&moved)).unwrap(), 2);
    assert!(is_whole(&foreign(&stage.path)));
}

/// Clean-up programs delete WAL files, because they look like temporary files.
#[test]
fn a_deleted_wal_is_still_written_back() {
    let stage = stage_in_wal_mode();
    let connection = ours(&stage.path);
    connection.execute_batch("insert into t values (2)").unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&stage.path, suffix)).unwrap();
    }
    assert!(connection.execute_batch("insert into t values (3)").is_err());
    drop(connection);
    assert_eq!(count(&foreign(&stage.path)).unwrap(), 2);
}

#[test]
fn the_shared_memory_has_the_mode_of_the_file() {
    let stage = stage_in_wal_mode();
    for mode in [0o600, 0o666] {
        fs::set_permissions(&stage.path, fs::Permissions::from_mode(mode)).unwrap();
        let connection = ours(&stage.path);
        assert_eq!(count(&connection).unwrap(), 1);
        assert_eq!(fs::metadata(beside(&stage.path, "-shm")).unwrap().mode() & 0o777, mode);
    }
}

#[test]
fn a_read_only_file() {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read_only = |path: &Path| Connection::open_with_flags_and_vfs(path, flags, ofd_vfs::name().unwrap()).unwrap();
    let stage = stage_in_wal_mode();
    for writer in [ours, foreign] {
        let writer = writer(&stage.path);
        writer.execute_batch("delete from t; insert into t values (1), (2)").unwrap();
        let reader = read_only(&stage.path);
        assert_eq!(count(&reader).unwrap(), 2);
        writer.execute_batch("insert into t values (3)").unwrap();
        assert_eq!(count(&reader).unwrap(), 3);
        let error = reader.execute_batch("insert into t values (4)").unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly));
    }
    let reader = read_only(&stage.path);
    assert_eq!(count(&reader).unwrap(), 3);
}
