//! Entities that were just received: into the inbox, and from there into the table and the dirty
//! set.

use std::time::{Duration, Instant};

use super::inbox::{self, Waiting, Wake};
use super::state::State;
use super::{Session, now, write};
use crate::entity_table::{Dirty, EntityBatch, EntityTable};
use crate::fork;
use crate::sync::Ordering;

impl Session {
    /// Returns an empty batch, in memory that was used before if there is any.
    #[must_use]
    pub fn new_batch() -> EntityBatch {
        inbox::try_spare().unwrap_or_default()
    }

    /// Takes a batch of entities that were just received, as a whole, unless that would have to
    /// wait.
    ///
    /// # Errors
    /// The batch, if it would have to wait.
    pub fn try_put(&self, mut batch: EntityBatch) -> std::result::Result<(), EntityBatch> {
        batch.set_seen(now());
        let wake = self.inbox.try_push(batch)?;
        self.wake_writer(wake);
        Ok(())
    }

    /// Takes a batch of entities that were just received.
    pub fn put(&self, mut batch: EntityBatch) {
        let _guard = fork::guard();
        batch.set_seen(now());
        self.wake_writer(self.inbox.push(batch));
        // If the writer cannot keep up, the caller shares the work, unless the writer is inserting
        // now.
        for _ in 0..2 {
            if self.inbox.is_above_high_water()
                && let Some(mut state) = self.try_state()
            {
                self.insert_first_batch(&mut state);
            }
        }
        if self.inbox.is_full() {
            drop(self.whole_state());
        }
    }

    /// Marks everything dirty except the credentials.
    pub(super) fn mark_all_dirty(&self) {
        let mut state = self.whole_state();
        state.mark_all_dirty();
        self.note_change(&mut state, Instant::now());
    }

    /// Inserts up to `limit` batches into the table. Stops when another thread waits for the
    /// state. Returns `true` if the inbox is empty.
    pub(super) fn drain_inbox(&self, limit: usize) -> bool {
        for _ in 0..limit {
            if self.inbox.is_empty() || self.wanted.load(Ordering::Relaxed) > 0 {
                break;
            }
            self.insert_first_batch(&mut self.state());
        }
        self.inbox.is_empty()
    }

    fn wake_writer(&self, wake: Wake) {
        match wake {
            Wake::Now => self.schedule(Duration::ZERO),
            Wake::Deferred if self.is_stored() => self.schedule(write::FLUSH_DELAY),
            // A session in memory is only looked at by lookups, which insert what waits.
            Wake::Deferred | Wake::None => {}
        }
    }

    /// Inserts the first batch of the inbox into the table. Returns `false` if there is none.
    pub(super) fn insert_first_batch(&self, state: &mut State) -> bool {
        let Some(Waiting { batch, since, is_from_parent }) = self.inbox.pop() else { return false };
        if is_from_parent {
            state.put_clean(&batch);
            return true;
        }
        self.change_entities(state, since, |table, on_dirty| table.put(&batch, on_dirty));
        state.note_changed(batch.ids());
        self.plan_eviction(state);
        inbox::recycle(batch);
        true
    }

    /// Changes the table, and adds to the dirty set what `change` reports.
    pub(super) fn change_entities(
        &self,
        state: &mut State,
        since: Instant,
        change: impl FnOnce(&mut EntityTable, &mut dyn FnMut(i64, Dirty)),
    ) {
        let State { table, dirty, .. } = &mut *state;
        if !self.is_stored() {
            return change(table, &mut |_, _| ());
        }
        let before = (dirty.entities.len(), dirty.dates.len());
        change(table, &mut |id, part| match part {
            Dirty::Date => dirty.dates.push_back(id),
            _ => dirty.entities.push_back(id),
        });
        let (entities, dates) = (dirty.entities.len() > before.0, dirty.dates.len() > before.1);
        if entities {
            self.note_change(state, since);
        }
        if dates {
            self.note_date(state, since);
        }
    }
}
