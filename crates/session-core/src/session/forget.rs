//! Forgetting: entities leave memory at once, and the store when the writer has written that.
//!
//! What is forgotten does not come back by what was read before. Until its row is deleted, nothing
//! takes it over from the store; and what a server has sent before then is known to be older.

use std::time::{Duration, Instant};

use super::retry::KeepWaiting;
use super::scan::EntityScan;
use super::{BRIEF_TIMEOUT, Session};
use crate::entity::SELF;
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{Kind, StoreError};

/// Entities looked at with the state locked: some hundredths of a millisecond's work.
const ROWS: usize = 256;

impl Session {
    /// Forgets the entity with a marked ID. Returns `true` if it was in memory, or if memory holds only
    /// some of what is stored.
    #[must_use]
    pub fn forget(&self, id: i64) -> bool {
        let _guard = fork::guard();
        let mut state = self.whole_state();
        let known = state.forget(&[id], u32::MAX, self.is_stored());
        if self.is_stored() {
            self.note_change(&mut state, Instant::now());
        }
        let may_be_stored = state.loading.partial().is_some();
        drop(state);
        self.schedule(Duration::ZERO);
        known > 0 || may_be_stored
    }

    /// Forgets all entities that were last seen before a date, in seconds since 1970. Those whose
    /// date is not known stay. Returns how many were forgotten.
    ///
    /// Waits until everything is in memory, as long as loading goes on. What another connection has
    /// seen since stays in the store.
    ///
    /// # Errors
    /// What prevents the store from being read, if memory lacks entities. Nothing is forgotten
    /// then.
    pub fn forget_older_than(&self, before: u32, keep_waiting: KeepWaiting<'_>) -> Result<usize> {
        if self.is_partial() {
            return self.forget_stored_older_than(before, keep_waiting);
        }
        if self.is_stored() {
            self.wait_until_loaded(keep_waiting)?;
        }
        let (mut from, mut count) = (Some(0), 0);
        let mut old = Vec::new();
        while let Some(position) = from {
            {
                let _guard = fork::guard();
                let mut state = self.whole_state();
                old.clear();
                let is_old = |id, seen, _| id != SELF && seen != 0 && seen < before;
                from = state.table.scan_ids(position, ROWS, is_old, &mut old);
                if !old.is_empty() {
                    count += state.forget(&old, before, self.is_stored());
                    if self.is_stored() {
                        self.note_change(&mut state, Instant::now());
                    }
                }
            }
            self.let_others();
        }
        while {
            let _guard = fork::guard();
            self.end_removal()
        } {}
        Ok(count)
    }

    /// Like [`forget_older_than`](Self::forget_older_than), where memory holds only some of what is
    /// stored. Writes now and then, so that what is to be deleted does not fill memory.
    fn forget_stored_older_than(&self, before: u32, keep_waiting: KeepWaiting<'_>) -> Result<usize> {
        const MOST: usize = 10_000;
        let (mut scan, mut count, mut unwritten) = (EntityScan::default(), 0, 0);
        loop {
            let batch = self.scan(&mut scan, self.timeout(), &mut *keep_waiting)?;
            let is_old = |seen| seen != 0 && seen < before;
            let old = batch.iter().filter(|entity| entity.id != SELF && is_old(entity.seen));
            let mut old: Vec<i64> = old.map(|entity| entity.id).collect();
            if !old.is_empty() {
                let _guard = fork::guard();
                let mut state = self.whole_state();
                // Some may have been received since.
                old.retain(|id| state.table.seen(*id).is_none_or(is_old));
                state.forget(&old, before, true);
                self.note_change(&mut state, Instant::now());
                count += old.len();
                unwritten += old.len();
            }
            if unwritten >= MOST || batch.is_empty() {
                self.write_all_retrying(self.timeout(), &mut *keep_waiting)?;
                unwritten = 0;
            }
            if batch.is_empty() {
                return Ok(count);
            }
        }
    }

    /// Waits until memory holds everything that is stored, with current dates.
    fn wait_until_loaded(&self, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        self.look_for_changes(true, keep_waiting);
        {
            let _guard = fork::guard();
            let mut state = self.state();
            if self.is_remote() {
                // Other processes may have seen entities since.
                state.loading.mark_stale();
            }
            if let Some(scan) = state.loading.scan() {
                scan.not_before = None;
            }
        }
        if self.wait_while_loading(self.timeout(), keep_waiting) {
            return Ok(());
        }
        let _guard = fork::guard();
        if !self.state().loading.lacks_entities() {
            // Memory holds everything except recent changes of other connections.
            return Ok(());
        }
        let failure = self.state().loading.scan().and_then(|scan| scan.failure.clone());
        Err(failure.unwrap_or_else(|| self.why_not_loaded()))
    }

    /// Returns what keeps the store from being read, or that it is being loaded.
    fn why_not_loaded(&self) -> Error {
        let mut handle = self.lock_store_preempting();
        let asked = self.opened(&mut handle, BRIEF_TIMEOUT).and_then(|store| Ok(store.fresh_revision(BRIEF_TIMEOUT)?));
        let message = || format!("{}: its entities are still being loaded", self.place());
        asked.err().unwrap_or_else(|| StoreError::new(Kind::Pending, self.place(), message()).into())
    }
}
