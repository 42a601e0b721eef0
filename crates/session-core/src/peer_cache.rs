//! The peers that a client has met: ID, access hash and kind of each user and channel. Every update
//! goes through it.
//!
//! It is smaller than an [`entity_table`](crate::entity_table): there are no lookups by text, and
//! nothing is stored.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A user or channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The unmarked ID, as in Telethon's own cache.
    pub id: i64,
    /// The access hash; `None` if it was not known when the peer was added.
    pub access_hash: Option<i64>,
    /// The letter of its `telethon._updates.EntityType`.
    pub kind: u8,
}

/// A peer in less memory.
#[derive(Debug)]
struct Row {
    id: i64,
    access_hash: i64,
    has_access_hash: bool,
    kind: u8,
    /// Whether the peer was removed. Its row remains until half of all rows are removed.
    is_gone: bool,
}

/// Peers by ID, in the order in which they were first added.
#[derive(Debug, Default)]
pub struct PeerCache {
    rows: Vec<Row>,
    /// The indexes of the rows.
    by_id: HashTable<u32>,
    hasher: RandomState,
}

impl PeerCache {
    /// Returns the number of peers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns `true` if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns the peer with an ID.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<Peer> {
        let is_it = |row: &u32| self.rows[*row as usize].id == id;
        self.by_id.find(self.hasher.hash_one(id), is_it).map(|row| self.rows[*row as usize].peer())
    }

    /// Adds a peer, replacing the one with its ID.
    pub fn put(&mut self, peer: Peer) {
        let Self { rows, by_id, hasher } = self;
        let is_it = |row: &u32| rows[*row as usize].id == peer.id;
        let entry = by_id.entry(hasher.hash_one(peer.id), is_it, |row| hasher.hash_one(rows[*row as usize].id));
        match entry {
            Entry::Occupied(row) => rows[*row.get() as usize] = Row::of(peer),
            Entry::Vacant(place) => {
                // Memory ends long before 32 bits do.
                place.insert(u32::try_from(rows.len()).unwrap_or(u32::MAX));
                rows.push(Row::of(peer));
            }
        }
    }

    /// Removes the peer with an ID.
    pub fn remove(&mut self, id: i64) -> Option<Peer> {
        let Self { rows, by_id, hasher } = self;
        let is_it = |row: &u32| rows[*row as usize].id == id;
        let (row, _) = by_id.find_entry(hasher.hash_one(id), is_it).ok()?.remove();
        let row = &mut rows[row as usize];
        row.is_gone = true;
        let peer = row.peer();
        if self.rows.len() > 2 * self.len() + 32 {
            self.retain(|_| true);
        }
        Some(peer)
    }

    /// Removes the peer added last.
    pub fn pop(&mut self) -> Option<Peer> {
        while self.rows.pop_if(|row| row.is_gone).is_some() {}
        let id = self.rows.last()?.id;
        self.remove(id)
    }

    /// Removes the peers for which `keep` returns `false`, and the rows of peers removed before.
    pub fn retain(&mut self, mut keep: impl FnMut(i64) -> bool) {
        let before = self.rows.len();
        self.rows.retain(|row| !row.is_gone && keep(row.id));
        if self.rows.len() < before {
            self.reindex();
        }
    }

    /// Removes all peers.
    pub fn clear(&mut self) {
        self.rows = Vec::new();
        self.by_id = HashTable::new();
    }

    /// Returns all peers, in order.
    pub fn iter(&self) -> impl Iterator<Item = Peer> {
        self.rows.iter().filter(|row| !row.is_gone).map(Row::peer)
    }

    /// Rebuilds the index.
    fn reindex(&mut self) {
        let Self { rows, by_id, hasher } = self;
        rows.shrink_to_fit();
        *by_id = HashTable::with_capacity(rows.len());
        for (number, row) in (0..).zip(&*rows) {
            by_id.insert_unique(hasher.hash_one(row.id), number, |row| hasher.hash_one(rows[*row as usize].id));
        }
    }
}

impl Row {
    fn of(Peer { id, access_hash, kind }: Peer) -> Self {
        Self { id, access_hash: access_hash.unwrap_or(0), has_access_hash: access_hash.is_some(), kind, is_gone: false }
    }

    fn peer(&self) -> Peer {
        Peer { id: self.id, access_hash: self.has_access_hash.then_some(self.access_hash), kind: self.kind }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn answers_as_a_map_in_order() {
        let mut cache = PeerCache::default();
        let (mut model, mut order) = (HashMap::new(), Vec::new());
        let mut state = 1_u64;
        // Miri takes a thousand times as long.
        let (steps, every) = if cfg!(miri) { (300, 97) } else { (50_000_i64, 1) };
        for step in 0..steps {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let id = i64::try_from(state >> 50).unwrap() - 5_000;
            let peer = Peer { id, access_hash: (step % 5 != 0).then_some(step), kind: u8::try_from(step % 7).unwrap() };
            cache.put(peer);
            if model.insert(id, peer).is_none() {
                order.push(id);
            }
            if step % 3 == 2 {
                let id = id + step % 2;
                assert_eq!(cache.remove(id), model.remove(&id));
                order.retain(|other| *other != id);
            }
            if step % 7 == 6 {
                let last = order.pop();
                assert_eq!(cache.pop(), last.and_then(|id| model.remove(&id)));
            }
            assert_eq!(cache.len(), model.len());
            if step % 100 == 99 {
                let keep = |id: i64| id % 3 != step % 3;
                cache.retain(keep);
                model.retain(|id, _| keep(*id));
                order.retain(|id| keep(*id));
            }
        }
        assert!(cache.iter().map(|peer| peer.id).eq(order));
        assert_eq!(cache.len(), model.len());
        assert!((-6_000..20_000).step_by(every).all(|id| cache.get(id) == model.get(&id).copied()));
    }
}
