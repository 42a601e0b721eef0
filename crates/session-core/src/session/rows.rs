//! Entities that the program itself adds or removes, rather than Telegram.

use std::time::{Duration, Instant};

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
    /// that was seen later stays as it is.
    pub fn add(&self, mut batch: EntityBatch) {
        let _guard = fork::guard();
        batch.set_seen_where_unknown(now());
        if let Err(error) = self.read_before_adding(&batch) {
            log::debug!("added entities cannot be compared with stored ones: {error}");
        }
        let mut state = self.whole_state();
        self.change_entities(&mut state, Instant::now(), |table, on_dirty| table.put_unless_older(&batch, on_dirty));
        state.note_changed(batch.ids());
        self.plan_eviction(&mut state);
    }

    /// Reads the stored rows of the entities in a batch, unless memory holds everything that is
    /// stored.
    fn read_before_adding(&self, batch: &EntityBatch) -> Result<()> {
        let unknown: Vec<i64> = {
            let state = self.state();
            if state.loading.is_loaded() {
                return Ok(());
            }
            batch.iter().map(|entity| entity.id).filter(|id| state.table.by_id(*id).is_none()).collect()
        };
        let mut handle = self.lock_store_preempting();
        let store = self.opened(&mut handle, Duration::ZERO)?;
        let mut found = EntityBatch::default();
        for id in unknown {
            if let Lookup::Found(entities) = store.find(&Query::Id(id), None, Duration::ZERO)? {
                found.append(&entities);
            }
        }
        self.state().put_stored(&found);
        Ok(())
    }
}
