//! A session's authoritative in-memory state.
//!
//! A session in memory has no store. Any other session has one, which answers what memory cannot
//! (`lookup.rs`), is loaded into memory in the background (`load.rs`), and is written from the
//! dirty set (`write.rs`).
//!
//! There are two locks. The store `handle` is locked while the store works, `state` for moments
//! only; a thread that needs both locks `handle` first. While lookups keep the store busy, the loader
//! has a connection of its own, with a lock of its own (`reader.rs`). Functions named `try_...` never wait, so
//! they may be called with the GIL held; all others may wait. Code that looks at entities, or at
//! what is dirty, locks the `whole_state`, which includes the inbox.

mod bounds;
mod count;
mod dirty_set;
mod forget;
mod freeze;
mod handle;
mod health;
mod inbox;
mod known;
mod lifecycle;
mod load;
mod load_state;
mod login;
mod lookup;
mod newer_than_reads;
mod open;
mod owner;
mod read_only;
mod reader;
mod receive;
mod records;
mod retry;
mod rows;
mod scan;
mod sharing;
mod state;
mod stored_login;
mod tracker;
mod turns;
mod write;

pub use bounds::{max_entities, set_max_entities};
pub use freeze::Frozen;
pub use lookup::CacheLookup;
pub use retry::KeepWaiting;
pub use rows::Exchange;
pub use scan::EntityScan;
pub use state::OnSaved;
pub use tracker::{Rest, TrackedChanges, Tracker};

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::{Backend, Place};
use crate::sync::{self, AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering};

use handle::StoreHandle;
use inbox::Inbox;
use state::State;

/// How long a caller waits for locks by default. Python's `sqlite3`, and so Telethon,
/// waits as long.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the lookups of one call in an event loop wait for locks, together. A longer wait would
/// block the loop.
pub const BRIEF_TIMEOUT: Duration = Duration::from_millis(8);

/// How to open a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// How long a caller that may be blocked waits for locks, now and later.
    pub timeout: Duration,
    /// Whether to hold the store's lease while it is open.
    pub exclusive: bool,
    /// How many entities may be in memory; `None` for all.
    pub max_entities: Option<NonZeroUsize>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { timeout: DEFAULT_TIMEOUT, exclusive: false, max_entities: None }
    }
}

/// A session. See the [module](self).
pub struct Session {
    me: Weak<Session>,
    backend: Option<Arc<dyn Backend>>,
    handle: Mutex<StoreHandle>,
    state: Mutex<State>,
    inbox: Inbox,
    /// How many threads wait for the state.
    wanted: AtomicUsize,
    /// How many threads wait for the store ahead of a transaction, which ends early for them.
    preempting: AtomicUsize,
    /// Whether a transaction is under way. Until it ends, no other connection can write, and what
    /// others wrote before is known.
    is_writing: AtomicBool,
    /// How many milliseconds a caller that may be blocked waits for locks.
    timeout: AtomicUsize,
    is_exclusive: bool,
    /// How many entities may be in memory; `None` for all.
    max_entities: Option<NonZeroUsize>,
    /// How many may be in memory of all sessions of the process with such a limit; `None` for all.
    process_limit: Option<NonZeroUsize>,
    /// Whether the session was closed, and nothing was stored in it or read from its store since.
    is_closed: AtomicBool,
    /// Whether the session was pointed to another place, which is not open yet.
    was_moved: AtomicBool,
    /// Whether the program uses the store through another connection too.
    is_shared: AtomicBool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl Session {
    /// Returns a session that is kept in memory only. It forgets the least recently seen entities if
    /// there are more than `max_entities`.
    #[must_use]
    pub fn in_memory(max_entities: Option<NonZeroUsize>) -> Arc<Self> {
        let options = SessionOptions { max_entities, ..SessionOptions::default() };
        Self::new(None, options, StoreHandle::default(), State::default())
    }

    fn new(backend: Option<Arc<dyn Backend>>, options: SessionOptions, handle: StoreHandle, state: State) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            backend,
            handle: Mutex::new(handle),
            state: Mutex::new(state),
            inbox: Inbox::default(),
            wanted: AtomicUsize::new(0),
            preempting: AtomicUsize::new(0),
            is_writing: AtomicBool::new(false),
            timeout: AtomicUsize::new(milliseconds(options.timeout)),
            is_exclusive: options.exclusive,
            max_entities: options.max_entities,
            process_limit: max_entities(),
            is_closed: AtomicBool::new(false),
            was_moved: AtomicBool::new(false),
            is_shared: AtomicBool::new(false),
        })
    }

    /// Returns how long a caller that may be blocked waits for locks.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.load(Ordering::Relaxed) as u64)
    }

    /// Sets how long a caller that may be blocked waits for locks.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout.store(milliseconds(timeout), Ordering::Relaxed);
    }

    /// Returns where the session is stored.
    #[must_use]
    pub fn place(&self) -> Place {
        self.backend.as_ref().map_or(Place::Memory, |backend| backend.place())
    }

    /// Returns `true` if the store is on a server.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.backend.as_ref().is_some_and(|backend| backend.is_remote())
    }

    /// Returns `true` if the store is a database in which values take on the types of its columns, as
    /// lookups in Telethon's own session file see them.
    #[must_use]
    pub fn has_column_types(&self) -> bool {
        self.is_stored() && !self.is_remote()
    }

    /// Returns `true` if the session has a store.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.backend.is_some()
    }

    /// Returns a phone number in the form in which the session keeps it.
    #[must_use]
    pub fn normalize_phone<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        self.backend.as_ref().map_or(Cow::Borrowed(phone), |backend| backend.normalize_phone(phone))
    }

    /// Panics as a bug would, with every lock held.
    ///
    /// # Panics
    /// Always.
    #[cfg(feature = "faults")]
    #[allow(clippy::panic)]
    pub fn panic(&self) {
        let _guard = crate::fork::guard();
        let _handle = self.lock_store();
        let _state = self.whole_state();
        panic!("on purpose");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = sync::try_lock(&self.state).unwrap_or_else(|| {
            // Threads that lock it again and again let this one go first.
            self.wanted.fetch_add(1, Ordering::Relaxed);
            let state = sync::lock(&self.state);
            self.wanted.fetch_sub(1, Ordering::Relaxed);
            state
        });
        state.reset_after_fork();
        state
    }

    /// Locks the state, with everything that has been received in it.
    fn whole_state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while self.insert_first_batch(&mut state) {}
        state
    }

    fn try_whole_state(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = self.try_state()?;
        while self.insert_first_batch(&mut state) {}
        Some(state)
    }

    fn try_state(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = sync::try_lock(&self.state)?;
        state.reset_after_fork();
        Some(state)
    }
}

fn milliseconds(duration: Duration) -> usize {
    usize::try_from(duration.as_millis()).unwrap_or(usize::MAX)
}

/// Returns the seconds since 1970.
fn now() -> u32 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    /// A thread that works in steps pauses while another one waits, for whatever.
    #[test]
    fn each_thread_that_waits_for_the_state_is_noticed() {
        let session = Session::in_memory(None);
        for ask in [|session: &Session| drop(session.state()), |session: &Session| drop(session.whole_state())] {
            std::thread::scope(|scope| {
                let state = session.state();
                scope.spawn(|| ask(&session));
                while session.wanted.load(Ordering::Relaxed) == 0 {
                    std::thread::yield_now();
                }
                drop(state);
            });
            assert_eq!(session.wanted.load(Ordering::Relaxed), 0);
        }
    }
}
