//! Every user, chat and channel of a session, answered by id, username, phone and name without a search.
//!
//! [`EntityCache`] is one growing table of rows and one arena of text, with four indexes that hold row numbers only. It
//! knows neither Telethon nor SQL. [`EntityPage`] carries entities in and out of it.

mod arena;
mod index;
mod page;
pub(crate) mod record;
mod table;

pub use page::{EntityPage, PageEntity};
pub use record::TextKey;
pub use table::Unsaved;

use index::Index;
use table::{NONE, Row, Table};

use crate::entity::Entity;

/// The number of a row. Rows keep their numbers for as long as the cache lives.
pub type RowId = u32;

/// An id and access hash, as `get_entity_rows_by_...` answers.
pub type IdAndHash = (i64, Option<i64>);

/// The cache. See the [module](self).
#[derive(Debug, Default)]
pub struct EntityCache {
    table: Table,
    by_id: Index,
    by_text: [Index; 3],
}

impl EntityCache {
    /// How many entities there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores an entity as it was just seen. Returns its row if that had nothing unsaved before and has now.
    pub fn put(&mut self, entity: &PageEntity<'_>) -> Option<RowId> {
        let Some(row) = self.find_id(entity.id) else {
            let row = self.push(entity, entity.unsaved);
            return (entity.unsaved != Unsaved::Nothing).then_some(row);
        };
        let found = self.table.row(row);
        let before = found.unsaved;
        let names_are_told = entity.unsaved != Unsaved::HashAndDate;
        let same_texts = !names_are_told || self.table.arena.holds(found.texts, entity.record);
        let same_numbers =
            (found.hash, found.has_hash, found.seen) == (entity.hash.unwrap_or(0), entity.hash.is_some(), entity.seen);
        if same_texts && same_numbers {
            return None;
        }
        if !same_texts {
            self.set_texts(row, entity.record);
        }
        let found = self.table.row_mut(row);
        (found.hash, found.has_hash, found.seen) = (entity.hash.unwrap_or(0), entity.hash.is_some(), entity.seen);
        found.unsaved = before.and(entity.unsaved);
        (before == Unsaved::Nothing).then_some(row)
    }

    /// Takes over what a store holds of an entity. What is unsaved here is newer and stays.
    pub fn put_stored(&mut self, entity: &PageEntity<'_>) {
        let Some(row) = self.find_id(entity.id) else {
            self.push(entity, Unsaved::Nothing);
            return;
        };
        let found = self.table.row(row);
        match found.unsaved {
            Unsaved::Row | Unsaved::LostUsername => return,
            Unsaved::Nothing | Unsaved::HashAndDate => {}
        }
        let unsaved = found.unsaved;
        if !self.table.arena.holds(found.texts, entity.record) {
            self.set_texts(row, entity.record);
        }
        if unsaved == Unsaved::Nothing {
            let found = self.table.row_mut(row);
            (found.hash, found.has_hash, found.seen) = (entity.hash.unwrap_or(0), entity.hash.is_some(), entity.seen);
        }
    }

    /// The entity in a row.
    #[must_use]
    pub fn get(&self, row: RowId) -> Entity<'_> {
        let found = self.table.row(row);
        let [username, phone, name] =
            record::read(self.table.record(row)).0.map(|text| text.and_then(|text| std::str::from_utf8(text).ok()));
        Entity { id: found.id, hash: found.has_hash.then_some(found.hash), username, phone, name }
    }

    /// The entity with this marked id.
    #[must_use]
    pub fn by_id(&self, id: i64) -> Option<IdAndHash> {
        self.find_id(id).map(|row| self.id_and_hash(row))
    }

    /// The entity with this phone or name; the one with the lowest marked id where several have it.
    #[must_use]
    pub fn by_text(&self, key: TextKey, text: &str) -> Option<IdAndHash> {
        self.first(key, text.as_bytes()).map(|row| self.id_and_hash(row))
    }

    /// The entity with this username: the one seen last, then the one with the highest id. Others that have it lose it; their rows
    /// are given to `lost` if they had nothing unsaved before.
    pub fn by_username(&mut self, username: &str, mut lost: impl FnMut(RowId)) -> Option<IdAndHash> {
        const KEY: TextKey = TextKey::Username;
        let first = self.first(KEY, username.as_bytes())?;
        if self.table.row(first).next[KEY as usize] == NONE {
            return Some(self.id_and_hash(first));
        }
        let rows: Vec<RowId> = self.chain(first, KEY).collect();
        let newest = rows.iter().copied().max_by_key(|row| {
            let row = self.table.row(*row);
            (row.seen, row.id)
        })?;
        for row in rows.into_iter().filter(|row| *row != newest) {
            if self.drop_username(row) {
                lost(row);
            }
        }
        Some(self.id_and_hash(newest))
    }

    /// Copies a row out and counts it as saved.
    pub fn take_unsaved(&mut self, row: RowId, into: &mut EntityPage) {
        self.copy(row, into);
        self.table.row_mut(row).unsaved = Unsaved::Nothing;
    }

    /// Copies of all rows, in order.
    #[must_use]
    pub fn copy_all(&self) -> EntityPage {
        let mut page = EntityPage::with_capacity(self.len());
        (0..self.len()).filter_map(|row| RowId::try_from(row).ok()).for_each(|row| self.copy(row, &mut page));
        page
    }

    fn copy(&self, row: RowId, into: &mut EntityPage) {
        let Row { id, hash, seen, has_hash, unsaved, .. } = *self.table.row(row);
        let bytes = self.table.record(row);
        let record = &bytes[..record::read(bytes).1];
        into.push_record(&PageEntity { id, hash: has_hash.then_some(hash), seen, unsaved, record });
    }

    /// Counts a row as unsaved again. Returns whether it had become unsaved anew meanwhile.
    pub fn put_back_unsaved(&mut self, row: RowId, unsaved: Unsaved) -> bool {
        let found = self.table.row_mut(row);
        let again = found.unsaved != Unsaved::Nothing;
        found.unsaved = found.unsaved.and(unsaved);
        again
    }

    fn find_id(&self, id: i64) -> Option<RowId> {
        self.by_id.find(self.table.hash_id(id), |row| self.table.row(row).id == id)
    }

    fn id_and_hash(&self, row: RowId) -> IdAndHash {
        let row = self.table.row(row);
        (row.id, row.has_hash.then_some(row.hash))
    }

    fn push(&mut self, entity: &PageEntity<'_>, unsaved: Unsaved) -> RowId {
        let texts = self.table.arena.insert(entity.record);
        let row = self.table.push(Row {
            id: entity.id,
            hash: entity.hash.unwrap_or(0),
            texts,
            seen: entity.seen,
            next: [NONE; 3],
            has_hash: entity.hash.is_some(),
            unsaved,
        });
        self.by_id.insert(self.table.hash_id(entity.id), row);
        for key in TextKey::ALL {
            self.link(row, key);
        }
        row
    }

    fn set_texts(&mut self, row: RowId, record: &[u8]) {
        let (new, _) = record::read(record);
        let (old, _) = record::read(self.table.record(row));
        let changed = TextKey::ALL.map(|key| old[key as usize] != new[key as usize]);
        for key in TextKey::ALL.into_iter().filter(|key| changed[*key as usize]) {
            self.unlink(row, key);
        }
        let old = self.table.row(row).texts;
        self.table.arena.remove(old);
        let new = self.table.arena.insert(record);
        self.table.row_mut(row).texts = new;
        for key in TextKey::ALL.into_iter().filter(|key| changed[*key as usize]) {
            self.link(row, key);
        }
    }

    /// Returns whether the row had nothing unsaved before.
    fn drop_username(&mut self, row: RowId) -> bool {
        let mut record = Vec::new();
        let ([_, phone, name], _) = record::read(self.table.record(row));
        record::write_texts(&mut record, [None, phone, name]);
        self.set_texts(row, &record);
        let row = self.table.row_mut(row);
        let was_saved = row.unsaved == Unsaved::Nothing;
        row.unsaved = row.unsaved.and(Unsaved::LostUsername);
        was_saved
    }

    /// The first row of the chain of those with this text: the one with the lowest id.
    fn first(&self, key: TextKey, text: &[u8]) -> Option<RowId> {
        self.by_text[key as usize].find(self.table.hash_text(text), |row| self.table.text(row, key) == Some(text))
    }

    fn chain(&self, first: RowId, key: TextKey) -> impl Iterator<Item = RowId> {
        let next = move |row: &RowId| Some(self.table.row(*row).next[key as usize]).filter(|row| *row != NONE);
        std::iter::successors(Some(first), next)
    }

    /// Puts a row into the index of one of its texts: alone, or into the chain of those that have the same.
    fn link(&mut self, row: RowId, key: TextKey) {
        let k = key as usize;
        let Some(text) = self.table.text(row, key) else { return };
        let hash = self.table.hash_text(text);
        let Some(first) = self.by_text[k].find(hash, |other| self.table.text(other, key) == Some(text)) else {
            self.by_text[k].insert(hash, row);
            return;
        };
        if self.table.row(row).id < self.table.row(first).id {
            self.table.row_mut(row).next[k] = first;
            self.by_text[k].replace(hash, first, row);
        } else {
            self.table.row_mut(row).next[k] = std::mem::replace(&mut self.table.row_mut(first).next[k], row);
        }
    }

    /// Takes a row out of the index of one of its texts.
    fn unlink(&mut self, row: RowId, key: TextKey) {
        let k = key as usize;
        let Some(text) = self.table.text(row, key) else { return };
        let hash = self.table.hash_text(text);
        let Some(first) = self.first(key, text) else { return };
        let next = std::mem::replace(&mut self.table.row_mut(row).next[k], NONE);
        if first != row {
            let before = self.chain(first, key).find(|other| self.table.row(*other).next[k] == row);
            if let Some(before) = before {
                self.table.row_mut(before).next[k] = next;
            }
        } else if next == NONE {
            self.by_text[k].remove(hash, row);
        } else {
            self.promote_lowest(row, next, hash, key);
        }
    }

    /// Makes the row with the lowest id of a chain its first one, in the place of `gone`.
    fn promote_lowest(&mut self, gone: RowId, chain: RowId, hash: u32, key: TextKey) {
        let k = key as usize;
        let lowest = self.chain(chain, key).min_by_key(|row| self.table.row(*row).id).unwrap_or(chain);
        if lowest != chain {
            let before = self.chain(chain, key).find(|row| self.table.row(*row).next[k] == lowest);
            if let Some(before) = before {
                let after = self.table.row(lowest).next[k];
                self.table.row_mut(before).next[k] = after;
                self.table.row_mut(lowest).next[k] = chain;
            }
        }
        self.by_text[k].replace(hash, gone, lowest);
    }
}

#[cfg(test)]
mod tests;
