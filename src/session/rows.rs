//! Rows of entities that a program puts in or takes out itself, rather than Telegram.

use std::time::{Duration, Instant};

use super::state::State;
use super::{Session, now};
use crate::entity_cache::EntityPage;
use crate::error::Result;
use crate::fork;
use crate::store::Query;

/// What an [exchange](Session::exchange) has changed.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The [revision](Session::revision) before it, and after it.
    pub revisions: (u64, u64),
    /// Entities as they were before, of those that were taken out or told anew.
    pub gone: EntityPage,
    /// Entities as they are now, of those that were put in.
    pub come: EntityPage,
}

impl Session {
    /// A number that changes whenever what is in memory of the entities changes, but for when they were seen.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let _working = fork::working();
        self.whole_state().cache.revision()
    }

    /// Like [`revision`](Self::revision), but does not wait, and knows nothing of what has just been received. `None` if it would
    /// have to wait.
    #[must_use]
    pub fn try_revision(&self) -> Option<u64> {
        self.try_state().map(|state| state.cache.revision())
    }

    /// Removes the entities that are known exactly as `out` has them, then stores those of `put`. Does nothing to a session that
    /// is stored.
    #[must_use]
    pub fn exchange(&self, out: &EntityPage, mut put: EntityPage) -> Exchange {
        let _working = fork::working();
        if self.is_stored() {
            return Exchange::default();
        }
        put.set_seen_where_unknown(now());
        let mut state = self.whole_state();
        let cache = &mut state.cache;
        let before = cache.revision();
        let (mut gone, mut come) = (EntityPage::default(), EntityPage::default());
        cache.remove_exactly(out, |entity| gone.push_entity(entity));
        put.iter().for_each(|entity| cache.copy(entity.id, &mut gone));
        cache.put(&put, |_, _| ());
        put.iter().for_each(|entity| cache.copy(entity.id, &mut come));
        Exchange { revisions: (before, cache.revision()), gone, come }
    }

    /// Forgets the entities in memory, unless the session is stored. Returns the [revision](Self::revision) after that.
    pub fn clear_entities(&self) -> u64 {
        let _working = fork::working();
        let mut state = self.whole_state();
        if !self.is_stored() {
            state.cache.clear();
        }
        state.cache.revision()
    }

    /// Stores entities that were seen when the page says; now, where it does not say. One that is known to have been seen
    /// later stays as it is.
    pub fn add(&self, mut page: EntityPage) {
        let _working = fork::working();
        page.set_seen_where_unknown(now());
        if let Err(error) = self.read_before_adding(&page) {
            log::debug!("what is stored of added entities cannot be compared: {error}");
        }
        let mut state = self.whole_state();
        self.change_entities(&mut state, Instant::now(), |cache, unsaved| cache.put_unless_older(&page, unsaved));
    }

    /// Reads what is stored of the entities of a page, unless memory holds all that is.
    fn read_before_adding(&self, page: &EntityPage) -> Result<()> {
        let unknown: Vec<i64> = {
            let state = self.state();
            if state.mirror.is_complete() {
                return Ok(());
            }
            page.iter().map(|entity| entity.id).filter(|id| state.cache.by_id(*id).is_none()).collect()
        };
        let mut slot = self.slot_urgently();
        let store = self.opened(&mut slot, Duration::ZERO)?;
        let mut found = EntityPage::default();
        for id in unknown {
            found.append(&store.find(&Query::Id(id), Duration::ZERO)?);
        }
        let State { cache, .. } = &mut *self.state();
        cache.put_stored(&found);
        Ok(())
    }
}
