//! A hash index that holds row numbers only, and never stops to rehash all of them.
//!
//! It is a row of small tables, grown by linear hashing: every few thousand insertions one table is split in two, so the longest
//! pause is that of one small table, however many rows there are.

use hashbrown::HashTable;

/// Rows a table holds on average before the next split.
const ROWS_PER_TABLE: usize = 2048;
/// The hash's low bits choose the place within a table, and its highest seven are kept there; these choose the table.
const TABLE_BITS: u32 = 24;

/// Row numbers by hash. Each key stands in it once; which rows share a key is for the caller to know.
#[derive(Debug)]
pub(super) struct Index {
    tables: Vec<HashTable<u32>>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { tables: vec![HashTable::new()], len: 0 }
    }
}

impl Index {
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.tables[self.table_of(hash)].find(hash, |row| is(*row)).copied()
    }

    /// Adds a row whose key is not in the index yet.
    pub(super) fn insert(&mut self, hash: u64, row: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.tables.len() * ROWS_PER_TABLE {
            self.split_one(&hash_of);
        }
        let table = self.table_of(hash);
        self.tables[table].insert_unique(hash, row, |row| hash_of(*row));
        self.len += 1;
    }

    /// Puts another row with the same key in a row's place.
    pub(super) fn replace(&mut self, hash: u64, row: u32, by: u32) {
        let table = self.table_of(hash);
        if let Some(slot) = self.tables[table].find_mut(hash, |found| *found == row) {
            *slot = by;
        }
    }

    pub(super) fn remove(&mut self, hash: u64, row: u32) {
        let table = self.table_of(hash);
        if let Ok(entry) = self.tables[table].find_entry(hash, |found| *found == row) {
            entry.remove();
            self.len -= 1;
        }
    }

    fn table_of(&self, hash: u64) -> usize {
        table_of(hash, self.tables.len())
    }

    /// Splits the table that is next, and gives both halves the size they need.
    fn split_one(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let new = self.tables.len();
        let old = new - (1 << new.ilog2());
        let hashed: Vec<(u64, u32)> =
            std::mem::take(&mut self.tables[old]).into_iter().map(|row| (hash_of(row), row)).collect();
        let moving = hashed.iter().filter(|(hash, _)| table_of(*hash, new + 1) == new).count();
        self.tables[old] = HashTable::with_capacity(hashed.len() - moving);
        self.tables.push(HashTable::with_capacity(moving));
        for (hash, row) in hashed {
            let table = self.table_of(hash);
            self.tables[table].insert_unique(hash, row, |row| hash_of(*row));
        }
    }
}

/// Which of `tables` tables a hash belongs to: by as many bits as number them all, or one fewer for those not split yet.
fn table_of(hash: u64, tables: usize) -> usize {
    // 40 bits are left, more than there can be tables.
    let bits = usize::try_from(hash >> TABLE_BITS).unwrap_or(usize::MAX);
    let mask = tables.next_power_of_two() - 1;
    let table = bits & mask;
    if table < tables { table } else { table & (mask >> 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_row_while_it_grows_and_shrinks() {
        let hash_of = |row: u32| u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut index = Index::default();
        for row in 0..50_000 {
            index.insert(hash_of(row), row, hash_of);
        }
        assert!(index.tables.len() > 20);
        assert!((0..50_000).all(|row| index.find(hash_of(row), |found| found == row) == Some(row)));
        assert_eq!(index.find(hash_of(50_000), |found| found == 50_000), None);
        for row in (0..50_000).step_by(2) {
            index.remove(hash_of(row), row);
        }
        assert!((0..50_000).all(|row| index.find(hash_of(row), |found| found == row).is_some() == (row % 2 == 1)));
        assert_eq!(index.len, 25_000);
    }

    #[test]
    fn no_table_grows_large() {
        let hash_of = |row: u32| u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        let mut index = Index::default();
        (0..300_000).for_each(|row| index.insert(hash_of(row), row, hash_of));
        assert!(index.tables.iter().all(|table| table.len() < 3 * ROWS_PER_TABLE));
    }
}
