//! What a session holds, under one lock that is held for moments only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::journal::{Journal, Taken};
use super::mirror::Mirror;
use super::trouble::Trouble;
use super::turns::Turns;
use crate::entity_cache::{EntityCache, EntityPage, Unsaved};
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{Changes, Credentials, FileKey, SentFile, UpdateState};

/// Called once, when everything up to a change is written or cannot be.
pub type OnSaved = Box<dyn FnOnce(Result<()>) + Send>;

/// Somebody who waits for changes to be written.
pub(super) struct Waiter {
    pub(super) up_to: u64,
    pub(super) tell: OnSaved,
}

/// What is left of a write that ended early, because it took long or because its store was wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// The number of the last change that belongs to it.
    pub(super) up_to: u64,
    /// How many of the entities in the journal, counted from the first.
    pub(super) rows: usize,
    /// Whether dates belong to it.
    pub(super) with_dates: bool,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct State {
    pub(super) cache: EntityCache,
    pub(super) update_states: BTreeMap<i64, UpdateState>,
    pub(super) sent_files: HashMap<FileKey, SentFile>,
    pub(super) journal: Journal,
    /// The key that was read when the session was opened, or that the caller has set since.
    pub(super) key: Zeroizing<Vec<u8>>,
    /// Whether credentials are being written: they are not in the journal any more, and not on disk yet.
    pub(super) are_credentials_under_way: bool,
    /// Changes counted, and how many of them are written.
    pub(super) changes: u64,
    pub(super) saved: u64,
    pub(super) waiters: Vec<Waiter>,
    pub(super) rest: Option<Rest>,
    pub(super) turns: Turns,
    /// When what is unsaved is to be written; `None` before anybody has asked for it.
    pub(super) due: Option<Instant>,
    /// The same for mere dates.
    pub(super) dates_due: Option<Instant>,
    /// Whether nobody holds the session any more but the writer.
    pub(super) is_abandoned: bool,
    pub(super) mirror: Mirror,
    pub(super) trouble: Trouble,
    /// The number of forks when this was last used.
    pub(super) generation: u64,
}

impl State {
    pub(super) fn is_saved(&self) -> bool {
        self.saved == self.changes && self.journal.is_empty()
    }

    /// When the next write is due; `None` if there is nothing to write. Who waits for what is written already is told by a write of
    /// nothing.
    pub(super) fn next_write(&self) -> Option<Instant> {
        if !self.waiters.is_empty() || self.rest.is_some() {
            Some(Instant::now())
        } else if self.journal.is_empty() {
            None
        } else {
            let due = if self.journal.holds_dates_only() { self.dates_due } else { self.due };
            Some(due.unwrap_or_else(Instant::now))
        }
    }

    /// In how long the next write is due, and may be.
    pub(super) fn time_to_next_write(&self) -> Option<Duration> {
        self.next_write().map(|due| due.saturating_duration_since(Instant::now()).max(self.turns.rest()))
    }

    /// Begins a write of all that is unsaved now, or goes on with one that ended early. Returns the
    /// number of the last change that belongs to it, and whether dates do.
    pub(super) fn begin_write(&mut self, with_dates: bool) -> (u64, bool) {
        if let Some(rest) = self.rest.filter(|rest| rest.with_dates || !with_dates) {
            return (rest.up_to, rest.with_dates);
        }
        self.rest = None;
        if with_dates {
            self.journal.include_dates();
            self.dates_due = None;
        }
        (self.changes, with_dates)
    }

    /// How many entities belong to the write that was begun, counted from the first in the journal.
    pub(super) fn rows_to_write(&mut self) -> usize {
        self.rest.take().map_or(self.journal.entities.len(), |rest| rest.rows)
    }

    /// Whether dates go with the next write: somebody waits for all, or it is time.
    pub(super) fn are_dates_due(&self) -> bool {
        !self.waiters.is_empty() || self.dates_due.is_some_and(|due| due <= Instant::now())
    }

    /// Takes the credentials out of the journal, to be written.
    pub(super) fn take_credentials(&mut self) -> Option<Credentials> {
        let credentials = self.journal.credentials.take();
        self.are_credentials_under_way |= credentials.is_some();
        credentials
    }

    /// Copies out the next changes, `rows` entities at the most, and counts them as saved.
    pub(super) fn take(&mut self, rows: usize) -> (Changes, Taken) {
        let credentials = self.take_credentials();
        let Self { cache, journal, update_states, sent_files, .. } = self;
        let mut entities = EntityPage::with_capacity(rows);
        for id in journal.entities.drain(..rows.min(journal.entities.len())) {
            cache.take_unsaved(id, &mut entities);
        }
        let taken = Taken {
            credentials,
            entities: entities.iter().map(|entity| (entity.id, entity.unsaved)).collect(),
            update_states: journal.update_states.take(),
            sent_files: journal.sent_files.take(),
        };
        let changes = Changes {
            credentials: taken.credentials.clone(),
            update_states: taken.update_states.iter().filter_map(|id| Some((*id, *update_states.get(id)?))).collect(),
            sent_files: taken.sent_files.iter().filter_map(|key| Some((key.clone(), *sent_files.get(key)?))).collect(),
            entities,
        };
        (changes, taken)
    }

    /// Counts what was taken as unsaved again, before what has changed since.
    pub(super) fn put_back(&mut self, taken: Vec<Taken>) {
        self.rest = None;
        let Self { cache, journal, .. } = self;
        for Taken { credentials, entities, update_states, sent_files } in taken.into_iter().rev() {
            journal.put_back_credentials(credentials);
            journal.update_states.put_back(update_states);
            journal.sent_files.put_back(sent_files);
            let changed_again: HashSet<i64> = entities
                .iter()
                .filter(|(id, unsaved)| {
                    !matches!(cache.put_back_unsaved(*id, *unsaved), Unsaved::Nothing | Unsaved::Date)
                })
                .map(|(id, _)| *id)
                .collect();
            if !changed_again.is_empty() {
                journal.entities.retain(|id| !changed_again.contains(id));
            }
            for (id, _) in entities.into_iter().rev() {
                journal.entities.push_front(id);
            }
        }
    }

    /// Takes over what a store holds of update states. What is unsaved here is newer and stays.
    pub(super) fn put_stored_update_states(&mut self, stored: Vec<(i64, UpdateState)>) {
        let Self { update_states, journal, .. } = self;
        let is_newer_here = |id: &i64| journal.update_states.contains(id) || journal.channel_dates.contains(id);
        update_states.extend(stored.into_iter().filter(|(id, _)| !is_newer_here(id)));
    }

    /// Copies of the entities that are unsaved.
    pub(super) fn unsaved_entities(&mut self) -> EntityPage {
        let mut page = EntityPage::default();
        for id in self.journal.entities.iter().chain(&self.journal.dates) {
            self.cache.take_unsaved(*id, &mut page);
        }
        page
    }

    /// Those who need wait no longer: what they wait for is written, or cannot be.
    pub(super) fn take_waiters(&mut self, failure: Option<&Error>) -> Vec<OnSaved> {
        let saved = self.saved;
        let is_final = failure.is_some_and(|error| !matches!(error, Error::Locked { .. }));
        let (done, waiting) =
            std::mem::take(&mut self.waiters).into_iter().partition(|waiter| is_final || waiter.up_to <= saved);
        self.waiters = waiting;
        let done: Vec<Waiter> = done;
        done.into_iter().map(|waiter| waiter.tell).collect()
    }

    /// Takes in entities that somebody else saves.
    pub(super) fn put_saved(&mut self, page: &EntityPage) {
        let mut ids = Vec::new();
        self.cache.put(page, |id, _| ids.push(id));
        let mut saved = EntityPage::default();
        for id in ids {
            self.cache.take_unsaved(id, &mut saved);
        }
    }

    /// Counts all as unsaved, but for the credentials.
    pub(super) fn count_all_as_unsaved(&mut self) {
        self.rest = None;
        let Self { cache, journal, update_states, sent_files, .. } = self;
        journal.entities.clear();
        journal.dates.clear();
        cache.count_all_as_unsaved(|id| journal.entities.push_back(id));
        for id in update_states.keys() {
            journal.update_states.add(*id);
        }
        for key in sent_files.keys() {
            journal.sent_files.add(key.clone());
        }
    }

    /// Forgets what is saved, which is then read again.
    pub(super) fn forget_saved(&mut self) {
        let unsaved = self.unsaved_entities();
        self.cache.clear();
        self.journal.entities.clear();
        self.journal.dates.clear();
        let Self { cache, journal, .. } = &mut *self;
        cache.put(&unsaved, |id, _| journal.entities.push_back(id));
        let Self { update_states, journal, .. } = &mut *self;
        update_states.retain(|id, _| journal.update_states.contains(id) || journal.channel_dates.contains(id));
        let Self { sent_files, journal, .. } = &mut *self;
        sent_files.retain(|key, _| journal.sent_files.contains(key));
    }

    /// Counts all as saved.
    pub(super) fn forget_unsaved(&mut self) {
        drop(self.unsaved_entities());
        self.journal = Journal::default();
        self.rest = None;
    }

    /// What the parent had not saved when it forked, the parent saves.
    pub(super) fn notice_fork(&mut self) {
        if self.generation == fork::generation() {
            return;
        }
        self.generation = fork::generation();
        self.forget_unsaved();
        self.saved = self.changes;
        self.are_credentials_under_way = false;
        self.waiters = Vec::new();
        self.due = None;
        self.dates_due = None;
        self.mirror.may_be_behind();
    }
}
