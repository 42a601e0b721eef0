//! A session: the truth while the program runs.
//!
//! A memory session has no store. Any other has one behind it, which is read when the cache has no answer yet
//! (`loading.rs`) and written from the journal (`saving.rs`).
//!
//! There are two locks. `slot` is held while the store works, `state` only for moments; who needs both takes `slot` first. Functions
//! whose name begins with `try_` never wait, so they may be called with the interpreter's lock held; all others may wait.
//! Whoever looks for entities, or at what is unsaved, takes the `whole_state`: with what is in the inbox.

mod inbox;
mod journal;
mod loading;
mod login;
mod mirror;
mod receiving;
mod rows;
mod saving;
mod scanning;
mod sharing;
mod slot;
mod state;
mod trouble;
mod turns;

pub use loading::BRIEF_WAIT;
pub use rows::Exchange;
pub use saving::Patience;
pub use scanning::Scan;
pub use state::OnSaved;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::entity_cache::{IdAndHash, TextKey};
use crate::error::Result;
use crate::fork;
use crate::store::{Credentials, FileKey, Location, Opening, Query, SentFile, UpdateState};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering};

use inbox::Inbox;
use mirror::Mirror;
use slot::Slot;
use state::State;

/// A session. See the [module](self).
pub struct Session {
    me: Weak<Session>,
    location: Option<Box<dyn Location>>,
    slot: Mutex<Slot>,
    state: Mutex<State>,
    inbox: Inbox,
    /// How many threads wait to look at the state.
    wanted: AtomicUsize,
    /// How many threads wait urgently for the slot: a transaction under way is ended early for them.
    urgent: AtomicUsize,
    /// Whether a transaction is under way. Until it ends nobody else can write, and what others had written before is known.
    is_writing: AtomicBool,
    /// Milliseconds for which a caller that may be held up waits for a lock.
    timeout: AtomicUsize,
    /// Whether the session was closed, and nothing was given to it or read since.
    is_closed: AtomicBool,
    /// Whether the session was moved to another file, which is not open yet.
    was_moved: AtomicBool,
    /// Whether the program uses the file through another connection too.
    is_shared: AtomicBool,
}

/// How long a caller waits for a lock. Python's `sqlite3`, and so Telethon, waits as long.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What memory alone can say of a query.
#[derive(Debug, PartialEq, Eq)]
pub enum InMemory {
    /// It is known.
    Found(IdAndHash),
    /// It is known that nobody knows.
    NotFound,
    /// [`Session::find`] must be asked, which may wait.
    Unknown,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that is kept in memory only.
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        Self::new(None, Slot::default(), State::default())
    }

    /// Opens the session that is kept at `location`, and answers the credentials found there. Entities are read in the
    /// background.
    ///
    /// # Errors
    /// Whatever keeps it from being opened; a lock only after five seconds, or when the caller loses patience.
    pub fn open(location: Box<dyn Location>, patience: Patience<'_>) -> Result<(Arc<Self>, Option<Credentials>)> {
        Self::open_within(location, DEFAULT_TIMEOUT, patience)
    }

    /// Opens a session as [`open`](Self::open) does, for which callers wait up to `timeout` for locks, now and later.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub fn open_within(
        location: Box<dyn Location>,
        timeout: Duration,
        patience: Patience<'_>,
    ) -> Result<(Arc<Self>, Option<Credentials>)> {
        let mut location = Some(location);
        let opened = saving::patiently(
            timeout,
            patience,
            |_| (),
            || {
                let _working = fork::working();
                Self::open_now(&mut location)
            },
        )?;
        opened.0.set_timeout(timeout);
        Ok(opened)
    }

    /// How long a caller that may be held up waits for a lock.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.load(Ordering::Relaxed) as u64)
    }

    /// Sets how long a caller that may be held up waits for a lock.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout.store(usize::try_from(timeout.as_millis()).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// The session's file, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.location.as_ref().and_then(|location| location.path())
    }

    /// Returns `true` if the session was closed, and nothing was given to it or read from its store since.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn open_now(location: &mut Option<Box<dyn Location>>) -> Result<(Arc<Self>, Option<Credentials>)> {
        let opening = Opening { may_create: true, wait: Duration::ZERO };
        let Some((store, opened)) = location.as_ref().map(|location| location.open(opening)).transpose()? else {
            return Ok((Self::in_memory(), None));
        };
        let slot = Slot {
            store: Some(store),
            stored_key: opened.auth_key(),
            read_key: opened.auth_key(),
            identity: location.as_ref().and_then(|location| location.identity()),
            others_commits: opened.others_commits,
            checked_at: Some(opened.others_commits),
            generation: fork::generation(),
            ..Slot::default()
        };
        let state = State {
            key: opened.auth_key(),
            update_states: opened.update_states.into_iter().collect(),
            mirror: if opened.is_new { Mirror::Complete } else { Mirror::begin() },
            generation: fork::generation(),
            ..State::default()
        };
        let session = Self::new(location.take(), slot, state);
        if !opened.is_new {
            session.visit_in(loading::AFTER_OPENING);
        }
        let mut credentials = opened.credentials;
        if let Some(credentials) = &mut credentials
            && !credentials.fill_in_address()
        {
            log::warn!(
                "{} has a key, but neither the address of its data centre nor one of Telegram's numbers for it ({}): the \
                 client will use the key at data centre 2, which may not know it",
                session.location.as_ref().map(|location| location.name()).unwrap_or_default(),
                credentials.dc_id
            );
        }
        Ok((session, credentials))
    }

    fn new(location: Option<Box<dyn Location>>, slot: Slot, state: State) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            location,
            slot: Mutex::new(slot),
            state: Mutex::new(state),
            inbox: Inbox::default(),
            wanted: AtomicUsize::new(0),
            urgent: AtomicUsize::new(0),
            is_writing: AtomicBool::new(false),
            timeout: AtomicUsize::new(usize::try_from(DEFAULT_TIMEOUT.as_millis()).unwrap_or(usize::MAX)),
            is_closed: AtomicBool::new(false),
            was_moved: AtomicBool::new(false),
            is_shared: AtomicBool::new(false),
        })
    }

    /// Whether the session is stored anywhere.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.location.is_some()
    }

    /// The form in which a phone number is kept.
    #[must_use]
    pub fn phone_form<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        self.location.as_ref().map_or(Cow::Borrowed(phone), |location| location.phone_form(phone))
    }

    /// Answers from memory, without waiting.
    #[must_use]
    pub fn try_find(&self, query: &Query<'_>) -> InMemory {
        if self.is_shared() {
            return InMemory::Unknown;
        }
        let Some(mut state) = self.try_whole_state() else { return InMemory::Unknown };
        if state.mirror.answers(query)
            && let Some(found) = self.answer(&mut state, query)
        {
            return InMemory::Found(found);
        }
        if self.is_stored() { InMemory::Unknown } else { InMemory::NotFound }
    }

    /// Answers from memory, and from the store where it may know more and can be read at once.
    #[must_use]
    pub fn find(&self, query: &Query<'_>) -> Option<IdAndHash> {
        self.find_briefly(query, Instant::now() + BRIEF_WAIT)
    }

    /// Like [`find`](Self::find), for one of several lookups that together wait until then for a lock.
    #[must_use]
    pub fn find_briefly(&self, query: &Query<'_>, until: Instant) -> Option<IdAndHash> {
        let wait = until.saturating_duration_since(Instant::now());
        self.find_within(Duration::ZERO, wait, query, &mut || true)
    }

    /// The same, for somebody who may be held up: a locked store is waited for, until then at the most.
    #[must_use]
    pub fn find_patiently(&self, query: &Query<'_>, until: Instant, patience: Patience<'_>) -> Option<IdAndHash> {
        self.find_within(until.saturating_duration_since(Instant::now()), BRIEF_WAIT, query, patience)
    }

    /// Tries again until `limit`; each attempt waits `wait` for a lock.
    fn find_within(
        &self,
        limit: Duration,
        wait: Duration,
        query: &Query<'_>,
        patience: Patience<'_>,
    ) -> Option<IdAndHash> {
        if !self.is_shared() {
            let _working = fork::working();
            let mut state = self.whole_state();
            if state.mirror.answers(query)
                && let Some(found) = self.answer(&mut state, query)
            {
                return Some(found);
            }
        }
        if !self.is_stored() {
            return None;
        }
        let found = saving::patiently(
            limit,
            patience,
            |_| (),
            || {
                let _working = fork::working();
                self.find_in_store(query, wait)
            },
        );
        let _working = fork::working();
        found.unwrap_or_else(|_| self.answer(&mut self.whole_state(), query))
    }

    fn answer(&self, state: &mut State, query: &Query<'_>) -> Option<IdAndHash> {
        match query {
            Query::Id(id) => state.cache.by_id(*id),
            Query::AnyId(ids) => ids.iter().flatten().find_map(|id| state.cache.by_id(*id)),
            Query::Text(TextKey::Username, username) => {
                let State { cache, journal, .. } = &mut *state;
                let before = journal.entities.len();
                let found = cache.by_username(username, |id| {
                    if self.is_stored() {
                        journal.entities.push_back(id);
                    }
                });
                if journal.entities.len() > before {
                    self.note_change(state, Instant::now());
                }
                found
            }
            Query::Text(key, text) => state.cache.by_text(*key, text),
        }
    }

    /// Says where to connect, and with which keys.
    pub fn set_credentials(&self, credentials: Credentials) {
        let _working = fork::working();
        if self.is_stored() {
            let mut state = self.state();
            state.key.clone_from(&credentials.auth_key);
            state.journal.credentials = Some(credentials);
            self.note_change(&mut state, Instant::now());
        }
    }

    /// The update state of a channel, or (0) of the account.
    #[must_use]
    pub fn update_state(&self, id: i64) -> Option<UpdateState> {
        let _working = fork::working();
        self.open_if_moved();
        self.see_shared();
        self.state().update_states.get(&id).copied()
    }

    /// All update states, in the order of their ids.
    #[must_use]
    pub fn update_states(&self) -> Vec<(i64, UpdateState)> {
        let _working = fork::working();
        self.open_if_moved();
        self.see_shared();
        self.state().update_states.iter().map(|(id, update_state)| (*id, *update_state)).collect()
    }

    /// Keeps an update state. Answers `false`, having done nothing, if it would have to wait.
    #[must_use]
    pub fn try_set_update_state(&self, id: i64, update_state: UpdateState) -> bool {
        self.try_state().map(|mut state| self.put_update_state(&mut state, id, update_state)).is_some()
    }

    /// Keeps an update state.
    pub fn set_update_state(&self, id: i64, update_state: UpdateState) {
        let _working = fork::working();
        self.put_update_state(&mut self.state(), id, update_state);
    }

    fn put_update_state(&self, state: &mut State, id: i64, update_state: UpdateState) {
        let before = state.update_states.insert(id, update_state);
        if !self.is_stored() {
            return;
        }
        // A channel's date is of no use, and Telethon's clients make one up whenever they save.
        if id != 0 && before.is_some_and(|before| UpdateState { date: update_state.date, ..before } == update_state) {
            if !state.journal.update_states.contains(&id) {
                state.journal.channel_dates.add(id);
                self.note_date(state, Instant::now());
            }
        } else {
            state.journal.update_states.add(id);
            self.note_change(state, Instant::now());
        }
    }

    /// Keeps what the server calls a file that was sent.
    pub fn set_sent_file(&self, key: FileKey, file: SentFile) {
        let _working = fork::working();
        let mut state = self.state();
        state.sent_files.insert(key.clone(), file);
        if self.is_stored() {
            state.journal.sent_files.add(key);
            self.note_change(&mut state, Instant::now());
        }
    }

    /// What the server calls a file that was sent.
    #[must_use]
    pub fn sent_file(&self, key: &FileKey) -> Option<SentFile> {
        let _working = fork::working();
        self.see_shared();
        if let Some(file) = self.state().sent_files.get(key) {
            return Some(*file);
        }
        if !self.is_stored() {
            return None;
        }
        let mut slot = self.slot_urgently();
        let found = self.opened(&mut slot, Duration::ZERO).and_then(|store| store.sent_file(key));
        let file = self.or_memory(&mut slot, found, || None)?;
        self.state().sent_files.entry(key.clone()).or_insert(file);
        Some(file)
    }

    /// Panics as a defect would, with every lock held.
    ///
    /// # Panics
    /// Always.
    #[cfg(feature = "faults")]
    #[allow(clippy::panic)]
    pub fn panic(&self) {
        let _working = fork::working();
        let _slot = self.slot();
        let _state = self.whole_state();
        panic!("told to");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.notice_fork();
        state
    }

    /// The state, with all that has been received.
    fn whole_state(&self) -> MutexGuard<'_, State> {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        while self.take_in_a_page(&mut state) {}
        state
    }

    fn try_whole_state(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = self.try_state()?;
        while self.take_in_a_page(&mut state) {}
        Some(state)
    }

    fn try_state(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        state.notice_fork();
        Some(state)
    }
}

impl Drop for Session {
    /// The store is closed while nobody can fork; in a child it is the parent's.
    fn drop(&mut self) {
        if self.location.is_none() {
            return;
        }
        let _working = fork::working();
        let slot = self.slot.get_mut().unwrap_or_else(PoisonError::into_inner);
        slot.notice_fork();
        slot.store = None;
    }
}

/// Seconds since 1970.
fn now() -> u32 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX)
}
