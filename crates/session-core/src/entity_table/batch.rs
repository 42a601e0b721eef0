//! A batch of entities on its way into the table or out of it.

use super::dirty::Dirty;
use super::record::{self, TextField};
use crate::entity::Entity;

/// The most aliases of an entity. Telegram allows fewer.
const MOST_ALIASES: usize = 100;

/// Entities, in one allocation for their numbers and one for their texts.
#[derive(Debug, Default)]
pub struct EntityBatch {
    rows: Vec<BatchRow>,
    records: Vec<u8>,
}

#[derive(Debug)]
struct BatchRow {
    id: i64,
    access_hash: Option<i64>,
    seen: u32,
    dirty: Dirty,
    knows_aliases: bool,
    /// The end of its record, which begins at the end of the one before.
    end: usize,
}

/// An entity of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchEntity<'a> {
    /// The marked ID.
    pub id: i64,
    /// The access hash.
    pub access_hash: Option<i64>,
    /// When it was last seen, in seconds since 1970; 0 if that is not known.
    pub seen: u32,
    /// Which part of it is new: the whole row, or access hash and date only if nothing else is
    /// known.
    pub dirty: Dirty,
    /// Whether it tells all aliases of the entity. If not, those that are known stay, unless the
    /// entity is called otherwise now.
    pub(crate) knows_aliases: bool,
    pub(crate) record: &'a [u8],
}

impl<'a> BatchEntity<'a> {
    /// Returns the date before which the row of a [forgotten](Dirty::Gone) entity must have been
    /// seen to be deleted; `None` if it is deleted whenever it was seen.
    #[must_use]
    pub fn gone_before(&self) -> Option<u32> {
        Some(self.seen).filter(|before| *before != u32::MAX)
    }

    /// Returns username, phone and name, as bytes of UTF-8.
    #[must_use]
    pub fn texts(&self) -> [Option<&'a [u8]>; 3] {
        record::read(self.record).0
    }

    /// Returns the aliases, as bytes of UTF-8: its active usernames besides the one in
    /// [`texts`](Self::texts).
    pub fn aliases(&self) -> impl Iterator<Item = &'a [u8]> {
        record::aliases(self.record).1
    }

    /// Returns `true` if it has aliases.
    #[must_use]
    pub fn has_aliases(&self) -> bool {
        record::has_aliases(self.record)
    }

    /// Returns when it was last seen with its aliases, in seconds since 1970.
    #[must_use]
    pub fn aliases_seen(&self) -> u32 {
        match record::aliases(self.record).0 {
            0 => self.seen,
            date => date,
        }
    }

    /// Returns its main username, as bytes of UTF-8: that in [`texts`](Self::texts) or, if there is
    /// none, its first alias.
    #[must_use]
    pub fn main_username(&self) -> Option<&'a [u8]> {
        self.texts()[0].or_else(|| self.aliases().next())
    }
}

impl EntityBatch {
    /// Returns an empty batch with room for this many entities.
    #[must_use]
    pub fn with_capacity(entities: usize) -> Self {
        const USUAL_RECORD: usize = 40;
        Self { rows: Vec::with_capacity(entities), records: Vec::with_capacity(entities * USUAL_RECORD) }
    }

    /// Returns how many entities fit without another allocation.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.rows.capacity()
    }

    /// Returns the number of entities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns `true` if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds an entity that was seen just now.
    pub fn push(&mut self, entity: &Entity<'_>) {
        self.push_named(entity, None);
    }

    /// Adds an entity that was seen just now. Appends a space and the last name, if any, to its
    /// name.
    pub fn push_named(&mut self, entity: &Entity<'_>, last_name: Option<&str>) {
        self.push_with(entity.id, entity.access_hash, 0, Dirty::Full, |out| record::write(out, entity, last_name));
    }

    /// Adds an entity that was seen at a date, in seconds since 1970; 0 if that is not known. Its
    /// aliases are not known.
    pub fn push_seen(&mut self, entity: &Entity<'_>, seen: u32) {
        self.push_with(entity.id, entity.access_hash, seen, Dirty::Full, |out| record::write(out, entity, None));
        self.set_knows_aliases(false);
    }

    /// Adds an input peer: its access hash is known, its texts are not.
    pub fn push_input_peer(&mut self, id: i64, access_hash: Option<i64>) {
        self.push_with(id, access_hash, 0, Dirty::AccessHashAndDate, |out| record::write_texts(out, [None; 3]));
    }

    /// Adds a row as a store holds it. Texts are bytes of UTF-8.
    pub fn push_stored(&mut self, id: i64, access_hash: i64, seen: u32, texts: [Option<&[u8]>; 3]) {
        self.push_with(id, Some(access_hash), seen, Dirty::Clean, |out| record::write_texts(out, texts));
    }

    /// Adds an alias to the entity that was added last, unless that has this username already. All its
    /// aliases are known then.
    pub fn push_alias(&mut self, alias: &[u8]) {
        self.set_knows_aliases(true);
        let begin = self.begin_of_last();
        let record = self.records.get(begin..).unwrap_or_default();
        let is_known = record::read_one(record, TextField::Username) == Some(alias)
            || record::aliases(record).1.any(|known| known == alias);
        let is_full = record::aliases(record).1.count() >= MOST_ALIASES;
        if let Some(last) = self.rows.last_mut()
            && !(is_known || is_full)
        {
            record::push_alias(&mut self.records, begin, alias);
            last.end = self.records.len();
        }
    }

    /// Sets when the entity that was added last was seen with its aliases, if that was earlier than it
    /// was seen itself.
    pub fn set_aliases_seen(&mut self, date: u32) {
        let begin = self.begin_of_last();
        record::set_alias_date(&mut self.records, begin, date);
    }

    /// Notes whether all aliases of the entity that was added last are known.
    pub fn set_knows_aliases(&mut self, knows_aliases: bool) {
        if let Some(last) = self.rows.last_mut() {
            last.knows_aliases = knows_aliases;
        }
    }

    fn begin_of_last(&self) -> usize {
        let before = self.rows.len().checked_sub(2).and_then(|before| self.rows.get(before));
        before.map_or(0, |before| before.end)
    }

    /// Adds an entity that was forgotten, whose row is to be deleted if it was last seen before a
    /// date; `u32::MAX` for any.
    pub fn push_gone(&mut self, id: i64, before: u32) {
        self.push_with(id, None, before, Dirty::Gone, |out| record::write_texts(out, [None; 3]));
    }

    /// Returns the entities that `is_left_out` does not leave out; `None` if that is all.
    #[must_use]
    pub fn without(&self, is_left_out: impl Fn(&BatchEntity<'_>) -> bool) -> Option<Self> {
        if !self.iter().any(|entity| is_left_out(&entity)) {
            return None;
        }
        let mut rest = Self::default();
        self.iter().filter(|entity| !is_left_out(entity)).for_each(|entity| rest.push_entity(&entity));
        Some(rest)
    }

    /// Returns the marked IDs.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().map(|row| row.id)
    }

    /// Removes all entities and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.records.clear();
    }

    /// Sets the date of all entities.
    pub fn set_seen(&mut self, seen: u32) {
        self.rows.iter_mut().for_each(|row| row.seen = seen);
    }

    /// Sets the date of the entities that have none.
    pub fn set_seen_where_unknown(&mut self, seen: u32) {
        self.rows.iter_mut().filter(|row| row.seen == 0).for_each(|row| row.seen = seen);
    }

    /// Returns the entity at an index.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<BatchEntity<'_>> {
        let row = self.rows.get(at)?;
        let begin = at.checked_sub(1).and_then(|before| self.rows.get(before)).map_or(0, |before| before.end);
        let record = self.records.get(begin..row.end).unwrap_or_default();
        Some(row.entity(record))
    }

    /// Returns the entities, in order.
    pub fn iter(&self) -> impl Iterator<Item = BatchEntity<'_>> {
        let mut begin = 0;
        self.rows.iter().map(move |row| {
            let record = self.records.get(begin..row.end).unwrap_or_default();
            begin = row.end;
            row.entity(record)
        })
    }

    /// Adds all entities of another batch.
    pub fn append(&mut self, batch: &Self) {
        let before = self.records.len();
        self.records.extend_from_slice(&batch.records);
        self.rows.extend(batch.rows.iter().map(|row| BatchRow { end: before + row.end, ..*row }));
    }

    /// Adds an entity of another batch or of the table.
    pub fn push_entity(&mut self, entity: &BatchEntity<'_>) {
        let BatchEntity { id, access_hash, seen, dirty, knows_aliases, record } = *entity;
        self.push_with(id, access_hash, seen, dirty, |out| out.extend_from_slice(record));
        self.set_knows_aliases(knows_aliases);
    }

    fn push_with(
        &mut self,
        id: i64,
        access_hash: Option<i64>,
        seen: u32,
        dirty: Dirty,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        write(&mut self.records);
        self.rows.push(BatchRow { id, access_hash, seen, dirty, knows_aliases: true, end: self.records.len() });
    }
}

impl BatchRow {
    fn entity<'a>(&self, record: &'a [u8]) -> BatchEntity<'a> {
        let Self { id, access_hash, seen, dirty, knows_aliases, .. } = *self;
        BatchEntity { id, access_hash, seen, dirty, knows_aliases, record }
    }
}
