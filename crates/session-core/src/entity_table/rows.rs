//! The rows of the table. Each is one run of bytes, its numbers and the record of its texts, so
//! that reading one waits for memory once.
//!
//! They are in chunks, in slots that are reused, so that a session does not grow when it runs for
//! months and entities are renamed.

use super::batch::BatchEntity;
use super::dirty::{DIRTY, Dirty};
use super::index::NONE;
use super::record::{self, TextField};

/// The alignment of slots in bytes, so that 31 bits address 16 GiB.
const UNIT: usize = 8;
/// Bytes in a chunk. Chunks never move, so growing causes no pause.
const CHUNK: usize = 1 << 18;
const UNITS_PER_CHUNK: u32 = 1 << 15;
/// Rows that take more units than this have their own allocation.
const LARGEST_SLOT: usize = 64;
/// The bit that marks the number of such a row.
const LARGE: RowId = 1 << 31;

/// Identifies a row by where it is. It may change when the row's texts change.
pub(super) type RowId = u32;

// The header of a row: marked ID, access hash, date when it was last seen, the next row with the
// same text for each text, flags. The record of its texts follows.
const ID: usize = 0;
const ACCESS_HASH: usize = 8;
const SEEN: usize = 16;
const NEXT: usize = 20;
const FLAGS: usize = 32;
const HEADER: usize = 33;
// A free slot: the next free one of its size, its size in units, and the flag that tells so.
const FREE_NEXT: usize = 0;
const FREE_UNITS: usize = 4;

const HAS_ACCESS_HASH: u8 = 1;
const FREE: u8 = 0x80;
/// For each text, whether the row is being removed and is still in the chain of rows with that
/// text.
const LEAVING: [u8; 3] = [0x10, 0x20, 0x40];

/// Rows, found by their [`RowId`].
#[derive(Debug)]
pub(super) struct Rows {
    chunks: Vec<Vec<u8>>,
    /// The first free slot of each size in units; each free slot holds the next one's number.
    free: [RowId; LARGEST_SLOT + 1],
    large: Vec<Vec<u8>>,
    free_large: Vec<u32>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: [NONE; LARGEST_SLOT + 1], large: Vec::new(), free_large: Vec::new() }
    }
}

impl Rows {
    pub(super) fn id(&self, row: RowId) -> i64 {
        i64::from_le_bytes(part(self.header(row), ID))
    }

    /// Returns the access hash; `None` if the row has none.
    pub(super) fn access_hash(&self, row: RowId) -> Option<i64> {
        let header = self.header(row);
        (header[FLAGS] & HAS_ACCESS_HASH != 0).then(|| i64::from_le_bytes(part(header, ACCESS_HASH)))
    }

    pub(super) fn seen(&self, row: RowId) -> u32 {
        u32::from_le_bytes(part(self.header(row), SEEN))
    }

    pub(super) fn dirty(&self, row: RowId) -> Dirty {
        Dirty::from_flags(self.header(row)[FLAGS])
    }

    /// Returns the next row with the same text; [`NONE`] after the last.
    pub(super) fn next(&self, row: RowId, field: TextField) -> RowId {
        u32::from_le_bytes(part(self.header(row), NEXT + 4 * field as usize))
    }

    /// Returns the bytes from the row's record on.
    pub(super) fn record(&self, row: RowId) -> &[u8] {
        self.bytes(row).get(HEADER..).unwrap_or_default()
    }

    pub(super) fn text(&self, row: RowId, field: TextField) -> Option<&[u8]> {
        record::read_one(self.record(row), field)
    }

    /// Returns `true` if the row has exactly this record.
    pub(super) fn holds(&self, row: RowId, record: &[u8]) -> bool {
        self.record(row).get(..record.len()) == Some(record)
    }

    /// Returns the whole row, as a batch holds it.
    pub(super) fn entity(&self, row: RowId) -> BatchEntity<'_> {
        let rest = self.record(row);
        let record = rest.get(..record::length(rest)).unwrap_or_default();
        BatchEntity {
            id: self.id(row),
            access_hash: self.access_hash(row),
            seen: self.seen(row),
            dirty: self.dirty(row),
            knows_aliases: true,
            record,
        }
    }

    pub(super) fn set_access_hash_and_seen(&mut self, row: RowId, access_hash: Option<i64>, seen: u32) {
        let header = self.header_mut(row);
        set(header, ACCESS_HASH, access_hash.unwrap_or(0).to_le_bytes());
        set(header, SEEN, seen.to_le_bytes());
        header[FLAGS] = header[FLAGS] & !HAS_ACCESS_HASH | u8::from(access_hash.is_some());
    }

    pub(super) fn set_dirty(&mut self, row: RowId, dirty: Dirty) {
        let flags = &mut self.header_mut(row)[FLAGS];
        *flags = *flags & !DIRTY | dirty.to_flags();
    }

    pub(super) fn set_next(&mut self, row: RowId, field: TextField, next: RowId) {
        set(self.header_mut(row), NEXT + 4 * field as usize, next.to_le_bytes());
    }

    /// Adds a row.
    pub(super) fn insert(&mut self, entity: &BatchEntity<'_>, dirty: Dirty) -> RowId {
        let mut header = [0xff; HEADER];
        set(&mut header, ID, entity.id.to_le_bytes());
        set(&mut header, ACCESS_HASH, entity.access_hash.unwrap_or(0).to_le_bytes());
        set(&mut header, SEEN, entity.seen.to_le_bytes());
        header[FLAGS] = u8::from(entity.access_hash.is_some()) | dirty.to_flags();
        self.put(&header, entity.record)
    }

    /// Marks a row as being removed.
    pub(super) fn mark_as_leaving(&mut self, row: RowId) {
        let all = LEAVING.into_iter().fold(0, |all, flag| all | flag);
        self.header_mut(row)[FLAGS] |= all;
    }

    /// Returns `true` if a row is being removed and is still in the chain of rows with this text.
    pub(super) fn is_leaving(&self, row: RowId, field: TextField) -> bool {
        self.header(row)[FLAGS] & LEAVING[field as usize] != 0
    }

    /// Notes that a row was removed from the chain of rows with this text.
    pub(super) fn has_left(&mut self, row: RowId, field: TextField) {
        self.header_mut(row)[FLAGS] &= !LEAVING[field as usize];
    }

    /// Removes a row, which must not be in any chain or index.
    pub(super) fn remove(&mut self, row: RowId) {
        self.free_slot(row);
    }

    /// Returns `true` if [`set_record`](Self::set_record) would leave the row where it is.
    pub(super) fn has_room(&self, row: RowId, record: &[u8]) -> bool {
        row & LARGE == 0 && units_of(record.len()) == units_of(record::length(self.record(row)))
    }

    /// Replaces the texts of a row. Returns its number from now on.
    pub(super) fn set_record(&mut self, row: RowId, record: &[u8]) -> RowId {
        if self.has_room(row, record) {
            let place = self.bytes_mut(row).get_mut(HEADER..HEADER + record.len());
            place.unwrap_or_default().copy_from_slice(record);
            return row;
        }
        let header = *self.header(row);
        self.free_slot(row);
        self.put(&header, record)
    }

    /// Returns all rows; those that never changed their size in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = RowId> {
        let in_chunks = (0..self.chunks.len()).flat_map(|chunk| self.rows_of_chunk(chunk));
        let large = (0..self.large.len()).filter(|at| !self.large[*at].is_empty()).map(|at| to_u32(at) | LARGE);
        in_chunks.chain(large)
    }

    fn rows_of_chunk(&self, chunk: usize) -> impl Iterator<Item = RowId> {
        let mut row = to_u32(chunk) * UNITS_PER_CHUNK;
        let end = row + to_u32(self.chunks[chunk].len() / UNIT);
        std::iter::from_fn(move || {
            while row < end {
                let here = row;
                let header = self.header(here);
                if header[FLAGS] & FREE == 0 {
                    row += to_u32(units_of(record::length(self.record(here))));
                    return Some(here);
                }
                row += u32::from_le_bytes(part(header, FREE_UNITS));
            }
            None
        })
    }

    fn put(&mut self, header: &[u8; HEADER], record: &[u8]) -> RowId {
        let units = units_of(record.len());
        if units > LARGEST_SLOT {
            return self.put_large(header, record);
        }
        let row = self.free[units];
        if row == NONE {
            return self.append(header, record, units * UNIT);
        }
        self.free[units] = u32::from_le_bytes(part(self.header(row), FREE_NEXT));
        let slot = self.bytes_mut(row);
        slot[..HEADER].copy_from_slice(header);
        slot[HEADER..HEADER + record.len()].copy_from_slice(record);
        row
    }

    fn append(&mut self, header: &[u8; HEADER], record: &[u8], size: usize) -> RowId {
        if self.chunks.last().is_none_or(|chunk| chunk.len() + size > CHUNK) {
            // The first chunk grows on demand, because most sessions are small. Later ones are
            // allocated whole.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let offset = chunk.len();
        chunk.extend_from_slice(header);
        chunk.extend_from_slice(record);
        chunk.resize(offset + size, 0);
        to_u32(last) * UNITS_PER_CHUNK + to_u32(offset / UNIT)
    }

    fn put_large(&mut self, header: &[u8; HEADER], record: &[u8]) -> RowId {
        let index = self.free_large.pop().unwrap_or_else(|| {
            self.large.push(Vec::new());
            to_u32(self.large.len() - 1)
        });
        self.large[index as usize] = [header, record].concat();
        index | LARGE
    }

    /// Frees the slot of a row.
    fn free_slot(&mut self, row: RowId) {
        if row & LARGE != 0 {
            let index = row & !LARGE;
            self.large[index as usize] = Vec::new();
            self.free_large.push(index);
            return;
        }
        let units = units_of(record::length(self.record(row)));
        let next = std::mem::replace(&mut self.free[units], row);
        let header = self.header_mut(row);
        set(header, FREE_NEXT, next.to_le_bytes());
        set(header, FREE_UNITS, to_u32(units).to_le_bytes());
        header[FLAGS] = FREE;
    }

    fn header(&self, row: RowId) -> &[u8; HEADER] {
        self.bytes(row).first_chunk().unwrap_or(&[0; HEADER])
    }

    fn header_mut(&mut self, row: RowId) -> &mut [u8] {
        &mut self.bytes_mut(row)[..HEADER]
    }

    /// Returns the bytes from a row on; other rows may follow.
    fn bytes(&self, row: RowId) -> &[u8] {
        if row & LARGE != 0 {
            return self.large.get((row & !LARGE) as usize).map_or(&[], Vec::as_slice);
        }
        let (chunk, offset) = split(row);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(offset..)).unwrap_or_default()
    }

    fn bytes_mut(&mut self, row: RowId) -> &mut [u8] {
        if row & LARGE != 0 {
            return &mut self.large[(row & !LARGE) as usize];
        }
        let (chunk, offset) = split(row);
        &mut self.chunks[chunk][offset..]
    }
}

fn part<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

fn set<const N: usize>(header: &mut [u8], at: usize, bytes: [u8; N]) {
    header[at..at + N].copy_from_slice(&bytes);
}

/// Returns how many units a row with a record of this length takes.
fn units_of(record: usize) -> usize {
    (HEADER + record).div_ceil(UNIT)
}

fn split(row: RowId) -> (usize, usize) {
    ((row / UNITS_PER_CHUNK) as usize, (row % UNITS_PER_CHUNK) as usize * UNIT)
}

/// Converts counts of chunks and units; memory ends long before 32 bits do.
fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        record::write_texts(&mut bytes, [None, None, Some(name.as_bytes())]);
        bytes
    }

    #[test]
    fn places_are_used_again() {
        // Miri takes a thousand times as long.
        const COUNT: usize = if cfg!(miri) { 50 } else { 20_000 };
        let mut rows = Rows::default();
        let names: Vec<String> = (0..COUNT).map(|n| "é".repeat(n % 400)).collect();
        let mut placed: Vec<RowId> = (0..)
            .zip(&names)
            .map(|(id, name)| {
                let entity = BatchEntity {
                    id,
                    access_hash: Some(-id),
                    seen: 5,
                    record: &record(name),
                    ..BatchEntity::default()
                };
                rows.insert(&entity, Dirty::Full)
            })
            .collect();
        let (chunks, large) = (rows.chunks.len(), rows.large.len());
        for shift in 1..6 {
            for (row, name) in placed.iter_mut().zip(names.iter().cycle().skip(shift * 111)) {
                *row = rows.set_record(*row, &record(name));
            }
            assert_eq!(rows.iter().count(), names.len());
        }
        // Slots of each size may be free, but no second set of them.
        assert!(rows.chunks.len() <= chunks + chunks / 4 && rows.large.len() <= large + large / 4);
        for ((id, row), name) in (0..).zip(&placed).zip(names.iter().cycle().skip(555)) {
            let expected = BatchEntity {
                id,
                access_hash: Some(-id),
                seen: 5,
                dirty: Dirty::Full,
                knows_aliases: true,
                record: &record(name),
            };
            assert_eq!(rows.entity(*row), expected);
        }
    }
}
