//! Removing entities, in two steps: at first they are not found any more, later their rows are
//! freed.
//!
//! A row is in a chain of rows for each of its texts, and a chain has to be walked to take a row
//! out of it. Many rows may share a name, so each chain is walked once for all rows that leave it.

use super::index::NONE;
use super::rows::RowId;
use super::{BatchEntity, EntityBatch, EntityTable, TextField, record};
use crate::entity::unmark;

impl EntityTable {
    /// Removes entities by their marked IDs, and passes each to `removed`. Other entities with the
    /// same texts can still be found by them.
    ///
    /// Removing many at once is cheaper: each chain of rows that share a text is walked once.
    pub fn remove(&mut self, ids: impl IntoIterator<Item = i64>, removed: impl FnMut(&BatchEntity<'_>)) {
        self.begin_to_remove(ids, removed);
        while self.end_removal(usize::MAX) {}
    }

    /// Like [`remove`](Self::remove), but leaves most of the work, which may be long, to
    /// [`end_removal`](Self::end_removal). The entities are not found any more.
    pub fn begin_to_remove(&mut self, ids: impl IntoIterator<Item = i64>, mut removed: impl FnMut(&BatchEntity<'_>)) {
        for id in ids {
            let Some(row) = self.row_of(id) else { continue };
            removed(&self.rows.entity(row));
            self.by_id.remove(self.hash_id(id), row);
            self.unlink_aliases(row);
            self.rows.mark_as_leaving(row);
            self.leaving.push_back(row);
            self.counts[unmark(id).1 as usize] -= 1;
            self.revision += 1;
            self.removals += 1;
        }
    }

    /// Frees up to `limit` rows whose removal was begun. Returns `true` if there are more.
    ///
    /// Each chain of rows that share a text is walked once for all of them.
    pub fn end_removal(&mut self, limit: usize) -> bool {
        for _ in 0..limit.min(self.leaving.len()) {
            let Some(row) = self.leaving.pop_front() else { break };
            for field in TextField::ALL {
                self.unlink_leaving(row, field);
            }
            self.rows.remove(row);
        }
        !self.leaving.is_empty()
    }

    /// Returns `true` if [`end_removal`](Self::end_removal) has something to do.
    #[must_use]
    pub fn is_removing(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Removes the entities that are known exactly as in a batch, except for their dates and aliases.
    /// Passes each to `removed`.
    pub fn remove_exactly(&mut self, batch: &EntityBatch, removed: impl FnMut(&BatchEntity<'_>)) {
        let is_equal = |entity: &BatchEntity<'_>| {
            let row = self.row_of(entity.id);
            row.is_some_and(|row| {
                self.rows.access_hash(row) == entity.access_hash
                    && record::read(self.rows.record(row)).0 == entity.texts()
            })
        };
        let ids: Vec<i64> = batch.iter().filter(is_equal).map(|entity| entity.id).collect();
        self.remove(ids, removed);
    }

    /// Removes all rows that are being removed from the chain of rows with one of this row's texts.
    fn unlink_leaving(&mut self, row: RowId, field: TextField) {
        if !self.rows.is_leaving(row, field) {
            return;
        }
        let Some(text) = self.rows.text(row, field) else { return };
        let hash = self.hash_text(text);
        let Some(first) = self.find_text(field, text, hash) else { return };
        let (mut lowest, mut rest) = (NONE, first);
        while rest != NONE {
            let here = rest;
            rest = self.rows.next(here, field);
            if self.rows.is_leaving(here, field) {
                self.rows.has_left(here, field);
            } else if lowest == NONE || self.rows.id(here) < self.rows.id(lowest) {
                self.rows.set_next(here, field, lowest);
                lowest = here;
            } else {
                self.rows.set_next(here, field, self.rows.next(lowest, field));
                self.rows.set_next(lowest, field, here);
            }
        }
        if lowest == NONE {
            self.by_text[field as usize].remove(hash, first);
        } else {
            self.by_text[field as usize].replace(hash, first, lowest);
        }
    }
}
