//! What a session holds, under one lock that is held for moments only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use foldhash::fast::RandomState;

use super::bounds::Eviction;
use super::dirty_set::{self, DirtySet, InFlight, IndexSet};
use super::health::StoreHealth;
use super::load_state::LoadState;
use super::newer_than_reads::NewerThanReads;
use super::reader::Access;
use super::tracker::Tracked;
use super::turns::Turns;
use crate::credentials::Credentials;
use crate::entity_table::{Dirty, EntityBatch, EntityTable};
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{Changes, FileKey, Revision, SentFile, UpdateState};

/// Called once, when everything up to a change has been written or cannot be written.
pub type OnSaved = Box<dyn FnOnce(Result<()>) + Send>;

/// A caller that waits for changes to be written.
pub(super) struct Waiter {
    pub(super) up_to: u64,
    pub(super) tell: OnSaved,
}

/// What remains of a write that ended early, because it took long or its store was wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remainder {
    /// The number of the last change that belongs to the write.
    pub(super) up_to: u64,
    /// How many dirty entities belong to it, from the first.
    pub(super) rows: usize,
    /// Whether dates belong to it.
    pub(super) with_dates: bool,
}

/// A write: what it has taken out of the dirty set, and what belongs to it.
#[derive(Default)]
pub(super) struct Write {
    pub(super) in_flight: Vec<InFlight>,
    /// The number of the last change that belongs to it.
    pub(super) up_to: u64,
    /// How many dirty entities belong to it and have not been taken out.
    pub(super) rows: usize,
    /// Whether dates belong to it.
    pub(super) with_dates: bool,
    /// Whether it has taken out everything that belongs to it.
    pub(super) is_complete: bool,
    /// Whether it is a write of the credentials alone, ahead of everything else.
    pub(super) is_credentials_only: bool,
    /// The revision on which it is based.
    pub(super) base: Revision,
}

impl Write {
    /// Returns the authorization key that it writes, if it writes credentials.
    pub(super) fn auth_key(&self) -> Option<&Zeroizing<Vec<u8>>> {
        let credentials = self.in_flight.iter().rev().find_map(|taken| taken.credentials.as_ref())?;
        Some(&credentials.auth_key)
    }
}

/// A session's data. See the [module](self).
#[derive(Default)]
pub(super) struct State {
    pub(super) table: EntityTable,
    pub(super) update_states: BTreeMap<i64, UpdateState>,
    pub(super) sent_files: HashMap<FileKey, SentFile>,
    pub(super) dirty: DirtySet,
    /// The marked IDs of entities that the program has added, and that the store may have seen later.
    pub(super) uncompared: IndexSet<i64>,
    /// The key that was read when the session was opened, or that the caller has set since.
    pub(super) key: Zeroizing<Vec<u8>>,
    /// The stored credentials, if the store is only read.
    pub(super) read_only_login: Option<Credentials>,
    /// Whether credentials are being written: they are no longer dirty, and not stored yet.
    pub(super) are_credentials_in_flight: bool,
    /// The number of changes so far, and how many of them are written.
    pub(super) changes: u64,
    pub(super) saved: u64,
    pub(super) waiters: Vec<Waiter>,
    pub(super) remainder: Option<Remainder>,
    /// The write that was posted to the store and has not ended yet.
    pub(super) posted: Option<Write>,
    /// How many writes were posted.
    pub(super) posts: u64,
    /// When to ask a server whether another connection has forgotten something, because something
    /// was written; `None` until that has been scheduled.
    pub(super) look_due: Option<Instant>,
    /// What was written recently, if the store is on a server.
    pub(super) newer_than_reads: Option<NewerThanReads>,
    pub(super) turns: Turns,
    /// What remembers which entities change, and how many there have been.
    pub(super) trackers: Vec<Tracked>,
    pub(super) trackers_made: u64,
    /// When dirty data is to be written; `None` until that has been scheduled.
    pub(super) due: Option<Instant>,
    /// When dirty dates are to be written.
    pub(super) dates_due: Option<Instant>,
    /// Whether the writer closes the store when everything is written.
    pub(super) closes_when_written: bool,
    /// Whether only the writer still holds the session.
    pub(super) is_released: bool,
    pub(super) loading: LoadState,
    /// What is removed from memory, because it is full.
    pub(super) eviction: Option<Eviction>,
    /// When to try again, if too few may leave memory.
    pub(super) evict_again: Option<Instant>,
    /// How many entities the session has counted as kept in memory by the process.
    pub(super) counted: usize,
    pub(super) health: StoreHealth,
    /// The marked IDs of entities that the parent process had not stored when it forked.
    pub(super) left_to_parent: HashSet<i64, RandomState>,
    /// The fork generation when this was last used.
    pub(super) generation: u64,
}

impl State {
    pub(super) fn is_saved(&self) -> bool {
        self.saved == self.changes && self.dirty.is_empty()
    }

    /// Returns when the next write is due; `None` if there is nothing to write. A waiter for what
    /// is already written is notified by a write of nothing.
    pub(super) fn next_write(&self) -> Option<Instant> {
        if !self.waiters.is_empty() || self.remainder.is_some() || self.posted.is_some() {
            Some(Instant::now())
        } else if self.dirty.is_empty() {
            None
        } else {
            let due = if self.dirty.holds_dates_only() { self.dates_due } else { self.due };
            Some(due.unwrap_or_else(Instant::now))
        }
    }

    /// Returns the delay until the next write is due and allowed.
    pub(super) fn time_to_next_write(&self) -> Option<Duration> {
        self.next_write().map(|due| due.saturating_duration_since(Instant::now()).max(self.turns.pause()))
    }

    /// Begins a write of everything that is dirty now, or continues one that ended early. Returns
    /// the number of the last change that belongs to it, and whether dates do.
    pub(super) fn begin_write(&mut self, with_dates: bool) -> (u64, bool) {
        if let Some(remainder) = self.remainder.filter(|remainder| remainder.with_dates || !with_dates) {
            return (remainder.up_to, remainder.with_dates);
        }
        self.remainder = None;
        if with_dates {
            self.dirty.include_dates();
            self.dates_due = None;
        }
        (self.changes, with_dates)
    }

    /// Returns how many dirty entities belong to the write that was begun, from the first.
    pub(super) fn rows_to_write(&mut self) -> usize {
        self.remainder.take().map_or(self.dirty.entities.len(), |remainder| remainder.rows)
    }

    /// Returns `true` if dates belong to the next write: a caller waits for everything, or they are
    /// due.
    pub(super) fn are_dates_due(&self) -> bool {
        !self.waiters.is_empty() || self.dates_due.is_some_and(|due| due <= Instant::now())
    }

    /// Takes out the dirty credentials, to be written.
    pub(super) fn take_credentials(&mut self) -> Option<Credentials> {
        let credentials = self.dirty.credentials.take();
        self.are_credentials_in_flight |= credentials.is_some();
        credentials
    }

    /// Copies out the next changes, with at most `rows` entities, and marks them clean.
    pub(super) fn take(&mut self, rows: usize) -> (Changes, InFlight) {
        let credentials = self.take_credentials();
        let Self { table, dirty, .. } = self;
        let mut entities = EntityBatch::with_capacity(rows);
        for id in dirty.entities.drain(..rows.min(dirty.entities.len())) {
            match dirty.forgotten.remove(&id) {
                None => table.take_dirty(id, &mut entities),
                // What was received since does not go with what the store holds.
                Some(_) if table.take_whole_if_dirty(id, &mut entities) => {}
                Some(before) => entities.push_gone(id, before),
            }
        }
        if let Some(newer) = &mut self.newer_than_reads {
            // Memory may lack the texts of an input peer, which the server has.
            let lacks_texts = self.loading.lacks_entities();
            let is_whole = |dirty| !(lacks_texts && dirty == Dirty::AccessHashAndDate);
            newer.add(entities.iter().filter(|entity| is_whole(entity.dirty)).map(|entity| entity.id));
        }
        if let Some(scan) = self.loading.scan() {
            scan.access.note_newer(entities.iter().map(|entity| entity.id));
            scan.note_stored(entities.iter().filter(|entity| entity.dirty != Dirty::Gone).map(|entity| entity.id));
        }
        let Self { dirty, update_states, sent_files, .. } = self;
        let (gone, others): (Vec<_>, Vec<_>) = entities.iter().partition(|entity| entity.dirty == Dirty::Gone);
        let in_flight = InFlight {
            credentials,
            entities: others.iter().map(|entity| (entity.id, entity.dirty)).collect(),
            forgotten: gone.iter().map(|entity| (entity.id, entity.seen)).collect(),
            update_states: std::mem::take(&mut dirty.update_states),
            sent_files: std::mem::take(&mut dirty.sent_files),
        };
        let changes = Changes {
            credentials: in_flight.credentials.clone(),
            update_states: (in_flight.update_states.iter())
                .filter_map(|id| Some((*id, *update_states.get(id)?)))
                .collect(),
            sent_files: (in_flight.sent_files.iter())
                .filter_map(|key| Some((key.clone(), *sent_files.get(key)?)))
                .collect(),
            entities,
        };
        (changes, in_flight)
    }

    /// Ends a write. Returns the waiters that need not wait longer, and what to tell them.
    pub(super) fn end_write(&mut self, write: Write, failure: Option<&Error>) -> Vec<(OnSaved, Result<()>)> {
        let Write { in_flight, up_to, rows, with_dates, is_complete, is_credentials_only, .. } = write;
        self.are_credentials_in_flight = false;
        // One write at a time: the caller has the store locked.
        let is_all_written = failure.is_none() && self.dirty.is_empty();
        if is_all_written {
            self.saved = self.changes;
        }
        if is_credentials_only {
            if failure.is_some() {
                for taken in in_flight {
                    self.dirty.restore_credentials(taken.credentials);
                }
            }
            return self.take_waiters(None).into_iter().map(|tell| (tell, Ok(()))).collect();
        }
        if failure.is_some() {
            self.restore(in_flight);
        } else if is_complete || is_all_written {
            self.remainder = None;
            if with_dates {
                self.saved = self.saved.max(up_to);
            }
        } else {
            self.remainder = Some(Remainder { up_to, rows, with_dates });
        }
        let result = failure.map_or(Ok(()), |error| Err(error.clone()));
        self.take_waiters(failure).into_iter().map(|tell| (tell, result.clone())).collect()
    }

    /// Marks what a failed write had taken dirty again, in front of what has changed since.
    pub(super) fn restore(&mut self, in_flight: Vec<InFlight>) {
        self.remainder = None;
        let Self { table, dirty, .. } = self;
        for InFlight { credentials, entities, forgotten, update_states, sent_files } in in_flight.into_iter().rev() {
            dirty.restore_credentials(credentials);
            dirty_set::restore(&mut dirty.update_states, update_states);
            dirty_set::restore(&mut dirty.sent_files, sent_files);
            let changed_again: HashSet<i64> = entities
                .iter()
                .filter(|(id, part)| !table.restore_dirty(*id, *part).is_date_at_most())
                .map(|(id, _)| *id)
                .collect();
            if !changed_again.is_empty() {
                dirty.entities.retain(|id| !changed_again.contains(id));
            }
            for (id, _) in entities.into_iter().rev() {
                dirty.entities.push_front(id);
            }
            for (id, before) in forgotten {
                dirty.forget(id, before);
            }
        }
    }

    /// Takes over stored entities. What is dirty here, or was written after the store was asked, is
    /// newer and stays.
    pub(super) fn put_stored(&mut self, stored: &EntityBatch) {
        if let Some(scan) = self.loading.scan() {
            scan.access.note_newer(stored.iter().map(|entity| entity.id));
            scan.note_stored(stored.iter().map(|entity| entity.id));
        }
        self.take_over(stored, |state, id| state.newer_than_reads.as_ref().is_some_and(|newer| newer.contains(id)));
    }

    /// Takes over what was read, except entities of which `is_newer` says that memory knows them
    /// better, and what is being forgotten.
    pub(super) fn take_over(&mut self, stored: &EntityBatch, is_newer: impl Fn(&Self, i64) -> bool) {
        if !self.uncompared.is_empty() {
            for entity in stored.iter().filter(|entity| self.uncompared.swap_remove(&entity.id)) {
                self.table.yield_to_later(entity.id, entity.seen);
            }
        }
        self.yield_to_newer(stored);
        self.note_changed(stored.ids());
        let rest =
            stored.without(|entity| self.dirty.is_forgotten(entity.id, entity.seen) || is_newer(self, entity.id));
        self.table.put_stored(rest.as_ref().unwrap_or(stored));
    }

    /// Forgets entities by their marked IDs, and has the store delete their rows if they were last
    /// seen before a date. Returns how many were known.
    pub(super) fn forget(&mut self, ids: &[i64], before: u32, is_stored: bool) -> usize {
        self.note_changed(ids.iter().copied());
        let Self { table, dirty, loading, .. } = self;
        let mut known = 0;
        table.begin_to_remove(ids.iter().copied(), |_| known += 1);
        if is_stored {
            for id in ids {
                dirty.forget(*id, before);
            }
            if let Some(scan) = loading.scan() {
                scan.access.note_newer(ids.iter().copied());
            }
        }
        known
    }

    /// Removes entities that the store does not have any more, unless they have changed here since.
    pub(super) fn drop_missing(&mut self, ids: &[i64]) {
        let Self { table, posted, left_to_parent, .. } = self;
        let in_flight = |id: &i64| {
            let writes = posted.iter().flat_map(|posted| &posted.in_flight);
            writes.flat_map(|taken| &taken.entities).any(|(written, _)| written == id)
        };
        let is_missing = |id: &i64| may_be_missing(table.dirty(*id)) && !in_flight(id) && !left_to_parent.contains(id);
        let missing: Vec<i64> = ids.iter().copied().filter(is_missing).collect();
        self.note_changed(missing.iter().copied());
        self.table.begin_to_remove(missing, |_| ());
    }

    /// Counts what is not written yet, in words.
    pub(super) fn describe_unsaved(&self) -> String {
        let posted = self.posted.iter().flat_map(|posted| &posted.in_flight).map(InFlight::counts);
        self.dirty.describe(posted)
    }

    /// Takes over stored update states. What is dirty here is newer and stays.
    pub(super) fn put_stored_update_states(&mut self, stored: Vec<(i64, UpdateState)>) {
        let Self { update_states, dirty, .. } = self;
        let is_newer_here = |id: &i64| dirty.update_states.contains(id) || dirty.channel_dates.contains(id);
        update_states.extend(stored.into_iter().filter(|(id, _)| !is_newer_here(id)));
    }

    /// Copies out the dirty entities and marks them clean.
    fn take_dirty_entities(&mut self) -> EntityBatch {
        let mut batch = EntityBatch::default();
        for id in self.dirty.entities.iter().chain(&self.dirty.dates) {
            self.table.take_dirty(*id, &mut batch);
        }
        batch
    }

    /// Takes out the waiters that need not wait longer: what they wait for is written, or cannot
    /// be.
    pub(super) fn take_waiters(&mut self, failure: Option<&Error>) -> Vec<OnSaved> {
        let saved = self.saved;
        let is_final = failure.is_some_and(|error| !error.is_retryable());
        let (done, waiting) =
            std::mem::take(&mut self.waiters).into_iter().partition(|waiter| is_final || waiter.up_to <= saved);
        self.waiters = waiting;
        let done: Vec<Waiter> = done;
        done.into_iter().map(|waiter| waiter.tell).collect()
    }

    /// Inserts entities that the parent process writes.
    pub(super) fn put_clean(&mut self, batch: &EntityBatch) {
        let mut ids = Vec::new();
        self.note_changed(batch.ids());
        self.left_to_parent.extend(batch.ids());
        self.table.put(batch, |id, _| ids.push(id));
        let mut clean = EntityBatch::default();
        for id in ids {
            self.table.take_dirty(id, &mut clean);
        }
    }

    /// Marks everything dirty except the credentials.
    pub(super) fn mark_all_dirty(&mut self) {
        self.remainder = None;
        let Self { table, dirty, update_states, sent_files, .. } = self;
        dirty.entities.clear();
        // There is nothing to delete in a new store.
        dirty.forgotten.clear();
        dirty.dates.clear();
        table.mark_all_dirty(|id| dirty.entities.push_back(id));
        dirty.update_states.extend(update_states.keys().copied());
        dirty.sent_files.extend(sent_files.keys().cloned());
    }

    /// Forgets what is not dirty, so that it is read again.
    pub(super) fn forget_clean(&mut self) {
        let dirty_entities = self.take_dirty_entities();
        self.note_all_changed();
        self.table.clear();
        self.dirty.entities.clear();
        self.dirty.dates.clear();
        self.dirty.entities.extend(self.dirty.forgotten.keys());
        let Self { table, dirty, .. } = &mut *self;
        table.put(&dirty_entities, |id, _| dirty.entities.push_back(id));
        let Self { update_states, dirty, .. } = &mut *self;
        update_states.retain(|id, _| dirty.update_states.contains(id) || dirty.channel_dates.contains(id));
        let Self { sent_files, dirty, .. } = &mut *self;
        sent_files.retain(|key, _| dirty.sent_files.contains(key));
    }

    /// Marks everything clean.
    pub(super) fn mark_all_clean(&mut self) {
        drop(self.take_dirty_entities());
        self.dirty = DirtySet::default();
        self.remainder = None;
        self.posted = None;
    }

    /// Leaves to the parent what was dirty when it forked.
    pub(super) fn reset_after_fork(&mut self) {
        if self.generation == fork::generation() {
            return;
        }
        self.trackers = Vec::new();
        self.generation = fork::generation();
        let writes = self.posted.iter().flat_map(|posted| &posted.in_flight);
        self.left_to_parent.extend(writes.flat_map(|taken| &taken.entities).map(|(id, _)| *id));
        self.left_to_parent.extend(&self.dirty.entities);
        self.mark_all_clean();
        self.saved = self.changes;
        self.are_credentials_in_flight = false;
        self.waiters = Vec::new();
        self.posted = None;
        self.due = None;
        self.dates_due = None;
        self.loading.mark_stale();
        if let Some(scan) = self.loading.scan() {
            scan.access = Access::default();
        }
    }
}

/// Returns `true` if an entity of which this part is dirty was not received since it was stored.
pub(super) fn may_be_missing(dirty: Option<Dirty>) -> bool {
    matches!(dirty, Some(Dirty::Clean | Dirty::Date | Dirty::LostUsername))
}
