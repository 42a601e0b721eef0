//! Aliases: the active usernames of an entity besides the one in its texts.
//!
//! They are part of the record of a row. Few entities have any, so one small index for the whole table
//! tells the owner of each: the entity that was seen with it last. Others lose it when the new owner is
//! seen rather than when it is looked up, so that they do not get it back when the new owner loses it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::dirty::Dirty;
use super::record::{self, TextField};
use super::rows::RowId;
use super::{EntityTable, IdAndAccessHash};

const USERNAME: TextField = TextField::Username;

/// The owner of each alias.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    owners: HashMap<Box<[u8]>, i64, RandomState>,
    /// Entities that were clean and have lost a username, until the caller is told.
    lost: Vec<i64>,
}

/// How usernames of a row were learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It was just seen with them, after everything that is known.
    Seen,
    /// The store has them.
    Stored,
}

impl EntityTable {
    /// Settles which entity has the usernames of a row that are aliases, its own or those of others: the
    /// one that was seen with it last. Returns the number of the row from now on.
    pub(super) fn claim_usernames(&mut self, row: RowId, source: Source) -> RowId {
        if self.aliases.owners.is_empty() && !record::has_aliases(self.rows.record(row)) {
            return row;
        }
        let row = self.claim_main(row, source);
        if !record::has_aliases(self.rows.record(row)) {
            return row;
        }
        let (id, seen) = (self.rows.id(row), self.aliases_seen(row));
        let (date, aliases) = record::aliases(self.rows.record(row));
        let all: Vec<Box<[u8]>> = aliases.map(Into::into).collect();
        let mut kept = Vec::new();
        for alias in &all {
            if self.claim_alias(id, alias, seen, source) {
                self.aliases.owners.insert(alias.clone(), id);
                kept.push(&**alias);
            }
        }
        if kept.len() == all.len() {
            return row;
        }
        if source == Source::Stored {
            // The stored row still has them.
            self.mark_lost(row);
        }
        self.set_aliases(row, date, &kept)
    }

    /// Settles which entity has the username in a row's texts, if it is the alias of another one.
    fn claim_main(&mut self, row: RowId, source: Source) -> RowId {
        let id = self.rows.id(row);
        let Some(main) = self.rows.text(row, USERNAME).map(<[u8]>::to_vec) else { return row };
        let Some(owner) = self.owner(&main).filter(|owner| self.rows.id(*owner) != id) else { return row };
        let (mine, theirs) = (self.rows.seen(row), self.aliases_seen(owner));
        // Telethon knows of no aliases. If it has stored the username in the second in which another
        // entity was stored with it, then later. What is not stored yet is newer than what is.
        let is_newer_here = source == Source::Stored && !self.rows.dirty(owner).is_date_at_most();
        if mine > theirs || (mine == theirs && !is_newer_here) {
            self.drop_alias(owner, &main);
            return row;
        }
        self.take_username(id);
        self.row_of(id).unwrap_or(row)
    }

    /// Takes an alias from entities that were seen with it earlier than `seen`. Returns `false` if one
    /// was seen with it later.
    fn claim_alias(&mut self, id: i64, alias: &[u8], seen: u32, source: Source) -> bool {
        let wins = |theirs: u32| seen > theirs || (seen == theirs && source == Source::Seen);
        if let Some(owner) = self.owner(alias).filter(|owner| self.rows.id(*owner) != id) {
            // In the store a username is the alias of one entity, whose row is the truth unless the other
            // one has not been stored since it was seen.
            let theirs = self.aliases_seen(owner);
            let is_stored_since = source == Source::Stored && self.rows.dirty(owner).is_date_at_most();
            if !(wins(theirs) || (seen == theirs && is_stored_since)) {
                return false;
            }
            self.drop_alias(owner, alias);
        }
        let Some(first) = self.first(USERNAME, alias) else { return true };
        let staying = self.chain(first, USERNAME).filter(|row| !self.rows.is_leaving(*row, USERNAME));
        let rows = staying.map(|row| (self.rows.seen(row), self.rows.id(row)));
        let holders: Vec<_> = rows.filter(|(_, holder)| *holder != id).collect();
        if holders.iter().any(|(theirs, _)| !wins(*theirs)) {
            return false;
        }
        for (_, holder) in holders {
            self.take_username(holder);
        }
        true
    }

    /// Takes its username from an entity.
    fn take_username(&mut self, id: i64) {
        if self.drop_username(id) {
            self.aliases.lost.push(id);
        }
    }

    /// Removes the aliases of a row from the index. Call before its record changes.
    pub(super) fn unlink_aliases(&mut self, row: RowId) {
        let Self { rows, aliases, .. } = self;
        if !record::has_aliases(rows.record(row)) {
            return;
        }
        let id = rows.id(row);
        for alias in record::aliases(rows.record(row)).1 {
            if aliases.owners.get(alias) == Some(&id) {
                aliases.owners.remove(alias);
            }
        }
    }

    /// Returns the entity that has a username as an alias. No entity has it in its texts then.
    pub(super) fn by_alias(&self, username: &str) -> Option<IdAndAccessHash> {
        self.owner(username.as_bytes()).map(|row| self.id_and_access_hash(row))
    }

    /// Calls `on_dirty` with the marked IDs of entities that have lost a username and were clean before.
    pub(super) fn report_lost(&mut self, mut on_dirty: impl FnMut(i64)) {
        if !self.aliases.lost.is_empty() {
            std::mem::take(&mut self.aliases.lost).into_iter().for_each(&mut on_dirty);
        }
    }

    /// Returns the record that a row gets from one that does not tell all aliases; `None` if it is that
    /// record itself.
    pub(super) fn with_known_aliases(&self, row: RowId, record: &[u8]) -> Option<Vec<u8>> {
        let known = self.rows.record(row);
        if !record::has_aliases(known) {
            return None;
        }
        let [username, phone, name] = record::read(record).0;
        let known_username = self.rows.text(row, USERNAME);
        let (date, mut aliases) = record::aliases(known);
        if username != known_username.or_else(|| aliases.next()) {
            return None;
        }
        let mut whole = Vec::new();
        record::write_with_aliases(&mut whole, [known_username, phone, name], date, record::aliases(known).1);
        Some(whole)
    }

    /// Returns the row of the entity that has an alias.
    fn owner(&self, alias: &[u8]) -> Option<RowId> {
        self.aliases.owners.get(alias).and_then(|id| self.row_of(*id))
    }

    /// Returns when an entity was last seen with its aliases.
    fn aliases_seen(&self, row: RowId) -> u32 {
        match record::aliases(self.rows.record(row)).0 {
            0 => self.rows.seen(row),
            date => date,
        }
    }

    fn drop_alias(&mut self, row: RowId, alias: &[u8]) {
        let (date, aliases) = record::aliases(self.rows.record(row));
        let kept: Vec<Box<[u8]>> = aliases.filter(|other| *other != alias).map(Into::into).collect();
        self.mark_lost(row);
        self.set_aliases(row, date, &kept.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    }

    /// Gives a row aliases of which it is the owner. Returns its number from now on.
    fn set_aliases(&mut self, row: RowId, date: u32, aliases: &[&[u8]]) -> RowId {
        let mut record = Vec::new();
        let (texts, _) = record::read(self.rows.record(row));
        record::write_with_aliases(&mut record, texts, date, aliases.iter().copied());
        let row = self.set_texts(row, &record);
        self.link_aliases(row);
        row
    }

    /// Makes an entity the owner of all its aliases.
    pub(super) fn link_aliases(&mut self, row: RowId) {
        let Self { rows, aliases, .. } = self;
        let id = rows.id(row);
        for alias in record::aliases(rows.record(row)).1 {
            aliases.owners.insert(alias.into(), id);
        }
    }

    /// Marks an entity that loses an alias dirty.
    fn mark_lost(&mut self, row: RowId) {
        let before = self.rows.dirty(row);
        self.rows.set_dirty(row, before.and(Dirty::LostAlias));
        if before.is_date_at_most() {
            self.aliases.lost.push(self.rows.id(row));
        }
    }
}
