//! Counting entities: in memory if it holds everything, otherwise in the store.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::handle::StoreHandle;
use super::retry::KeepWaiting;
use super::state::State;
use super::{BRIEF_TIMEOUT, Session};
use crate::entity::{CHANNEL_MARK, PeerKind, SELF};
use crate::error::Result;
use crate::fork;
use crate::store::{Counted, Query};

/// Rows of a file that are counted at a time: less than a millisecond's work.
const ROWS: usize = 2000;

impl Session {
    /// Counts the entities of a kind, or all, if that can be told from memory at once.
    #[must_use]
    pub fn try_count(&self, kind: Option<PeerKind>) -> Option<usize> {
        if !self.is_stored() {
            return Some(count(&*self.try_whole_state()?, kind));
        }
        if self.is_shared() {
            return None;
        }
        // A thread that uses the store sees what another connection has changed.
        if let Some(mut handle) = self.try_lock_store()
            && !self.is_remote()
        {
            let StoreHandle { store: Some(store), loaded_revision, .. } = &mut *handle else { return None };
            if !store.is_at(*loaded_revision) && store.revision().ok()? != *loaded_revision {
                return None;
            }
        }
        let state = self.try_whole_state()?;
        state.loading.is_loaded().then(|| count(&state, kind))
    }

    /// Counts the entities of a kind, or all. If memory does not hold everything, writes what is
    /// dirty and has the store count.
    ///
    /// # Errors
    /// What prevents the store from being written or read. A locked one is retried for up to
    /// `limit`.
    pub fn count(&self, kind: Option<PeerKind>, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<usize> {
        self.look_for_changes(!limit.is_zero(), &mut *keep_waiting);
        let is_partly_parents = {
            let _guard = fork::guard();
            let state = self.whole_state();
            if !self.is_stored() || state.loading.is_loaded() {
                return Ok(count(&state, kind));
            }
            !state.left_to_parent.is_empty()
        };
        // What the parent process has not stored can only be counted in memory.
        if is_partly_parents && self.wait_while_loading(limit, &mut *keep_waiting) {
            let _guard = fork::guard();
            return Ok(count(&self.whole_state(), kind));
        }
        self.count_stored(kind, limit, keep_waiting).or_else(|error| {
            let _guard = fork::guard();
            let state = self.whole_state();
            // Memory holds everything except recent changes of other connections.
            if state.loading.lacks_entities() { Err(error) } else { Ok(count(&state, kind)) }
        })
    }

    fn count_stored(&self, kind: Option<PeerKind>, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<usize> {
        self.write_all_retrying(limit, &mut *keep_waiting)?;
        let mut sum = 0;
        let mut rest = Some(range(kind));
        while let Some(ids) = rest {
            let Counted { entities, next } = self.retry_while_busy(limit, &mut *keep_waiting, || {
                let _guard = fork::guard();
                let mut handle = self.lock_store_preempting();
                Ok(self.opened(&mut handle, BRIEF_TIMEOUT)?.count(ids.clone(), ROWS, BRIEF_TIMEOUT)?)
            })?;
            sum += entities;
            rest = next.and_then(|last| Some(last.checked_add(1)?..=*ids.end())).filter(|ids| !ids.is_empty());
        }
        // The server counts all of them faster than all but one.
        let counts_self =
            kind.is_none() && self.find_certainly(&Query::Id(SELF), limit, false, keep_waiting)?.is_some();
        Ok(sum.saturating_sub(usize::from(counts_self)))
    }
}

fn count(state: &State, kind: Option<PeerKind>) -> usize {
    let all = kind.map_or_else(|| state.table.len(), |kind| state.table.count(kind));
    let counts_self = matches!(kind, None | Some(PeerKind::User)) && state.table.by_id(SELF).is_some();
    all - usize::from(counts_self)
}

/// Returns the marked IDs of a kind of entities, or of all and the client's own.
fn range(kind: Option<PeerKind>) -> RangeInclusive<i64> {
    match kind {
        None => i64::MIN..=i64::MAX,
        Some(PeerKind::User) => 1..=i64::MAX,
        Some(PeerKind::Chat) => -CHANNEL_MARK..=-1,
        Some(PeerKind::Channel) => i64::MIN..=-CHANNEL_MARK - 1,
    }
}
