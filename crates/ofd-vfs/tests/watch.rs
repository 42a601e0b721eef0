//! Seeing commits of other connections without asking SQLite.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code)] // The other tests use all of it.
mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use ofd_vfs::{Mark, Watch};
use rusqlite::Connection;

use common::{Open, Stage, count, foreign, ours, stage};

/// A connection of this VFS, and its watch.
struct Watched {
    connection: Connection,
    watch: Watch,
    /// What was counted, and the mark then.
    known: Option<(i64, Mark)>,
}

impl Watched {
    fn open(path: &Path) -> Self {
        let connection = ours(path);
        Self { connection, watch: ofd_vfs::take_watch().unwrap(), known: None }
    }

    /// Asks SQLite.
    fn ask(&mut self) -> i64 {
        let before = self.watch.now();
        let counted = count(&self.connection).unwrap();
        self.known = self.watch.seen(before).map(|mark| (counted, mark));
        counted
    }

    /// Returns what was counted last, if nothing was committed since.
    fn without_asking(&self) -> Option<i64> {
        self.known.filter(|known| Some(known.1) == self.watch.now()).map(|known| known.0)
    }
}

const MODES: [&str; 2] = ["pragma journal_mode = delete", "pragma journal_mode = wal"];
const OTHERS: [Open; 2] = [ours, foreign];

fn stages() -> impl Iterator<Item = (Stage, Connection)> {
    MODES.into_iter().flat_map(|mode| {
        OTHERS.map(|open| {
            let stage = stage();
            foreign(&stage.path).execute_batch(mode).unwrap();
            let other = open(&stage.path);
            (stage, other)
        })
    })
}

#[test]
fn a_commit_of_another_connection_is_seen_and_nothing_else() {
    for (stage, other) in stages() {
        let mut watched = Watched::open(&stage.path);
        // In WAL mode it is known from the second time on.
        watched.ask();
        for rows in 1..50 {
            assert_eq!(watched.ask(), rows);
            assert_eq!(watched.without_asking(), Some(rows));
            other.execute_batch("begin immediate; insert into t values (2)").unwrap();
            assert_eq!(watched.without_asking(), Some(rows));
            other.execute_batch("rollback").unwrap();
            assert_eq!(watched.without_asking(), Some(rows));
            other.execute_batch("insert into t values (2)").unwrap();
            assert_eq!(watched.without_asking(), None);
        }
    }
}

#[test]
fn own_commits_are_seen_too() {
    for (stage, other) in stages() {
        let mut watched = Watched::open(&stage.path);
        for rows in 1..20 {
            assert_eq!(watched.ask(), 2 * rows - 1);
            watched.connection.execute_batch("insert into t values (2)").unwrap();
            assert_eq!(watched.without_asking(), None);
            watched.ask();
            watched.connection.execute_batch("begin immediate; insert into t values (2); rollback").unwrap();
            watched.ask();
            other.execute_batch("insert into t values (2)").unwrap();
            assert_eq!(watched.without_asking(), None);
        }
    }
}

#[test]
fn a_change_of_the_mode_is_seen() {
    let stage = stage();
    let mut watched = Watched::open(&stage.path);
    for rows in 1..10 {
        assert_eq!(watched.ask(), rows);
        let other = foreign(&stage.path);
        other.execute_batch(MODES[1]).unwrap();
        other.execute_batch("insert into t values (2)").unwrap();
        assert_eq!(watched.without_asking(), None);
        assert_eq!(watched.ask(), rows + 1);
        // In WAL mode it is known from the second time on.
        watched.ask();
        assert_eq!(watched.without_asking(), Some(rows + 1));
        other
            .execute_batch("pragma wal_checkpoint(truncate); delete from t where rowid in (select max(rowid) from t)")
            .unwrap();
        assert_eq!(watched.without_asking(), None);
        other.execute_batch("insert into t values (2)").unwrap();
        drop(other);
        watched.connection.execute_batch(MODES[0]).unwrap();
    }
}

#[test]
fn a_connection_that_keeps_its_lock_is_seen() {
    let stage = stage();
    let mut watched = Watched::open(&stage.path);
    let mut rows = 1;
    for _ in 0..10 {
        assert_eq!(watched.ask(), rows);
        let other = foreign(&stage.path);
        other.execute_batch("pragma locking_mode = exclusive").unwrap();
        for _ in 0..3 {
            other.execute_batch("insert into t values (2)").unwrap();
            assert_eq!(watched.without_asking(), None);
        }
        drop(other);
        rows += 3;
    }
}

#[test]
fn a_commit_that_a_crash_undoes_is_not_taken_for_one() {
    let stage = stage();
    let mut watched = Watched::open(&stage.path);
    assert_eq!(watched.ask(), 1);
    let (path, journal) = (&stage.path, stage.path.with_file_name("a.db-journal"));
    let (before, header) = (fs::read(path).unwrap(), 24..28);
    // A journal is left of a write that had reached the header.
    let other = foreign(path);
    other.execute_batch("begin immediate; create table u (x)").unwrap();
    other.cache_flush().unwrap();
    let (left, torn) = (fs::read(&journal).unwrap(), fs::read(path).unwrap());
    other.execute_batch("rollback").unwrap();
    drop(other);
    fs::write(&journal, left).unwrap();
    let mut torn = torn;
    torn[header.clone()].copy_from_slice(&[0, 0, 0, 99]);
    fs::write(path, torn).unwrap();
    assert_eq!(watched.without_asking(), None);
    assert_eq!(watched.ask(), 1);
    assert_eq!(fs::read(path).unwrap()[header.clone()], before[header]);
    assert_eq!(watched.without_asking(), Some(1));
    foreign(path).execute_batch("insert into t values (2)").unwrap();
    assert_eq!(watched.without_asking(), None);
    assert_eq!(watched.ask(), 2);
}

/// What was committed before the file is looked at is seen, whenever that is.
#[test]
fn no_commit_is_missed_while_others_commit_all_the_time() {
    for mode in MODES {
        let stage = stage();
        foreign(&stage.path).execute_batch(mode).unwrap();
        let committed = AtomicI64::new(1);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let other = foreign(&stage.path);
                other.busy_timeout(Duration::from_mins(1)).unwrap();
                other.execute_batch("pragma synchronous = off").unwrap();
                for _ in 0..2000 {
                    other.execute_batch("insert into t values (2)").unwrap();
                    committed.fetch_add(1, Ordering::SeqCst);
                }
            });
            let mut watched = Watched::open(&stage.path);
            watched.connection.busy_timeout(Duration::from_mins(1)).unwrap();
            let mut confirmed = 0;
            while !writer.is_finished() {
                let least = committed.load(Ordering::SeqCst);
                if let Some(known) = watched.without_asking() {
                    confirmed += 1;
                    assert!(known >= least, "{known} of {least}");
                } else {
                    assert!(watched.ask() >= least);
                }
            }
            println!("{mode}: {confirmed} times without asking");
        });
    }
}

#[test]
fn a_copy_and_a_replaced_file_are_other_files() {
    let stage = stage();
    let watched = Watched::open(&stage.path);
    let again = Watched::open(&stage.path);
    assert!(again.watch.is_same_file(&watched.watch));
    let copy = stage.path.with_file_name("copy.db");
    fs::copy(&stage.path, &copy).unwrap();
    fs::rename(&copy, &stage.path).unwrap();
    assert!(!Watched::open(&stage.path).watch.is_same_file(&watched.watch));
}
