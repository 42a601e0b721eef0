//! All users, chats and channels of a session, indexed by ID, username, phone and name.
//!
//! An [`EntityTable`] is a growing heap of rows with four indexes of row numbers. It knows neither
//! Telethon nor SQL. An [`EntityBatch`] carries entities into it and out of it.

mod aliases;
mod batch;
mod dirty;
mod index;
pub(crate) mod record;
mod removal;
mod rows;

pub use batch::{BatchEntity, EntityBatch};
pub use dirty::Dirty;
pub use record::TextField;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::ops::Range;

use foldhash::fast::RandomState;

use aliases::{Aliases, Source};
use index::{Index, NONE, position};
use record::Texts;
use rows::{RowId, Rows};

use crate::entity::{Entity, PeerKind, unmark};

/// An ID and an access hash, as `get_entity_rows_by_...` returns them.
pub type IdAndAccessHash = (i64, Option<i64>);

/// How many entities are inserted together: the cache lines of so many are fetched at the same
/// time.
const BLOCK: usize = 32;

/// A table of entities. See the [module](self).
#[derive(Debug, Default)]
pub struct EntityTable {
    rows: Rows,
    by_id: Index,
    by_text: [Index; 3],
    aliases: Aliases,
    /// Seeded at random: users choose their names, and must not be able to choose collisions.
    hasher: RandomState,
    /// See [`revision`](Self::revision).
    revision: u64,
    /// See [`removals`](Self::removals).
    removals: u64,
    /// How many users, chats and channels there are.
    counts: [usize; 3],
    /// Rows that were removed and are still in the chains of their texts.
    leaving: VecDeque<RowId>,
}

/// An entity to insert, with the hashes of its keys.
#[derive(Clone, Copy, Default)]
struct Prepared<'a> {
    entity: BatchEntity<'a>,
    id_hash: u32,
    texts: Texts<'a>,
    text_hashes: [u32; 3],
}

impl EntityTable {
    /// Returns the number of entities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Returns the number of entities of a kind.
    #[must_use]
    pub fn count(&self, kind: PeerKind) -> usize {
        self.counts[kind as usize]
    }

    /// Returns `true` if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inserts entities that were just seen. Calls `on_dirty`, with the marked ID and the dirty
    /// part, for each entity that was clean before or of which only the date was dirty.
    pub fn put(&mut self, batch: &EntityBatch, mut on_dirty: impl FnMut(i64, Dirty)) {
        self.for_each_prepared(batch, |table, prepared| {
            let (before, now) = table.put_one(prepared);
            if before != now && before.is_date_at_most() {
                on_dirty(prepared.entity.id, now);
            }
            table.report_lost(|id| on_dirty(id, Dirty::LostAlias));
        });
    }

    /// Like [`put`](Self::put), except for entities that were seen later than the batch says.
    pub fn put_unless_older(&mut self, batch: &EntityBatch, mut on_dirty: impl FnMut(i64, Dirty)) {
        self.for_each_prepared(batch, |table, prepared| {
            let known = table.find_id(prepared.entity.id, prepared.id_hash);
            if known.is_some_and(|row| table.rows.seen(row) > prepared.entity.seen) {
                return;
            }
            let (before, now) = table.put_one(prepared);
            if before != now && before.is_date_at_most() {
                on_dirty(prepared.entity.id, now);
            }
            table.report_lost(|id| on_dirty(id, Dirty::LostAlias));
        });
    }

    /// Removes all entities. Positions of a [scan](Self::scan) stay valid.
    pub fn clear(&mut self) {
        let Self { hasher, revision, removals, .. } = self;
        let (revision, removals) = (*revision + 1, *removals + 1);
        *self = Self { hasher: hasher.clone(), revision, removals, ..Self::default() };
    }

    /// Returns a number that changes whenever an entity is added, removed or changed, except for
    /// its date.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns a number that changes whenever an entity is removed.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.removals
    }

    /// Returns the part of all positions that `at` belongs to, and the number of entities there.
    #[must_use]
    pub fn part_at(&self, at: u32) -> Option<(Range<u64>, usize)> {
        self.by_id.table_at(at)
    }

    /// Returns the positions that a [scan](Self::scan) visits next, and the number of entities
    /// there.
    #[must_use]
    pub fn step_at(&self, from: u32, limit: usize) -> Option<(Range<u64>, usize)> {
        self.by_id.count_step_at(from, limit)
    }

    /// Copies about `limit` entities from position `from` on. Returns the position to continue
    /// from; `None` at the end.
    ///
    /// The position of an entity never changes. So a scan visits each entity that stays exactly
    /// once, and each that is added or removed meanwhile at most once.
    #[must_use]
    pub fn scan(&self, from: u32, limit: usize, into: &mut EntityBatch) -> Option<u32> {
        self.by_id.scan(from, limit, |row| into.push_entity(&self.rows.entity(row)))
    }

    /// Like [`scan`](Self::scan), but returns only the marked IDs of entities for whose ID, date
    /// and dirty part `is_wanted` returns `true`.
    pub fn scan_ids(
        &self,
        from: u32,
        limit: usize,
        mut is_wanted: impl FnMut(i64, u32, Dirty) -> bool,
        into: &mut Vec<i64>,
    ) -> Option<u32> {
        self.by_id.scan(from, limit, |row| {
            let id = self.rows.id(row);
            if is_wanted(id, self.rows.seen(row), self.rows.dirty(row)) {
                into.push(id);
            }
        })
    }

    /// Returns the position of a marked ID in a [scan](Self::scan).
    #[must_use]
    pub fn position(&self, id: i64) -> u32 {
        position(self.hash_id(id))
    }

    /// Copies the entity with this marked ID, if it is known.
    pub fn copy(&self, id: i64, into: &mut EntityBatch) {
        if let Some(row) = self.row_of(id) {
            into.push_entity(&self.rows.entity(row));
        }
    }

    /// Takes over stored entities. What is dirty here is newer and stays.
    pub fn put_stored(&mut self, batch: &EntityBatch) {
        self.for_each_prepared(batch, Self::put_one_stored);
    }

    /// Prefetches a block's cache lines, then inserts its entities.
    fn for_each_prepared(&mut self, batch: &EntityBatch, mut put: impl FnMut(&mut Self, &Prepared<'_>)) {
        let mut entities = batch.iter();
        loop {
            let mut block = [Prepared::default(); BLOCK];
            let mut count = 0;
            for (prepared, entity) in block.iter_mut().zip(entities.by_ref()) {
                *prepared = Prepared { entity, id_hash: self.hash_id(entity.id), ..Prepared::default() };
                count += 1;
            }
            let block = &mut block[..count];
            self.prefetch(block);
            for prepared in &*block {
                put(self, prepared);
            }
            if count < BLOCK {
                return;
            }
        }
    }

    /// Reads what inserting will need, in loops of little else: the processor overlaps the loads.
    fn prefetch(&self, block: &mut [Prepared<'_>]) {
        black_box(block.iter().fold(0, |sum, prepared| sum ^ self.by_id.prefetch(prepared.id_hash)));
        let mut is_new = [false; BLOCK];
        let mut sum = 0;
        for (prepared, is_new) in block.iter().zip(&mut is_new) {
            match self.find_id(prepared.entity.id, prepared.id_hash) {
                Some(row) => sum ^= self.rows.seen(row),
                None => *is_new = true,
            }
        }
        for (prepared, _) in block.iter_mut().zip(is_new).filter(|(_, is_new)| *is_new) {
            prepared.texts = record::read(prepared.entity.record).0;
            prepared.text_hashes = prepared.texts.map(|text| text.map_or(0, |text| self.hash_text(text)));
        }
        for (field, index) in self.by_text.iter().enumerate() {
            let having = block.iter().filter(|prepared| prepared.texts[field].is_some());
            sum ^= having.fold(0, |sum, prepared| sum ^ index.prefetch(prepared.text_hashes[field]));
        }
        black_box(sum);
    }

    /// Returns which part of the entity was dirty before, and which is now.
    fn put_one(&mut self, prepared: &Prepared<'_>) -> (Dirty, Dirty) {
        let entity = &prepared.entity;
        let Some(mut row) = self.find_id(entity.id, prepared.id_hash) else {
            let row = self.push(prepared, entity.dirty);
            self.claim_usernames(row, Source::Seen);
            return (Dirty::Clean, entity.dirty);
        };
        let before = self.rows.dirty(row);
        let has_texts = entity.dirty != Dirty::AccessHashAndDate;
        let whole = if entity.knows_aliases { None } else { self.with_known_aliases(row, entity.record) };
        let record = whole.as_deref().unwrap_or(entity.record);
        let same_texts = !has_texts || self.rows.holds(row, record);
        let same_access_hash = self.rows.access_hash(row) == entity.access_hash;
        if same_texts && same_access_hash && self.rows.seen(row) == entity.seen {
            return (before, before);
        }
        if !same_texts {
            row = self.set_texts(row, record);
        }
        self.rows.set_access_hash_and_seen(row, entity.access_hash, entity.seen);
        if !same_texts {
            row = self.claim_usernames(row, Source::Seen);
        }
        self.revision += u64::from(!same_access_hash);
        let changed = if same_texts && same_access_hash { Dirty::Date } else { entity.dirty };
        let now = before.and(changed);
        self.rows.set_dirty(row, now);
        (before, now)
    }

    fn put_one_stored(&mut self, prepared: &Prepared<'_>) {
        let entity = &prepared.entity;
        let Some(mut row) = self.find_id(entity.id, prepared.id_hash) else {
            let row = self.push(prepared, Dirty::Clean);
            self.claim_usernames(row, Source::Stored);
            return;
        };
        let dirty = self.rows.dirty(row);
        match dirty {
            Dirty::Full | Dirty::LostUsername | Dirty::LostAlias => return,
            Dirty::Clean | Dirty::AccessHashAndDate | Dirty::Date | Dirty::Gone => {}
        }
        let same_texts = self.rows.holds(row, entity.record);
        if !same_texts {
            row = self.set_texts(row, entity.record);
        }
        self.revision += u64::from(self.rows.access_hash(row) != entity.access_hash);
        match dirty {
            Dirty::Clean => self.rows.set_access_hash_and_seen(row, entity.access_hash, entity.seen),
            Dirty::Date => {
                self.rows.set_access_hash_and_seen(row, entity.access_hash, entity.seen.max(self.rows.seen(row)));
            }
            _ => {}
        }
        if !same_texts {
            self.claim_usernames(row, Source::Stored);
        }
    }

    /// Returns the entity with this marked ID.
    #[must_use]
    pub fn by_id(&self, id: i64) -> Option<IdAndAccessHash> {
        self.row_of(id).map(|row| self.id_and_access_hash(row))
    }

    /// Returns everything that is known of the entity with this marked ID.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<Entity<'_>> {
        let row = self.row_of(id)?;
        let (texts, _) = record::read(self.rows.record(row));
        let [username, phone, name] = texts.map(|text| text.and_then(|text| std::str::from_utf8(text).ok()));
        Some(Entity { id, access_hash: self.rows.access_hash(row), username, phone, name })
    }

    /// Returns the entity with this phone or name: the one with the lowest marked ID if there are
    /// several.
    #[must_use]
    pub fn by_text(&self, field: TextField, text: &str) -> Option<IdAndAccessHash> {
        let first = self.first(field, text.as_bytes())?;
        if !self.rows.is_leaving(first, field) {
            return Some(self.id_and_access_hash(first));
        }
        let staying = self.chain(first, field).filter(|row| !self.rows.is_leaving(*row, field));
        staying.min_by_key(|row| self.rows.id(*row)).map(|row| self.id_and_access_hash(row))
    }

    /// Returns the entity with this username or alias: the one seen last, then the one with the highest
    /// marked ID. Other entities lose the username; calls `on_dirty` with the marked IDs of those
    /// that were clean.
    pub fn by_username(&mut self, username: &str, mut on_dirty: impl FnMut(i64)) -> Option<IdAndAccessHash> {
        let found = self.by_alias(username).or_else(|| self.by_main_username(username, &mut on_dirty));
        self.report_lost(on_dirty);
        found
    }

    fn by_main_username(&mut self, username: &str, mut on_dirty: impl FnMut(i64)) -> Option<IdAndAccessHash> {
        const KEY: TextField = TextField::Username;
        let first = self.first(KEY, username.as_bytes())?;
        if self.rows.next(first, KEY) == NONE {
            return Some(first).filter(|row| !self.rows.is_leaving(*row, KEY)).map(|row| self.id_and_access_hash(row));
        }
        let holders = self.chain(first, KEY).filter(|row| !self.rows.is_leaving(*row, KEY));
        let holders: Vec<_> = holders.map(|row| (self.rows.seen(row), self.rows.id(row))).collect();
        let (_, newest) = *holders.iter().max()?;
        for (_, id) in holders.into_iter().filter(|(_, id)| *id != newest) {
            if self.drop_username(id) {
                on_dirty(id);
            }
        }
        self.by_id(newest)
    }

    /// Copies an entity out if it is dirty, and marks it clean.
    pub fn take_dirty(&mut self, id: i64, into: &mut EntityBatch) {
        if let Some(row) = self.row_of(id).filter(|row| self.rows.dirty(*row) != Dirty::Clean) {
            into.push_entity(&self.rows.entity(row));
            self.rows.set_dirty(row, Dirty::Clean);
        }
    }

    /// Copies a whole entity out if any part of it is dirty, and marks it clean. Returns `false` if
    /// it is clean or not known.
    pub fn take_whole_if_dirty(&mut self, id: i64, into: &mut EntityBatch) -> bool {
        let Some(row) = self.row_of(id).filter(|row| self.rows.dirty(*row) != Dirty::Clean) else { return false };
        into.push_entity(&BatchEntity { dirty: Dirty::Full, ..self.rows.entity(row) });
        self.rows.set_dirty(row, Dirty::Clean);
        true
    }

    /// Marks an entity clean if it was seen before a date, so that what is stored takes its place.
    pub fn yield_to_later(&mut self, id: i64, seen: u32) {
        if let Some(row) = self.row_of(id).filter(|row| self.rows.seen(*row) < seen) {
            self.rows.set_dirty(row, Dirty::Clean);
        }
    }

    /// Returns when an entity was last seen; `None` if it is not known.
    #[must_use]
    pub fn seen(&self, id: i64) -> Option<u32> {
        self.row_of(id).map(|row| self.rows.seen(row))
    }

    /// Returns which part of an entity is dirty; `None` if it is not known.
    #[must_use]
    pub fn dirty(&self, id: i64) -> Option<Dirty> {
        self.row_of(id).map(|row| self.rows.dirty(row))
    }

    /// Marks all entities dirty, and calls `on_dirty` with their marked IDs.
    pub fn mark_all_dirty(&mut self, mut on_dirty: impl FnMut(i64)) {
        self.end_removal(usize::MAX);
        let rows: Vec<RowId> = self.rows.iter().collect();
        for row in rows {
            self.rows.set_dirty(row, Dirty::Full);
            on_dirty(self.rows.id(row));
        }
    }

    /// Marks a part of an entity dirty again. Returns the part that has become dirty since.
    pub fn restore_dirty(&mut self, id: i64, part: Dirty) -> Dirty {
        let Some(row) = self.row_of(id) else { return Dirty::Clean };
        let now = self.rows.dirty(row);
        self.rows.set_dirty(row, now.and(part));
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

    fn id_and_access_hash(&self, row: RowId) -> IdAndAccessHash {
        (self.rows.id(row), self.rows.access_hash(row))
    }

    /// Adds a row. Returns its number.
    fn push(&mut self, prepared: &Prepared<'_>, dirty: Dirty) -> RowId {
        let row = self.rows.insert(&prepared.entity, dirty);
        self.revision += 1;
        self.counts[unmark(prepared.entity.id).1 as usize] += 1;
        self.by_id.insert(prepared.id_hash, row);
        for field in TextField::ALL {
            if let Some(text) = prepared.texts[field as usize] {
                self.link(row, field, text, prepared.text_hashes[field as usize]);
            }
        }
        row
    }

    /// Gives a row other texts. Returns its number from now on. Its aliases are not in the index then.
    fn set_texts(&mut self, row: RowId, record: &[u8]) -> RowId {
        self.revision += 1;
        self.unlink_aliases(row);
        let stays = self.rows.has_room(row, record);
        let (new, _) = record::read(record);
        let (old, _) = record::read(self.rows.record(row));
        let changed = TextField::ALL.map(|field| !stays || old[field as usize] != new[field as usize]);
        let changed = || TextField::ALL.into_iter().filter(|field| changed[*field as usize]);
        for field in changed() {
            self.unlink(row, field);
        }
        let moved = self.rows.set_record(row, record);
        if moved != row {
            self.by_id.replace(self.hash_id(self.rows.id(moved)), row, moved);
        }
        for field in changed() {
            if let Some(text) = new[field as usize] {
                self.link(moved, field, text, self.hash_text(text));
            }
        }
        moved
    }

    /// Returns `true` if the entity was clean before, except for its date.
    fn drop_username(&mut self, id: i64) -> bool {
        let Some(row) = self.row_of(id) else { return false };
        let mut record = Vec::new();
        let ([_, phone, name], _) = record::read(self.rows.record(row));
        let (date, aliases) = record::aliases(self.rows.record(row));
        record::write_with_aliases(&mut record, [None, phone, name], date, aliases);
        let row = self.set_texts(row, &record);
        self.link_aliases(row);
        let before = self.rows.dirty(row);
        self.rows.set_dirty(row, before.and(Dirty::LostUsername));
        before.is_date_at_most()
    }

    /// Returns the first row of the chain of rows with this text: the one with the lowest ID.
    fn first(&self, field: TextField, text: &[u8]) -> Option<RowId> {
        self.find_text(field, text, self.hash_text(text))
    }

    fn find_text(&self, field: TextField, text: &[u8], hash: u32) -> Option<RowId> {
        self.by_text[field as usize].find(hash, |row| self.rows.text(row, field) == Some(text))
    }

    fn chain(&self, first: RowId, field: TextField) -> impl Iterator<Item = RowId> {
        std::iter::successors(Some(first), move |row| Some(self.rows.next(*row, field)).filter(|row| *row != NONE))
    }

    /// Adds a row to the index of one of its texts: alone, or to the chain of rows with this text.
    fn link(&mut self, row: RowId, field: TextField, text: &[u8], hash: u32) {
        let k = field as usize;
        let Some(first) = self.find_text(field, text, hash) else {
            self.by_text[k].insert(hash, row);
            return;
        };
        if self.rows.id(row) < self.rows.id(first) {
            self.rows.set_next(row, field, first);
            self.by_text[k].replace(hash, first, row);
        } else {
            self.rows.set_next(row, field, self.rows.next(first, field));
            self.rows.set_next(first, field, row);
        }
    }

    /// Removes a row from the index of one of its texts.
    fn unlink(&mut self, row: RowId, field: TextField) {
        let k = field as usize;
        let Some(text) = self.rows.text(row, field) else { return };
        let hash = self.hash_text(text);
        let Some(first) = self.find_text(field, text, hash) else { return };
        let next = self.rows.next(row, field);
        self.rows.set_next(row, field, NONE);
        if first != row {
            let before = self.chain(first, field).find(|other| self.rows.next(*other, field) == row);
            if let Some(before) = before {
                self.rows.set_next(before, field, next);
            }
        } else if next == NONE {
            self.by_text[k].remove(hash, row);
        } else {
            self.promote_lowest(row, next, hash, field);
        }
    }

    /// Makes the row with the lowest ID of a chain the first, in place of `gone`.
    fn promote_lowest(&mut self, gone: RowId, chain: RowId, hash: u32, field: TextField) {
        let lowest = self.chain(chain, field).min_by_key(|row| self.rows.id(*row)).unwrap_or(chain);
        if lowest != chain {
            let before = self.chain(chain, field).find(|row| self.rows.next(*row, field) == lowest);
            if let Some(before) = before {
                self.rows.set_next(before, field, self.rows.next(lowest, field));
                self.rows.set_next(lowest, field, chain);
            }
        }
        self.by_text[field as usize].replace(hash, gone, lowest);
    }
}

fn upper_half(hash: u64) -> u32 {
    // Always fits.
    u32::try_from(hash >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests;
