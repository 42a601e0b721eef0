//! Every user, chat and channel of a session, answered by id, username, phone and name without a search.
//!
//! [`EntityCache`] is one growing heap of rows with four indexes that hold row numbers only. It
//! knows neither Telethon nor SQL. [`EntityPage`] carries entities in and out of it.

mod index;
mod page;
pub(crate) mod record;
mod rows;
mod unsaved;

pub use page::{EntityPage, PageEntity};
pub use record::TextKey;
pub use unsaved::Unsaved;

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::ops::Range;

use foldhash::fast::RandomState;

use index::{Index, NONE, position};
use record::Texts;
use rows::{RowId, Rows};

use crate::entity::Entity;

/// An id and access hash, as `get_entity_rows_by_...` answers.
pub type IdAndHash = (i64, Option<i64>);

/// Entities that are put together: for as many, the processor waits for the memory at the same time.
const BLOCK: usize = 32;

/// The cache. See the [module](self).
#[derive(Debug, Default)]
pub struct EntityCache {
    rows: Rows,
    by_id: Index,
    by_text: [Index; 3],
    /// Seeded at random: people choose their names, and must not be able to choose collisions.
    hasher: RandomState,
    /// See [`revision`](Self::revision).
    revision: u64,
    /// See [`removals`](Self::removals).
    removals: u64,
}

/// An entity on its way in, and the hashes of its keys.
#[derive(Clone, Copy, Default)]
struct Arrival<'a> {
    entity: PageEntity<'a>,
    id_hash: u32,
    texts: Texts<'a>,
    text_hashes: [u32; 3],
}

impl EntityCache {
    /// How many entities there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores entities as they were just seen. Those of which something is unsaved now that was not before are told to `unsaved`, by their marked
    /// ids and what is unsaved. A date counts for nothing beside the rest.
    pub fn put(&mut self, page: &EntityPage, mut unsaved: impl FnMut(i64, Unsaved)) {
        self.for_each_arrival(page, |cache, arrival| {
            let (before, now) = cache.put_one(arrival);
            if before != now && matches!(before, Unsaved::Nothing | Unsaved::Date) {
                unsaved(arrival.entity.id, now);
            }
        });
    }

    /// Stores entities as [`put`](Self::put) does, but for those that were seen later than the page says.
    pub fn put_unless_older(&mut self, page: &EntityPage, mut unsaved: impl FnMut(i64, Unsaved)) {
        self.for_each_arrival(page, |cache, arrival| {
            let known = cache.find_id(arrival.entity.id, arrival.id_hash);
            if known.is_some_and(|row| cache.rows.seen(row) > arrival.entity.seen) {
                return;
            }
            let (before, now) = cache.put_one(arrival);
            if before != now && matches!(before, Unsaved::Nothing | Unsaved::Date) {
                unsaved(arrival.entity.id, now);
            }
        });
    }

    /// Removes entities by their marked ids, and gives each to `removed`. Others that have one of their texts are found by it
    /// as before, or now, if a removed one stood before them.
    ///
    /// The more are removed at once the better: each chain of rows that share a text is walked once.
    pub fn remove(&mut self, ids: impl IntoIterator<Item = i64>, mut removed: impl FnMut(&PageEntity<'_>)) {
        let mut leaving = Vec::new();
        for id in ids {
            leaving.extend(self.row_of(id).filter(|row| self.rows.mark_as_leaving(*row)));
        }
        for row in &leaving {
            for key in TextKey::ALL {
                self.unlink_leaving(*row, key);
            }
        }
        for row in leaving {
            let entity = self.rows.entity(row);
            removed(&entity);
            self.by_id.remove(self.hash_id(entity.id), row);
            self.rows.remove(row);
            self.revision += 1;
            self.removals += 1;
        }
    }

    /// Removes the entities that are known exactly as a page has them, but for when they were seen. Gives each to `removed`.
    pub fn remove_exactly(&mut self, page: &EntityPage, removed: impl FnMut(&PageEntity<'_>)) {
        let is_so = |entity: &PageEntity<'_>| {
            let row = self.row_of(entity.id);
            row.is_some_and(|row| self.rows.hash(row) == entity.hash && self.rows.holds(row, entity.record))
        };
        let ids: Vec<i64> = page.iter().filter(is_so).map(|entity| entity.id).collect();
        self.remove(ids, removed);
    }

    /// Removes all entities. Positions of a [scan](Self::scan) keep their meaning.
    pub fn clear(&mut self) {
        let Self { hasher, revision, removals, .. } = self;
        let (revision, removals) = (*revision + 1, *removals + 1);
        *self = Self { hasher: hasher.clone(), revision, removals, ..Self::default() };
    }

    /// A number that changes whenever an entity comes, goes or is told otherwise, but for when it was seen.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A number that changes whenever an entity is removed.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.removals
    }

    /// How many entities there are in a part of all positions, and which those are; the part is the one that `at` belongs to.
    #[must_use]
    pub fn part_at(&self, at: u32) -> Option<(Range<u64>, usize)> {
        self.by_id.table_at(at)
    }

    /// How many entities there are at the positions that a [scan](Self::scan) looks at next, and which those are.
    #[must_use]
    pub fn step_at(&self, from: u32, most: usize) -> Option<(Range<u64>, usize)> {
        self.by_id.count_step_at(from, most)
    }

    /// Copies the entities at some positions, from `from` on, about `most` of them. Returns the position to go on from; `None`
    /// after the last.
    ///
    /// An entity has one position for as long as the cache lives. So a scan meets each that stays exactly once, and each
    /// that comes, goes or does both meanwhile at most once.
    #[must_use]
    pub fn scan(&self, from: u32, most: usize, into: &mut EntityPage) -> Option<u32> {
        self.by_id.scan(from, most, |row| into.push_entity(&self.rows.entity(row)))
    }

    /// Where in a [scan](Self::scan) an entity with this marked id comes.
    #[must_use]
    pub fn position(&self, id: i64) -> u32 {
        position(self.hash_id(id))
    }

    /// Copies the entity with this marked id, if there is one.
    pub fn copy(&self, id: i64, into: &mut EntityPage) {
        if let Some(row) = self.row_of(id) {
            into.push_entity(&self.rows.entity(row));
        }
    }

    /// Takes over what a store holds of entities. What is unsaved here is newer and stays.
    pub fn put_stored(&mut self, page: &EntityPage) {
        self.for_each_arrival(page, Self::put_one_stored);
    }

    /// All that the entities of a block need of the memory is read first, and waited for together; only then are they put, one by one.
    fn for_each_arrival(&mut self, page: &EntityPage, mut put: impl FnMut(&mut Self, &Arrival<'_>)) {
        let mut entities = page.iter();
        loop {
            let mut block = [Arrival::default(); BLOCK];
            let mut count = 0;
            for (arrival, entity) in block.iter_mut().zip(entities.by_ref()) {
                *arrival = Arrival { entity, id_hash: self.hash_id(entity.id), ..Arrival::default() };
                count += 1;
            }
            let block = &mut block[..count];
            self.touch(block);
            for arrival in &*block {
                put(self, arrival);
            }
            if count < BLOCK {
                return;
            }
        }
    }

    /// Loops of little else but reading: the more of it the processor sees at once, the more of it goes on at the same time.
    fn touch(&self, block: &mut [Arrival<'_>]) {
        black_box(block.iter().fold(0, |sum, arrival| sum ^ self.by_id.touch(arrival.id_hash)));
        let mut is_new = [false; BLOCK];
        let mut sum = 0;
        for (arrival, is_new) in block.iter().zip(&mut is_new) {
            match self.find_id(arrival.entity.id, arrival.id_hash) {
                Some(row) => sum ^= self.rows.seen(row),
                None => *is_new = true,
            }
        }
        for (arrival, _) in block.iter_mut().zip(is_new).filter(|(_, is_new)| *is_new) {
            arrival.texts = record::read(arrival.entity.record).0;
            arrival.text_hashes = arrival.texts.map(|text| text.map_or(0, |text| self.hash_text(text)));
        }
        for (key, index) in self.by_text.iter().enumerate() {
            let having = block.iter().filter(|arrival| arrival.texts[key].is_some());
            sum ^= having.fold(0, |sum, arrival| sum ^ index.touch(arrival.text_hashes[key]));
        }
        black_box(sum);
    }

    /// Answers what of the entity was unsaved before, and what is now.
    fn put_one(&mut self, arrival: &Arrival<'_>) -> (Unsaved, Unsaved) {
        let entity = &arrival.entity;
        let Some(mut row) = self.find_id(entity.id, arrival.id_hash) else {
            self.push(arrival, entity.unsaved);
            return (Unsaved::Nothing, entity.unsaved);
        };
        let before = self.rows.unsaved(row);
        let names_are_told = entity.unsaved != Unsaved::HashAndDate;
        let same_texts = !names_are_told || self.rows.holds(row, entity.record);
        let same_hash = self.rows.hash(row) == entity.hash;
        if same_texts && same_hash && self.rows.seen(row) == entity.seen {
            return (before, before);
        }
        if !same_texts {
            row = self.set_texts(row, entity.record);
        }
        self.rows.set_hash_and_seen(row, entity.hash, entity.seen);
        self.revision += u64::from(!same_hash);
        let news = if same_texts && same_hash { Unsaved::Date } else { entity.unsaved };
        let now = before.and(news);
        self.rows.set_unsaved(row, now);
        (before, now)
    }

    fn put_one_stored(&mut self, arrival: &Arrival<'_>) {
        let entity = &arrival.entity;
        let Some(mut row) = self.find_id(entity.id, arrival.id_hash) else {
            self.push(arrival, Unsaved::Nothing);
            return;
        };
        let unsaved = self.rows.unsaved(row);
        match unsaved {
            Unsaved::Row | Unsaved::LostUsername => return,
            Unsaved::Nothing | Unsaved::HashAndDate | Unsaved::Date => {}
        }
        if !self.rows.holds(row, entity.record) {
            row = self.set_texts(row, entity.record);
        }
        self.revision += u64::from(self.rows.hash(row) != entity.hash);
        match unsaved {
            Unsaved::Nothing => self.rows.set_hash_and_seen(row, entity.hash, entity.seen),
            Unsaved::Date => self.rows.set_hash_and_seen(row, entity.hash, entity.seen.max(self.rows.seen(row))),
            _ => {}
        }
    }

    /// The entity with this marked id.
    #[must_use]
    pub fn by_id(&self, id: i64) -> Option<IdAndHash> {
        self.row_of(id).map(|row| self.id_and_hash(row))
    }

    /// All that is known of the entity with this marked id.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<Entity<'_>> {
        let row = self.row_of(id)?;
        let (texts, _) = record::read(self.rows.record(row));
        let [username, phone, name] = texts.map(|text| text.and_then(|text| std::str::from_utf8(text).ok()));
        Some(Entity { id, hash: self.rows.hash(row), username, phone, name })
    }

    /// The entity with this phone or name; the one with the lowest marked id where several have it.
    #[must_use]
    pub fn by_text(&self, key: TextKey, text: &str) -> Option<IdAndHash> {
        self.first(key, text.as_bytes()).map(|row| self.id_and_hash(row))
    }

    /// The entity with this username: the one seen last, then the one with the highest id. Others that have it lose it; their marked
    /// ids are given to `lost` if they had nothing unsaved before.
    pub fn by_username(&mut self, username: &str, mut lost: impl FnMut(i64)) -> Option<IdAndHash> {
        const KEY: TextKey = TextKey::Username;
        let first = self.first(KEY, username.as_bytes())?;
        if self.rows.next(first, KEY) == NONE {
            return Some(self.id_and_hash(first));
        }
        let holders: Vec<_> = self.chain(first, KEY).map(|row| (self.rows.seen(row), self.rows.id(row))).collect();
        let (_, newest) = *holders.iter().max()?;
        for (_, id) in holders.into_iter().filter(|(_, id)| *id != newest) {
            if self.drop_username(id) {
                lost(id);
            }
        }
        self.by_id(newest)
    }

    /// Copies an entity out, if anything of it is unsaved, and counts it as saved.
    pub fn take_unsaved(&mut self, id: i64, into: &mut EntityPage) {
        if let Some(row) = self.row_of(id).filter(|row| self.rows.unsaved(*row) != Unsaved::Nothing) {
            into.push_entity(&self.rows.entity(row));
            self.rows.set_unsaved(row, Unsaved::Nothing);
        }
    }

    /// Counts all entities as unsaved, and tells their marked ids.
    pub fn count_all_as_unsaved(&mut self, mut unsaved: impl FnMut(i64)) {
        let rows: Vec<RowId> = self.rows.iter().collect();
        for row in rows {
            self.rows.set_unsaved(row, Unsaved::Row);
            unsaved(self.rows.id(row));
        }
    }

    /// Counts an entity as unsaved again. Returns what of it had become unsaved anew meanwhile.
    pub fn put_back_unsaved(&mut self, id: i64, unsaved: Unsaved) -> Unsaved {
        let Some(row) = self.row_of(id) else { return Unsaved::Nothing };
        let now = self.rows.unsaved(row);
        self.rows.set_unsaved(row, now.and(unsaved));
        now
    }

    fn row_of(&self, id: i64) -> Option<RowId> {
        self.find_id(id, self.hash_id(id))
    }

    fn find_id(&self, id: i64, hash: u32) -> Option<RowId> {
        self.by_id.find(hash, |row| self.rows.id(row) == id)
    }

    fn hash_id(&self, id: i64) -> u32 {
        upper_half(self.hasher.hash_one(id))
    }

    fn hash_text(&self, text: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        upper_half(hasher.finish())
    }

    fn id_and_hash(&self, row: RowId) -> IdAndHash {
        (self.rows.id(row), self.rows.hash(row))
    }

    fn push(&mut self, arrival: &Arrival<'_>, unsaved: Unsaved) {
        let row = self.rows.insert(&arrival.entity, unsaved);
        self.revision += 1;
        self.by_id.insert(arrival.id_hash, row);
        for key in TextKey::ALL {
            if let Some(text) = arrival.texts[key as usize] {
                self.link(row, key, text, arrival.text_hashes[key as usize]);
            }
        }
    }

    /// Gives a row other texts. Answers its number from now on.
    fn set_texts(&mut self, row: RowId, record: &[u8]) -> RowId {
        self.revision += 1;
        let stays = self.rows.has_room(row, record);
        let (new, _) = record::read(record);
        let (old, _) = record::read(self.rows.record(row));
        let changed = TextKey::ALL.map(|key| !stays || old[key as usize] != new[key as usize]);
        let changed = || TextKey::ALL.into_iter().filter(|key| changed[*key as usize]);
        for key in changed() {
            self.unlink(row, key);
        }
        let moved = self.rows.set_record(row, record);
        if moved != row {
            self.by_id.replace(self.hash_id(self.rows.id(moved)), row, moved);
        }
        for key in changed() {
            if let Some(text) = new[key as usize] {
                self.link(moved, key, text, self.hash_text(text));
            }
        }
        moved
    }

    /// Returns whether the entity had nothing unsaved before but a date.
    fn drop_username(&mut self, id: i64) -> bool {
        let Some(row) = self.row_of(id) else { return false };
        let mut record = Vec::new();
        let ([_, phone, name], _) = record::read(self.rows.record(row));
        record::write_texts(&mut record, [None, phone, name]);
        let row = self.set_texts(row, &record);
        let before = self.rows.unsaved(row);
        self.rows.set_unsaved(row, before.and(Unsaved::LostUsername));
        matches!(before, Unsaved::Nothing | Unsaved::Date)
    }

    /// The first row of the chain of those with this text: the one with the lowest id.
    fn first(&self, key: TextKey, text: &[u8]) -> Option<RowId> {
        self.find_text(key, text, self.hash_text(text))
    }

    fn find_text(&self, key: TextKey, text: &[u8], hash: u32) -> Option<RowId> {
        self.by_text[key as usize].find(hash, |row| self.rows.text(row, key) == Some(text))
    }

    fn chain(&self, first: RowId, key: TextKey) -> impl Iterator<Item = RowId> {
        std::iter::successors(Some(first), move |row| Some(self.rows.next(*row, key)).filter(|row| *row != NONE))
    }

    /// Puts a row into the index of one of its texts: alone, or into the chain of those that have the same.
    fn link(&mut self, row: RowId, key: TextKey, text: &[u8], hash: u32) {
        let k = key as usize;
        let Some(first) = self.find_text(key, text, hash) else {
            self.by_text[k].insert(hash, row);
            return;
        };
        if self.rows.id(row) < self.rows.id(first) {
            self.rows.set_next(row, key, first);
            self.by_text[k].replace(hash, first, row);
        } else {
            self.rows.set_next(row, key, self.rows.next(first, key));
            self.rows.set_next(first, key, row);
        }
    }

    /// Takes a row out of the index of one of its texts.
    fn unlink(&mut self, row: RowId, key: TextKey) {
        let k = key as usize;
        let Some(text) = self.rows.text(row, key) else { return };
        let hash = self.hash_text(text);
        let Some(first) = self.find_text(key, text, hash) else { return };
        let next = self.rows.next(row, key);
        self.rows.set_next(row, key, NONE);
        if first != row {
            let before = self.chain(first, key).find(|other| self.rows.next(*other, key) == row);
            if let Some(before) = before {
                self.rows.set_next(before, key, next);
            }
        } else if next == NONE {
            self.by_text[k].remove(hash, row);
        } else {
            self.promote_lowest(row, next, hash, key);
        }
    }

    /// Takes all rows that are being removed out of the chain of those that have one of this row's texts.
    fn unlink_leaving(&mut self, row: RowId, key: TextKey) {
        if !self.rows.is_leaving(row, key) {
            return;
        }
        let Some(text) = self.rows.text(row, key) else { return };
        let hash = self.hash_text(text);
        let Some(first) = self.find_text(key, text, hash) else { return };
        let (mut lowest, mut rest) = (NONE, first);
        while rest != NONE {
            let here = rest;
            rest = self.rows.next(here, key);
            if self.rows.is_leaving(here, key) {
                self.rows.has_left(here, key);
            } else if lowest == NONE || self.rows.id(here) < self.rows.id(lowest) {
                self.rows.set_next(here, key, lowest);
                lowest = here;
            } else {
                self.rows.set_next(here, key, self.rows.next(lowest, key));
                self.rows.set_next(lowest, key, here);
            }
        }
        if lowest == NONE {
            self.by_text[key as usize].remove(hash, first);
        } else {
            self.by_text[key as usize].replace(hash, first, lowest);
        }
    }

    /// Makes the row with the lowest id of a chain its first one, in the place of `gone`.
    fn promote_lowest(&mut self, gone: RowId, chain: RowId, hash: u32, key: TextKey) {
        let lowest = self.chain(chain, key).min_by_key(|row| self.rows.id(*row)).unwrap_or(chain);
        if lowest != chain {
            let before = self.chain(chain, key).find(|row| self.rows.next(*row, key) == lowest);
            if let Some(before) = before {
                self.rows.set_next(before, key, self.rows.next(lowest, key));
                self.rows.set_next(lowest, key, chain);
            }
        }
        self.by_text[key as usize].replace(hash, gone, lowest);
    }
}

fn upper_half(hash: u64) -> u32 {
    // Always fits.
    u32::try_from(hash >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests;
