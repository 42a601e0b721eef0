//! The rows of the cache, each one run of bytes: its numbers, then the record of its texts. To look at one is to wait for the memory
//! once.
//!
//! They lie in chunks, in slots that are used again, so that a session that runs for months and sees the same people renamed
//! does not grow.

use super::index::NONE;
use super::page::PageEntity;
use super::record::{self, TextKey};
use super::unsaved::{UNSAVED, Unsaved};

/// Slots begin at multiples of this, in bytes, so that 31 bits name 16 GiB.
const UNIT: usize = 8;
/// Bytes in a chunk. Chunks are never moved, so growing costs no pause.
const CHUNK: usize = 1 << 18;
const UNITS_PER_CHUNK: u32 = 1 << 15;
/// Rows that take more units than this get an allocation of their own.
const LARGEST_SLOT: usize = 64;
/// The bit that marks a number of such a row.
const LARGE: RowId = 1 << 31;

/// Names a row: the place where it lies. It is another one after its texts have changed.
pub(super) type RowId = u32;

// How a row begins: the marked id, the access hash, when it was last seen, for each text the next row that has the same one,
// flags, and then the record of its texts.
const ID: usize = 0;
const HASH: usize = 8;
const SEEN: usize = 16;
const NEXT: usize = 20;
const FLAGS: usize = 32;
const HEADER: usize = 33;
// A free slot: the next free one of its size, its size in units, and the flag that says so.
const FREE_NEXT: usize = 0;
const FREE_UNITS: usize = 4;

const HAS_HASH: u8 = 1;
const FREE: u8 = 0x80;
/// For each text, whether the row is being removed and is still in the chain of those that have it.
const LEAVING: [u8; 3] = [0x10, 0x20, 0x40];

/// Rows, found again by their [`RowId`].
#[derive(Debug)]
pub(super) struct Rows {
    chunks: Vec<Vec<u8>>,
    /// For each size of slot in units, the first free one; each free slot holds the next one's number.
    free: [RowId; LARGEST_SLOT + 1],
    large: Vec<Vec<u8>>,
    free_large: Vec<u32>,
    len: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: [NONE; LARGEST_SLOT + 1], large: Vec::new(), free_large: Vec::new(), len: 0 }
    }
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn id(&self, row: RowId) -> i64 {
        i64::from_le_bytes(part(self.header(row), ID))
    }

    /// The access hash; `None` if the row has none.
    pub(super) fn hash(&self, row: RowId) -> Option<i64> {
        let header = self.header(row);
        (header[FLAGS] & HAS_HASH != 0).then(|| i64::from_le_bytes(part(header, HASH)))
    }

    pub(super) fn seen(&self, row: RowId) -> u32 {
        u32::from_le_bytes(part(self.header(row), SEEN))
    }

    pub(super) fn unsaved(&self, row: RowId) -> Unsaved {
        Unsaved::from_flags(self.header(row)[FLAGS])
    }

    /// The next row that has the same text; [`NONE`] after the last.
    pub(super) fn next(&self, row: RowId, key: TextKey) -> RowId {
        u32::from_le_bytes(part(self.header(row), NEXT + 4 * key as usize))
    }

    /// The bytes from the row's record on.
    pub(super) fn record(&self, row: RowId) -> &[u8] {
        self.bytes(row).get(HEADER..).unwrap_or_default()
    }

    pub(super) fn text(&self, row: RowId, key: TextKey) -> Option<&[u8]> {
        record::read_one(self.record(row), key)
    }

    /// Whether the row has exactly this record.
    pub(super) fn holds(&self, row: RowId, record: &[u8]) -> bool {
        self.record(row).get(..record.len()) == Some(record)
    }

    /// The whole row, as a page holds it.
    pub(super) fn entity(&self, row: RowId) -> PageEntity<'_> {
        let rest = self.record(row);
        let record = rest.get(..record::length(rest)).unwrap_or_default();
        PageEntity { id: self.id(row), hash: self.hash(row), seen: self.seen(row), unsaved: self.unsaved(row), record }
    }

    pub(super) fn set_hash_and_seen(&mut self, row: RowId, hash: Option<i64>, seen: u32) {
        let header = self.header_mut(row);
        set(header, HASH, hash.unwrap_or(0).to_le_bytes());
        set(header, SEEN, seen.to_le_bytes());
        header[FLAGS] = header[FLAGS] & !HAS_HASH | u8::from(hash.is_some());
    }

    pub(super) fn set_unsaved(&mut self, row: RowId, unsaved: Unsaved) {
        let flags = &mut self.header_mut(row)[FLAGS];
        *flags = *flags & !UNSAVED | unsaved.to_flags();
    }

    pub(super) fn set_next(&mut self, row: RowId, key: TextKey, next: RowId) {
        set(self.header_mut(row), NEXT + 4 * key as usize, next.to_le_bytes());
    }

    /// Adds a row.
    pub(super) fn insert(&mut self, entity: &PageEntity<'_>, unsaved: Unsaved) -> RowId {
        let mut header = [0xff; HEADER];
        set(&mut header, ID, entity.id.to_le_bytes());
        set(&mut header, HASH, entity.hash.unwrap_or(0).to_le_bytes());
        set(&mut header, SEEN, entity.seen.to_le_bytes());
        header[FLAGS] = u8::from(entity.hash.is_some()) | unsaved.to_flags();
        self.len += 1;
        self.put(&header, entity.record)
    }

    /// Marks a row as one that is being removed. Returns `false` if it is marked already.
    pub(super) fn mark_as_leaving(&mut self, row: RowId) -> bool {
        let all = LEAVING.into_iter().fold(0, |all, flag| all | flag);
        let flags = &mut self.header_mut(row)[FLAGS];
        let is_new = *flags & all == 0;
        *flags |= all;
        is_new
    }

    /// Whether a row is being removed and has not been taken out of the chain of those that have this text.
    pub(super) fn is_leaving(&self, row: RowId, key: TextKey) -> bool {
        self.header(row)[FLAGS] & LEAVING[key as usize] != 0
    }

    /// Notes that a row was taken out of the chain of those that have this text.
    pub(super) fn has_left(&mut self, row: RowId, key: TextKey) {
        self.header_mut(row)[FLAGS] &= !LEAVING[key as usize];
    }

    /// Removes a row, which must be in no chain and no index any more.
    pub(super) fn remove(&mut self, row: RowId) {
        self.give_back(row);
        self.len -= 1;
    }

    /// Whether [`set_record`](Self::set_record) would leave the row where it is.
    pub(super) fn has_room(&self, row: RowId, record: &[u8]) -> bool {
        row & LARGE == 0 && units_of(record.len()) == units_of(record::length(self.record(row)))
    }

    /// Gives a row other texts. Answers its number from now on.
    pub(super) fn set_record(&mut self, row: RowId, record: &[u8]) -> RowId {
        if self.has_room(row, record) {
            let place = self.bytes_mut(row).get_mut(HEADER..HEADER + record.len());
            place.unwrap_or_default().copy_from_slice(record);
            return row;
        }
        let header = *self.header(row);
        self.give_back(row);
        self.put(&header, record)
    }

    /// All rows; those that never changed their size in the order in which they came.
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
            // The first chunk grows with its session: most sessions are small. Later ones are whole at once.
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

    /// Gives a row's place back.
    fn give_back(&mut self, row: RowId) {
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

    /// From a row's first byte on; other rows may follow.
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

/// How many units a row takes with a record of this length.
fn units_of(record: usize) -> usize {
    (HEADER + record).div_ceil(UNIT)
}

fn split(row: RowId) -> (usize, usize) {
    ((row / UNITS_PER_CHUNK) as usize, (row % UNITS_PER_CHUNK) as usize * UNIT)
}

/// Counts of chunks and units; memory ends long before 32 bits do.
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
                let entity =
                    PageEntity { id, hash: Some(-id), seen: 5, record: &record(name), ..PageEntity::default() };
                rows.insert(&entity, Unsaved::Row)
            })
            .collect();
        let (chunks, large) = (rows.chunks.len(), rows.large.len());
        for shift in 1..6 {
            for (row, name) in placed.iter_mut().zip(names.iter().cycle().skip(shift * 111)) {
                *row = rows.set_record(*row, &record(name));
            }
            assert_eq!(rows.iter().count(), names.len());
        }
        // Slots of each size may lie free, but no second set of them.
        assert!(rows.chunks.len() <= chunks + chunks / 4 && rows.large.len() <= large + large / 4);
        for ((id, row), name) in (0..).zip(&placed).zip(names.iter().cycle().skip(555)) {
            let expected = PageEntity { id, hash: Some(-id), seen: 5, unsaved: Unsaved::Row, record: &record(name) };
            assert_eq!(rows.entity(*row), expected);
        }
    }
}
