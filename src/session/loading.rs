//! Reading what the store knows: in the background all of it, piece by piece, and at once what is asked before that is done
//! or after somebody else has written.

use std::time::{Duration, Instant};

use super::mirror::{Mirror, Pass};
use super::state::State;
use super::{InMemory, Patience, Session, Slot};
use crate::entity_cache::IdAndHash;
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{Loaded, Location, Opening, Query, Store, Value};
use crate::sync::{MutexGuard, Ordering};

/// Rows read at a time: about a millisecond's work.
const ROWS: usize = 1000;
/// How long the background leaves a session alone that has just been opened: who opens one often opens many.
pub(super) const AFTER_OPENING: Duration = Duration::from_millis(50);
/// How long lookups in an event loop wait for another program's lock, all those of one call together. A longer wait would
/// hold up the loop.
pub const BRIEF_WAIT: Duration = Duration::from_millis(8);
/// How long `delete()` waits for a lock, to see whose login it is about to remove.
pub(super) const DELETE_WAIT: Duration = Duration::from_secs(1);
/// How long the background waits before it tries a locked store again.
const RETRY: Duration = Duration::from_millis(100);
/// How long the background waits before it tries a store again that somebody of this program uses.
pub(super) const SLOT_RETRY: Duration = Duration::from_millis(2);

impl Session {
    /// Whether memory holds all that is stored, as far as is known.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        let _working = fork::working();
        self.state().mirror.is_complete()
    }

    /// The open store; opened now, after at most `wait` for a lock, if it is not.
    pub(super) fn opened<'a>(&self, slot: &'a mut Slot, wait: Duration) -> Result<&'a mut Box<dyn Store>> {
        if slot.store.is_none()
            && let Some(location) = &self.location
        {
            let (store, opened) = location.open(Opening { may_create: slot.may_create, wait })?;
            self.check_reopened(slot, &opened)?;
            slot.is_gone = false;
            slot.may_create = false;
            slot.others_commits = opened.others_commits;
            slot.store = Some(store);
            self.was_moved.store(false, Ordering::Release);
            self.is_closed.store(false, Ordering::Release);
            if opened.is_new {
                // Made anew after it was deleted: what is still known goes into it too.
                self.count_all_as_unsaved();
            }
            let mut state = self.state();
            state.put_stored_update_states(opened.update_states);
            state.mirror.may_be_behind();
            self.visit_in(Duration::ZERO);
        }
        slot.store.as_mut().ok_or_else(|| Error::CannotOpen {
            path: ":memory:".into(),
            message: "this session is kept in memory only".to_owned(),
        })
    }

    /// Looks in the store, unless it is sure that memory knows as much. Only to be called for stored sessions.
    ///
    /// # Errors
    /// Only that the store is locked; what else keeps it from being read is said once, and memory answers.
    pub(super) fn find_in_store(&self, query: &Query<'_>, wait: Duration) -> Result<Option<IdAndHash>> {
        let mut slot = match self.try_slot() {
            Some(slot) => slot,
            None => match self.answer_while_writing(query) {
                InMemory::Found(found) => return Ok(Some(found)),
                InMemory::NotFound => return Ok(None),
                InMemory::Unknown => self.slot_urgently(),
            },
        };
        match self.ask_store(&mut slot, query, wait) {
            Err(error @ Error::Locked { .. }) => Err(error),
            found => Ok(self.or_memory(&mut slot, found, || self.answer(&mut self.whole_state(), query))),
        }
    }

    /// What memory answers while a transaction keeps everybody else from writing, if it holds all that was stored before.
    fn answer_while_writing(&self, query: &Query<'_>) -> InMemory {
        if !self.is_writing.load(Ordering::Acquire) {
            return InMemory::Unknown;
        }
        let mut state = self.whole_state();
        if !state.mirror.is_complete() {
            return InMemory::Unknown;
        }
        self.answer(&mut state, query).map_or(InMemory::NotFound, InMemory::Found)
    }

    /// What was found in the store or, where it cannot be read, in memory. That it is locked is no news; anything else is said once.
    pub(super) fn or_memory<T>(
        &self,
        slot: &mut Slot,
        found: Result<Option<T>>,
        in_memory: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        match found {
            Ok(found) => found,
            Err(Error::Locked { .. }) => in_memory(),
            Err(error) => {
                self.let_go_if_broken(slot, &error);
                self.note_trouble(&error);
                in_memory()
            }
        }
    }

    /// Closes a store that is of no use any more, so that the next who needs it opens what is there then.
    pub(super) fn let_go_if_broken(&self, slot: &mut Slot, error: &Error) {
        let is_lost = |location: &dyn Location| location.is_lost_when_closed();
        if error.needs_reopening() && !self.location.as_deref().is_none_or(is_lost) {
            slot.store = None;
            slot.is_gone |= matches!(error, Error::Gone { .. });
        }
    }

    fn ask_store(&self, slot: &mut Slot, query: &Query<'_>, wait: Duration) -> Result<Option<IdAndHash>> {
        self.opened(slot, wait)?;
        self.refresh_if_shared(slot)?;
        let is_complete = self.state().mirror.is_complete();
        if is_complete && !self.is_behind(slot)? {
            // Memory is asked again: it may have been read to the end since.
            return Ok(self.answer(&mut self.whole_state(), query));
        }
        let page = self.opened(slot, wait)?.find(query, wait)?;
        let mut state = self.whole_state();
        state.cache.put_stored(&page);
        Ok(self.answer(&mut state, query))
    }

    /// Whether somebody else has written since all was read. If so, it is read again in the background.
    pub(super) fn is_behind(&self, slot: &mut Slot) -> Result<bool> {
        let Some(store) = &mut slot.store else { return Ok(false) };
        if store.others_commits()? == slot.others_commits {
            return Ok(false);
        }
        let mut state = self.state();
        state.mirror.may_be_behind();
        state.turns.see_others();
        self.visit_in(Duration::ZERO);
        Ok(true)
    }

    /// Reads some rows, if there are any to read. Answers when it wants to go on.
    pub(super) fn load_some(&self) -> Option<Duration> {
        self.state().mirror.pass()?;
        let Some(mut slot) = self.try_slot() else { return Some(SLOT_RETRY) };
        {
            let mut state = self.state();
            // A session that was closed is not opened behind its owner's back.
            if state.is_abandoned || slot.store.is_none() {
                return None;
            }
            let pass = state.mirror.pass()?;
            if let Some(wait) = pass.not_before.map(|at| at.saturating_duration_since(Instant::now()))
                && !wait.is_zero()
            {
                return Some(wait);
            }
        }
        match self.load_page(&mut slot) {
            Ok(next) => next,
            Err(Error::Locked { .. }) => Some(RETRY),
            Err(error) => {
                log::error!("the entities cannot be read, and are looked up one by one: {error}");
                None
            }
        }
    }

    fn load_page(&self, slot: &mut Slot) -> Result<Option<Duration>> {
        let Slot { store: Some(store), others_commits, .. } = slot else { return Ok(None) };
        let (after, is_first_again) = {
            let mut state = self.state();
            let is_behind = matches!(state.mirror, Mirror::Behind(_));
            let Some(pass) = state.mirror.pass() else { return Ok(None) };
            let is_first = pass.begun.is_none();
            pass.begun.get_or_insert_with(Instant::now);
            (pass.after, is_first && is_behind)
        };
        if is_first_again {
            *others_commits = store.others_commits()?;
            let update_states = store.update_states()?;
            self.state().put_stored_update_states(update_states);
        }
        let Loaded { entities, next } = store.load(after, ROWS)?;
        if next.is_some() {
            let mut state = self.state();
            state.cache.put_stored(&entities);
            if let Some(pass) = state.mirror.pass() {
                pass.after = next;
            }
            return Ok(Some(Duration::ZERO));
        }
        let is_current = store.others_commits()? == *others_commits;
        store.rest();
        let mut state = self.state();
        state.cache.put_stored(&entities);
        Ok(finish_pass(state, is_current))
    }

    /// Executes a statement on what is stored, once everything is.
    ///
    /// # Errors
    /// Whatever is wrong with the statement or the store.
    pub fn execute(&self, statement: &str, values: &[Value], patience: Patience<'_>) -> Result<Option<Vec<Value>>> {
        self.patiently(self.timeout(), patience, || {
            loop {
                self.write_everything()?;
                let _working = fork::working();
                let mut slot = self.slot_urgently();
                let store = self.opened(&mut slot, Duration::ZERO)?;
                {
                    // Nothing can be lost by reading all again only if nothing is unsaved, and here nobody can write.
                    let state = self.whole_state();
                    if !state.journal.is_empty() {
                        continue;
                    }
                }
                let (row, changes) = store.execute(statement, values)?;
                if changes {
                    self.read_all_again(store)?;
                    Self::adopt_login(&mut slot);
                }
                return Ok(row);
            }
        })
    }

    pub(super) fn read_all_again(&self, store: &mut Box<dyn Store>) -> Result<()> {
        let update_states = store.update_states()?;
        let mut state = self.whole_state();
        state.forget_saved();
        for (id, update_state) in update_states {
            state.update_states.entry(id).or_insert(update_state);
        }
        state.mirror = Mirror::begin();
        self.visit_in(Duration::ZERO);
        Ok(())
    }
}

/// Everything has been read. If somebody has written meanwhile it is read once more, at the cost of a tenth of our time.
fn finish_pass(mut state: MutexGuard<'_, State>, is_current: bool) -> Option<Duration> {
    let took = state.mirror.pass().and_then(|pass| pass.begun).map_or(Duration::ZERO, |begun| begun.elapsed());
    if is_current {
        state.mirror = Mirror::Complete;
        return None;
    }
    let pause = (took * 9).max(RETRY);
    state.mirror = Mirror::Behind(Pass { not_before: Some(Instant::now() + pause), ..Pass::default() });
    Some(pause)
}
