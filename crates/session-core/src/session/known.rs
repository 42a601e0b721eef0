//! What is known of one entity, and what other connections have forgotten.

use std::time::{Duration, Instant};

use super::handle::StoreHandle;
use super::retry::{KeepWaiting, retry_while_busy};
use super::state::{State, may_be_missing};
use super::{BRIEF_TIMEOUT, Session};
use crate::entity_table::{BatchEntity, Dirty, EntityBatch};
use crate::error::Result;
use crate::fork;
use crate::store::{Lookup, Query};
use crate::sync::{Ordering, sleep};

/// How long a caller that may be blocked waits at most until a server has said whether anything was
/// forgotten. Then memory answers.
pub(super) const FRESH_LIMIT: Duration = Duration::from_secs(1);
/// When to ask a server, after something was written.
const LOOK_DELAY: Duration = Duration::from_secs(5);

impl Session {
    /// Returns everything that is known of the entity with a marked ID, unless another connection
    /// has deleted it; an empty batch if it is not known. Waits for a server only if `may_wait`.
    #[must_use]
    pub fn known(&self, id: i64, may_wait: bool, keep_waiting: KeepWaiting<'_>) -> EntityBatch {
        let mut found = EntityBatch::default();
        if self.may_be_missing(id) {
            let limit = if may_wait { FRESH_LIMIT.min(self.timeout()) } else { Duration::ZERO };
            let timeout = if may_wait { BRIEF_TIMEOUT } else { Duration::ZERO };
            let attempt = || {
                let _guard = fork::guard();
                self.confirm(id, timeout, may_wait)
            };
            // Otherwise memory answers.
            found = retry_while_busy(limit, keep_waiting, |_| (), attempt).unwrap_or_default();
        }
        let _guard = fork::guard();
        let mut known = EntityBatch::default();
        let mut state = self.whole_state();
        state.table.copy(id, &mut known);
        if known.is_empty() && state.loading.partial().is_some() {
            // It has left memory again.
            let is_gone = |entity: &BatchEntity<'_>| entity.id != id || state.dirty.is_forgotten(id, entity.seen);
            return found.without(is_gone).unwrap_or(found);
        }
        known
    }

    /// Finds out whether another connection has changed what cannot be noticed otherwise, waiting
    /// for up to a second for a server if `may_wait`.
    pub(super) fn look_for_changes(&self, may_wait: bool, keep_waiting: KeepWaiting<'_>) {
        if !self.is_stored() {
            return;
        }
        let limit = if may_wait { FRESH_LIMIT.min(self.timeout()) } else { Duration::ZERO };
        let timeout = if may_wait { BRIEF_TIMEOUT } else { Duration::ZERO };
        let attempt = || {
            let _guard = fork::guard();
            let handle = if may_wait { Some(self.lock_store_preempting()) } else { self.try_lock_store() };
            handle.map_or(Ok(()), |mut handle| self.see_changes(&mut handle, timeout).map(drop))
        };
        // Otherwise memory answers.
        let _ = retry_while_busy(limit, keep_waiting, |_| (), attempt);
    }

    /// Has everything read again if another connection has changed the store. Returns `true` if
    /// memory holds everything.
    pub(super) fn see_changes(&self, handle: &mut StoreHandle, timeout: Duration) -> Result<bool> {
        self.opened(handle, BRIEF_TIMEOUT)?;
        self.refresh_if_shared(handle)?;
        let loaded_revision = handle.loaded_revision;
        let store = self.opened(handle, BRIEF_TIMEOUT)?;
        let is_at = store.is_at(loaded_revision);
        let is_current = is_at || !self.refresh_if_stale(loaded_revision, store.fresh_revision(timeout)?);
        Ok(is_current && self.state().loading.is_loaded())
    }

    /// Takes over what a server has said meanwhile about changes of other connections, and asks it
    /// if that is due. Returns the delay until it is.
    pub(super) fn hear_of_changes(&self) -> Option<Duration> {
        if !self.is_remote() {
            return None;
        }
        let mut handle = self.try_lock_store()?;
        let StoreHandle { store: Some(store), loaded_revision, .. } = &mut *handle else { return None };
        let wait = {
            let mut state = self.state();
            let due = state.look_due.filter(|_| !state.is_released);
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            if wait.is_none_or(|wait| wait.is_zero()) {
                state.look_due = None;
            }
            wait
        };
        let is_due = wait.is_some_and(|wait| wait.is_zero());
        // The store wakes the session when there is an answer.
        let revision = if is_due { store.fresh_revision(Duration::ZERO) } else { store.revision() };
        if let Ok(revision) = revision {
            self.refresh_if_stale(*loaded_revision, revision);
        }
        wait.filter(|wait| !wait.is_zero())
    }

    /// Has a server asked some time after a write whether another connection has forgotten
    /// something: a session that is used writes at least once a minute.
    pub(super) fn plan_to_look(&self, state: &mut State) {
        if self.is_remote() && !state.is_released && state.look_due.is_none() {
            state.look_due = Some(Instant::now() + LOOK_DELAY);
            self.schedule(LOOK_DELAY);
        }
    }

    /// Returns `true` if an entity is in memory and another connection may have deleted it, or if it
    /// may be in the store alone.
    fn may_be_missing(&self, id: i64) -> bool {
        let _guard = fork::guard();
        if !self.is_stored() {
            return false;
        }
        // While this session writes, no other connection does.
        let is_written_here = self.is_writing.load(Ordering::Acquire) && !self.is_remote();
        let mut state = self.whole_state();
        match state.table.dirty(id) {
            None => state.loading.partial().is_some(),
            // Its texts may be in the store alone.
            Some(Dirty::AccessHashAndDate) => state.loading.lacks_entities(),
            dirty => !is_written_here && may_be_missing(dirty),
        }
    }

    /// Drops an entity from memory if the store does not have it any more. Returns what the store
    /// holds, if it was asked.
    fn confirm(&self, id: i64, timeout: Duration, may_wait: bool) -> Result<EntityBatch> {
        let handle = if may_wait { Some(self.lock_store_preempting()) } else { self.try_lock_store() };
        // A thread that uses the store sees what another connection has changed.
        let Some(mut handle) = handle else { return Ok(EntityBatch::default()) };
        if self.see_changes(&mut handle, timeout)? {
            return Ok(EntityBatch::default());
        }
        let Lookup::Found(found) = self.opened(&mut handle, BRIEF_TIMEOUT)?.find(&Query::Id(id), None, timeout)? else {
            return Ok(EntityBatch::default());
        };
        let mut state = self.whole_state();
        if found.is_empty() {
            state.drop_missing(&[id]);
            self.schedule(Duration::ZERO);
        } else {
            state.put_stored(&found);
        }
        drop(state);
        Ok(found)
    }

    /// Frees rows of entities that were removed, for some milliseconds and a few at a time. Returns
    /// `true` if there are more.
    pub(super) fn end_removal(&self) -> bool {
        const ROWS: usize = 64;
        const TIME: Duration = Duration::from_millis(4);
        let begun = Instant::now();
        loop {
            if !self.state().table.end_removal(ROWS) {
                return false;
            }
            self.let_others();
            if begun.elapsed() >= TIME {
                return true;
            }
        }
    }

    /// Lets other threads that wait for the state lock it.
    pub(super) fn let_others(&self) {
        const TRIES: usize = 20;
        const PAUSE: Duration = Duration::from_micros(50);
        for _ in 0..TRIES {
            if self.wanted.load(Ordering::Relaxed) == 0 {
                return;
            }
            sleep(PAUSE);
        }
    }
}
