//! Many threads on many sessions with real files and the real writer: every entity is found at
//! once, and in the file at the end.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::TextField;
use session_core::session::{CacheLookup, Session, SessionOptions};
use session_core::store::{Query, UpdateState};
use store_sqlite::{SqliteFile, VERSION_8};
use zeroize::Zeroizing;

const SESSIONS: usize = 8;
const THREADS: i64 = 8;
const ROUNDS: i64 = 60;
const PEOPLE: i64 = 50;
const LONG: Duration = Duration::from_mins(2);

fn find(session: &Session, query: &Query<'_>) -> Option<(i64, Option<i64>)> {
    match session.try_find(query) {
        CacheLookup::Found(found) => Some(found),
        CacheLookup::NotFound => None,
        CacheLookup::Unknown => session.find(query),
    }
}

/// Stores a thread's own users, renames them in each round, and checks that the old names are gone.
fn run_round(session: &Session, thread: i64, round: i64) {
    let first = 1 + thread * 1000;
    let mut batch = Session::new_batch();
    for id in first..first + PEOPLE {
        let username = format!("user_{id}_{round}");
        batch.push(&Entity {
            id,
            access_hash: Some(round),
            username: Some(&username),
            phone: None,
            name: Some("Анна"),
        });
    }
    if let Err(batch) = session.try_put(batch) {
        session.put(batch);
    }
    let id = first + round % PEOPLE;
    let username = |round| format!("user_{id}_{round}");
    assert_eq!(find(session, &Query::Id(id)), Some((id, Some(round))));
    assert_eq!(find(session, &Query::Text(TextField::Username, &username(round))), Some((id, Some(round))));
    assert_eq!(find(session, &Query::Text(TextField::Username, &username(round - 1))), None);
    session.set_update_state(thread, UpdateState { pts: Some(round), ..UpdateState::default() });
    match (thread + round) % 8 {
        0 => session.save(true, &mut || true).unwrap(),
        1 => session.save(false, &mut || true).unwrap(),
        2 => session.close(LONG, &mut || true).unwrap(),
        3 => {
            let auth_key = Zeroizing::new(vec![u8::try_from(round).unwrap(); 256]);
            session.set_credentials(Credentials { auth_key, ..Credentials::default() });
        }
        _ => {}
    }
}

#[test]
fn eight_threads_on_eight_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: usize| folder.path().join(format!("session_{n}.session"));
    let open = |n| {
        Session::open(Arc::new(SqliteFile::new(Some(path(n)), VERSION_8)), SessionOptions::default(), &mut || true)
            .unwrap()
            .0
    };
    let sessions: Vec<Arc<Session>> = (0..SESSIONS).map(open).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let sessions = &sessions;
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    for session in sessions {
                        run_round(session, thread, round);
                    }
                }
            });
        }
    });
    for (n, session) in sessions.iter().enumerate() {
        session.close(LONG, &mut || true).unwrap();
        let file = Connection::open(path(n)).unwrap();
        let count = |what: &str| -> i64 { file.query_row(what, [], |row| row.get(0)).unwrap() };
        assert_eq!(count(&format!("select count(*) from entities where hash = {ROUNDS}")), THREADS * PEOPLE);
        assert_eq!(count(&format!("select count(*) from update_state where pts = {ROUNDS}")), THREADS);
        let ok: String = file.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(ok, "ok");
    }
    println!("rounds of eight threads on eight sessions: {ROUNDS}");
}
