//! Sessions on a real file, which other connections lock and write to.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::{EntityBatch, TextField};
use session_core::error::Error;
use session_core::session::{Session, SessionOptions};
use session_core::store::{Query, UpdateState};
use store_sqlite::{SqliteFile, VERSION_8};
use zeroize::Zeroizing;

fn open(path: &Path) -> Arc<Session> {
    Session::open(Arc::new(SqliteFile::new(Some(path.to_owned()), VERSION_8)), SessionOptions::default(), &mut || true)
        .unwrap()
        .0
}

fn users(ids: std::ops::Range<i64>) -> EntityBatch {
    let mut batch = EntityBatch::default();
    for id in ids {
        let username = format!("user_{id}");
        batch.push(&Entity {
            id, access_hash: Some(-id), username: Some(&username), phone: None, name: Some("Анна")
        });
    }
    batch
}

fn flush(session: &Session) {
    let (tell, outcome) = mpsc::channel();
    session.when_saved(Box::new(move |result| tell.send(result).unwrap()));
    outcome.recv_timeout(Duration::from_mins(2)).unwrap().unwrap();
}

/// Waits until the file has so many rows. The limit only ends a hang.
fn wait_for_rows(path: &Path, rows: i64) {
    let begun = Instant::now();
    while count(path) < rows {
        assert!(begun.elapsed() < Duration::from_mins(2), "not written");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn count(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("select count(*) from entities", [], |row| row.get(0)).unwrap()
}

fn username(name: &str) -> Query<'_> {
    Query::Text(TextField::Username, name)
}

#[test]
fn entities_are_there_after_closing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    session.put(users(1..5001));
    session.set_update_state(0, UpdateState { pts: Some(5), date: Some(1e9), ..UpdateState::default() });
    session.set_credentials(Credentials { dc_id: 2, auth_key: Zeroizing::new(vec![7; 256]), ..Credentials::default() });
    session.close(Duration::from_mins(2), &mut || true).unwrap();
    assert_eq!(count(&path), 5000);

    let backend = Arc::new(SqliteFile::new(Some(path.clone()), VERSION_8));
    let (session, credentials) = Session::open(backend, SessionOptions::default(), &mut || true).unwrap();
    assert_eq!(*credentials.unwrap().auth_key, vec![7; 256]);
    assert_eq!(session.update_state(0).unwrap().pts, Some(5));
    assert_eq!(session.find(&username("user_4321")), Some((4321, Some(-4321))));
    assert_eq!(session.find(&Query::Text(TextField::Name, "Анна")), Some((1, Some(-1))));
    assert_eq!(session.find(&username("unknown")), None);
}

#[test]
fn entities_are_written_without_a_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    session.put(users(1..101));
    wait_for_rows(&path, 100);
}

#[test]
fn dropping_the_session_saves_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    session.put(users(1..101));
    session.release();
    drop(session);
    assert_eq!(count(&path), 100);
}

#[test]
fn a_locked_file_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    let other = open(&folder.path().join("other.session"));
    flush(&session);
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("begin exclusive").unwrap();

    session.put(users(1..101));
    other.put(users(1..101));
    assert_eq!(session.find(&username("user_7")), Some((7, Some(-7))));
    assert_eq!(session.find(&username("unknown")), None);
    session.save(false, &mut || true).unwrap();
    flush(&other);
    let Err(Error::Unsaved { what, .. }) = session.close(Duration::from_millis(300), &mut || true) else { panic!() };
    assert_eq!(what, "100 entities");

    holder.execute_batch("commit").unwrap();
    flush(&session);
    assert_eq!(count(&path), 100);
    session.close(Duration::from_mins(2), &mut || true).unwrap();
}

#[test]
fn entities_of_another_session_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let (one, two) = (open(&path), open(&path));
    one.put(users(1..11));
    two.put(users(100..111));
    flush(&one);
    flush(&two);
    assert_eq!(one.find(&username("user_105")), Some((105, Some(-105))));
    assert_eq!(two.find(&Query::Id(7)), Some((7, Some(-7))));
}

#[test]
fn a_closed_session_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    session.close(Duration::from_mins(2), &mut || true).unwrap();
    let elsewhere = Connection::open(&path).unwrap();
    elsewhere.execute("insert into entities values (7, 1, 'anna', null, null, 0)", []).unwrap();
    assert_eq!(session.find(&username("anna")), Some((7, Some(1))));
    session.put(users(1..5));
    session.close(Duration::from_mins(2), &mut || true).unwrap();
    assert_eq!(count(&path), 5 - 1 + 1);
    // Windows does not delete an open file.
    drop(elsewhere);
    assert!(session.delete(std::time::Duration::from_mins(1)) && !path.exists());
}

#[test]
fn an_input_peer_leaves_the_names_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    session.put(users(1..3000));
    session.close(Duration::from_mins(2), &mut || true).unwrap();

    // At once, before anything is loaded.
    let session = open(&path);
    let mut bare = EntityBatch::default();
    bare.push_input_peer(2999, Some(99));
    session.put(bare);
    session.close(Duration::from_mins(2), &mut || true).unwrap();
    assert_eq!(open(&path).find(&username("user_2999")), Some((2999, Some(99))));
}

#[test]
fn a_reassigned_username_is_removed_in_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    let elsewhere = Connection::open(&path).unwrap();
    for (id, date) in [(1, 50), (2, 70), (3, 60)] {
        elsewhere.execute("insert into entities values (?, 1, 'anna', 123, 'A', ?)", [id, date]).unwrap();
    }
    assert_eq!(session.find(&username("anna")), Some((2, Some(1))));
    flush(&session);
    let left: Vec<(i64, i64, i64)> = elsewhere
        .prepare("select id, phone, date from entities where username is null")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(left, [(1, 123, 50), (3, 123, 60)]);
}

fn seen(path: &Path, id: i64) -> i64 {
    let query = "select date from entities where id = ?";
    Connection::open(path).unwrap().query_row(query, [id], |row| row.get(0)).unwrap()
}

/// A busy bot sees the same users every second. Mere dates are not written each second, but not
/// lost.
#[test]
fn mere_dates_are_written_with_other_changes_and_by_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.session");
    let session = open(&path);
    session.put(users(1..10));
    flush(&session);
    let first = seen(&path, 3);
    std::thread::sleep(Duration::from_millis(1100));
    session.put(users(1..11));
    session.save(false, &mut || true).unwrap();
    wait_for_rows(&path, 10);
    assert_eq!(seen(&path, 3), first);
    flush(&session);
    assert!(seen(&path, 3) > first);
    std::thread::sleep(Duration::from_millis(1100));
    session.put(users(1..11));
    session.close(Duration::from_mins(2), &mut || true).unwrap();
    assert!(seen(&path, 3) > first + 1);
}

/// A change during a write is often part of it. A flush that waits for the change must then end.
#[test]
fn a_flush_ends_if_the_write_in_progress_took_its_changes() {
    let folder = tempfile::tempdir().unwrap();
    let session = open(&folder.path().join("anna.session"));
    for round in 0..1500 {
        session.put(users(round * 200..round * 200 + 200));
        session.save(false, &mut || true).unwrap();
        (0..300)
            .for_each(|id| session.set_update_state(id, UpdateState { pts: Some(round), ..UpdateState::default() }));
        flush(&session);
    }
}

#[test]
fn lookups_all_the_time_do_not_keep_a_file_from_being_loaded() {
    const ROWS: i64 = 50_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anon.session");
    let session = open(&path);
    session.put(users(1..ROWS + 1));
    session.close(Duration::from_mins(2), &mut || true).unwrap();
    for _ in 0..3 {
        let session = open(&path);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !session.is_loaded() {
                        assert_eq!(session.find(&username("unknown")), None);
                    }
                });
            }
            for (n, id) in (1..=ROWS).step_by(1000).enumerate() {
                let access_hash = i64::try_from(n).unwrap();
                let mut batch = EntityBatch::default();
                batch.push(&Entity { id, access_hash: Some(access_hash), ..Entity::default() });
                session.put(batch);
                if n % 10 == 0 {
                    session.save(true, &mut || true).unwrap();
                }
                assert_eq!(session.find(&Query::Id(id)), Some((id, Some(access_hash))));
            }
        });
        for (n, id) in (1..=ROWS).step_by(1000).enumerate() {
            assert_eq!(session.find(&Query::Id(id)), Some((id, Some(i64::try_from(n).unwrap()))));
        }
        assert_eq!(session.find(&username("user_4321")), Some((4321, Some(-4321))));
        session.close(Duration::from_mins(2), &mut || true).unwrap();
    }
}
