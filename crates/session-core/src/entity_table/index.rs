//! A hash index of row numbers: a lookup costs one cache line, and it never stops to rehash all
//! rows.
//!
//! It consists of small tables and grows by linear hashing: every few thousand insertions one table
//! is split in two, so the longest pause is that of one small table, however many rows there are. A
//! table consists of [`Bucket`]s; a hash belongs to one of them, or to the next ones if that is
//! full.

use std::ops::Range;

/// Rows in a table, on average, before the next split. Few under miri, which takes a thousand times
/// as long.
const ROWS_PER_TABLE: usize = if cfg!(miri) { 256 } else { 4096 };
/// Entries in a bucket.
const SLOTS: usize = 8;
/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// Row numbers by hash. Each key is in it once; the caller keeps track of rows that share a key.
#[derive(Debug, Default)]
pub(super) struct Index {
    tables: Vec<Table>,
    len: usize,
}

#[derive(Debug, Default)]
struct Table {
    buckets: Vec<Bucket>,
    len: usize,
}

/// A cache line. With half of each key's hash beside the row, a table grows without looking at rows
/// and texts, which are scattered over memory, and a lookup rarely looks at a wrong row. Entries
/// are at the front.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket {
    hashes: [u32; SLOTS],
    rows: [u32; SLOTS],
}

impl Index {
    pub(super) fn find(&self, hash: u32, is: impl FnMut(u32) -> bool) -> Option<u32> {
        let table = self.tables.get(self.table_of(hash))?;
        let (bucket, slot) = table.find(hash, is)?;
        Some(table.buckets[bucket].rows[slot])
    }

    /// Reads the bucket of a hash. A caller that does so for many hashes before it looks them up
    /// waits for memory once rather than for each.
    pub(super) fn prefetch(&self, hash: u32) -> u32 {
        let Some(table) = self.tables.get(self.table_of(hash)) else { return 0 };
        table.buckets.get(bucket_of(hash, table.buckets.len())).map_or(0, |bucket| bucket.hashes[0])
    }

    /// Adds a row whose key is not in the index yet.
    pub(super) fn insert(&mut self, hash: u32, row: u32) {
        if self.len >= self.tables.len() * ROWS_PER_TABLE {
            self.split_one();
        }
        let table = self.table_of(hash);
        self.tables[table].insert(hash, row);
        self.len += 1;
    }

    /// Replaces a row by another one with the same key.
    pub(super) fn replace(&mut self, hash: u32, row: u32, by: u32) {
        let table = self.table_of(hash);
        if let Some(table) = self.tables.get_mut(table)
            && let Some((bucket, slot)) = table.find(hash, |found| found == row)
        {
            table.buckets[bucket].rows[slot] = by;
        }
    }

    pub(super) fn remove(&mut self, hash: u32, row: u32) {
        let table = self.table_of(hash);
        if let Some(table) = self.tables.get_mut(table)
            && let Some((bucket, slot)) = table.find(hash, |found| found == row)
        {
            table.remove(bucket, slot);
            self.len -= 1;
        }
    }

    /// Calls `each` with the rows at positions from `from` on: about `limit` of them, or as many as
    /// a table holds. Returns the position to continue from; `None` at the end.
    ///
    /// A row's position is its hash with the bits reversed. In that order the rows of a table are
    /// adjacent, and so are those of the two tables that it is split into. So rows that stay while
    /// others come and go are visited exactly once.
    pub(super) fn scan(&self, from: u32, limit: usize, mut each: impl FnMut(u32)) -> Option<u32> {
        let table = self.tables.get(self.table_of(from.reverse_bits()))?;
        let step = self.step_at(from, limit)?;
        table.entries_at(&step).for_each(|(_, row)| each(row));
        u32::try_from(step.end).ok()
    }

    /// Returns the positions that a [scan](Self::scan) visits next.
    fn step_at(&self, from: u32, limit: usize) -> Option<Range<u64>> {
        let (all, len) = self.table_at(from)?;
        let from = u64::from(from);
        let steps = len.div_ceil(limit.max(1)).max(1).next_power_of_two() as u64;
        let mut width = ((all.end - all.start) / steps).max(1);
        // So that each begins where one twice as long would, or in its middle.
        while from % width != 0 {
            width /= 2;
        }
        Some(from..from + width)
    }

    /// Returns the positions that a [scan](Self::scan) visits next, and the number of rows there.
    pub(super) fn count_step_at(&self, from: u32, limit: usize) -> Option<(Range<u64>, usize)> {
        let table = self.tables.get(self.table_of(from.reverse_bits()))?;
        let step = self.step_at(from, limit)?;
        let count = table.entries_at(&step).count();
        Some((step, count))
    }

    /// Returns the positions that belong to the same table as `at`, and the number of rows there;
    /// `None` if there are no tables.
    pub(super) fn table_at(&self, at: u32) -> Option<(Range<u64>, usize)> {
        let hash = at.reverse_bits();
        let table = self.tables.get(self.table_of(hash))?;
        let width = 1_u64 << (u32::BITS - self.bits_of(hash));
        let start = u64::from(at) / width * width;
        Some((start..start + width, table.len))
    }

    fn table_of(&self, hash: u32) -> usize {
        table_of(hash, self.tables.len())
    }

    /// Returns how many of a hash's lowest bits select its table. There must be tables.
    fn bits_of(&self, hash: u32) -> u32 {
        let all = self.tables.len().next_power_of_two();
        let half = all >> 1;
        let is_split = half > 0 && (hash as usize & (half - 1)) + half < self.tables.len();
        if is_split { all.ilog2() } else { half.checked_ilog2().unwrap_or(0) }
    }

    /// Splits the next table.
    fn split_one(&mut self) {
        let new = self.tables.len();
        if new == 0 {
            self.tables.push(Table::default());
            return;
        }
        let old = new - (1 << new.ilog2());
        let whole = std::mem::take(&mut self.tables[old]);
        let moves = |hash: u32| table_of(hash, new + 1) == new;
        let moving = whole.entries().filter(|(hash, _)| moves(*hash)).count();
        let mut halves = [TableBuilder::of(whole.len - moving), TableBuilder::of(moving)];
        whole.entries().for_each(|(hash, row)| halves[usize::from(moves(hash))].add(hash, row));
        let [stays, goes] = halves.map(|half| half.table);
        self.tables[old] = stays;
        self.tables.push(goes);
    }
}

/// A new table that is being filled.
struct TableBuilder {
    table: Table,
    /// How many slots of each bucket are taken. Reading the bucket itself just after writing it is
    /// slow.
    taken: Vec<u8>,
}

impl TableBuilder {
    /// Returns a builder with room for this many rows and some more.
    fn of(rows: usize) -> Self {
        let buckets = buckets_for(rows);
        Self { table: Table { buckets: vec![Bucket::EMPTY; buckets], len: 0 }, taken: vec![0; buckets] }
    }

    fn add(&mut self, hash: u32, row: u32) {
        let mut at = bucket_of(hash, self.taken.len());
        while usize::from(self.taken[at]) == SLOTS {
            at = self.table.after(at);
        }
        let slot = usize::from(self.taken[at]);
        let bucket = &mut self.table.buckets[at];
        (bucket.hashes[slot], bucket.rows[slot]) = (hash, row);
        self.taken[at] += 1;
        self.table.len += 1;
    }
}

impl Table {
    fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.hashes.into_iter().zip(bucket.rows).take_while(|(_, row)| *row != NONE))
    }

    fn entries_at(&self, positions: &Range<u64>) -> impl Iterator<Item = (u32, u32)> {
        self.entries().filter(|(hash, _)| positions.contains(&u64::from(position(*hash))))
    }

    fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<(usize, usize)> {
        let mut at = bucket_of(hash, self.buckets.len());
        loop {
            let bucket = self.buckets.get(at)?;
            let mut same = bucket.with_hash(hash);
            while same != 0 {
                let slot = same.trailing_zeros() as usize % SLOTS;
                if bucket.rows[slot] != NONE && is(bucket.rows[slot]) {
                    return Some((at, slot));
                }
                same &= same - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.after(at);
        }
    }

    fn insert(&mut self, hash: u32, row: u32) {
        // At four fifths, one bucket in six or seven is full: few keys are not in their own bucket.
        if (self.len + 1) * 5 > self.buckets.len() * SLOTS * 4 {
            let mut grown = TableBuilder::of(self.len + 1);
            self.entries().for_each(|(hash, row)| grown.add(hash, row));
            *self = grown.table;
        }
        let mut at = bucket_of(hash, self.buckets.len());
        while self.buckets[at].is_full() {
            at = self.after(at);
        }
        self.buckets[at].push(hash, row);
        self.len += 1;
    }

    /// Removes an entry, and moves back those that are in a later bucket because this one was full.
    fn remove(&mut self, bucket: usize, slot: usize) {
        let (mut hole, mut was_full) = (bucket, self.buckets[bucket].is_full());
        self.buckets[bucket].swap_remove(slot);
        self.len -= 1;
        let mut at = bucket;
        while was_full {
            at = self.after(at);
            let count = self.buckets.len();
            // How far a bucket is behind another, with wrap-around.
            let behind = |from: usize, to: usize| (to + count - from) % count;
            let looked_at = self.buckets[at];
            let came_from_before = |slot: &usize| {
                let belongs = bucket_of(looked_at.hashes[*slot], count);
                behind(belongs, at) >= behind(hole, at)
            };
            let returning = (0..looked_at.len()).find(came_from_before);
            if let Some(slot) = returning {
                self.buckets[hole].push(looked_at.hashes[slot], looked_at.rows[slot]);
                self.buckets[at].swap_remove(slot);
                hole = at;
            }
            was_full = looked_at.is_full();
        }
    }

    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }
}

impl Bucket {
    const EMPTY: Self = Self { hashes: [0; SLOTS], rows: [NONE; SLOTS] };

    /// Returns a bit for each slot with this hash; empty slots may be among them.
    fn with_hash(&self, hash: u32) -> u32 {
        bits(self.hashes.map(|other| other == hash))
    }

    fn len(&self) -> usize {
        bits(self.rows.map(|row| row != NONE)).count_ones() as usize
    }

    fn is_full(&self) -> bool {
        self.rows[SLOTS - 1] != NONE
    }

    fn push(&mut self, hash: u32, row: u32) {
        let slot = self.len() % SLOTS;
        (self.hashes[slot], self.rows[slot]) = (hash, row);
    }

    fn swap_remove(&mut self, slot: usize) {
        let last = self.len().saturating_sub(1);
        (self.hashes[slot], self.rows[slot]) = (self.hashes[last], self.rows[last]);
        self.rows[last] = NONE;
    }
}

/// Returns the position of a hash in a [scan](Index::scan).
pub(super) fn position(hash: u32) -> u32 {
    hash.reverse_bits()
}

/// Returns a bit for each `true`, in a form that compiles to one or two instructions.
fn bits(flags: [bool; SLOTS]) -> u32 {
    flags.into_iter().enumerate().fold(0, |bits, (slot, flag)| bits | u32::from(flag) << slot)
}

/// Returns the number of buckets for this many rows, which fill a little more than half of it.
fn buckets_for(rows: usize) -> usize {
    (rows * 15).div_ceil(8 * SLOTS)
}

/// Returns which of `buckets` buckets a hash belongs to, by its highest bits.
fn bucket_of(hash: u32, buckets: usize) -> usize {
    let place = (u64::from(hash) * buckets as u64) >> 32;
    // Below `buckets`, so it fits.
    usize::try_from(place).unwrap_or_default()
}

/// Returns which of `tables` tables a hash belongs to, by as many of its lowest bits as number them
/// all, or one fewer for those that are not split yet.
fn table_of(hash: u32, tables: usize) -> usize {
    let mask = tables.next_power_of_two() - 1;
    let table = hash as usize & mask;
    if table < tables { table } else { table & (mask >> 1) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ROWS: u32 = if cfg!(miri) { 1_000 } else { 50_000 };
    const STEPS: u32 = if cfg!(miri) { 130 } else { 200_000 };

    fn hash_of(row: u32) -> u32 {
        let bits = u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u32::try_from(bits >> 32).unwrap()
    }

    fn find(index: &Index, row: u32) -> Option<u32> {
        index.find(hash_of(row), |found| found == row)
    }

    #[test]
    fn finds_every_row_while_it_grows_and_shrinks() {
        let mut index = Index::default();
        assert_eq!(find(&index, 1), None);
        for row in 0..ROWS {
            index.insert(hash_of(row), row);
        }
        assert!(index.tables.len() >= ROWS as usize / ROWS_PER_TABLE);
        assert!((0..ROWS).all(|row| find(&index, row) == Some(row)));
        assert_eq!(find(&index, ROWS), None);
        for row in (0..ROWS).step_by(2) {
            index.remove(hash_of(row), row);
        }
        assert!((0..ROWS).all(|row| find(&index, row).is_some() == (row % 2 == 1)));
        assert_eq!(index.len, ROWS as usize / 2);
    }

    /// Hashes so few that buckets overflow, also from the last to the first.
    #[test]
    fn crowded_lines_give_back_what_they_took() {
        let mut index = Index::default();
        let mut model = HashMap::new();
        let mut state = 1_u64;
        for step in 0..STEPS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let row = u32::try_from(state >> 33).unwrap() % 300;
            let hash = [row % 11, u32::MAX - row % 11][row as usize % 2] << (row % 3);
            if model.remove(&row).is_some() {
                index.remove(hash, row);
            } else {
                index.insert(hash, row);
                model.insert(row, hash);
            }
            if step % 64 == 0 {
                for row in 0..300 {
                    let hash = [row % 11, u32::MAX - row % 11][row as usize % 2] << (row % 3);
                    let found = index.find(hash, |found| found == row);
                    assert_eq!(found.is_some(), model.contains_key(&row), "step {step}");
                }
                assert_eq!(index.tables[0].entries().count(), model.len());
            }
        }
    }

    #[test]
    fn no_table_grows_large() {
        let mut index = Index::default();
        let rows = if cfg!(miri) { ROWS } else { 6 * ROWS };
        (0..rows).for_each(|row| index.insert(hash_of(row), row));
        assert!(index.tables.iter().all(|table| table.len < 3 * ROWS_PER_TABLE));
        let slots: usize = index.tables.iter().map(|table| table.buckets.len() * SLOTS).sum();
        assert!(slots * 10 < rows as usize * 18, "{slots} slots");
    }
}
