//! Sorts more entries than memory should hold: into parts by the first bits of their hashes, each of
//! which is sorted by itself. The parts are in a temporary file, which has no name.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::{Entry, HASH_BITS};

/// With millions of entries, some thousands in each.
const PARTS_BITS: u32 = 11;
const PARTS: usize = 1 << PARTS_BITS;
/// Entries written together: one kibibyte.
const CHUNK: usize = 64;
const ENTRY_LEN: usize = 16;
const CHUNK_LEN: usize = CHUNK * ENTRY_LEN;

/// Entries in parts. See the [module](self).
#[derive(Debug)]
pub(super) struct Parts {
    file: File,
    all: Vec<Part>,
    /// How many chunks are in the file.
    chunks: u32,
    next: usize,
}

#[derive(Debug, Default)]
struct Part {
    /// The numbers of its chunks in the file.
    chunks: Vec<u32>,
    /// What is not in the file yet.
    rest: Vec<Entry>,
}

impl Parts {
    /// Returns no entries, which are to be kept in a temporary file in `folder`.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let all = std::iter::repeat_with(Part::default).take(PARTS).collect();
        Ok(Self { file: tempfile::tempfile_in(folder)?, all, chunks: 0, next: 0 })
    }

    /// Adds entries.
    pub(super) fn add(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            let number = usize::try_from(entry.0 >> (HASH_BITS - PARTS_BITS)).unwrap_or_default();
            let Some(part) = self.all.get_mut(number) else { continue };
            part.rest.push(*entry);
            if part.rest.len() == CHUNK {
                self.file.write_all(&to_bytes(&part.rest))?;
                part.rest.clear();
                part.chunks.push(self.chunks);
                self.chunks += 1;
            }
        }
        Ok(())
    }

    /// Takes the next part, sorted; `None` at the end. None is empty.
    pub(super) fn take(&mut self) -> io::Result<Option<Vec<Entry>>> {
        while let Some(part) = self.all.get_mut(self.next) {
            self.next += 1;
            let Part { chunks, rest: mut entries } = std::mem::take(part);
            let mut bytes = [0; CHUNK_LEN];
            for chunk in chunks {
                self.file.seek(SeekFrom::Start(u64::from(chunk) * CHUNK_LEN as u64))?;
                self.file.read_exact(&mut bytes)?;
                entries.extend(from_bytes(&bytes));
            }
            if !entries.is_empty() {
                entries.sort_unstable();
                return Ok(Some(entries));
            }
        }
        Ok(None)
    }
}

fn to_bytes(entries: &[Entry]) -> Vec<u8> {
    entries.iter().flat_map(|(hash, id)| [hash.to_le_bytes(), id.to_le_bytes()]).flatten().collect()
}

fn from_bytes(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).unwrap_or_default();
    bytes.chunks_exact(ENTRY_LEN).map(move |entry| (number(&entry[..8]), number(&entry[8..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_sorted_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut parts = Parts::new(folder.path()).unwrap();
        // Far apart and close together, in no order.
        let hash = |n: i64| n.wrapping_mul(0x5851_F42D_4C95_7F2D) & ((1 << HASH_BITS) - 1);
        let entries: Vec<Entry> = (0..300_000).map(|n| (hash(n), n)).collect();
        entries.chunks(1000).for_each(|some| parts.add(some).unwrap());
        let mut sorted = Vec::new();
        while let Some(part) = parts.take().unwrap() {
            sorted.extend(part);
        }
        let mut expected = entries;
        expected.sort_unstable();
        assert!(sorted == expected);
    }
}
