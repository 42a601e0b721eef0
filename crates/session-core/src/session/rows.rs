//! Entities that the program itself adds or removes, rather than Telegram.

use std::time::{Duration, Instant};

use super::handle::StoreHandle;
use super::{Session, now};
use crate::entity_table::EntityBatch;
use crate::error::Result;
use crate::fork;
use crate::store::{Lookup, Query};

/// What an [exchange](Session::exchange) has changed.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The [revision](Session::revision) before it, and after it.
    pub revisions: (u64, u64),
    /// The entities that were removed or overwritten, as they were before.
    pub gone: EntityBatch,
    /// The entities that were added, as they are now.
    pub come: EntityBatch,
}

impl Session {
    /// Returns a number that changes whenever an entity in memory changes, except for its date.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let _guard = fork::guard();
        self.whole_state().table.revision()
    }

    /// Like [`revision`](Self::revision), without waiting and without what has just been received.
    /// Returns `None` if it would have to wait.
    #[must_use]
    pub fn try_revision(&self) -> Option<u64> {
        self.try_state().map(|state| state.table.revision())
    }

    /// Removes the entities that are known exactly as in `out`, then adds those in `put`. Has no
    /// effect on a stored session.
    #[must_use]
    pub fn exchange(&self, out: &EntityBatch, mut put: EntityBatch) -> Exchange {
        let _guard = fork::guard();
        if self.is_stored() {
            return Exchange::default();
        }
        put.set_seen_where_unknown(now());
        let mut state = self.whole_state();
        state.note_changed(out.ids());
        state.note_changed(put.ids());
        let table = &mut state.table;
        let before = table.revision();
        let (mut gone, mut come) = (EntityBatch::default(), EntityBatch::default());
        table.remove_exactly(out, |entity| gone.push_entity(entity));
        put.iter().for_each(|entity| table.copy(entity.id, &mut gone));
        table.put(&put, |_, _| ());
        put.iter().for_each(|entity| table.copy(entity.id, &mut come));
        Exchange { revisions: (before, table.revision()), gone, come }
    }

    /// Forgets all entities, unless the session is stored. Returns the [revision](Self::revision)
    /// after that.
    pub fn clear_entities(&self) -> u64 {
        let _guard = fork::guard();
        let mut state = self.whole_state();
        if !self.is_stored() {
            state.note_all_changed();
            state.table.clear();
        }
        state.table.revision()
    }

    /// Adds entities that were seen at the dates in the batch, or now where it has none. An entity
    /// that was seen later stays as it is, or takes its place again as soon as the store has answered.
    pub fn add(&self, mut batch: EntityBatch) {
        let _guard = fork::guard();
        batch.set_seen_where_unknown(now());
        let mut state = self.whole_state();
        self.change_entities(&mut state, Instant::now(), |table, on_dirty| table.put_unless_older(&batch, on_dirty));
        state.note_changed(batch.ids());
        let is_compared = !self.is_stored() || state.loading.is_loaded();
        if !is_compared {
            state.uncompared.extend(batch.ids());
        }
        self.plan_eviction(&mut state);
        drop(state);
        if !is_compared && let Err(error) = self.compare_added(&mut self.lock_store_preempting(), Duration::ZERO) {
            log::debug!("added entities are compared with stored ones before they are written: {error}");
        }
    }

    /// Compares added entities with stored ones, which stay if they were seen later. Waits at most
    /// `timeout` for the store.
    pub(super) fn compare_added(&self, handle: &mut StoreHandle, timeout: Duration) -> Result<()> {
        const ROWS: usize = 1000;
        loop {
            let ids: Vec<i64> = {
                let mut state = self.state();
                if state.loading.is_loaded() {
                    state.uncompared.clear();
                }
                state.uncompared.iter().take(ROWS).copied().collect()
            };
            if ids.is_empty() {
                return Ok(());
            }
            let found = self.opened(handle, timeout)?.find(&Query::Ids(&ids), None, timeout)?;
            let mut state = self.state();
            if let Lookup::Found(entities) = found {
                state.put_stored(&entities);
            }
            for id in &ids {
                state.uncompared.swap_remove(id);
            }
        }
    }
}
