//! What has changed since the last write: one entry a row, however often it changed, in the order
//! of the first change.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use foldhash::fast::RandomState;

use crate::credentials::Credentials;
use crate::entity_table::Dirty;
use crate::store::FileKey;

/// Keys in the order in which each was first added.
pub(super) type IndexSet<K> = indexmap::IndexSet<K, RandomState>;

/// The keys of what is dirty. The values are in the session's state; the entity table knows which
/// part of each entity is dirty.
#[derive(Debug, Default)]
pub(super) struct DirtySet {
    pub(super) credentials: Option<Credentials>,
    /// Marked IDs, each once because the table knows which entities are dirty already.
    pub(super) entities: VecDeque<i64>,
    /// Entities that were forgotten, by marked ID, and before which date each must have been seen;
    /// all of them are among `entities`. One that was received again since is written as a whole.
    pub(super) forgotten: HashMap<i64, u32, RandomState>,
    pub(super) update_states: IndexSet<i64>,
    pub(super) sent_files: IndexSet<FileKey>,
    /// Marked IDs of entities of which only the date is dirty. A busy bot sees thousands of
    /// entities again each minute; writing their dates every second would be most of its writes.
    pub(super) dates: VecDeque<i64>,
    /// Channels of whose update state only the date is dirty.
    pub(super) channel_dates: IndexSet<i64>,
}

/// What a write has taken out of the dirty set, to be restored if it fails.
#[derive(Default)]
pub(super) struct InFlight {
    pub(super) credentials: Option<Credentials>,
    pub(super) entities: Vec<(i64, Dirty)>,
    pub(super) forgotten: Vec<(i64, u32)>,
    pub(super) update_states: IndexSet<i64>,
    pub(super) sent_files: IndexSet<FileKey>,
}

/// How much a write has taken out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    has_credentials: bool,
    entities: usize,
    update_states: usize,
    sent_files: usize,
}

impl InFlight {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            has_credentials: self.credentials.is_some(),
            entities: self.entities.len() + self.forgotten.len(),
            update_states: self.update_states.len(),
            sent_files: self.sent_files.len(),
        }
    }
}

impl DirtySet {
    pub(super) fn is_empty(&self) -> bool {
        self.holds_dates_only() && self.dates.is_empty() && self.channel_dates.is_empty()
    }

    /// Returns `true` if nothing but dates is dirty.
    pub(super) fn holds_dates_only(&self) -> bool {
        self.credentials.is_none()
            && self.entities.is_empty()
            && self.update_states.is_empty()
            && self.sent_files.is_empty()
    }

    /// Adds an entity that was forgotten. Its row is deleted if it was last seen before a date.
    pub(super) fn forget(&mut self, id: i64, before: u32) {
        match self.forgotten.entry(id) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                *known = before.max(*known);
            }
            Entry::Vacant(new) => {
                new.insert(before);
                self.entities.push_back(id);
            }
        }
    }

    /// Returns `true` if an entity that was last seen at a date is to be deleted.
    pub(super) fn is_forgotten(&self, id: i64, seen: u32) -> bool {
        self.forgotten.get(&id).is_some_and(|before| *before == u32::MAX || seen < *before)
    }

    /// Has the dates written with the rest.
    pub(super) fn include_dates(&mut self) {
        // In the order of the table, of which they are often a large part: neighbours share a page.
        self.dates.make_contiguous().sort_unstable();
        self.entities.append(&mut self.dates);
        self.update_states.extend(std::mem::take(&mut self.channel_dates));
    }

    /// Restores credentials, unless newer ones are dirty.
    pub(super) fn restore_credentials(&mut self, credentials: Option<Credentials>) {
        if self.credentials.is_none() {
            self.credentials = credentials;
        }
    }

    /// Counts what is dirty and what is `in_flight`, in words.
    pub(super) fn describe(&self, in_flight: impl Iterator<Item = Counts>) -> String {
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ if what == "entity" => Some(format!("{count} entities")),
            _ => Some(format!("{count} {what}s")),
        };
        let dirty = Counts {
            has_credentials: self.credentials.is_some(),
            entities: self.entities.len(),
            update_states: self.update_states.len(),
            sent_files: self.sent_files.len(),
        };
        let all = in_flight.fold(dirty, |sum, some| Counts {
            has_credentials: sum.has_credentials || some.has_credentials,
            entities: sum.entities + some.entities,
            update_states: sum.update_states + some.update_states,
            sent_files: sum.sent_files + some.sent_files,
        });
        let parts = [
            all.has_credentials.then(|| "the credentials".to_owned()),
            counted(all.entities, "entity"),
            counted(all.update_states, "update state"),
            counted(all.sent_files, "sent file"),
            counted(self.dates.len() + self.channel_dates.len(), "date"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Puts keys back in front of those that have been added since.
pub(super) fn restore<K: Eq + Hash>(into: &mut IndexSet<K>, mut keys: IndexSet<K>) {
    keys.append(into);
    *into = keys;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restored_keys_come_first_and_once() {
        let mut set: IndexSet<i64> = [3, 1].into_iter().collect();
        restore(&mut set, [1, 2].into_iter().collect());
        assert_eq!(set.iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
