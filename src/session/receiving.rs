//! Entities that were just received: into the inbox, and from there into the cache and the journal.

use std::time::{Duration, Instant};

use super::inbox::{self, Call, Waiting};
use super::state::State;
use super::{Session, now, saving};
use crate::entity_cache::{EntityCache, EntityPage, Unsaved};
use crate::fork;
use crate::sync::Ordering;

impl Session {
    /// An empty page, in memory that has been used before if there is any.
    #[must_use]
    pub fn new_page() -> EntityPage {
        inbox::try_spare().unwrap_or_default()
    }

    /// Takes a page of entities that were just received, whole or not at all. Gives it back if it would have to wait.
    ///
    /// # Errors
    /// The page.
    pub fn try_put(&self, mut page: EntityPage) -> std::result::Result<(), EntityPage> {
        page.set_seen(now());
        let call = self.inbox.try_push(page)?;
        self.call(call);
        Ok(())
    }

    /// Takes a page of entities that were just received.
    pub fn put(&self, mut page: EntityPage) {
        let _working = fork::working();
        page.set_seen(now());
        self.call(self.inbox.push(page));
        // The writer cannot keep up, so the work is shared; not if it is just what the writer does.
        for _ in 0..2 {
            if self.inbox.is_full()
                && let Some(mut state) = self.try_state()
            {
                self.take_in_a_page(&mut state);
            }
        }
        if self.inbox.is_overfull() {
            drop(self.whole_state());
        }
    }

    /// Has all that is known written again.
    pub(super) fn count_all_as_unsaved(&self) {
        let mut state = self.whole_state();
        state.count_all_as_unsaved();
        self.note_change(&mut state, Instant::now());
    }

    /// Puts some of what was received into the cache, and stops when somebody else wants to look at the state. Answers whether that was all.
    pub(super) fn take_in_pages(&self, most: usize) -> bool {
        for _ in 0..most {
            if self.inbox.is_empty() || self.wanted.load(Ordering::Relaxed) > 0 {
                break;
            }
            self.take_in_a_page(&mut self.state());
        }
        self.inbox.is_empty()
    }

    fn call(&self, whom: Call) {
        match whom {
            Call::Writer => self.visit_in(Duration::ZERO),
            Call::WriterLater if self.is_stored() => self.visit_in(saving::GATHER),
            // Nobody looks at a memory session but by a lookup, which takes the page in.
            Call::WriterLater | Call::Nobody => {}
        }
    }

    /// Puts the first page of the inbox into the cache. Answers `false` if there is none.
    pub(super) fn take_in_a_page(&self, state: &mut State) -> bool {
        let Some(Waiting { page, since, is_of_the_parent }) = self.inbox.pop() else { return false };
        if is_of_the_parent {
            state.put_saved(&page);
            return true;
        }
        self.change_entities(state, since, |cache, unsaved| cache.put(&page, unsaved));
        inbox::give_back(page);
        true
    }

    /// Changes the cache, and notes in the journal what `change` tells of.
    pub(super) fn change_entities(
        &self,
        state: &mut State,
        since: Instant,
        change: impl FnOnce(&mut EntityCache, &mut dyn FnMut(i64, Unsaved)),
    ) {
        let State { cache, journal, .. } = &mut *state;
        if !self.is_stored() {
            return change(cache, &mut |_, _| ());
        }
        let before = (journal.entities.len(), journal.dates.len());
        change(cache, &mut |id, unsaved| match unsaved {
            Unsaved::Date => journal.dates.push_back(id),
            _ => journal.entities.push_back(id),
        });
        let (entities, dates) = (journal.entities.len() > before.0, journal.dates.len() > before.1);
        if entities {
            self.note_change(state, since);
        }
        if dates {
            self.note_date(state, since);
        }
    }
}
