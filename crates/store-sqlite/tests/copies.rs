//! Copies of files that are in use, files that are only read, and whose an entity file is.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use session_core::entity::Entity;
use session_core::entity_table::EntityBatch;
use session_core::session::{Session, SessionOptions};
use session_core::store::{Backend, Kind, OpenOptions, Query};
use store_sqlite::{FileOwner, KeyLease, OWNER_TABLE, SqliteFile, VERSION_8, copy_file};
use zeroize::Zeroizing;

fn file(path: &Path) -> SqliteFile {
    SqliteFile::new(Some(path.to_owned()), VERSION_8)
}

fn open(backend: SqliteFile) -> Arc<Session> {
    Session::open(Arc::new(backend), SessionOptions::default(), &mut || true).unwrap().0
}

fn users(ids: std::ops::Range<i64>) -> EntityBatch {
    let mut batch = EntityBatch::default();
    for id in ids {
        batch.push(&Entity { id, access_hash: Some(-id), name: Some("Анна"), ..Entity::default() });
    }
    batch
}

fn filled(path: &Path, count: i64) {
    let session = open(file(path));
    session.put(users(1..count + 1));
    session.close(Duration::from_mins(2), &mut || true).unwrap();
}

/// Fills a file in a journal mode, and opens it as another program does.
fn filled_and_opened(path: &Path, count: i64, mode: &str) -> Connection {
    filled(path, count);
    let other = Connection::open(path).unwrap();
    other.execute_batch(&format!("pragma journal_mode = {mode}; create table numbers (n)")).unwrap();
    other
}

fn numbers(path: &Path) -> Vec<i64> {
    let file = Connection::open(path).unwrap();
    let whole: String = file.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    file.prepare("select n from numbers")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn a_file_that_is_written_all_the_time_is_copied_whole() {
    for mode in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("anon.session"), folder.path().join("copy.session"));
        let writer = filled_and_opened(&path, 2000, mode);
        writer.execute("insert into numbers values (0), (0)", []).unwrap();
        writer.busy_timeout(Duration::from_mins(1)).unwrap();
        thread::scope(|scope| {
            // Dropped by a panic, too.
            let running = Arc::new(());
            let is_running = Arc::downgrade(&running);
            scope.spawn(move || {
                let mut number = 0;
                while is_running.strong_count() > 0 {
                    number += 1;
                    writer.execute("update numbers set n = ?", [number]).unwrap();
                }
            });
            for _ in 0..5 {
                copy_file(&path, &copy, true, &mut || true).unwrap();
                let found = numbers(&copy);
                assert!(found.len() == 2 && found[0] == found[1], "{found:?}");
            }
        });
    }
}

/// SQLite begins to copy again where it sees that.
#[test]
fn a_file_that_is_written_between_all_steps_is_copied() {
    for mode in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("anon.session"), folder.path().join("copy.session"));
        let writer = filled_and_opened(&path, 50_000, mode);
        writer.busy_timeout(Duration::ZERO).unwrap();
        let mut steps = 0;
        let mut keep_going = || {
            steps += 1;
            // Refused while the copy is made under a lock.
            let _ = writer.execute("insert into numbers values (?)", [steps]);
            steps < 100
        };
        copy_file(&path, &copy, true, &mut keep_going).unwrap();
        let found = numbers(&copy);
        assert!(!found.is_empty());
        assert_eq!(found, (1..=i64::try_from(found.len()).unwrap()).collect::<Vec<_>>());
    }
}

#[test]
fn a_copy_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("anon.session"), folder.path().join("copy.session"));
    filled(&path, 2000);
    for steps in 0..3 {
        let mut left = steps;
        let mut keep_going = || {
            left -= 1;
            left >= 0
        };
        assert!(copy_file(&path, &copy, false, &mut keep_going).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    copy_file(&path, &copy, false, &mut || true).unwrap();
    assert_eq!(copy_file(&path, &copy, false, &mut || true).unwrap_err().kind(), Some(Kind::Exists));
}

#[test]
fn a_session_that_only_reads_sees_what_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    filled(&path, 2000);
    let session = open(file(&path).read_only());
    let writer = Connection::open(&path).unwrap();
    for mode in ["delete", "wal", "delete"] {
        writer.execute_batch(&format!("pragma journal_mode = {mode}")).unwrap();
        for id in [3000, 3001] {
            writer.execute("insert or replace into entities (id, hash) values (?1, ?1)", [id]).unwrap();
            assert_eq!(session.find(&Query::Id(id)), Some((id, Some(id))), "{mode}");
        }
        writer.execute("delete from entities where id >= 3000", []).unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_entity_file_is_of_one_account() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.session");
    let owner = |key: u8| Arc::new(FileOwner::new(Zeroizing::new(vec![key; 256])));
    let options = OpenOptions { may_create: true, timeout: Duration::ZERO };
    let opened = |owner: &Arc<FileOwner>| file(&path).owned_by(Arc::clone(owner)).open(options).map(drop);
    let (anna, bob) = (owner(1), owner(2));
    opened(&anna).unwrap();
    opened(&anna).unwrap();
    assert_eq!(opened(&bob).unwrap_err().kind, Kind::NotOwner);
    // The account is known from the next write on.
    assert!(anna.set_account(7) && !anna.set_account(7));
    let session = open(file(&path).owned_by(Arc::clone(&anna)));
    session.put(users(1..3));
    session.close(Duration::from_mins(2), &mut || true).unwrap();
    assert_eq!(opened(&bob).unwrap_err().kind, Kind::Unconfirmed);
    bob.set_account(8);
    assert_eq!(opened(&bob).unwrap_err().kind, Kind::NotOwner);
    bob.set_account(7);
    opened(&bob).unwrap();
    opened(&owner(2)).unwrap();
    let file = Connection::open(&path).unwrap();
    let count: i64 =
        file.query_row(&format!("select count(*) from {OWNER_TABLE} where account = 7"), [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
    // Many logins do not make it grow.
    for key in 3..40 {
        let owner = owner(key);
        owner.set_account(7);
        opened(&owner).unwrap();
    }
    let count: i64 = file.query_row(&format!("select count(*) from {OWNER_TABLE}"), [], |row| row.get(0)).unwrap();
    assert_eq!(count, 16);
}

#[test]
fn a_key_is_leased_once() {
    let lease = KeyLease::take(&[9; 256]).unwrap();
    assert_eq!(KeyLease::take(&[9; 256]).unwrap_err().kind, Kind::InUse);
    let other = KeyLease::take(&[8; 256]).unwrap();
    drop(lease);
    KeyLease::take(&[9; 256]).map(drop).unwrap();
    drop(other);
}
