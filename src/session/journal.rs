//! What has changed since the last write: one entry a row however often it changed, in the order of first change.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

use crate::entity_cache::Unsaved;
use crate::store::{Credentials, FileKey};

/// Keys in the order in which each was first added.
#[derive(Debug)]
pub(super) struct Order<K> {
    keys: VecDeque<K>,
    known: HashSet<K>,
}

impl<K> Default for Order<K> {
    fn default() -> Self {
        Self { keys: VecDeque::new(), known: HashSet::new() }
    }
}

impl<K: Clone + Eq + Hash> Order<K> {
    /// Returns whether the key is new.
    pub(super) fn add(&mut self, key: K) -> bool {
        let is_new = self.known.insert(key.clone());
        if is_new {
            self.keys.push_back(key);
        }
        is_new
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.known.contains(key)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn take(&mut self) -> Vec<K> {
        self.known.clear();
        std::mem::take(&mut self.keys).into()
    }

    /// Puts keys back before those that have come meanwhile.
    pub(super) fn put_back(&mut self, keys: Vec<K>) {
        let later = self.take();
        for key in keys.into_iter().chain(later) {
            self.add(key);
        }
    }
}

/// The journal of unsaved changes. The values are in the session; the cache knows of each entity what of it is unsaved.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) credentials: Option<Credentials>,
    /// Marked ids.
    pub(super) entities: VecDeque<i64>,
    pub(super) update_states: Order<i64>,
    pub(super) sent_files: Order<FileKey>,
    /// Entities that were only seen again, by their marked ids, and channels of whose update state only the date is another. A busy bot
    /// sees thousands of them each minute; to write each again each second would be most of its writing.
    pub(super) dates: VecDeque<i64>,
    pub(super) channel_dates: Order<i64>,
}

/// What a write has taken from the journal, to be put back if it fails.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) credentials: Option<Credentials>,
    pub(super) entities: Vec<(i64, Unsaved)>,
    pub(super) update_states: Vec<i64>,
    pub(super) sent_files: Vec<FileKey>,
}

impl Journal {
    pub(super) fn is_empty(&self) -> bool {
        self.holds_dates_only() && self.dates.is_empty() && self.channel_dates.len() == 0
    }

    /// Whether nothing is in it that cannot wait.
    pub(super) fn holds_dates_only(&self) -> bool {
        self.credentials.is_none() && self.entities.is_empty() && self.update_states.len() + self.sent_files.len() == 0
    }

    /// Has the dates written with the rest.
    pub(super) fn include_dates(&mut self) {
        // In the order of the table, of which they are often a good part: neighbours lie on one page.
        self.dates.make_contiguous().sort_unstable();
        self.entities.append(&mut self.dates);
        for id in self.channel_dates.take() {
            self.update_states.add(id);
        }
    }

    /// Puts credentials back, unless there are newer ones.
    pub(super) fn put_back_credentials(&mut self, credentials: Option<Credentials>) {
        if self.credentials.is_none() {
            self.credentials = credentials;
        }
    }

    /// What is in it, counted in words.
    pub(super) fn describe(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ if what == "entity" => Some(format!("{count} entities")),
            _ => Some(format!("{count} {what}s")),
        };
        let parts = [
            self.credentials.as_ref().map(|_| "the credentials".to_owned()),
            counted(self.entities.len(), "entity"),
            counted(self.update_states.len(), "update state"),
            counted(self.sent_files.len(), "sent file"),
            counted(self.dates.len() + self.channel_dates.len(), "date"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
