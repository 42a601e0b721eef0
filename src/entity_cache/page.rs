//! A page of entities on its way into the cache or out of it.

use super::record;
use super::unsaved::Unsaved;
use crate::entity::Entity;

/// Entities in one allocation for their numbers and one for their texts.
#[derive(Debug, Default)]
pub struct EntityPage {
    rows: Vec<PageRow>,
    records: Vec<u8>,
}

#[derive(Debug)]
struct PageRow {
    id: i64,
    hash: Option<i64>,
    seen: u32,
    unsaved: Unsaved,
    /// Where its record ends; it begins where the one before ends.
    end: usize,
}

/// One entity of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageEntity<'a> {
    /// The marked id.
    pub id: i64,
    /// The access hash.
    pub hash: Option<i64>,
    /// When it was last seen, in seconds since 1970; 0 where that is not known.
    pub seen: u32,
    /// What of it is news: the whole row, or hash and date only where nothing else was told.
    pub unsaved: Unsaved,
    pub(crate) record: &'a [u8],
}

impl<'a> PageEntity<'a> {
    /// Username, phone and name, as bytes of UTF-8.
    #[must_use]
    pub fn texts(&self) -> [Option<&'a [u8]>; 3] {
        record::read(self.record).0
    }
}

impl EntityPage {
    /// An empty page with room for as many entities.
    #[must_use]
    pub fn with_capacity(entities: usize) -> Self {
        const USUAL_RECORD: usize = 40;
        Self { rows: Vec::with_capacity(entities), records: Vec::with_capacity(entities * USUAL_RECORD) }
    }

    /// For how many entities there is room before more memory is needed.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.rows.capacity()
    }

    /// How many entities there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds an entity that was seen just now.
    pub fn push(&mut self, entity: &Entity<'_>) {
        self.push_named(entity, None);
    }

    /// Adds an entity that was seen just now, to whose name there comes, after a space, a last name.
    pub fn push_named(&mut self, entity: &Entity<'_>, last_name: Option<&str>) {
        self.push_with(entity.id, entity.hash, 0, Unsaved::Row, |out| record::write(out, entity, last_name));
    }

    /// Adds an entity that was seen at some time, in seconds since 1970; 0 where that is not known.
    pub fn push_seen(&mut self, entity: &Entity<'_>, seen: u32) {
        self.push_with(entity.id, entity.hash, seen, Unsaved::Row, |out| record::write(out, entity, None));
    }

    /// Adds an input peer: its hash is told, its username, phone and name are not.
    pub fn push_input_peer(&mut self, id: i64, hash: Option<i64>) {
        self.push_with(id, hash, 0, Unsaved::HashAndDate, |out| record::write_texts(out, [None; 3]));
    }

    /// Adds a row as a store holds it; texts are bytes of UTF-8.
    pub fn push_stored(&mut self, id: i64, hash: i64, seen: u32, texts: [Option<&[u8]>; 3]) {
        self.push_with(id, Some(hash), seen, Unsaved::Nothing, |out| record::write_texts(out, texts));
    }

    /// Forgets the entities, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.records.clear();
    }

    /// Says of all entities when they were seen.
    pub fn set_seen(&mut self, seen: u32) {
        self.rows.iter_mut().for_each(|row| row.seen = seen);
    }

    /// Says of the entities of which it is not known when they were seen that it was then.
    pub fn set_seen_where_unknown(&mut self, seen: u32) {
        self.rows.iter_mut().filter(|row| row.seen == 0).for_each(|row| row.seen = seen);
    }

    /// The entity at a place.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<PageEntity<'_>> {
        let row = self.rows.get(at)?;
        let begin = at.checked_sub(1).and_then(|before| self.rows.get(before)).map_or(0, |before| before.end);
        let record = self.records.get(begin..row.end).unwrap_or_default();
        Some(PageEntity { id: row.id, hash: row.hash, seen: row.seen, unsaved: row.unsaved, record })
    }

    /// The entities, in order.
    pub fn iter(&self) -> impl Iterator<Item = PageEntity<'_>> {
        let mut begin = 0;
        self.rows.iter().map(move |row| {
            let record = self.records.get(begin..row.end).unwrap_or_default();
            begin = row.end;
            PageEntity { id: row.id, hash: row.hash, seen: row.seen, unsaved: row.unsaved, record }
        })
    }

    /// Adds all entities of another page.
    pub fn append(&mut self, page: &Self) {
        let before = self.records.len();
        self.records.extend_from_slice(&page.records);
        self.rows.extend(page.rows.iter().map(|row| PageRow { end: before + row.end, ..*row }));
    }

    /// Adds an entity of another page or of the cache.
    pub fn push_entity(&mut self, entity: &PageEntity<'_>) {
        let PageEntity { id, hash, seen, unsaved, record } = *entity;
        self.push_with(id, hash, seen, unsaved, |out| out.extend_from_slice(record));
    }

    fn push_with(&mut self, id: i64, hash: Option<i64>, seen: u32, unsaved: Unsaved, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.records);
        self.rows.push(PageRow { id, hash, seen, unsaved, end: self.records.len() });
    }
}
