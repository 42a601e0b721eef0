//! A hash index that holds row numbers only, and never stops to rehash all of them.
//!
//! It is a row of small tables, grown by linear hashing: every few thousand insertions one table is split in two, so the
//! longest pause is that of one small table, however many rows there are.

use hashbrown::HashTable;

/// Rows a table holds on average before the next split.
const ROWS_PER_TABLE: usize = 2048;
/// The hash's low bits choose the place within a table, and its highest seven are kept there by hashbrown; from this one on
/// they choose the table.
const TABLE_BITS: u32 = 12;

/// A row's number and half of its key's hash. With that, a table grows without a look at rows and texts, which lie all over
/// the memory, and hardly ever is a row looked at that is not meant.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    row: u32,
}

/// Row numbers by hash. Each key stands in it once; which rows share a key is for the caller to know.
#[derive(Debug)]
pub(super) struct Index {
    tables: Vec<HashTable<Entry>>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { tables: vec![HashTable::new()], len: 0 }
    }
}

impl Index {
    pub(super) fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let table = &self.tables[self.table_of(hash)];
        table.find(spread(hash), |entry| entry.hash == hash && is(entry.row)).map(|entry| entry.row)
    }

    /// Adds a row whose key is not in the index yet.
    pub(super) fn insert(&mut self, hash: u32, row: u32) {
        if self.len >= self.tables.len() * ROWS_PER_TABLE {
            self.split_one();
        }
        let table = self.table_of(hash);
        insert(&mut self.tables[table], Entry { hash, row });
        self.len += 1;
    }

    /// Puts another row with the same key in a row's place.
    pub(super) fn replace(&mut self, hash: u32, row: u32, by: u32) {
        let table = self.table_of(hash);
        if let Some(entry) = self.tables[table].find_mut(spread(hash), |entry| entry.row == row) {
            entry.row = by;
        }
    }

    pub(super) fn remove(&mut self, hash: u32, row: u32) {
        let table = self.table_of(hash);
        if let Ok(entry) = self.tables[table].find_entry(spread(hash), |entry| entry.row == row) {
            entry.remove();
            self.len -= 1;
        }
    }

    fn table_of(&self, hash: u32) -> usize {
        table_of(hash, self.tables.len())
    }

    /// Splits the table that is next, and gives both halves the size they need.
    fn split_one(&mut self) {
        let new = self.tables.len();
        let old = new - (1 << new.ilog2());
        let entries = std::mem::take(&mut self.tables[old]);
        let moving = entries.iter().filter(|entry| table_of(entry.hash, new + 1) == new).count();
        self.tables[old] = HashTable::with_capacity(entries.len() - moving);
        self.tables.push(HashTable::with_capacity(moving));
        for entry in entries {
            let table = self.table_of(entry.hash);
            insert(&mut self.tables[table], entry);
        }
    }
}

fn insert(table: &mut HashTable<Entry>, entry: Entry) {
    table.insert_unique(spread(entry.hash), entry, |entry| spread(entry.hash));
}

/// A hash of the length that hashbrown takes, with its highest bits as good as its lowest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Which of `tables` tables a hash belongs to: by as many bits as number them all, or one fewer for those not split yet.
fn table_of(hash: u32, tables: usize) -> usize {
    let mask = tables.next_power_of_two() - 1;
    let table = (hash >> TABLE_BITS) as usize & mask;
    if table < tables { table } else { table & (mask >> 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(row: u32) -> u32 {
        let bits = u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u32::try_from(bits >> 32).unwrap()
    }

    #[test]
    fn finds_every_row_while_it_grows_and_shrinks() {
        let mut index = Index::default();
        for row in 0..50_000 {
            index.insert(hash_of(row), row);
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
        let mut index = Index::default();
        (0..300_000).for_each(|row| index.insert(hash_of(row), row));
        assert!(index.tables.iter().all(|table| table.len() < 3 * ROWS_PER_TABLE));
    }
}
