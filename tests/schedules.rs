//! Threads on one session, in many orders: each step between two locks or atomics may be followed by any other thread's.
//!
//! `make test-schedules` builds the core with `--cfg shuttle` and tries them.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner, thread};
use telethon_session_rust::entity::Entity;
use telethon_session_rust::entity_cache::EntityPage;
use telethon_session_rust::error::{Error, Result};
use telethon_session_rust::session::{InMemory, Session};
use telethon_session_rust::store::{
    Changes, Credentials, FileKey, Loaded, Location, Opened, Opening, Query, SentFile, Store, UpdateState, Value,
};
use telethon_session_rust::writer::Task;
use zeroize::Zeroizing;

/// What is on disk, as it were.
#[derive(Debug, Default)]
struct Shelf {
    hashes: BTreeMap<i64, i64>,
    pts: Option<i64>,
    key: Vec<u8>,
    is_locked: bool,
    others_commits: i64,
}

/// What goes wrong with a store, now and then.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    No,
    /// It is locked, or full.
    Fails,
    /// The same, or it panics.
    Panics,
}

#[derive(Debug)]
struct OnShelf {
    shelf: Arc<Mutex<Shelf>>,
    under_way: Vec<Changes>,
    holds_lock: bool,
    trouble: Trouble,
}

#[derive(Debug)]
struct Place {
    shelf: Arc<Mutex<Shelf>>,
    trouble: Trouble,
}

fn now_and_then() -> bool {
    thread_rng().gen_range(0..8) == 0
}

impl OnShelf {
    fn locked(&self) -> Result<()> {
        let is_locked = self.trouble != Trouble::No && now_and_then();
        if is_locked { Err(Error::Locked { path: "shelf".into() }) } else { Ok(()) }
    }

    fn unlock(&mut self) {
        if std::mem::take(&mut self.holds_lock) {
            self.shelf.lock().unwrap().is_locked = false;
        }
    }
}

impl Drop for OnShelf {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Location for Place {
    fn open(&self, _: Opening) -> Result<(Box<dyn Store>, Opened)> {
        let shelf = Arc::clone(&self.shelf);
        let opened = {
            let shelf = shelf.lock().unwrap();
            let key = Zeroizing::new(shelf.key.clone());
            Opened {
                credentials: Some(Credentials { auth_key: key, ..Credentials::default() }),
                is_new: shelf.others_commits == 0,
                others_commits: shelf.others_commits,
                ..Opened::default()
            }
        };
        Ok((Box::new(OnShelf { shelf, under_way: Vec::new(), holds_lock: false, trouble: self.trouble }), opened))
    }

    fn name(&self) -> String {
        "shelf".to_owned()
    }

    fn is_lost_when_closed(&self) -> bool {
        false
    }

    fn delete(&self) -> bool {
        true
    }

    fn phone_form<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        Cow::Borrowed(phone)
    }
}

impl Store for OnShelf {
    fn find(&mut self, query: &Query<'_>, _: Duration) -> Result<EntityPage> {
        self.locked()?;
        let mut page = EntityPage::default();
        let stored = self.shelf.lock().unwrap();
        if let Query::Id(id) = query
            && let Some(hash) = stored.hashes.get(id)
        {
            page.push_stored(*id, *hash, 0, [None; 3]);
        }
        Ok(page)
    }

    fn load(&mut self, after: Option<i64>, most: usize) -> Result<Loaded> {
        self.locked()?;
        let mut loaded = Loaded::default();
        let stored = self.shelf.lock().unwrap();
        let rows = stored.hashes.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        rows.take(most).for_each(|(id, hash)| loaded.entities.push_stored(*id, *hash, 0, [None; 3]));
        loaded.next = loaded.entities.iter().last().filter(|_| loaded.entities.len() == most).map(|last| last.id);
        Ok(loaded)
    }

    fn update_states(&mut self) -> Result<Vec<(i64, UpdateState)>> {
        Ok(Vec::new())
    }

    fn sent_file(&mut self, _: &FileKey) -> Result<Option<SentFile>> {
        Ok(None)
    }

    fn begin(&mut self) -> Result<()> {
        assert!(self.under_way.is_empty() && !self.holds_lock);
        self.locked()?;
        self.shelf.lock().unwrap().is_locked = true;
        self.holds_lock = true;
        Ok(())
    }

    fn apply(&mut self, changes: &Changes) -> Result<()> {
        assert!(!(self.trouble == Trouble::Panics && now_and_then()), "a panic of the store");
        let mut entities = EntityPage::default();
        for entity in changes.entities.iter() {
            entities.push(&Entity { id: entity.id, hash: entity.hash, ..Entity::default() });
        }
        let copy = Changes {
            credentials: changes.credentials.clone(),
            entities,
            update_states: changes.update_states.clone(),
            sent_files: changes.sent_files.clone(),
        };
        self.under_way.push(copy);
        thread::yield_now();
        if self.trouble != Trouble::No && now_and_then() {
            return Err(Error::Sqlite { path: "shelf".into(), code: 13, message: "full".to_owned() });
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.locked()?;
        thread::yield_now();
        let mut stored = self.shelf.lock().unwrap();
        for changes in std::mem::take(&mut self.under_way) {
            for entity in changes.entities.iter() {
                stored.hashes.insert(entity.id, entity.hash.unwrap());
            }
            for (_, state) in changes.update_states {
                stored.pts = state.pts;
            }
            if let Some(credentials) = changes.credentials {
                stored.key = credentials.auth_key.to_vec();
            }
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        self.under_way.clear();
    }

    /// Here the lock goes, not with the transaction: what others commit within the moment between the two may be missed.
    fn rest(&mut self) {
        self.unlock();
    }

    fn others_commits(&mut self) -> Result<i64> {
        self.locked()?;
        Ok(self.shelf.lock().unwrap().others_commits)
    }

    fn auth_key(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self.shelf.lock().unwrap().key.clone()))
    }

    fn execute(&mut self, _: &str, _: &[Value]) -> Result<(Option<Vec<Value>>, bool)> {
        Ok((None, false))
    }
}

const IDS: i64 = 3;
const ROUNDS: i64 = 3;

fn give(session: &Session, first: i64, hash: i64) {
    let mut page = EntityPage::default();
    (first..first + IDS).for_each(|id| page.push(&Entity { id, hash: Some(hash), ..Entity::default() }));
    if let Err(page) = session.try_put(page) {
        session.put(page);
    }
}

fn find(session: &Session, id: i64) -> Option<i64> {
    match session.try_find(&Query::Id(id)) {
        InMemory::Found((_, hash)) => hash,
        InMemory::NotFound => None,
        InMemory::Unknown => session.find(&Query::Id(id)).and_then(|(_, hash)| hash),
    }
}

/// Saves until it can be: the store fails now and then.
fn patiently(mut call: impl FnMut() -> Result<()>) {
    while call().is_err() {
        thread::yield_now();
    }
}

fn live(trouble: Trouble) {
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let place = Place { shelf: Arc::clone(&shelf), trouble };
    let (session, _) = Session::open(Box::new(place), &mut || true).unwrap();
    let mut threads = Vec::new();
    for giver in 0..2 {
        let session = Arc::clone(&session);
        threads.push(thread::spawn(move || {
            let first = 1 + giver * 100;
            for round in 1..=ROUNDS {
                give(&session, first, round);
                // Whoever was given is known at once, and as given last.
                assert_eq!(find(&session, first + 1), Some(round));
                assert_eq!(find(&session, 1000 + first), None);
                session.set_update_state(0, UpdateState { pts: Some(round), ..UpdateState::default() });
            }
        }));
    }
    let keys = Arc::clone(&session);
    let on_shelf = Arc::clone(&shelf);
    threads.push(thread::spawn(move || {
        for n in 1..=2 {
            keys.set_credentials(Credentials { auth_key: Zeroizing::new(vec![n]), ..Credentials::default() });
            patiently(|| keys.save(false, &mut || true));
            assert_eq!(on_shelf.lock().unwrap().key, [n], "save() had returned");
        }
    }));
    let flushed = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        give(&flushed, 500, 9);
        let told = Arc::new(Mutex::new(None));
        let tell = Arc::clone(&told);
        flushed.when_saved(Box::new(move |result| *tell.lock().unwrap() = Some(result)));
        // The writer's thread.
        let is_told = (0..10_000).any(|_| {
            flushed.turn();
            thread::yield_now();
            told.lock().unwrap().is_some()
        });
        assert!(is_told);
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    patiently(|| session.close(Duration::ZERO, &mut || true));
    let shelf = shelf.lock().unwrap();
    let given = [1, 101].iter().flat_map(|first| (*first..first + IDS).map(|id| (id, ROUNDS)));
    let expected: BTreeMap<i64, i64> = given.chain((500..500 + IDS).map(|id| (id, 9))).collect();
    assert_eq!(shelf.hashes, expected);
    assert_eq!((shelf.pts, shelf.key.as_slice()), (Some(ROUNDS), &[2][..]));
}

/// Another program stores somebody, as soon as nobody has the lock.
fn store_elsewhere(shelf: &Mutex<Shelf>, id: i64) {
    loop {
        let mut shelf = shelf.lock().unwrap();
        if !shelf.is_locked {
            shelf.hashes.insert(id, id);
            shelf.others_commits += 1;
            return;
        }
        drop(shelf);
        thread::yield_now();
    }
}

fn live_beside_another() {
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    store_elsewhere(&shelf, 1);
    let place = Place { shelf: Arc::clone(&shelf), trouble: Trouble::No };
    let (session, _) = Session::open(Box::new(place), &mut || true).unwrap();
    let mut threads = Vec::new();
    let asker = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for id in 10..10 + 2 * ROUNDS {
            store_elsewhere(&shelf, id);
            assert_eq!(find(&asker, id), Some(id), "it was stored before");
        }
    }));
    let giver = Arc::clone(&session);
    threads.push(thread::spawn(move || {
        for round in 1..=ROUNDS {
            give(&giver, 100 * round, round);
            assert_eq!(find(&giver, 1000 + round), None);
        }
    }));
    threads.push(thread::spawn(move || {
        for _ in 0..8 {
            session.turn();
            thread::yield_now();
        }
    }));
    for thread in threads {
        thread.join().unwrap();
    }
}

fn count() -> usize {
    std::env::var("SCHEDULES").map_or(2000, |count| count.parse().unwrap())
}

fn schedules(scheduler: impl Scheduler + 'static, failures: FailurePersistence, live: fn()) {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.failure_persistence = failures;
    Runner::new(scheduler, config).run(live);
    println!("schedules tried: {}", count());
}

#[test]
fn nothing_is_lost_in_whatever_order() {
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, || live(Trouble::Fails));
}

#[test]
fn nothing_is_lost_where_threads_seldom_take_turns() {
    schedules(PctScheduler::new(3, count()), FailurePersistence::Print, || live(Trouble::Fails));
}

#[test]
fn nothing_is_lost_to_a_panic() {
    // They are part of the play.
    schedules(RandomScheduler::new(count()), FailurePersistence::None, || live(Trouble::Panics));
}

#[test]
fn who_others_stored_is_found_at_once() {
    schedules(RandomScheduler::new(count()), FailurePersistence::Print, live_beside_another);
}

#[test]
fn who_others_stored_is_found_where_threads_seldom_take_turns() {
    schedules(PctScheduler::new(3, count()), FailurePersistence::Print, live_beside_another);
}
