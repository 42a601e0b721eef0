//! Where the records lie: chunks of bytes with slots that are used again, so that a session that runs for months and
//! sees the same people renamed does not grow.

use super::record;

/// Slots begin at multiples of this, in bytes, so that 31 bits name 16 GiB.
const UNIT: usize = 8;
/// Bytes in a chunk. Chunks are never moved, so growing costs no pause.
const CHUNK: usize = 1 << 18;
const UNITS_PER_CHUNK: u32 = 1 << 15;
/// Records that take more units than this get an allocation of their own.
const LARGEST_SLOT: usize = 64;
/// The bit that marks a handle of such a record.
const LARGE: u32 = 1 << 31;
/// No slot.
const NONE: u32 = u32::MAX;

/// Names the place of a record.
pub(super) type Handle = u32;

/// Records, found again by their [`Handle`].
#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// For each size of slot in units, the first free one; each free slot holds the next one's handle.
    free: [Handle; LARGEST_SLOT + 1],
    large: Vec<Vec<u8>>,
    free_large: Vec<u32>,
}

impl Default for Arena {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: [NONE; LARGEST_SLOT + 1], large: Vec::new(), free_large: Vec::new() }
    }
}

impl Arena {
    /// The bytes from the record's beginning on; more may follow it.
    pub(super) fn get(&self, handle: Handle) -> &[u8] {
        if handle & LARGE != 0 {
            return self.large.get((handle & !LARGE) as usize).map_or(&[], Vec::as_slice);
        }
        let (chunk, offset) = split(handle);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(offset..)).unwrap_or(&[])
    }

    /// Whether exactly this record lies there.
    pub(super) fn holds(&self, handle: Handle, record: &[u8]) -> bool {
        self.get(handle).get(..record.len()) == Some(record)
    }

    /// Stores a record.
    pub(super) fn insert(&mut self, record: &[u8]) -> Handle {
        let units = record.len().div_ceil(UNIT).max(1);
        if units > LARGEST_SLOT {
            return self.insert_large(record);
        }
        let first_free = self.free[units];
        if first_free != NONE {
            let (chunk, offset) = split(first_free);
            let slot = &mut self.chunks[chunk][offset..offset + units * UNIT];
            let mut next = [0; 4];
            next.copy_from_slice(&slot[..4]);
            self.free[units] = Handle::from_le_bytes(next);
            slot[..record.len()].copy_from_slice(record);
            return first_free;
        }
        self.append(record, units * UNIT)
    }

    /// Gives the record's place back.
    pub(super) fn remove(&mut self, handle: Handle) {
        if handle & LARGE != 0 {
            let index = handle & !LARGE;
            self.large[index as usize] = Vec::new();
            self.free_large.push(index);
            return;
        }
        let units = record::read(self.get(handle)).1.div_ceil(UNIT);
        let (chunk, offset) = split(handle);
        self.chunks[chunk][offset..offset + 4].copy_from_slice(&self.free[units].to_le_bytes());
        self.free[units] = handle;
    }

    fn append(&mut self, record: &[u8], size: usize) -> Handle {
        if self.chunks.last().is_none_or(|chunk| chunk.len() + size > CHUNK) {
            // The first chunk grows with its session: most sessions are small. Later ones are whole at once.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let offset = chunk.len();
        chunk.extend_from_slice(record);
        chunk.resize(offset + size, 0);
        to_u32(last) * UNITS_PER_CHUNK + to_u32(offset / UNIT)
    }

    fn insert_large(&mut self, record: &[u8]) -> Handle {
        let index = self.free_large.pop().unwrap_or_else(|| {
            self.large.push(Vec::new());
            to_u32(self.large.len() - 1)
        });
        self.large[index as usize] = record.to_vec();
        index | LARGE
    }
}

fn split(handle: Handle) -> (usize, usize) {
    ((handle / UNITS_PER_CHUNK) as usize, (handle % UNITS_PER_CHUNK) as usize * UNIT)
}

/// Counts of chunks and rows; memory ends long before 32 bits do.
pub(super) fn to_u32(count: usize) -> u32 {
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
        let mut arena = Arena::default();
        let names: Vec<String> = (0..20_000).map(|n| "é".repeat(n % 400)).collect();
        let mut handles: Vec<Handle> = names.iter().map(|name| arena.insert(&record(name))).collect();
        let (chunks, large) = (arena.chunks.len(), arena.large.len());
        for _ in 0..5 {
            for handle in &handles {
                arena.remove(*handle);
            }
            handles = names.iter().rev().map(|name| arena.insert(&record(name))).collect();
        }
        assert_eq!((arena.chunks.len(), arena.large.len()), (chunks, large));
        for (handle, name) in handles.iter().zip(names.iter().rev()) {
            assert!(arena.holds(*handle, &record(name)));
        }
    }
}
