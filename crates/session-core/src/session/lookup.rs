//! Lookups: from memory if it can answer, otherwise from the store.

use std::time::{Duration, Instant};

use super::handle::StoreHandle;
use super::retry::{KeepWaiting, retry_while_busy};
use super::state::State;
use super::{BRIEF_TIMEOUT, Session};
use crate::entity_table::{IdAndAccessHash, TextField};
use crate::error::Result;
use crate::fork;
use crate::store::{Lookup, Query};
use crate::sync::Ordering;

/// What memory alone answers.
#[derive(Debug, PartialEq, Eq)]
pub enum CacheLookup {
    /// The entity is known.
    Found(IdAndAccessHash),
    /// The session knows no such entity.
    NotFound,
    /// Ask [`Session::find`], which may wait.
    Unknown,
}

impl CacheLookup {
    /// Returns the entity, if it was found.
    #[must_use]
    pub fn found(self) -> Option<IdAndAccessHash> {
        match self {
            Self::Found(found) => Some(found),
            Self::NotFound | Self::Unknown => None,
        }
    }
}

impl Session {
    /// Looks an entity up in memory, without waiting. One that is not there is not known if the
    /// store can tell at once that nothing was committed since memory was loaded.
    #[must_use]
    pub fn try_find(&self, query: &Query<'_>) -> CacheLookup {
        if self.is_shared() {
            return CacheLookup::Unknown;
        }
        let Some(mut state) = self.try_whole_state() else { return CacheLookup::Unknown };
        if let Some(found) = self.answer_at_once(&mut state, query) {
            return CacheLookup::Found(found);
        }
        if !self.is_stored() {
            return CacheLookup::NotFound;
        }
        let is_loaded = state.loading.is_loaded();
        drop(state);
        if is_loaded && let Some(answer) = self.try_find_unless_changed(query) { answer } else { CacheLookup::Unknown }
    }

    /// Looks an entity up in memory if the store can tell at once that memory holds everything.
    fn try_find_unless_changed(&self, query: &Query<'_>) -> Option<CacheLookup> {
        let mut handle = self.try_lock_store()?;
        let StoreHandle { store: Some(store), loaded_revision, .. } = &mut *handle else { return None };
        // Asked first: what is committed after that need not be known yet.
        if !store.is_at(*loaded_revision) {
            return None;
        }
        // Memory is asked again, with the store locked: loading may have ended since.
        let mut state = self.try_whole_state()?;
        if !state.loading.is_loaded() {
            return None;
        }
        Some(self.answer(&mut state, query).map_or(CacheLookup::NotFound, CacheLookup::Found))
    }

    /// Looks an entity up in memory, and in the store if that may know more and is free.
    #[must_use]
    pub fn find(&self, query: &Query<'_>) -> Option<IdAndAccessHash> {
        self.find_until(query, Instant::now() + BRIEF_TIMEOUT).found()
    }

    /// Like [`find`](Self::find), for one of several lookups that share a deadline for locks. The
    /// result is [`CacheLookup::Unknown`] if the store has not answered.
    #[must_use]
    pub fn find_until(&self, query: &Query<'_>, deadline: Instant) -> CacheLookup {
        let timeout = deadline.saturating_duration_since(Instant::now());
        self.find_within(Duration::ZERO, timeout, query, &mut || true)
    }

    /// Like [`find`](Self::find), for a caller that may be blocked: retries a locked store until
    /// `deadline` or until `keep_waiting` returns `false`.
    #[must_use]
    pub fn find_retrying(
        &self,
        query: &Query<'_>,
        deadline: Instant,
        keep_waiting: KeepWaiting<'_>,
    ) -> Option<IdAndAccessHash> {
        let limit = deadline.saturating_duration_since(Instant::now());
        self.find_within(limit, BRIEF_TIMEOUT, query, keep_waiting).found()
    }

    /// Looks an entity up, for a caller that must not take what cannot be told yet for unknown.
    /// Retries a locked store for up to `limit`.
    ///
    /// # Errors
    /// What prevents the store from being asked, if memory may lack entities, or if the caller of a
    /// session on a server can retry.
    pub fn find_certainly(
        &self,
        query: &Query<'_>,
        limit: Duration,
        will_retry: bool,
        keep_waiting: KeepWaiting<'_>,
    ) -> Result<Option<IdAndAccessHash>> {
        let attempt = || {
            let _guard = fork::guard();
            if !self.is_shared() {
                let mut state = self.whole_state();
                if let Some(found) = self.answer_at_once(&mut state, query) {
                    return Ok(Some(found));
                }
            }
            if self.is_stored() { self.find_in_store(query, BRIEF_TIMEOUT) } else { Ok(None) }
        };
        let error = match retry_while_busy(limit, keep_waiting, |_| (), attempt) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let _guard = fork::guard();
        let mut state = self.whole_state();
        let is_certain = !(state.loading.lacks_entities() || (will_retry && self.is_remote()));
        match self.answer(&mut state, query) {
            None if !is_certain => Err(error),
            found => Ok(found),
        }
    }

    /// Retries for up to `limit`. Each attempt waits at most `timeout` for a lock.
    fn find_within(
        &self,
        limit: Duration,
        timeout: Duration,
        query: &Query<'_>,
        keep_waiting: KeepWaiting<'_>,
    ) -> CacheLookup {
        if !self.is_shared() {
            let _guard = fork::guard();
            let mut state = self.whole_state();
            if let Some(found) = self.answer_at_once(&mut state, query) {
                return CacheLookup::Found(found);
            }
        }
        if !self.is_stored() {
            return CacheLookup::NotFound;
        }
        let attempt = || {
            let _guard = fork::guard();
            self.find_in_store(query, timeout)
        };
        let found = retry_while_busy(limit, keep_waiting, |_| (), attempt);
        let is_answered = found.is_ok();
        let _guard = fork::guard();
        match found.unwrap_or_else(|_| self.answer(&mut self.whole_state(), query)) {
            Some(found) => CacheLookup::Found(found),
            None if is_answered => CacheLookup::NotFound,
            None => CacheLookup::Unknown,
        }
    }

    /// Looks in the store, unless memory certainly knows as much. Call for stored sessions only.
    ///
    /// # Errors
    /// Retryable ones. Any other failure is recorded, and memory answers.
    fn find_in_store(&self, query: &Query<'_>, timeout: Duration) -> Result<Option<IdAndAccessHash>> {
        let mut handle = match self.try_lock_store() {
            Some(handle) => handle,
            None => match self.answer_during_write(query) {
                CacheLookup::Found(found) => return Ok(Some(found)),
                CacheLookup::NotFound => return Ok(None),
                CacheLookup::Unknown => self.lock_store_preempting(),
            },
        };
        match self.query_store(&mut handle, query, timeout) {
            Err(error) if error.is_retryable() => Err(error),
            found => Ok(self.or_cached(&mut handle, found, || self.answer(&mut self.whole_state(), query))),
        }
    }

    /// Answers from memory while a transaction of this session keeps other connections from
    /// writing, if memory holds everything that was stored before.
    fn answer_during_write(&self, query: &Query<'_>) -> CacheLookup {
        if !self.is_writing.load(Ordering::Acquire) {
            return CacheLookup::Unknown;
        }
        let mut state = self.whole_state();
        if !state.loading.is_loaded() {
            return CacheLookup::Unknown;
        }
        self.answer(&mut state, query).map_or(CacheLookup::NotFound, CacheLookup::Found)
    }

    fn query_store(
        &self,
        handle: &mut StoreHandle,
        query: &Query<'_>,
        timeout: Duration,
    ) -> Result<Option<IdAndAccessHash>> {
        self.opened(handle, timeout)?;
        self.refresh_if_shared(handle)?;
        self.end_if_read(handle)?;
        self.lend_reader(handle)?;
        let since = self.state().loading.is_loaded().then_some(handle.loaded_revision);
        match self.opened(handle, timeout)?.find(query, since, timeout)? {
            // Memory is asked again: loading may have finished since.
            Lookup::Unchanged => Ok(self.answer(&mut self.whole_state(), query)),
            Lookup::Found(entities) => {
                if since.is_some() && !self.is_remote() {
                    self.mark_stale();
                }
                self.look_after_partial(handle)?;
                let mut state = self.whole_state();
                state.put_stored(&entities);
                let found = self.answer(&mut state, query);
                self.plan_eviction(&mut state);
                Ok(found)
            }
        }
    }

    /// Answers from memory what the store would answer.
    fn answer_at_once(&self, state: &mut State, query: &Query<'_>) -> Option<IdAndAccessHash> {
        if state.loading.can_answer(query) { self.answer(state, query) } else { None }
    }

    fn answer(&self, state: &mut State, query: &Query<'_>) -> Option<IdAndAccessHash> {
        match query {
            Query::Id(id) => state.table.by_id(*id),
            Query::AnyId(ids) => ids.iter().flatten().find_map(|id| state.table.by_id(*id)),
            Query::Ids(ids) => ids.iter().find_map(|id| state.table.by_id(*id)),
            Query::Text(TextField::Username, username) => {
                let State { table, dirty, .. } = &mut *state;
                let before = dirty.entities.len();
                let found = table.by_username(username, |id| {
                    if self.is_stored() {
                        dirty.entities.push_back(id);
                    }
                });
                if dirty.entities.len() > before {
                    self.note_change(state, Instant::now());
                }
                found
            }
            Query::Text(field, text) => state.table.by_text(*field, text),
        }
    }
}
