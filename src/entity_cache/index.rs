//! A hash index that holds row numbers only, costs one line of the processor's cache a lookup, and never stops to rehash all of
//! them.
//!
//! It is a row of small tables, grown by linear hashing: every few thousand insertions one table is split in two, so the
//! longest pause is that of one small table, however many rows there are. A table is a row of [`Line`]s; a hash belongs to one
//! of them, or to the next ones where that is full.

use std::ops::Range;

/// Rows a table holds on average before the next split. Few under miri, which takes a thousand times as long.
const ROWS_PER_TABLE: usize = if cfg!(miri) { 256 } else { 4096 };
/// Entries in a line.
const SLOTS: usize = 8;
/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// Row numbers by hash. Each key stands in it once; which rows share a key is for the caller to know.
#[derive(Debug, Default)]
pub(super) struct Index {
    tables: Vec<Table>,
    len: usize,
}

#[derive(Debug, Default)]
struct Table {
    lines: Vec<Line>,
    len: usize,
}

/// What the processor fetches at once. With half of each key's hash beside the row, a table grows without a look at rows and
/// texts, which lie all over the memory, and hardly ever is a row looked at that is not meant. Entries stand at the front.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    hashes: [u32; SLOTS],
    rows: [u32; SLOTS],
}

impl Index {
    pub(super) fn find(&self, hash: u32, is: impl FnMut(u32) -> bool) -> Option<u32> {
        let table = self.tables.get(self.table_of(hash))?;
        let (line, slot) = table.find(hash, is)?;
        Some(table.lines[line].rows[slot])
    }

    /// Reads from where a hash belongs. A caller who does so for many hashes, and only then looks for them, waits for the memory once
    /// rather than for each.
    pub(super) fn touch(&self, hash: u32) -> u32 {
        let Some(table) = self.tables.get(self.table_of(hash)) else { return 0 };
        table.lines.get(line_of(hash, table.lines.len())).map_or(0, |line| line.hashes[0])
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

    /// Puts another row with the same key in a row's place.
    pub(super) fn replace(&mut self, hash: u32, row: u32, by: u32) {
        let table = self.table_of(hash);
        if let Some(table) = self.tables.get_mut(table)
            && let Some((line, slot)) = table.find(hash, |found| found == row)
        {
            table.lines[line].rows[slot] = by;
        }
    }

    pub(super) fn remove(&mut self, hash: u32, row: u32) {
        let table = self.table_of(hash);
        if let Some(table) = self.tables.get_mut(table)
            && let Some((line, slot)) = table.find(hash, |found| found == row)
        {
            table.remove(line, slot);
            self.len -= 1;
        }
    }

    /// Gives the rows at some positions to `each`, from `from` on: about `most` of them, or as many as a table holds. Returns the
    /// position to go on from; `None` after the last.
    ///
    /// A row's position is its hash with the bits reversed. In that order the rows of a table lie side by side, and those of the
    /// two tables that it is split into do too. So rows that stay while others come and go are met exactly once.
    pub(super) fn scan(&self, from: u32, most: usize, mut each: impl FnMut(u32)) -> Option<u32> {
        let table = self.tables.get(self.table_of(from.reverse_bits()))?;
        let step = self.step_at(from, most)?;
        table.entries_at(&step).for_each(|(_, row)| each(row));
        u32::try_from(step.end).ok()
    }

    /// The positions that a [scan](Self::scan) looks at next.
    fn step_at(&self, from: u32, most: usize) -> Option<Range<u64>> {
        let (all, len) = self.table_at(from)?;
        let from = u64::from(from);
        let steps = len.div_ceil(most.max(1)).max(1).next_power_of_two() as u64;
        let mut width = ((all.end - all.start) / steps).max(1);
        // So each begins where one would that is twice as long, or in its middle.
        while from % width != 0 {
            width /= 2;
        }
        Some(from..from + width)
    }

    /// The positions that a [scan](Self::scan) looks at next, and how many rows are there.
    pub(super) fn count_step_at(&self, from: u32, most: usize) -> Option<(Range<u64>, usize)> {
        let table = self.tables.get(self.table_of(from.reverse_bits()))?;
        let step = self.step_at(from, most)?;
        let count = table.entries_at(&step).count();
        Some((step, count))
    }

    /// The positions that belong to the same table as one does, and how many rows that holds. `None` if there are no rows.
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

    /// How many of a hash's lowest bits tell its table. There must be tables.
    fn bits_of(&self, hash: u32) -> u32 {
        let all = self.tables.len().next_power_of_two();
        let half = all >> 1;
        let is_split = half > 0 && (hash as usize & (half - 1)) + half < self.tables.len();
        if is_split { all.ilog2() } else { half.checked_ilog2().unwrap_or(0) }
    }

    /// Splits the table that is next.
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
        let mut halves = [Filling::of(whole.len - moving), Filling::of(moving)];
        whole.entries().for_each(|(hash, row)| halves[usize::from(moves(hash))].add(hash, row));
        let [stays, goes] = halves.map(|half| half.table);
        self.tables[old] = stays;
        self.tables.push(goes);
    }
}

/// A new table, while it gets its first rows.
struct Filling {
    table: Table,
    /// How many slots of each line are taken. To ask the line itself just after it was written is slow.
    taken: Vec<u8>,
}

impl Filling {
    /// With room for as many rows and some more.
    fn of(rows: usize) -> Self {
        let lines = lines_for(rows);
        Self { table: Table { lines: vec![Line::EMPTY; lines], len: 0 }, taken: vec![0; lines] }
    }

    fn add(&mut self, hash: u32, row: u32) {
        let mut at = line_of(hash, self.taken.len());
        while usize::from(self.taken[at]) == SLOTS {
            at = self.table.after(at);
        }
        let slot = usize::from(self.taken[at]);
        let line = &mut self.table.lines[at];
        (line.hashes[slot], line.rows[slot]) = (hash, row);
        self.taken[at] += 1;
        self.table.len += 1;
    }
}

impl Table {
    fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        self.lines.iter().flat_map(|line| line.hashes.into_iter().zip(line.rows).take_while(|(_, row)| *row != NONE))
    }

    fn entries_at(&self, positions: &Range<u64>) -> impl Iterator<Item = (u32, u32)> {
        self.entries().filter(|(hash, _)| positions.contains(&u64::from(position(*hash))))
    }

    fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<(usize, usize)> {
        let mut at = line_of(hash, self.lines.len());
        loop {
            let line = self.lines.get(at)?;
            let mut same = line.with_hash(hash);
            while same != 0 {
                let slot = same.trailing_zeros() as usize % SLOTS;
                if line.rows[slot] != NONE && is(line.rows[slot]) {
                    return Some((at, slot));
                }
                same &= same - 1;
            }
            if !line.is_full() {
                return None;
            }
            at = self.after(at);
        }
    }

    fn insert(&mut self, hash: u32, row: u32) {
        // At four fifths a line in six or seven is full: few keys are not where they belong.
        if (self.len + 1) * 5 > self.lines.len() * SLOTS * 4 {
            let mut grown = Filling::of(self.len + 1);
            self.entries().for_each(|(hash, row)| grown.add(hash, row));
            *self = grown.table;
        }
        let mut at = line_of(hash, self.lines.len());
        while self.lines[at].is_full() {
            at = self.after(at);
        }
        self.lines[at].push(hash, row);
        self.len += 1;
    }

    /// Takes an entry out, and moves those back that had to stand in a later line because this one was full.
    fn remove(&mut self, line: usize, slot: usize) {
        let (mut hole, mut was_full) = (line, self.lines[line].is_full());
        self.lines[line].swap_remove(slot);
        self.len -= 1;
        let mut at = line;
        while was_full {
            at = self.after(at);
            let count = self.lines.len();
            // How far a line is behind another, round the end.
            let behind = |from: usize, to: usize| (to + count - from) % count;
            let looked_at = self.lines[at];
            let came_from_before = |slot: &usize| {
                let belongs = line_of(looked_at.hashes[*slot], count);
                behind(belongs, at) >= behind(hole, at)
            };
            let returning = (0..looked_at.len()).find(came_from_before);
            if let Some(slot) = returning {
                self.lines[hole].push(looked_at.hashes[slot], looked_at.rows[slot]);
                self.lines[at].swap_remove(slot);
                hole = at;
            }
            was_full = looked_at.is_full();
        }
    }

    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }
}

impl Line {
    const EMPTY: Self = Self { hashes: [0; SLOTS], rows: [NONE; SLOTS] };

    /// A bit for each slot with this hash; empty ones may be among them.
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

/// Where a hash comes in a [scan](Index::scan).
pub(super) fn position(hash: u32) -> u32 {
    hash.reverse_bits()
}

/// A bit for each `true`, in a form that compilers turn into one instruction or two.
fn bits(flags: [bool; SLOTS]) -> u32 {
    flags.into_iter().enumerate().fold(0, |bits, (slot, flag)| bits | u32::from(flag) << slot)
}

/// Lines for as many rows, of which a little more than half will be filled then.
fn lines_for(rows: usize) -> usize {
    (rows * 15).div_ceil(8 * SLOTS)
}

/// Which of `lines` lines a hash belongs to: by its highest bits.
fn line_of(hash: u32, lines: usize) -> usize {
    let place = (u64::from(hash) * lines as u64) >> 32;
    // Below `lines`, so it fits.
    usize::try_from(place).unwrap_or_default()
}

/// Which of `tables` tables a hash belongs to: by as many of its lowest bits as number them all, or one fewer for those not split yet.
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

    /// Hashes so few that lines run over, round the end too.
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
        let slots: usize = index.tables.iter().map(|table| table.lines.len() * SLOTS).sum();
        assert!(slots * 10 < rows as usize * 18, "{slots} slots");
    }
}
