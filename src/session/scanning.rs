//! Going through all entities of a session in small steps.
//!
//! What memory does not mirror is read from the store first, page by page in the order of the marked ids; then come the entities
//! in memory that were not among those, in the order of their positions in the cache. Either order stays what it is while
//! entities come and go, so none is met twice and none that stays is missed.

use std::ops::Range;
use std::time::Duration;

use super::loading::BRIEF_WAIT;
use super::mirror::Mirror;
use super::{Patience, Session, Slot, saving};
use crate::entity_cache::{EntityCache, EntityPage};
use crate::error::{Error, Result};
use crate::fork;
use crate::store::Loaded;

/// Entities copied at a step: some tenths of a millisecond's work.
const ROWS: usize = 256;
/// Into how many parts of the same size all positions are divided, to count in each what was met.
const PARTS: usize = 1 << 14;
const POSITIONS_PER_PART: u64 = (1 << 32) / PARTS as u64;

/// How far a session's entities have been gone through.
#[derive(Debug, Default)]
pub struct Scan {
    stage: Stage,
    /// Where in the cache entities have not been met.
    next: Position,
    met: Met,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing has been done yet.
    #[default]
    Begin,
    /// The store is being read; `None` before its first row, or the marked id of the last.
    Store(Option<i64>),
    /// The cache is being read.
    Memory,
}

/// A position in the cache; `None` at its end.
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

/// The entities met in the store.
#[derive(Debug, Default)]
struct Met {
    /// Their marked ids, page by page in their order; once more for each time that the store was read.
    passes: Vec<Vec<Vec<i64>>>,
    /// How many in each part of the positions. Empty if there are none.
    counts: Vec<u32>,
    /// The cache's [removals](crate::entity_cache::EntityCache::removals) when the first was met.
    removals: u64,
}

impl Met {
    fn holds(&self, id: i64) -> bool {
        self.passes.iter().any(|pages| {
            let page = pages.partition_point(|page| page.last().is_some_and(|last| *last < id));
            pages.get(page).is_some_and(|page| page.binary_search(&id).is_ok())
        })
    }

    /// Adds a page.
    fn add(&mut self, ids: Vec<i64>, positions: impl Iterator<Item = u32>) {
        if self.counts.is_empty() {
            self.counts = vec![0; PARTS];
        }
        for position in positions {
            if let Some(count) = self.counts.get_mut(part_of(u64::from(position))) {
                *count += 1;
            }
        }
        if let Some(pages) = self.passes.last_mut() {
            pages.push(ids);
        }
    }

    /// Up to which position all entities of the cache were met; `None` if some of the next ones may not have been. They need not be
    /// looked at to know: there are as many as were met, and none was removed.
    fn end_of_all_met(&self, cache: &EntityCache, from: u32) -> Option<u64> {
        if self.counts.is_empty() || self.removals != cache.removals() {
            return None;
        }
        let are_all_met = |(positions, count): &(Range<u64>, usize)| self.count(positions) == Some(*count);
        let whole = cache.part_at(from).filter(|(part, _)| part.start == u64::from(from)).filter(are_all_met);
        whole.or_else(|| cache.step_at(from, ROWS).filter(are_all_met)).map(|(positions, _)| positions.end)
    }

    /// How many there are at some positions; `None` if that is not known.
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
    /// Copies the next entities, some hundreds at the most. None are left if the page is empty.
    ///
    /// # Errors
    /// The store cannot be read, and memory does not hold what is in it. A locked one is waited for, `limit` at the most. The scan
    /// goes on where it was when it is called again.
    pub fn scan(&self, scan: &mut Scan, limit: Duration, patience: Patience<'_>) -> Result<EntityPage> {
        if matches!(scan.stage, Stage::Begin) {
            let _working = fork::working();
            self.see_shared();
        }
        loop {
            if let Stage::Memory = scan.stage {
                match self.scan_memory(scan) {
                    Some(page) => return Ok(page),
                    None => continue,
                }
            }
            let attempt = || {
                let _working = fork::working();
                self.scan_store(scan)
            };
            let page = saving::patiently(limit, &mut *patience, |_| (), attempt)?;
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }

    /// Reads a page of the cache, which is empty at the end only. `None` if the store must be read first.
    fn scan_memory(&self, scan: &mut Scan) -> Option<EntityPage> {
        let _working = fork::working();
        let mut page = EntityPage::default();
        while let Some(from) = scan.next.0
            && page.is_empty()
        {
            let mut all = EntityPage::with_capacity(ROWS);
            {
                let state = self.whole_state();
                if matches!(state.mirror, Mirror::Loading(_)) {
                    // A statement of the user's own has changed what is stored.
                    scan.stage = Stage::Begin;
                    return None;
                }
                if let Some(end) = scan.met.end_of_all_met(&state.cache, from) {
                    scan.next = Position(u32::try_from(end).ok());
                    continue;
                }
                scan.next = Position(state.cache.scan(from, ROWS, &mut all));
            }
            if scan.met.passes.is_empty() {
                page = all;
            } else {
                all.iter().filter(|entity| !scan.met.holds(entity.id)).for_each(|entity| page.push_entity(&entity));
            }
        }
        Some(page)
    }

    /// Reads a page of the store. It is empty if there was nothing new, and if there is nothing to be read any more.
    fn scan_store(&self, scan: &mut Scan) -> Result<EntityPage> {
        if !self.is_stored() {
            scan.stage = Stage::Memory;
            return Ok(EntityPage::default());
        }
        let mut slot = self.slot_urgently();
        let error = match self.scan_opened(&mut slot, scan) {
            Ok(page) => return Ok(page),
            Err(error) => error,
        };
        if !matches!(error, Error::Locked { .. }) {
            self.let_go_if_broken(&mut slot, &error);
            self.note_trouble(&error);
        }
        if matches!(self.state().mirror, Mirror::Loading(_)) {
            return Err(error);
        }
        // Memory holds all but what others have written since.
        scan.stage = Stage::Memory;
        Ok(EntityPage::default())
    }

    fn scan_opened(&self, slot: &mut Slot, scan: &mut Scan) -> Result<EntityPage> {
        self.opened(slot, BRIEF_WAIT)?;
        let after = match scan.stage {
            Stage::Store(after) => after,
            Stage::Begin | Stage::Memory => {
                if self.state().mirror.is_complete() && !self.is_behind(slot)? {
                    scan.stage = Stage::Memory;
                    return Ok(EntityPage::default());
                }
                None
            }
        };
        let store = self.opened(slot, BRIEF_WAIT)?;
        let Loaded { entities: stored, next } = store.load(after, ROWS)?;
        if next.is_none() {
            store.rest();
        }
        let ids: Vec<i64> = stored.iter().map(|entity| entity.id).collect();
        let mut page = EntityPage::with_capacity(ids.len());
        let mut state = self.whole_state();
        // What is unsaved here is newer than what is stored.
        state.cache.put_stored(&stored);
        for id in &ids {
            if !(scan.next.has_passed(state.cache.position(*id)) || scan.met.holds(*id)) {
                state.cache.copy(*id, &mut page);
            }
        }
        if after.is_none() {
            scan.met.passes.push(Vec::new());
            scan.met.removals = state.cache.removals();
        }
        let positions: Vec<u32> = ids.iter().map(|id| state.cache.position(*id)).collect();
        drop(state);
        scan.met.add(ids, positions.into_iter());
        scan.stage = next.map_or(Stage::Memory, |id| Stage::Store(Some(id)));
        Ok(page)
    }
}
