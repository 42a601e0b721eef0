//! The rows of the cache and their texts, by row number.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::arena::{Arena, Handle, to_u32};
use super::record::{self, TextKey};

/// Rows a chunk holds. Chunks are never moved, so growing costs no pause.
const CHUNK: usize = 4096;
/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// What of a row is not in the file yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsaved {
    /// Nothing.
    #[default]
    Nothing,
    /// The whole row.
    Row,
    /// Hash and date; the texts are unchanged, or were never known here and may be in the file.
    HashAndDate,
    /// That the row has lost its username to another one.
    LostUsername,
}

impl Unsaved {
    /// What is unsaved when both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (a, b) if a == b => a,
            _ => Self::Row,
        }
    }
}

/// An entity's numbers, and where its texts are.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    /// 0 where `has_hash` is false.
    pub(super) hash: i64,
    pub(super) texts: Handle,
    /// When it was last seen, in seconds since 1970; 0 where that is not known.
    pub(super) seen: u32,
    /// For each text, the next row that has the same one.
    pub(super) next: [u32; 3],
    pub(super) has_hash: bool,
    pub(super) unsaved: Unsaved,
}

/// All rows, numbered in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Table {
    chunks: Vec<Vec<Row>>,
    pub(super) arena: Arena,
    /// Seeded at random: people choose their names, and must not be able to choose collisions.
    hasher: RandomState,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn row(&self, row: u32) -> &Row {
        &self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }

    pub(super) fn row_mut(&mut self, row: u32) -> &mut Row {
        &mut self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }

    pub(super) fn push(&mut self, row: Row) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // The first chunk grows with its session: most sessions are small.
            self.chunks.push(Vec::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK }));
        }
        let number = to_u32(self.len());
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(row);
        }
        number
    }

    /// The bytes from the row's record on.
    pub(super) fn record(&self, row: u32) -> &[u8] {
        self.arena.get(self.row(row).texts)
    }

    pub(super) fn text(&self, row: u32, key: TextKey) -> Option<&[u8]> {
        record::read_one(self.record(row), key)
    }

    pub(super) fn hash_id(&self, id: i64) -> u32 {
        upper_half(self.hasher.hash_one(id))
    }

    pub(super) fn hash_text(&self, text: &[u8]) -> u32 {
        upper_half(self.hasher.hash_one(text))
    }
}

fn upper_half(hash: u64) -> u32 {
    // Always fits.
    u32::try_from(hash >> 32).unwrap_or_default()
}
