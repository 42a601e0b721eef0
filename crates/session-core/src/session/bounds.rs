//! Memory within bounds: the least recently seen entities leave memory, and stay in the store.
//!
//! Such a session does not load what is stored. Lookups ask the store for what memory lacks, and
//! texts are always looked up there too, because they may belong to several entities. For that the
//! writer's thread has the store complete its index, if it has one. The same thread removes entities
//! when memory holds more than it may, down to seven eighths.
//!
//! What is not stored yet does not leave memory: what is dirty or being written, what a tracker has
//! not copied, and what a forked process leaves to its parent.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Session;
use super::handle::StoreHandle;
use super::load::{BUSY_RETRY, HANDLE_RETRY, PENDING_RETRY, pause_after};
use super::state::State;
use crate::entity::SELF;
use crate::entity_table::Dirty;
use crate::error::Result;
use crate::fork;
use crate::store::{Indexer, Indexing, Kind, Snapshot};
use crate::sync::{self, Mutex};
use crate::writer;

/// Entities looked at with the state locked: some hundredths of a millisecond's work.
const ROWS: usize = 256;
/// Rows of removed entities that are freed with the state locked.
const FREED_ROWS: usize = 64;
/// How long one run removes entities.
const TIME: Duration = Duration::from_millis(4);
/// When to try again if too few entities may leave memory yet. Shuttle's tests do not wait in real time.
const RETRY: Duration = if cfg!(shuttle) { Duration::ZERO } else { Duration::from_secs(1) };
/// When to try again what has failed for another reason than a lock.
const FAILURE_RETRY: Duration = Duration::from_mins(1);
/// How many dates are looked at to find out which entities are the least recently seen.
const SAMPLE: usize = 1 << 14;

/// How many entities all sessions of the process may keep in memory together; 0 for all.
static PROCESS_LIMIT: AtomicUsize = AtomicUsize::new(0);
/// How many entities the bounded sessions with a store keep in memory.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// What completes the index of a store, and since when; `None` once it is closed. Locked while it
/// works, and after the store handle.
pub(super) type SharedIndexer = Arc<Mutex<Option<(Box<dyn Indexer>, Instant)>>>;

fn shared(indexer: Option<Box<dyn Indexer>>) -> Option<SharedIndexer> {
    indexer.map(|indexer| Arc::new(Mutex::new(Some((indexer, Instant::now())))))
}

/// A removal of the least recently seen entities, in steps.
#[derive(Debug)]
pub(super) struct Eviction {
    /// The position in the table to continue from.
    from: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Dates are read, of one in `every` entities, so that `keep` of them stay.
    Dating { keep: usize, dates: Vec<u32>, every: usize, passed: usize },
    /// Up to `rest` entities are removed: first those seen up to one date, then up to another.
    Removing { up_to: u32, then: u32, rest: usize },
    /// All that may leave are removed. Whether some could not, because their dates are not written yet.
    Dropping { has_kept: bool },
}

impl Eviction {
    /// Returns the removal of everything that may leave memory.
    fn of_all() -> Self {
        Self { from: 0, stage: Stage::Dropping { has_kept: false } }
    }
}

/// The sessions that share a limit of the process, and when they were last told that there are too many.
#[derive(Default)]
struct Sharing {
    sessions: Vec<Weak<Session>>,
    told: Option<Instant>,
}

static SHARING: std::sync::Mutex<Sharing> = std::sync::Mutex::new(Sharing { sessions: Vec::new(), told: None });

/// Returns how many entities the sessions of this process with a store keep in memory together that
/// are opened from now on; `None` for all.
#[must_use]
pub fn max_entities() -> Option<NonZeroUsize> {
    NonZeroUsize::new(PROCESS_LIMIT.load(Ordering::Relaxed))
}

/// Sets how many entities the sessions with a store keep in memory together that are opened from now
/// on; `None` for all. Where there are too many, each session gives up the same share of its own, but
/// need not keep less than the limit divided by the number of sessions.
pub fn set_max_entities(limit: Option<NonZeroUsize>) {
    PROCESS_LIMIT.store(limit.map_or(0, NonZeroUsize::get), Ordering::Relaxed);
}

impl StoreHandle {
    /// Closes what completes the index, waiting for it if it works.
    pub(super) fn close_indexer(&mut self) {
        if let Some(indexer) = self.indexer.take() {
            let closed = sync::lock(&indexer).take();
            drop(closed);
        }
    }
}

impl Session {
    /// Returns how many entities are in memory.
    #[must_use]
    pub fn entities_in_memory(&self) -> usize {
        let _guard = fork::guard();
        self.whole_state().table.len()
    }

    /// Returns `true` if memory holds only some of what is stored.
    pub(super) fn is_partial(&self) -> bool {
        let _guard = fork::guard();
        self.state().loading.partial().is_some()
    }

    /// Removes the least recently seen entities for some milliseconds if memory holds more than it
    /// may. Returns the delay until it wants to go on.
    pub(super) fn evict(&self) -> Option<Duration> {
        let begun = Instant::now();
        loop {
            {
                // While the handle is locked, nothing is on its way to a file.
                let handle = if self.is_stored() { Some(self.try_lock_store()) } else { None };
                let mut state = self.state();
                if !self.is_evicting(&mut state) {
                    let drop_again = state.loading.partial().and_then(|partial| partial.drop_again);
                    let again = state.evict_again.into_iter().chain(drop_again).min();
                    return again.map(|at| at.saturating_duration_since(Instant::now()));
                }
                if matches!(handle, Some(None)) {
                    return Some(HANDLE_RETRY);
                }
                state.evict_some(self.is_stored());
            }
            if begun.elapsed() >= TIME {
                return Some(Duration::ZERO);
            }
            self.let_others();
        }
    }

    /// Schedules a removal if memory holds more than it may. Call after entities were added.
    pub(super) fn plan_eviction(&self, state: &mut State) {
        if state.eviction.is_none() && state.evict_again.is_none() && self.excess(state).is_some() {
            self.schedule(Duration::ZERO);
        }
    }

    /// Returns `true` if entities are to be removed now. Begins to if there are too many.
    fn is_evicting(&self, state: &mut State) -> bool {
        if state.eviction.is_some() {
            return true;
        }
        let Some(keep) = self.excess(state).filter(|_| !state.is_released) else {
            state.evict_again = None;
            return false;
        };
        if state.evict_again.is_some_and(|at| at > Instant::now()) {
            return false;
        }
        if let Some(newer) = &mut state.newer_than_reads {
            newer.trim();
        }
        // In case too few may leave.
        state.evict_again = Some(Instant::now() + RETRY);
        if self.is_stored() && state.dirty.dates.len() > keep / 2 {
            // They cannot leave before they are written.
            state.dates_due = Some(Instant::now());
        }
        let every = state.table.len().div_ceil(SAMPLE);
        state.eviction = Some(Eviction { from: 0, stage: Stage::Dating { keep, dates: Vec::new(), every, passed: 0 } });
        true
    }

    /// Returns how many entities are to stay if memory holds more than it may.
    fn excess(&self, state: &mut State) -> Option<usize> {
        let is_partial = state.loading.partial().is_some();
        if is_partial || state.counted > 0 {
            state.count(if is_partial { state.table.len() } else { 0 });
        }
        let most = self.most_entities(state).filter(|most| state.table.len() > *most)?;
        Some(most - most / 8)
    }

    /// Returns how many entities the session may keep in memory now; `None` if there is no limit.
    fn most_entities(&self, state: &mut State) -> Option<usize> {
        let own = self.max_entities.map(NonZeroUsize::get);
        let of_process = self.process_limit.filter(|_| state.loading.partial().is_some()).map(|limit| {
            let (len, limit) = (state.table.len(), limit.get());
            let kept = KEPT.load(Ordering::Relaxed).max(len).max(1);
            if kept <= limit {
                return usize::MAX;
            }
            let share = usize::try_from(len as u128 * limit as u128 / kept as u128).unwrap_or(usize::MAX);
            share.max(limit / self.tell_others().max(1))
        });
        own.into_iter().chain(of_process).min()
    }

    /// Has the session share the limit of the process.
    pub(super) fn share_limit(&self) {
        if self.process_limit.is_some() {
            let mut sharing = SHARING.lock().unwrap_or_else(PoisonError::into_inner);
            sharing.sessions.retain(|session| session.strong_count() > 0);
            sharing.sessions.push(self.me.clone());
        }
    }

    /// Has all sessions that share the limit give up what they have too many, as those must that are
    /// not used. Returns how many there are.
    fn tell_others(&self) -> usize {
        let mut sharing = SHARING.lock().unwrap_or_else(PoisonError::into_inner);
        if sharing.told.is_none_or(|told| told.elapsed() >= RETRY) {
            sharing.told = Some(Instant::now());
            sharing.sessions.retain(|session| session.strong_count() > 0);
            for session in sharing.sessions.iter().filter(|session| !Weak::ptr_eq(session, &self.me)) {
                if let Some(session) = session.upgrade() {
                    writer::schedule(session, Duration::ZERO);
                }
            }
        }
        sharing.sessions.len()
    }

    /// Looks after a store that memory holds in part: drops what another connection may have changed,
    /// and completes the index. Returns the delay until it wants to go on.
    pub(super) fn keep_partial(&self) -> Option<Duration> {
        let kept =
            self.drop_outdated().and_then(|retry| if retry.is_some() { Ok(retry) } else { self.complete_index() });
        match kept {
            Ok(next) => next,
            Err(error) if error.kind() == Some(Kind::Pending) => Some(PENDING_RETRY),
            Err(error) if error.is_retryable() => Some(BUSY_RETRY),
            Err(error) => {
                let mut state = self.state();
                let partial = state.loading.partial()?;
                let was_logged = std::mem::replace(&mut partial.is_failure_logged, true);
                let level = if was_logged { log::Level::Debug } else { log::Level::Warn };
                log::log!(level, "entities that are not in memory are found more slowly, or not at all: {error}");
                partial.is_outdated = false;
                partial.index_due = Some(Instant::now() + FAILURE_RETRY);
                Some(FAILURE_RETRY)
            }
        }
    }

    /// Has memory and the index brought up to date if another connection has changed a store that memory
    /// holds in part. Call after the store was asked.
    pub(super) fn look_after_partial(&self, handle: &mut StoreHandle) -> Result<()> {
        let StoreHandle { store: Some(store), loaded_revision, .. } = handle else { return Ok(()) };
        if self.state().loading.partial().is_none() {
            return Ok(());
        }
        if !self.is_remote() {
            self.refresh_if_stale(*loaded_revision, store.revision()?);
        }
        if store.lacks_index() {
            self.plan_to_check_index(&mut self.state());
        }
        Ok(())
    }

    /// Removes from memory what another connection may have changed. Returns the delay until it can be
    /// tried again, if it has to be.
    fn drop_outdated(&self) -> Result<Option<Duration>> {
        {
            let mut state = self.state();
            let Some(partial) = state.loading.partial().filter(|partial| partial.is_outdated) else { return Ok(None) };
            let wait = partial.drop_again.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
            if !wait.is_zero() {
                return Ok(Some(wait));
            }
        }
        let Some(mut handle) = self.try_lock_store() else { return Ok(Some(HANDLE_RETRY)) };
        let StoreHandle { store: Some(store), loaded_revision, .. } = &mut *handle else { return Ok(None) };
        let Snapshot { revision, update_states, .. } = store.snapshot()?;
        *loaded_revision = revision;
        let mut state = self.state();
        state.put_stored_update_states(update_states);
        state.eviction = Some(Eviction::of_all());
        if !state.dirty.dates.is_empty() {
            // They cannot leave before they are written.
            state.dates_due = Some(Instant::now());
        }
        if let Some(partial) = state.loading.partial() {
            partial.is_outdated = false;
            partial.drop_again = None;
        }
        Ok(Some(Duration::ZERO))
    }

    /// Has entities found by their texts, and what is written from now on added to the index. Call when
    /// the store was opened.
    pub(super) fn begin_to_index(&self, handle: &mut StoreHandle) {
        if self.state().loading.partial().is_none() {
            return;
        }
        let StoreHandle { store: Some(store), indexer, .. } = handle else { return };
        match store.index() {
            Ok(found) => *indexer = shared(found),
            // It is tried again.
            Err(error) => log::debug!("{error}"),
        }
    }

    /// Does some of what the index lacks. Returns the delay until it wants to go on.
    fn complete_index(&self) -> Result<Option<Duration>> {
        let indexer = {
            let Some(mut handle) = self.try_lock_store() else { return Ok(Some(HANDLE_RETRY)) };
            let StoreHandle { store: Some(store), indexer, .. } = &mut *handle else { return Ok(None) };
            {
                let mut state = self.state();
                let is_released = state.is_released;
                let partial = state.loading.partial().filter(|_| !is_released);
                let Some(due) = partial.and_then(|partial| partial.index_due) else { return Ok(None) };
                let wait = due.saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    return Ok(Some(wait));
                }
            }
            if indexer.is_none() {
                *indexer = shared(store.index()?);
            }
            if indexer.is_none() {
                self.plan_index(None);
            }
            let Some(indexer) = indexer else { return Ok(None) };
            Arc::clone(indexer)
        };
        let (stepped, begun) = {
            let mut working = sync::lock(&indexer);
            (working.as_mut().map(|(indexer, _)| indexer.step()), working.as_ref().map(|(_, begun)| *begun))
        };
        // Otherwise it was closed meanwhile.
        let (Some(stepped), Some(begun)) = (stepped, begun) else { return Ok(Some(HANDLE_RETRY)) };
        let again = match stepped {
            Ok(Indexing::HasMore) => return Ok(Some(Duration::ZERO)),
            Err(error) if error.is_retryable() => return Ok(Some(BUSY_RETRY)),
            Ok(Indexing::Complete) => Ok(None),
            Ok(Indexing::Outdated) => Ok(Some(pause_after(begun.elapsed()))),
            Err(error) => Err(error),
        };
        {
            let mut handle = self.lock_store();
            if handle.indexer.as_ref().is_some_and(|current| Arc::ptr_eq(current, &indexer)) {
                handle.close_indexer();
            }
        }
        let pause = again?;
        self.plan_index(pause.map(|pause| Instant::now() + pause));
        Ok(pause)
    }

    /// Has it found out whether the index is complete: a write does not wait for an index that another
    /// connection uses. Call after a write.
    pub(super) fn plan_to_check_index(&self, state: &mut State) {
        if let Some(partial) = state.loading.partial()
            && partial.index_due.is_none()
        {
            partial.index_due = Some(Instant::now());
            self.schedule(Duration::ZERO);
        }
    }

    fn plan_index(&self, due: Option<Instant>) {
        if let Some(partial) = self.state().loading.partial() {
            partial.index_due = due;
        }
    }
}

impl State {
    /// Counts the entities that this session keeps in memory.
    pub(super) fn count(&mut self, kept: usize) {
        // In this order the sum is never too low for a moment, and never wraps.
        KEPT.fetch_add(kept, Ordering::Relaxed);
        KEPT.fetch_sub(self.counted, Ordering::Relaxed);
        self.counted = kept;
    }

    /// Looks at some entities, and removes those that may leave memory and are to.
    fn evict_some(&mut self, is_stored: bool) {
        self.table.end_removal(FREED_ROWS);
        let Some(Eviction { from, stage }) = self.eviction.take() else { return };
        let (next, stage) = match stage {
            Stage::Dating { keep, mut dates, every, mut passed } => {
                let may_leave = self.may_leave(is_stored);
                let note = |id, date, dirty| {
                    if may_leave(id, dirty) {
                        if passed % every == 0 {
                            dates.push(date);
                        }
                        passed += 1;
                    }
                    false
                };
                let next = self.table.scan_ids(from, ROWS, note, &mut Vec::new());
                (next, Stage::Dating { keep, dates, every, passed })
            }
            Stage::Dropping { mut has_kept } => {
                let mut ids = Vec::new();
                let next = {
                    let may_leave = self.may_leave(is_stored);
                    let leaves = |id, _, dirty| {
                        has_kept |= dirty == Dirty::Date && id != SELF;
                        may_leave(id, dirty)
                    };
                    self.table.scan_ids(from, ROWS, leaves, &mut ids)
                };
                self.table.begin_to_remove(ids, |_| ());
                (next, Stage::Dropping { has_kept })
            }
            Stage::Removing { up_to, then, rest } => {
                let mut ids = Vec::new();
                let next = {
                    let may_leave = self.may_leave(is_stored);
                    let is_old = |id, date, dirty| date <= up_to && may_leave(id, dirty);
                    self.table.scan_ids(from, ROWS, is_old, &mut ids)
                };
                ids.truncate(rest);
                if !is_stored {
                    self.note_changed(ids.iter().copied());
                }
                self.table.begin_to_remove(ids.iter().copied(), |_| ());
                (next, Stage::Removing { up_to, then, rest: rest - ids.len() })
            }
        };
        self.eviction = match (next, stage) {
            (None, Stage::Dropping { has_kept }) => {
                if let Some(partial) = self.loading.partial().filter(|_| has_kept) {
                    partial.is_outdated = true;
                    partial.drop_again = Some(Instant::now() + RETRY);
                }
                None
            }
            (_, Stage::Removing { rest: 0, .. }) => None,
            (Some(from), stage) => Some(Eviction { from, stage }),
            (None, Stage::Dating { keep, mut dates, every, .. }) => {
                let rest = self.table.len().saturating_sub(keep);
                let last = rest.div_ceil(every).min(dates.len()).checked_sub(1);
                last.map(|last| {
                    let then = *dates.select_nth_unstable(last).1;
                    Eviction { from: 0, stage: Stage::Removing { up_to: then.saturating_sub(1), then, rest } }
                })
            }
            (None, Stage::Removing { up_to, then, rest }) => {
                (up_to < then).then_some(Eviction { from: 0, stage: Stage::Removing { up_to: then, then, rest } })
            }
        };
    }

    /// Returns what tells whether an entity may leave memory.
    fn may_leave(&self, is_stored: bool) -> impl Fn(i64, Dirty) -> bool + use<'_> {
        let writes = self.posted.iter().flat_map(|posted| &posted.in_flight);
        let in_flight: HashSet<i64> = writes.flat_map(|taken| &taken.entities).map(|(id, _)| *id).collect();
        move |id, dirty| {
            let is_needed = || {
                in_flight.contains(&id)
                    || self.left_to_parent.contains(&id)
                    // Until then, what the server answers is ignored.
                    || self.newer_than_reads.as_ref().is_some_and(|newer| newer.contains(id))
                    || self.is_tracked(id)
            };
            id != SELF && (!is_stored || (dirty == Dirty::Clean && !is_needed()))
        }
    }
}
