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
    Changes, Credentials, FileKey, Location, Opened, Opening, Query, SentFile, Store, UpdateState, Value,
};
use telethon_session_rust::writer::Task;
use zeroize::Zeroizing;

/// What is on disk, as it were.
#[derive(Debug, Default)]
struct Shelf {
    hashes: BTreeMap<i64, i64>,
    pts: Option<i64>,
    key: Vec<u8>,
}

/// A store that now and then is locked, fails or panics.
#[derive(Debug)]
struct Trouble {
    shelf: Arc<Mutex<Shelf>>,
    under_way: Vec<Changes>,
    panics: bool,
}

#[derive(Debug)]
struct Place {
    shelf: Arc<Mutex<Shelf>>,
    panics: bool,
}

fn now_and_then() -> bool {
    thread_rng().gen_range(0..8) == 0
}

fn locked() -> Result<()> {
    if now_and_then() { Err(Error::Locked { path: "shelf".into() }) } else { Ok(()) }
}

impl Location for Place {
    fn open(&self, _: Opening) -> Result<(Box<dyn Store>, Opened)> {
        let store = Trouble { shelf: Arc::clone(&self.shelf), under_way: Vec::new(), panics: self.panics };
        Ok((Box::new(store), Opened { is_new: true, ..Opened::default() }))
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

impl Store for Trouble {
    fn find(&mut self, query: &Query<'_>, _: Duration) -> Result<EntityPage> {
        locked()?;
        let mut page = EntityPage::default();
        let stored = self.shelf.lock().unwrap();
        if let Query::Id(id) = query
            && let Some(hash) = stored.hashes.get(id)
        {
            page.push_stored(*id, *hash, 0, [None; 3]);
        }
        Ok(page)
    }

    fn load(&mut self, after: Option<i64>, most: usize) -> Result<EntityPage> {
        locked()?;
        let mut page = EntityPage::default();
        let stored = self.shelf.lock().unwrap();
        let rows = stored.hashes.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        rows.take(most).for_each(|(id, hash)| page.push_stored(*id, *hash, 0, [None; 3]));
        Ok(page)
    }

    fn update_states(&mut self) -> Result<Vec<(i64, UpdateState)>> {
        Ok(Vec::new())
    }

    fn sent_file(&mut self, _: &FileKey) -> Result<Option<SentFile>> {
        Ok(None)
    }

    fn begin(&mut self) -> Result<()> {
        assert!(self.under_way.is_empty());
        locked()
    }

    fn apply(&mut self, changes: &Changes) -> Result<()> {
        assert!(!(self.panics && now_and_then()), "a panic of the store");
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
        if now_and_then() {
            return Err(Error::Sqlite { path: "shelf".into(), code: 13, message: "full".to_owned() });
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        locked()?;
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

    fn rest(&mut self) {}

    fn others_commits(&mut self) -> Result<i64> {
        locked()?;
        Ok(0)
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

fn live(panics: bool) {
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let place = Place { shelf: Arc::clone(&shelf), panics };
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

fn count() -> usize {
    std::env::var("SCHEDULES").map_or(2000, |count| count.parse().unwrap())
}

fn schedules(scheduler: impl Scheduler + 'static, panics: bool) {
    let mut config = Config::new();
    config.silence_warnings = true;
    if panics {
        // They are part of the play.
        config.failure_persistence = FailurePersistence::None;
    }
    Runner::new(scheduler, config).run(move || live(panics));
    println!("schedules tried: {}", count());
}

#[test]
fn nothing_is_lost_in_whatever_order() {
    schedules(RandomScheduler::new(count()), false);
}

#[test]
fn nothing_is_lost_where_threads_seldom_take_turns() {
    schedules(PctScheduler::new(3, count()), false);
}

#[test]
fn nothing_is_lost_to_a_panic() {
    schedules(RandomScheduler::new(count()), true);
}
