//! What a session leaves to other programs that wait for its file: gaps in which they look again,
//! and no long transactions.
#![cfg(not(shuttle))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use telethon_session_rust::entity::Entity;
use telethon_session_rust::entity_cache::EntityPage;
use telethon_session_rust::error::Result;
use telethon_session_rust::session::Session;
use telethon_session_rust::store::{
    Changes, FileKey, Loaded, Location, Opened, Opening, Query, SentFile, Store, UpdateState, Value,
};
use zeroize::Zeroizing;

/// Much longer than SQLite sleeps between two looks at a locked file; less would do.
const GAP: Duration = Duration::from_millis(110);
/// What each page costs the store.
const COST: Duration = Duration::from_millis(40);
/// What fits into the two seconds after which a gap is due, and the half second that a transaction
/// may take. On a slow machine it is less.
const MOST_OF_A_RUN: usize = 2000 / 40 + 500 / 40 + 2;
const MOST_OF_A_TRANSACTION: usize = 500 / 40 + 1;
/// Pages written in a test: more than two runs.
const ENOUGH: usize = 150;

/// A transaction: when it began and ended, and how many pages were written in it.
#[derive(Clone, Copy, Debug)]
struct Turn {
    begun: Instant,
    ended: Instant,
    pages: usize,
}

/// A store that keeps nothing but when it was used.
#[derive(Debug, Default)]
struct Diary {
    turns: Arc<Mutex<Vec<Turn>>>,
}

impl Location for Diary {
    fn open(&self, _: Opening) -> Result<(Box<dyn Store>, Opened)> {
        let store = Diary { turns: Arc::clone(&self.turns) };
        Ok((Box::new(store), Opened { is_new: true, ..Opened::default() }))
    }

    fn name(&self) -> String {
        "diary".to_owned()
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

impl Store for Diary {
    fn begin(&mut self) -> Result<()> {
        let now = Instant::now();
        self.turns.lock().unwrap().push(Turn { begun: now, ended: now, pages: 0 });
        Ok(())
    }

    fn apply(&mut self, _: &Changes) -> Result<()> {
        sleep(COST);
        self.turns.lock().unwrap().last_mut().unwrap().pages += 1;
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.turns.lock().unwrap().last_mut().unwrap().ended = Instant::now();
        Ok(())
    }

    fn roll_back(&mut self) {}

    fn rest(&mut self) {}

    fn find(&mut self, _: &Query<'_>, _: Duration) -> Result<EntityPage> {
        Ok(EntityPage::default())
    }

    fn load(&mut self, _: Option<i64>, _: usize) -> Result<Loaded> {
        Ok(Loaded::default())
    }

    fn update_states(&mut self) -> Result<Vec<(i64, UpdateState)>> {
        Ok(Vec::new())
    }

    fn auth_key(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::default())
    }

    fn sent_file(&mut self, _: &FileKey) -> Result<Option<SentFile>> {
        Ok(None)
    }

    fn others_commits(&mut self) -> Result<i64> {
        Ok(0)
    }

    fn execute(&mut self, _: &str, _: &[Value]) -> Result<(Option<Vec<Value>>, bool)> {
        Ok((None, false))
    }
}

fn open() -> (Arc<Session>, Arc<Mutex<Vec<Turn>>>) {
    let diary = Diary::default();
    let turns = Arc::clone(&diary.turns);
    (Session::open(Box::new(diary), &mut || true).unwrap().0, turns)
}

/// People of whom something changes each time.
fn give(session: &Session, ids: std::ops::Range<i64>, hash: i64) {
    let mut page = Session::new_page();
    for id in ids {
        page.push(&Entity { id, hash: Some(hash), username: None, phone: None, name: None });
    }
    if let Err(page) = session.try_put(page) {
        session.put(page);
    }
}

/// The pages of each run of transactions without a gap in which any other program is sure to have
/// looked.
fn runs(turns: &[Turn]) -> Vec<usize> {
    let mut runs = vec![0];
    let mut last: Option<Turn> = None;
    for turn in turns {
        if last.is_some_and(|last| turn.begun.duration_since(last.ended) >= GAP) {
            runs.push(0);
        }
        *runs.last_mut().unwrap() += turn.pages;
        last = Some(*turn);
    }
    runs
}

fn pages(turns: &Mutex<Vec<Turn>>) -> usize {
    turns.lock().unwrap().iter().map(|turn| turn.pages).sum()
}

fn check(turns: &Mutex<Vec<Turn>>) {
    let turns = turns.lock().unwrap();
    assert!(turns.iter().all(|turn| turn.pages <= MOST_OF_A_TRANSACTION), "{turns:?}");
    let runs = runs(&turns);
    assert!(runs.iter().all(|pages| *pages <= MOST_OF_A_RUN), "{runs:?}");
}

#[test]
fn a_session_that_is_saved_again_and_again() {
    let (session, turns) = open();
    for hash in 0..i64::try_from(ENOUGH).unwrap() {
        give(&session, 1..2, hash);
        session.save(true, &mut || true).unwrap();
    }
    assert!(pages(&turns) >= ENOUGH);
    check(&turns);
}

#[test]
fn a_session_that_is_given_more_than_the_disk_takes() {
    let (session, turns) = open();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for hash in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                give(&session, 1 + 500 * (hash % 100)..501 + 500 * (hash % 100), hash);
                sleep(Duration::from_millis(1));
            }
        });
        // However much comes meanwhile, what was given before is written, and told of.
        while pages(&turns) < ENOUGH {
            let (tell, told) = std::sync::mpsc::channel();
            session.when_saved(Box::new(move |result| drop(tell.send(result))));
            told.recv().unwrap().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    session.close(Duration::from_secs(600), &mut || true).unwrap();
    check(&turns);
}
