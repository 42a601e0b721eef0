//! Fairness to other programs that wait for the file: gaps in which they can take the lock, and no
//! long transactions.
#![cfg(not(shuttle))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use session_core::entity::Entity;
use session_core::session::{Session, SessionOptions};
use session_core::store::fake::{FakeBackend, Step};

/// Longer than SQLite sleeps between two attempts at a locked file.
const GAP: Duration = Duration::from_millis(110);
/// How long the store takes for a slice.
const COST: Duration = Duration::from_millis(40);
/// How many slices fit into the two seconds after which a gap is due, and into the half second that
/// a transaction may take. A slow machine does fewer.
const MOST_OF_A_RUN: usize = 2000 / 40 + 500 / 40 + 2;
const MOST_OF_A_TRANSACTION: usize = 500 / 40 + 1;
/// Slices to write in a test: more than two runs.
const ENOUGH: usize = 150;

/// A transaction: when it began and ended, and how many slices were written in it.
#[derive(Clone, Copy, Debug)]
struct Turn {
    begun: Instant,
    ended: Instant,
    slices: usize,
}

/// Opens a session on a store that records when it is used.
fn open() -> (Arc<Session>, Arc<Mutex<Vec<Turn>>>) {
    let turns = Arc::new(Mutex::new(Vec::<Turn>::new()));
    let noted = Arc::clone(&turns);
    let store = FakeBackend::default().with_hook(move |step| {
        let now = Instant::now();
        match step {
            Step::Begin => noted.lock().unwrap().push(Turn { begun: now, ended: now, slices: 0 }),
            Step::Apply => {
                sleep(COST);
                noted.lock().unwrap().last_mut().unwrap().slices += 1;
            }
            Step::Committed => noted.lock().unwrap().last_mut().unwrap().ended = now,
            Step::Open | Step::Read | Step::Commit => {}
        }
        Ok(())
    });
    (Session::open(Arc::new(store), SessionOptions::default(), &mut || true).unwrap().0, turns)
}

/// Stores users whose access hash changes each time.
fn receive(session: &Session, ids: std::ops::Range<i64>, access_hash: i64) {
    let mut batch = Session::new_batch();
    for id in ids {
        batch.push(&Entity { id, access_hash: Some(access_hash), username: None, phone: None, name: None });
    }
    if let Err(batch) = session.try_put(batch) {
        session.put(batch);
    }
}

/// Counts the slices of each run of transactions without a gap that is long enough for another
/// program to take the lock.
fn runs(turns: &[Turn]) -> Vec<usize> {
    let mut runs = vec![0];
    let mut last: Option<Turn> = None;
    for turn in turns {
        if last.is_some_and(|last| turn.begun.duration_since(last.ended) >= GAP) {
            runs.push(0);
        }
        *runs.last_mut().unwrap() += turn.slices;
        last = Some(*turn);
    }
    runs
}

fn slices(turns: &Mutex<Vec<Turn>>) -> usize {
    turns.lock().unwrap().iter().map(|turn| turn.slices).sum()
}

fn check(turns: &Mutex<Vec<Turn>>) {
    let turns = turns.lock().unwrap();
    assert!(turns.iter().all(|turn| turn.slices <= MOST_OF_A_TRANSACTION), "{turns:?}");
    let runs = runs(&turns);
    assert!(runs.iter().all(|slices| *slices <= MOST_OF_A_RUN), "{runs:?}");
}

#[test]
fn a_session_that_is_saved_in_a_loop_leaves_gaps() {
    let (session, turns) = open();
    for hash in 0..i64::try_from(ENOUGH).unwrap() {
        receive(&session, 1..2, hash);
        session.save(true, &mut || true).unwrap();
    }
    assert!(slices(&turns) >= ENOUGH);
    check(&turns);
}

#[test]
fn a_session_that_receives_faster_than_it_writes_leaves_gaps() {
    let (session, turns) = open();
    thread::scope(|scope| {
        // Dropped by a panic, too.
        let running = Arc::new(());
        let is_running = Arc::downgrade(&running);
        let session = &session;
        let receiver = scope.spawn(move || {
            for hash in 0.. {
                if is_running.strong_count() == 0 {
                    break;
                }
                receive(session, 1 + 500 * (hash % 100)..501 + 500 * (hash % 100), hash);
                sleep(Duration::from_millis(1));
            }
        });
        // The flush ends although more changes arrive all the time.
        while slices(&turns) < ENOUGH {
            assert!(!receiver.is_finished());
            let (tell, outcome) = std::sync::mpsc::channel();
            session.when_saved(Box::new(move |result| drop(tell.send(result))));
            outcome.recv().unwrap().unwrap();
        }
    });
    session.close(Duration::from_mins(10), &mut || true).unwrap();
    check(&turns);
}
