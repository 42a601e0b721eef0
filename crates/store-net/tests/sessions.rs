//! Sessions on a server that fails, does not answer, or has many of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::EntityBatch;
use session_core::session::{Session, SessionOptions};
use session_core::store::{Kind, Query};
use store_net::NetBackend;
use support::{FakeDriver, FakeServer, Options};
use zeroize::Zeroizing;

const LONG: Duration = Duration::from_mins(1);

fn open(server: &Arc<FakeServer>, name: &str, exclusive: bool) -> Arc<Session> {
    let backend = NetBackend::<FakeDriver>::new(Options(Arc::clone(server)), name, format!("fake://server/{name}"));
    let options = SessionOptions { exclusive, timeout: LONG, ..SessionOptions::default() };
    Session::open(Arc::new(backend), options, &mut || true).unwrap().0
}

fn receive(session: &Session, ids: std::ops::Range<i64>) {
    let mut batch = EntityBatch::default();
    ids.for_each(|id| batch.push(&Entity { id, access_hash: Some(id), ..Entity::default() }));
    session.put(batch);
}

fn wait(mut is_done: impl FnMut() -> bool) {
    while !is_done() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_outage_loses_nothing() {
    let server = Arc::new(FakeServer::default());
    let session = open(&server, "anon", false);
    server.failures.store(5, Ordering::SeqCst);
    receive(&session, 1..100);
    session.set_credentials(Credentials { auth_key: Zeroizing::new(vec![7; 256]), ..Credentials::default() });
    session.close(LONG, &mut || true).unwrap();
    assert_eq!(server.failures.load(Ordering::SeqCst), 0);
    let again = open(&server, "anon", false);
    assert_eq!(again.find_retrying(&Query::Id(50), Instant::now() + LONG, &mut || true), Some((50, Some(50))));
}

#[test]
fn lookups_wait_once_for_a_silent_server() {
    let server = Arc::new(FakeServer::default());
    let session = open(&server, "anon", false);
    receive(&session, 1..10);
    session.close(LONG, &mut || true).unwrap();
    let session = open(&server, "anon", false);
    wait(|| session.is_loaded());
    server.delay.store(5_000_000, Ordering::SeqCst);
    assert_eq!(session.find(&Query::Id(1000)), None);
    let begun = Instant::now();
    (1001..6001).for_each(|id| assert_eq!(session.find(&Query::Id(id)), None));
    // Five thousand waits would be 40 s.
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(session.find(&Query::Id(5)), Some((5, Some(5))));
    server.delay.store(0, Ordering::SeqCst);
}

#[test]
fn entities_of_another_process_are_found_after_a_miss() {
    let server = Arc::new(FakeServer::default());
    let (one, other) = (open(&server, "anon", false), open(&server, "anon", false));
    receive(&other, 1..10);
    other.close(LONG, &mut || true).unwrap();
    wait(|| one.find(&Query::Id(5)).is_some());
}

#[test]
fn many_sessions_share_transactions() {
    const SESSIONS: usize = 300;
    let server = Arc::new(FakeServer::default());
    let sessions: Vec<_> = (0..SESSIONS).map(|number| open(&server, &number.to_string(), false)).collect();
    server.delay.store(20_000, Ordering::SeqCst);
    for session in &sessions {
        receive(session, 1..6);
    }
    for session in &sessions {
        session.close(LONG, &mut || true).unwrap();
    }
    let transactions = server.transactions.load(Ordering::SeqCst);
    assert!(transactions < SESSIONS / 2, "{transactions} transactions");
}

#[test]
fn a_lease_that_was_taken_over_stops_writing() {
    let server = Arc::new(FakeServer::default());
    let session = open(&server, "anon", true);
    receive(&session, 1..10);
    session.close(LONG, &mut || true).unwrap();
    // Closing ends the lease in the background.
    wait(|| {
        let backend = NetBackend::<FakeDriver>::new(Options(Arc::clone(&server)), "anon", "fake://other".to_owned());
        let options = SessionOptions { exclusive: true, timeout: LONG, ..SessionOptions::default() };
        match Session::open(Arc::new(backend), options, &mut || true) {
            Ok((other, _)) => {
                receive(&session, 20..30);
                let error = session.close(LONG, &mut || true).unwrap_err();
                assert!(error.to_string().contains("in use"), "{error}");
                other.close(LONG, &mut || true).unwrap();
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), Some(Kind::InUse));
                false
            }
        }
    });
}

#[test]
fn a_deletion_goes_on_in_the_background() {
    let server = Arc::new(FakeServer::default());
    let session = open(&server, "anon", false);
    session.set_credentials(Credentials { auth_key: Zeroizing::new(vec![7; 256]), ..Credentials::default() });
    session.save(true, &mut || true).unwrap();
    server.delay.store(20_000, Ordering::SeqCst);
    server.failures.store(2, Ordering::SeqCst);
    assert!(session.delete(Duration::ZERO));
    server.delay.store(0, Ordering::SeqCst);
    wait(|| !server.has("anon"));
    // One that fails while its caller waits has failed.
    let session = open(&server, "anon", false);
    session.set_credentials(Credentials { auth_key: Zeroizing::new(vec![8; 256]), ..Credentials::default() });
    session.save(true, &mut || true).unwrap();
    server.failures.store(1, Ordering::SeqCst);
    assert!(!session.delete(LONG));
    assert!(server.has("anon"));
}
