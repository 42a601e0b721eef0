//! Threads on one session, in thousands of schedules: after each step between two locks or atomics,
//! any other thread may run.
//!
//! `make test-schedules` builds the core with `--cfg shuttle` and runs them.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::{EntityBatch, TextField};
use session_core::session::{CacheLookup, Session, SessionOptions};
use session_core::store::fake::{FakeBackend, Step};
use session_core::store::{Kind, Query, UpdateState};
use session_core::writer::Task;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner, thread};
use zeroize::Zeroizing;

/// How a store fails at random.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Faults {
    None,
    /// It is locked or full.
    Fails,
    /// It is locked or full, or it panics.
    Panics,
}

fn one_in_eight() -> bool {
    thread_rng().gen_range(0..8) == 0
}

/// A store that fails at random, and whose writes other threads interrupt.
fn place(store: &FakeBackend, faults: Faults) -> Arc<FakeBackend> {
    let errors = store.clone();
    let fails = move |kind| if faults != Faults::None && one_in_eight() { Err(errors.error(kind)) } else { Ok(()) };
    Arc::new(store.with_hook(move |step| match step {
        Step::Open | Step::Committed => Ok(()),
        Step::Read | Step::Begin => fails(Kind::Busy),
        Step::Apply => {
            assert!(!(faults == Faults::Panics && one_in_eight()), "a panic of the store");
            thread::yield_now();
            fails(Kind::Full)
        }
        Step::Commit => {
            fails(Kind::Busy)?;
            thread::yield_now();
            Ok(())
        }
    }))
}

fn open(store: &FakeBackend, faults: Faults) -> Arc<Session> {
    Session::open(place(store, faults), SessionOptions::default(), &mut || true).unwrap().0
}

const IDS: i64 = 3;
const ROUNDS: i64 = 3;

fn receive(session: &Session, first: i64, access_hash: i64) {
    let mut batch = EntityBatch::default();
    (first..first + IDS).for_each(|id| batch.push(&Entity { id, access_hash: Some(access_hash), ..Entity::default() }));
    if let Err(batch) = session.try_put(batch) {
        session.put(batch);
    }
}

fn find(session: &Session, id: i64) -> Option<i64> {
    match session.try_find(&Query::Id(id)) {
        CacheLookup::Found((_, access_hash)) => access_hash,
        CacheLookup::NotFound => None,
        CacheLookup::Unknown => session.find(&Query::Id(id)).and_then(|(_, access_hash)| access_hash),
    }
}

/// Retries until the call succeeds, because the store fails at random.
fn retry<E>(mut call: impl FnMut() -> std::result::Result<(), E>) {
    while call().is_err() {
        thread::yield_now();
    }
}

fn key(store: &FakeBackend) -> Vec<u8> {
    store.contents().0.map(|credentials| credentials.auth_key.to_vec()).unwrap_or_default()
}

fn run(faults: Faults) {
    run_on(FakeBackend::default().unlocking_late(), faults);
}

fn run_on(store: FakeBackend, faults: Faults) {
    let session = open(&store, faults);
    let mut threads = Vec::new();
    for receiver in 0..2 {
        let session = Arc::clone(&session);
        threads.push(thread::spawn(move || {
            let first = 1 + receiver * 100;
            for round in 1..=ROUNDS {
                receive(&session, first, round);
                // A stored entity is found at once, in its latest state.
                assert_eq!(find(&session, first + 1), Some(round));
                assert_eq!(find(&session, 1000 + first), None);
                session.set_update_state(0, UpdateState { pts: Some(round), ..UpdateState::default() });
            }
        }));
    }
    let keys = Arc::clone(&session);
    let stored = store.clone();
    threads.push(thread::spawn(move || {
        for n in 1..=2 {
            keys.set_credentials(Credentials { auth_key: Zeroizing::new(vec![n]), ..Credentials::default() });
            retry(|| keys.save(false, &mut || true));
            assert_eq!(key(&stored), [n], "save() had returned");
        }
    }));
    let flushed = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        receive(&flushed, 500, 9);
        let outcome = Arc::new(Mutex::new(None));
        let tell = Arc::clone(&outcome);
        flushed.when_saved(Box::new(move |result| *tell.lock().unwrap() = Some(result)));
        // The writer thread.
        let is_flushed = (0..10_000).any(|_| {
            flushed.run_once();
            thread::yield_now();
            outcome.lock().unwrap().is_some()
        });
        assert!(is_flushed);
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    retry(|| session.close(Duration::ZERO, &mut || true));
    let received = [1, 101].iter().flat_map(|first| (*first..first + IDS).map(|id| (id, ROUNDS)));
    let expected: BTreeMap<i64, i64> = received.chain((500..500 + IDS).map(|id| (id, 9))).collect();
    assert_eq!(store.access_hashes(), expected);
    let (_, update_states) = store.contents();
    assert_eq!((update_states[&0].pts, key(&store)), (Some(ROUNDS), vec![2]));
}

/// Stores an entity as another program would, as soon as no other connection writes.
fn store_elsewhere(store: &FakeBackend, id: i64) {
    loop {
        if let Some(held) = store.try_hold() {
            return held.store(id, id);
        }
        thread::yield_now();
    }
}

fn run_beside_another_program() {
    let store = FakeBackend::default().unlocking_late();
    drop(open(&store, Faults::None));
    store_elsewhere(&store, 1);
    let session = open(&store, Faults::None);
    let mut threads = Vec::new();
    let reader = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for id in 10..10 + 2 * ROUNDS {
            store_elsewhere(&store, id);
            assert_eq!(find(&reader, id), Some(id), "it was stored earlier");
        }
    }));
    let receiver = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for round in 1..=ROUNDS {
            receive(&receiver, 100 * round, round);
            assert_eq!(find(&receiver, 1000 + round), None);
        }
    }));
    threads.push(thread::spawn(move || {
        for _ in 0..8 {
            session.run_once();
            thread::yield_now();
        }
    }));
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Looks for a text that no entity has, which reads the store until everything is loaded.
fn find_nobody(session: &Session) {
    let query = Query::Text(TextField::Username, "nobody");
    assert_eq!(session.find(&query), None);
}

fn run_loading_beside_lookups(faults: Faults) {
    const STORED: i64 = 8;
    let store = FakeBackend::default();
    drop(open(&store, Faults::None));
    (1..=STORED).for_each(|id| store_elsewhere(&store, id));
    let session = open(&store, faults);
    let mut threads = Vec::new();
    let looking = Arc::clone(&session);
    threads.push(thread::spawn(move || (0..4).for_each(|_| find_nobody(&looking))));
    let receiving = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for round in 1..=ROUNDS {
            receive(&receiving, STORED - 1, 100 * round);
            retry(|| receiving.save(true, &mut || true));
            // What the loader has read earlier does not come after it.
            assert_eq!(find(&receiving, STORED), Some(100 * round));
        }
    }));
    let elsewhere = store.clone();
    let reading = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        store_elsewhere(&elsewhere, 50);
        let found = find(&reading, 50);
        assert!(found == Some(50) || faults != Faults::None, "it was stored earlier");
    }));
    // The writer thread.
    for _ in 0..30 {
        session.run_once();
        thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    retry(|| session.close(Duration::ZERO, &mut || true));
    let stored = store.access_hashes();
    assert_eq!(stored.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 50]);
    for (id, access_hash) in stored {
        assert_eq!(find(&session, id), Some(access_hash));
    }
}

fn receive_named(session: &Session, id: i64, usernames: &[&str]) {
    let mut batch = EntityBatch::default();
    batch.push(&Entity { id, access_hash: Some(id), ..Entity::default() });
    usernames.iter().for_each(|username| batch.push_alias(username.as_bytes()));
    if let Err(batch) = session.try_put(batch) {
        session.put(batch);
    }
}

fn find_username(session: &Session, username: &str) -> Option<i64> {
    session.find(&Query::Text(TextField::Username, username)).map(|(id, _)| id)
}

/// A username that entities take from each other while it is looked up and written.
fn run_moving_usernames(store: FakeBackend, faults: Faults) {
    let session = open(&store, faults);
    receive_named(&session, 1, &["shared"]);
    let mut threads = Vec::new();
    for id in 1..=2 {
        let session = Arc::clone(&session);
        threads.push(thread::spawn(move || {
            for round in 1..=ROUNDS {
                let own = format!("{id}_{round}");
                receive_named(&session, id, &["shared", &own]);
                assert_eq!(find_username(&session, &own), Some(id));
                assert!(matches!(find_username(&session, "shared"), Some(1 | 2)), "both have been seen with it");
            }
        }));
    }
    // The writer thread.
    for _ in 0..20 {
        session.run_once();
        thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    receive_named(&session, 3, &["shared"]);
    assert_eq!(find_username(&session, "shared"), Some(3));
    receive_named(&session, 3, &[]);
    retry(|| session.close(Duration::ZERO, &mut || true));
    let again = open(&store, Faults::None);
    while !again.is_loaded() {
        again.run_once();
    }
    assert_eq!(find_username(&again, "shared"), None, "nobody has it any more");
    for id in 1..=2 {
        assert_eq!(find_username(&again, &format!("{id}_{ROUNDS}")), Some(id));
        assert_eq!(find_username(&again, &format!("{id}_1")), None);
    }
}

/// A store that was changed while it was closed, after some of it had been loaded.
fn run_reopening_while_loading() {
    let store = FakeBackend::default();
    drop(open(&store, Faults::None));
    (1..=8).for_each(|id| store_elsewhere(&store, id));
    let session = open(&store, Faults::None);
    session.run_once();
    assert!(!session.is_loaded());
    session.close(Duration::ZERO, &mut || true).unwrap();
    store.try_hold().unwrap().store(1, 77);
    find_nobody(&session);
    while !session.is_loaded() {
        session.run_once();
    }
    assert_eq!(find(&session, 1), Some(77));
}

/// Forgets entities while others are read, received and written.
fn run_forgetting(store: FakeBackend, faults: Faults) {
    const STORED: i64 = 8;
    drop(open(&store, Faults::None));
    (1..=STORED).for_each(|id| store_elsewhere(&store, id));
    let session = open(&store, faults);
    let mut threads = Vec::new();
    let forgetting = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for id in [2, 7] {
            let _ = forgetting.forget(id);
            for _ in 0..3 {
                assert_eq!(find(&forgetting, id), None, "it was forgotten");
                thread::yield_now();
            }
        }
        // It was received after it had been forgotten.
        let _ = forgetting.forget(5);
        receive(&forgetting, 5 - IDS + 1, 500);
        assert_eq!(find(&forgetting, 5), Some(500));
    }));
    let looking = Arc::clone(&session);
    threads.push(thread::spawn(move || (0..3).for_each(|_| find_nobody(&looking))));
    let saving = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for round in 1..=ROUNDS {
            receive(&saving, 100, round);
            retry(|| saving.save(true, &mut || true));
        }
    }));
    // The writer thread.
    for _ in 0..30 {
        session.run_once();
        thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!([2, 7].into_iter().all(|id| find(&session, id).is_none()));
    retry(|| session.close(Duration::ZERO, &mut || true));
    let stored: Vec<i64> = store.access_hashes().into_keys().collect();
    assert_eq!(stored, [1, 3, 4, 5, 6, 8, 100, 101, 102]);
    assert_eq!(store.access_hashes()[&5], 500);
}

/// A session whose program shares the store with one that forgets.
fn run_beside_one_that_forgets() {
    let store = FakeBackend::default().unlocking_late();
    let (one, other) = (open(&store, Faults::None), open(&store, Faults::None));
    receive(&one, 1, 1);
    one.save(true, &mut || true).unwrap();
    let mut threads = Vec::new();
    let knowing = Arc::clone(&other);
    threads.push(thread::spawn(move || {
        for round in 1..=ROUNDS {
            receive(&knowing, 100, round);
            find_nobody(&knowing);
            knowing.run_once();
        }
    }));
    threads.push(thread::spawn(move || {
        assert!(one.forget(2));
        retry(|| one.save(true, &mut || true));
    }));
    for _ in 0..10 {
        other.run_once();
        thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(other.known(2, true, &mut || true).is_empty(), "the other one had forgotten it");
    find_nobody(&other);
    while !other.is_loaded() {
        let delay = other.run_once().unwrap_or_default();
        if !other.is_loaded() {
            // The pause before everything is read again passes in real time.
            std::thread::sleep(delay);
        }
    }
    assert_eq!(find(&other, 2), None);
    retry(|| other.close(Duration::ZERO, &mut || true));
    let expected = [1, 3].into_iter().chain(100..100 + IDS).collect::<Vec<_>>();
    assert_eq!(store.access_hashes().into_keys().collect::<Vec<_>>(), expected);
}

fn certainly(session: &Session, id: i64) -> Option<i64> {
    loop {
        match session.find_certainly(&Query::Id(id), Duration::ZERO, false, &mut || true) {
            Ok(found) => return found.and_then(|(_, access_hash)| access_hash),
            Err(_) => thread::yield_now(),
        }
    }
}

/// Memory holds two entities, and everything else leaves it as soon as it is stored.
fn run_bounded(store: FakeBackend, faults: Faults) {
    let options = SessionOptions { max_entities: NonZeroUsize::new(2), ..SessionOptions::default() };
    let session = Session::open(place(&store, faults), options, &mut || true).unwrap().0;
    let mut threads = Vec::new();
    for receiver in 0..2 {
        let session = Arc::clone(&session);
        threads.push(thread::spawn(move || {
            let first = 1 + receiver * 100;
            for round in 1..=ROUNDS {
                receive(&session, first, round);
                assert_eq!(certainly(&session, first + 1), Some(round));
                assert_eq!(certainly(&session, 1000 + first), None);
            }
        }));
    }
    let (elsewhere, reader) = (store.clone(), Arc::clone(&session));
    threads.push(thread::spawn(move || {
        for id in 500..500 + ROUNDS {
            store_elsewhere(&elsewhere, id);
            assert_eq!(certainly(&reader, id), Some(id), "it was stored earlier");
        }
    }));
    // What it writes is marked clean before it is stored, and dirty again if that fails.
    let writing = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for _ in 0..6 {
            let _ = writing.write_now();
            thread::yield_now();
        }
    }));
    for _ in 0..12 {
        session.run_once();
        thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    retry(|| session.close(Duration::ZERO, &mut || true));
    let received = [1, 101].iter().flat_map(|first| (*first..first + IDS).map(|id| (id, ROUNDS)));
    let expected: BTreeMap<i64, i64> = received.chain((500..500 + ROUNDS).map(|id| (id, id))).collect();
    assert_eq!(store.access_hashes(), expected);
}

fn count() -> usize {
    std::env::var("SCHEDULES").map_or(2000, |count| count.parse().unwrap())
}

fn schedules(scheduler: impl Scheduler + 'static, failures: FailurePersistence, run: fn()) {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.failure_persistence = failures;
    Runner::new(scheduler, config).run(run);
    println!("schedules tried: {}", count());
}

#[test]
fn nothing_is_lost_in_any_schedule() {
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, || run(Faults::Fails));
}

#[test]
fn nothing_is_lost_if_threads_seldom_switch() {
    schedules(PctScheduler::new(3, count()), FailurePersistence::Print, || run(Faults::Fails));
}

#[test]
fn nothing_is_lost_to_a_panic() {
    // The panics are intended.
    schedules(RandomScheduler::new(count()), FailurePersistence::None, || run(Faults::Panics));
}

#[test]
fn nothing_is_lost_if_writes_are_posted() {
    let run = || run_on(FakeBackend::default().posting(), Faults::Fails);
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run);
}

#[test]
fn nothing_is_lost_to_a_panic_in_a_posted_write() {
    // The panics are intended.
    let run = || run_on(FakeBackend::default().posting(), Faults::Panics);
    schedules(RandomScheduler::new(count()), FailurePersistence::None, run);
}

#[test]
fn entities_stored_by_others_are_found_at_once() {
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run_beside_another_program);
}

#[test]
fn entities_stored_by_others_are_found_if_threads_seldom_switch() {
    schedules(PctScheduler::new(3, count()), FailurePersistence::Print, run_beside_another_program);
}

#[test]
fn what_is_loaded_beside_lookups_does_not_replace_what_is_newer() {
    let run = || run_loading_beside_lookups(Faults::None);
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run);
}

#[test]
fn nothing_loaded_beside_lookups_is_lost_to_failures() {
    let run = || run_loading_beside_lookups(Faults::Fails);
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run);
}

#[test]
fn nothing_loaded_beside_lookups_is_lost_if_threads_seldom_switch() {
    let run = || run_loading_beside_lookups(Faults::None);
    schedules(PctScheduler::new(3, count()), FailurePersistence::Print, run);
}

#[test]
fn a_username_belongs_to_the_entity_seen_with_it_last() {
    let run = || run_moving_usernames(FakeBackend::default().unlocking_late(), Faults::Fails);
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run);
}

#[test]
fn a_username_belongs_to_the_entity_seen_with_it_last_if_writes_are_posted() {
    let run = || run_moving_usernames(FakeBackend::default().posting(), Faults::Fails);
    schedules(PctScheduler::new(3, count()), FailurePersistence::Print, run);
}

#[test]
fn loading_begins_again_when_the_store_is_reopened() {
    schedules(RandomScheduler::new(1), FailurePersistence::Print, run_reopening_while_loading);
}

#[test]
fn what_was_forgotten_does_not_come_back() {
    let run = || run_forgetting(FakeBackend::default().unlocking_late(), Faults::Fails);
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run);
}

#[test]
fn what_was_forgotten_does_not_come_back_if_threads_seldom_switch() {
    let run = || run_forgetting(FakeBackend::default().unlocking_late(), Faults::None);
    schedules(PctScheduler::new(3, count()), FailurePersistence::Print, run);
}

#[test]
fn what_was_forgotten_does_not_come_back_if_writes_are_posted() {
    let run = || run_forgetting(FakeBackend::default().posting(), Faults::Fails);
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run);
}

#[test]
fn others_forget_too() {
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, run_beside_one_that_forgets);
}

#[test]
fn what_leaves_memory_is_not_lost() {
    let run = || run_bounded(FakeBackend::default().unlocking_late(), Faults::Fails);
    schedules(RandomScheduler::new(count() / 4), FailurePersistence::Print, run);
}

#[test]
fn what_leaves_memory_is_not_lost_if_writes_are_posted() {
    let run = || run_bounded(FakeBackend::default().posting(), Faults::Fails);
    schedules(RandomScheduler::new(count() / 4), FailurePersistence::Print, run);
}
