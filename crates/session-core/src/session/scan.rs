//! Iterating over all entities of a session in small steps.
//!
//! If memory may lack some, the store is read first, in ascending order of the marked IDs; then
//! follow the entities in memory that the store did not have, by their positions in the table.
//! Either order is stable while entities come and go, so none is visited twice and none that stays
//! is missed. If memory is bounded, what is dirty is written, and only the store is read.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::handle::StoreHandle;
use super::known::FRESH_LIMIT;
use super::retry::{KeepWaiting, retry_while_busy};
use super::state::may_be_missing;
use super::{BRIEF_TIMEOUT, Session};
use crate::entity_table::{EntityBatch, EntityTable};
use crate::error::Result;
use crate::fork;
use crate::store::{Kind, ScanBatch, Store, StoreError};

/// Entities copied in a step: some tenths of a millisecond's work.
const ROWS: usize = 256;
/// How many equal parts the positions are divided into, to count the visited entities in each.
const PARTS: usize = 1 << 14;
const POSITIONS_PER_PART: u64 = (1 << 32) / PARTS as u64;

/// The progress of an iteration over a session's entities.
#[derive(Debug, Default)]
pub struct EntityScan {
    stage: Stage,
    /// The position in the table from which no entities have been visited.
    next: Position,
    visited: Visited,
    /// What reads a server that is asked for this scan alone, and what it has read so far. It returns
    /// an entity twice if that is written meanwhile.
    alone: Option<(Box<dyn Store>, HashSet<i64, RandomState>)>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing has been read yet.
    #[default]
    Begin,
    /// The store is being read: after this marked ID, or from the first row.
    Store(Option<i64>),
    /// The table is being read.
    Memory,
    /// Only the store is being read: after this marked ID, or from the first row.
    StoreAlone(Option<i64>),
    /// All of it has been read.
    End,
}

/// A position in the table; `None` at its end.
#[derive(Clone, Copy, Debug)]
struct Position(Option<u32>);

impl Default for Position {
    fn default() -> Self {
        Self(Some(0))
    }
}

impl Position {
    fn has_passed(self, position: u32) -> bool {
        self.0.is_none_or(|next| position < next)
    }
}

/// The entities visited in the store.
#[derive(Debug, Default)]
struct Visited {
    /// Their marked IDs in ascending order, batch by batch, for each time that the store was read.
    passes: Vec<Vec<Vec<i64>>>,
    /// How many lie in each part of the positions. Empty if there are none.
    counts: Vec<u32>,
    /// The table's [removals](EntityTable::removals) when the first was visited.
    removals: u64,
    /// The number of the session's own scan when the last reading of the store began.
    load: u64,
}

impl Visited {
    fn contains(&self, id: i64) -> bool {
        self.passes.iter().any(|batches| {
            let at = batches.partition_point(|batch| batch.last().is_some_and(|last| *last < id));
            batches.get(at).is_some_and(|batch| batch.binary_search(&id).is_ok())
        })
    }

    /// Adds a batch.
    fn add(&mut self, ids: Vec<i64>, positions: impl Iterator<Item = u32>) {
        if self.counts.is_empty() {
            self.counts = vec![0; PARTS];
        }
        for position in positions {
            if let Some(count) = self.counts.get_mut(part_of(u64::from(position))) {
                *count += 1;
            }
        }
        if let Some(batches) = self.passes.last_mut() {
            batches.push(ids);
        }
    }

    /// Returns the position up to which all entities of the table have been visited; `None` if some
    /// of the next ones may not have been. The entities need not be read to know: as many were
    /// visited as there are, and none was removed.
    fn end_of_visited(&self, table: &EntityTable, from: u32) -> Option<u64> {
        if self.counts.is_empty() || self.removals != table.removals() {
            return None;
        }
        let are_visited = |(positions, count): &(Range<u64>, usize)| self.count(positions) == Some(*count);
        let part = table.part_at(from).filter(|(part, _)| part.start == u64::from(from)).filter(are_visited);
        part.or_else(|| table.step_at(from, ROWS).filter(are_visited)).map(|(positions, _)| positions.end)
    }

    /// Returns how many lie at some positions; `None` if that is not known.
    fn count(&self, Range { start, end }: &Range<u64>) -> Option<usize> {
        let is_whole = (end - start) % POSITIONS_PER_PART == 0 && self.passes.len() == 1;
        let counts = self.counts.get(part_of(*start)..part_of(*end)).filter(|_| is_whole)?;
        usize::try_from(counts.iter().sum::<u32>()).ok()
    }
}

fn part_of(position: u64) -> usize {
    usize::try_from(position / POSITIONS_PER_PART).unwrap_or(usize::MAX)
}

impl Session {
    /// Copies out the next entities, a few hundred at most; none at the end.
    ///
    /// # Errors
    /// What prevents the store from being read, if memory lacks entities. A locked store is retried
    /// for up to `limit`. Another call continues where this one failed.
    pub fn scan(&self, scan: &mut EntityScan, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<EntityBatch> {
        if matches!(scan.stage, Stage::Begin) && self.is_partial() {
            self.write_all_retrying(limit, &mut *keep_waiting)?;
            scan.stage = Stage::StoreAlone(None);
        }
        if matches!(scan.stage, Stage::Begin) {
            {
                let _guard = fork::guard();
                self.see_shared();
            }
            if self.is_remote() {
                self.look_for_changes(!limit.is_zero(), &mut *keep_waiting);
                let is_stale = {
                    let _guard = fork::guard();
                    let state = self.state();
                    !state.loading.lacks_entities() && !state.loading.is_loaded()
                };
                if is_stale {
                    // Otherwise memory answers.
                    self.wait_while_loading(FRESH_LIMIT.min(limit), &mut *keep_waiting);
                }
            }
        }
        loop {
            if let Stage::Memory = scan.stage {
                match self.scan_memory(scan) {
                    Some(batch) => return Ok(batch),
                    None => continue,
                }
            }
            let attempt = || {
                let _guard = fork::guard();
                match scan.stage {
                    Stage::End => Ok(EntityBatch::default()),
                    Stage::StoreAlone(after) => self.scan_alone(scan, after),
                    Stage::Begin | Stage::Store(_) | Stage::Memory => self.scan_store(scan),
                }
            };
            let batch = retry_while_busy(limit, &mut *keep_waiting, |_| (), attempt)?;
            if !batch.is_empty() || matches!(scan.stage, Stage::End) {
                return Ok(batch);
            }
        }
    }

    /// Reads entities from a store of which memory holds only some. Those are returned as they are in
    /// memory. The batch is empty if none of them was new, or at the end.
    fn scan_alone(&self, scan: &mut EntityScan, after: Option<i64>) -> Result<EntityBatch> {
        let mut handle = self.lock_store_preempting();
        let store = self.opened(&mut handle, BRIEF_TIMEOUT)?;
        if scan.alone.is_none() {
            scan.alone = store.open_scan().map(|store| (store, HashSet::default()));
        }
        let ScanBatch { entities: stored, next } = match &mut scan.alone {
            Some((store, _)) => {
                drop(handle);
                store.scan(after, ROWS)?
            }
            None => store.scan(after, ROWS)?,
        };
        scan.stage = next.map_or(Stage::End, |id| Stage::StoreAlone(Some(id)));
        let mut batch = EntityBatch::with_capacity(stored.len());
        let mut state = self.whole_state();
        // Memory may lack texts, or changes of other connections.
        let in_memory = stored.without(|entity| state.table.dirty(entity.id).is_none());
        state.put_stored(in_memory.as_ref().unwrap_or(&stored));
        for entity in stored.iter() {
            let is_new = scan.alone.as_mut().is_none_or(|(_, visited)| visited.insert(entity.id));
            if !is_new || state.dirty.is_forgotten(entity.id, entity.seen) {
                continue;
            }
            let before = batch.len();
            state.table.copy(entity.id, &mut batch);
            if batch.len() == before {
                batch.push_entity(&entity);
            }
        }
        Ok(batch)
    }

    /// Copies entities out of the table; none at its end. Returns `None` if the store must be read
    /// first.
    fn scan_memory(&self, scan: &mut EntityScan) -> Option<EntityBatch> {
        let _guard = fork::guard();
        let mut batch = EntityBatch::default();
        while let Some(from) = scan.next.0
            && batch.is_empty()
        {
            let mut all = EntityBatch::with_capacity(ROWS);
            {
                let mut state = self.whole_state();
                if state.loading.lacks_entities() {
                    // The caller has changed the store, and everything is being read again.
                    scan.stage = Stage::Begin;
                    return None;
                }
                if let Some(end) = scan.visited.end_of_visited(&state.table, from) {
                    scan.next = Position(u32::try_from(end).ok());
                    continue;
                }
                scan.next = Position(state.table.scan(from, ROWS, &mut all));
                if let Some(load) = state.loading.scan().filter(|load| load.number == scan.visited.load)
                    && let Some(stored) = &load.stored
                    && !scan.visited.passes.is_empty()
                {
                    // Another connection has deleted what is neither stored nor new here.
                    let is_missing = |id| !stored.contains(&id) && !scan.visited.contains(id);
                    let rest = all.without(|entity| may_be_missing(Some(entity.dirty)) && is_missing(entity.id));
                    all = rest.unwrap_or(all);
                }
            }
            if scan.visited.passes.is_empty() {
                batch = all;
            } else {
                let new = all.iter().filter(|entity| !scan.visited.contains(entity.id));
                new.for_each(|entity| batch.push_entity(&entity));
            }
        }
        Some(batch)
    }

    /// Leaves reading to the background: a server is not asked for everything twice.
    fn scan_loaded(&self, scan: &mut EntityScan) -> Result<EntityBatch> {
        let mut state = self.state();
        if state.loading.lacks_entities() {
            if let Some(failure) = state.loading.scan().and_then(|scan| scan.failure.clone()) {
                return Err(failure);
            }
            let message = format!("{}: its entities are still being loaded", self.place());
            return Err(StoreError::new(Kind::Pending, self.place(), message).into());
        }
        scan.stage = Stage::Memory;
        Ok(EntityBatch::default())
    }

    /// Reads entities from the store. The batch is empty if none of them was new, or at the end.
    fn scan_store(&self, scan: &mut EntityScan) -> Result<EntityBatch> {
        if !self.is_stored() {
            scan.stage = Stage::Memory;
            return Ok(EntityBatch::default());
        }
        let mut handle = self.lock_store_preempting();
        let error = match self.scan_opened(&mut handle, scan) {
            Ok(batch) => return Ok(batch),
            Err(error) => error,
        };
        if !error.is_retryable() {
            self.close_if_unusable(&mut handle, &error);
            self.record_failure(&error);
        }
        if self.state().loading.lacks_entities() {
            return Err(error);
        }
        // Memory holds everything except recent changes of other connections.
        scan.stage = Stage::Memory;
        Ok(EntityBatch::default())
    }

    fn scan_opened(&self, handle: &mut StoreHandle, scan: &mut EntityScan) -> Result<EntityBatch> {
        if self.is_remote() {
            return self.scan_loaded(scan);
        }
        self.opened(handle, BRIEF_TIMEOUT)?;
        let loaded_revision = handle.loaded_revision;
        let store = self.opened(handle, BRIEF_TIMEOUT)?;
        let after = match scan.stage {
            Stage::Store(after) => after,
            Stage::Begin | Stage::Memory | Stage::StoreAlone(_) | Stage::End => {
                let is_loaded = self.state().loading.is_loaded();
                if is_loaded && !self.refresh_if_stale(loaded_revision, store.revision()?) {
                    scan.stage = Stage::Memory;
                    return Ok(EntityBatch::default());
                }
                None
            }
        };
        let ScanBatch { entities: stored, next } = store.scan(after, ROWS)?;
        if next.is_none() {
            store.trim();
        }
        let ids: Vec<i64> = stored.iter().map(|entity| entity.id).collect();
        let mut batch = EntityBatch::with_capacity(ids.len());
        let mut state = self.whole_state();
        // What is dirty here is newer than what is stored.
        state.put_stored(&stored);
        for id in &ids {
            if !(scan.next.has_passed(state.table.position(*id)) || scan.visited.contains(*id)) {
                state.table.copy(*id, &mut batch);
            }
        }
        if after.is_none() {
            scan.visited.passes.push(Vec::new());
            scan.visited.removals = state.table.removals();
            scan.visited.load = state.loading.scan().map_or(0, |load| load.number);
        }
        let positions: Vec<u32> = ids.iter().map(|id| state.table.position(*id)).collect();
        drop(state);
        scan.visited.add(ids, positions.into_iter());
        scan.stage = next.map_or(Stage::Memory, |id| Stage::Store(Some(id)));
        Ok(batch)
    }
}
