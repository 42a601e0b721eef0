//! Loading: all entities of the store, piece by piece in the background, and again after another
//! connection has changed the store.

use std::time::{Duration, Instant};

use super::Session;
use super::handle::StoreHandle;
use super::load_state::{LoadState, Scan};
use super::retry::KeepWaiting;
use super::state::{State, may_be_missing};
use crate::entity_table::EntityBatch;
use crate::error::Result;
use crate::fork;
use crate::store::{Kind, Revision, ScanBatch, Snapshot};
use crate::sync::{MutexGuard, sleep};

/// Rows read at a time: about a millisecond's work.
pub(super) const ROWS: usize = 1000;
/// Entities looked at with the state locked, and how often in one run, when it is known which are
/// stored.
const STEP: usize = 256;
const STEPS: usize = 16;
/// The delay before a locked store is read again. Shuttle's tests do not wait in real time.
pub(super) const BUSY_RETRY: Duration = if cfg!(shuttle) { Duration::ZERO } else { Duration::from_millis(100) };
/// When to look again at what a server was asked for. The store wakes the session when it answers.
pub(super) const PENDING_RETRY: Duration = Duration::from_secs(1);
/// The delay before a store is used again that another thread of this program uses.
pub(super) const HANDLE_RETRY: Duration = Duration::from_millis(2);
/// How much longer than a scan to wait before the next, so that a store that others keep changing
/// costs a tenth of the time.
const SCAN_PAUSE_FACTOR: u32 = 9;

impl Session {
    /// Returns `true` if memory holds everything that is stored, as far as is known.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        let _guard = fork::guard();
        self.state().loading.is_loaded()
    }

    /// Has everything read again in the background, because another connection has changed the
    /// store.
    pub(super) fn mark_stale(&self) {
        let mut state = self.state();
        state.loading.mark_stale();
        state.turns.note_other_writers();
        self.schedule(Duration::ZERO);
    }

    /// Calls [`mark_stale`](Self::mark_stale) if `revision` is not the one at which everything was
    /// read. Returns `true` if so.
    pub(super) fn refresh_if_stale(&self, loaded: Revision, revision: Revision) -> bool {
        let is_stale = revision != loaded;
        if is_stale {
            self.mark_stale();
        }
        is_stale
    }

    /// Loads some rows, if any are left to load. Returns the delay until it wants to go on.
    pub(super) fn load_some(&self) -> Option<Duration> {
        if self.state().loading.partial().is_some() {
            return self.keep_partial();
        }
        self.state().loading.scan()?;
        if let Some(next) = self.load_beside() {
            return Some(next);
        }
        let Some(mut handle) = self.try_lock_store() else {
            if let Some(scan) = self.state().loading.scan() {
                scan.access.note_waiting();
            }
            return Some(HANDLE_RETRY);
        };
        {
            let mut state = self.state();
            // Do not reopen a closed session.
            if state.is_released || handle.store.is_none() {
                return None;
            }
            let wait = state.loading.scan()?.wait();
            if !wait.is_zero() {
                return Some(wait);
            }
        }
        match self.load_batch(&mut handle) {
            Ok(next) => next,
            Err(error) if error.kind() == Some(Kind::Pending) => Some(PENDING_RETRY),
            Err(error) if error.is_retryable() => Some(BUSY_RETRY),
            Err(error) => {
                log::error!("entities cannot be loaded and are looked up one by one: {error}");
                if let Some(scan) = self.state().loading.scan() {
                    scan.failure = Some(error);
                }
                None
            }
        }
    }

    fn load_batch(&self, handle: &mut StoreHandle) -> Result<Option<Duration>> {
        if self.state().loading.scan().is_some_and(|scan| scan.removing.is_some()) {
            return self.remove_missing(handle);
        }
        if self.end_if_read(handle)? {
            return Ok(self.state().loading.scan().map(|scan| scan.wait()));
        }
        self.begin_scan(handle)?;
        let StoreHandle { store: Some(store), .. } = handle else { return Ok(None) };
        let Some(after) = self.state().loading.scan().map(|scan| scan.after) else { return Ok(None) };
        let ScanBatch { entities, next } = store.scan(after, ROWS)?;
        if next.is_some() {
            let mut state = self.state();
            state.put_stored(&entities);
            if let Some(scan) = state.loading.scan() {
                scan.after = next;
            }
            return Ok(Some(Duration::ZERO));
        }
        self.end_scan(handle, &entities)
    }

    /// Begins the scan, unless it has begun.
    pub(super) fn begin_scan(&self, handle: &mut StoreHandle) -> Result<()> {
        let StoreHandle { store: Some(store), loaded_revision, .. } = handle else { return Ok(()) };
        let begins_again = {
            let mut state = self.state();
            let is_stale = !state.loading.lacks_entities();
            let Some(scan) = state.loading.scan() else { return Ok(()) };
            let is_first = scan.begun.is_none();
            scan.begun.get_or_insert_with(Instant::now);
            is_first && is_stale
        };
        if begins_again {
            let Snapshot { revision, update_states, .. } = store.snapshot()?;
            *loaded_revision = revision;
            self.state().put_stored_update_states(update_states);
        }
        Ok(())
    }

    /// Ends a scan that has read everything, with these entities at its end. Returns the delay
    /// before it is repeated, if it is.
    pub(super) fn end_scan(&self, handle: &mut StoreHandle, last: &EntityBatch) -> Result<Option<Duration>> {
        handle.close_reader();
        let StoreHandle { store: Some(store), loaded_revision, .. } = handle else { return Ok(None) };
        let is_current = store.revision()? == *loaded_revision;
        store.trim();
        let mut state = self.state();
        state.put_stored(last);
        if let Some(scan) = state.loading.scan()
            && scan.stored.is_some()
        {
            scan.removing.get_or_insert(0);
            return Ok(Some(Duration::ZERO));
        }
        Ok(finish_scan(state, is_current))
    }

    /// Removes some of the entities that another connection has deleted. Ends the scan after the
    /// last. Nothing is read or written meanwhile, because the store is locked.
    fn remove_missing(&self, handle: &mut StoreHandle) -> Result<Option<Duration>> {
        let StoreHandle { store: Some(store), loaded_revision, .. } = handle else { return Ok(None) };
        for _ in 0..STEPS {
            let mut state = self.state();
            let State { table, loading, .. } = &mut *state;
            let Some(scan) = loading.scan() else { return Ok(None) };
            let from = scan.removing.and_then(|position| u32::try_from(position).ok());
            let (Some(from), Some(stored)) = (from, &scan.stored) else {
                drop(state);
                let is_current = store.revision()? == *loaded_revision;
                return Ok(finish_scan(self.state(), is_current));
            };
            let mut missing = Vec::new();
            let is_missing = |id, _, dirty| may_be_missing(Some(dirty)) && !stored.contains(&id);
            let next = table.scan_ids(from, STEP, is_missing, &mut missing);
            scan.removing = Some(next.map_or(u64::MAX, u64::from));
            state.drop_missing(&missing);
            drop(state);
            self.let_others();
        }
        Ok(Some(Duration::ZERO))
    }

    /// Waits as long as loading goes on, and stands still no longer than `patience`. Returns `true`
    /// if memory holds everything.
    pub(super) fn wait_while_loading(&self, patience: Duration, keep_waiting: KeepWaiting<'_>) -> bool {
        const INTERVAL: Duration = Duration::from_millis(5);
        let (mut progress, mut since) = (None, Instant::now());
        loop {
            {
                let _guard = fork::guard();
                let mut state = self.state();
                let Some(scan) = state.loading.scan() else { return state.loading.is_loaded() };
                let now = Some((scan.after, scan.removing));
                if progress != now {
                    (progress, since) = (now, Instant::now());
                }
                if scan.failure.is_some() || since.elapsed() >= patience || !keep_waiting() {
                    return false;
                }
                drop(state);
                self.schedule(Duration::ZERO);
            }
            sleep(INTERVAL);
        }
    }

    /// Forgets what is not dirty and has everything read again.
    pub(super) fn reload(&self, snapshot: Snapshot) {
        let mut state = self.whole_state();
        state.forget_clean();
        for (id, update_state) in snapshot.update_states {
            state.update_states.entry(id).or_insert(update_state);
        }
        state.loading.start_over();
        self.schedule(Duration::ZERO);
    }
}

/// Ends a scan that has read everything. If another connection has changed the store meanwhile, it
/// is repeated after a pause.
fn finish_scan(mut state: MutexGuard<'_, State>, is_current: bool) -> Option<Duration> {
    let took = state.loading.scan().and_then(|scan| scan.begun).map_or(Duration::ZERO, |begun| begun.elapsed());
    if is_current {
        state.loading = LoadState::Loaded;
        return None;
    }
    let pause = pause_after(took);
    state.loading = LoadState::Stale(Scan { not_before: Some(Instant::now() + pause), ..Scan::again() });
    Some(pause)
}

/// Returns how long to wait after something that took some time and has to be done again.
pub(super) fn pause_after(took: Duration) -> Duration {
    (took * SCAN_PAUSE_FACTOR).max(BUSY_RETRY)
}
