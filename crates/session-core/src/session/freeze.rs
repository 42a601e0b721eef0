//! A stored session at one moment: another connection to its store, and what is not stored yet.

use std::time::Duration;

use super::Session;
use super::handle::StoreHandle;
use super::state::State;
use crate::entity_table::EntityBatch;
use crate::error::Result;
use crate::fork;
use crate::store::{self, Base, Changes, Store, StoreError};

/// A stored session at one moment.
#[derive(Debug)]
pub struct Frozen {
    /// A connection of its own to the store.
    pub reader: Box<dyn Store>,
    /// What the store lacked.
    pub changes: Changes,
}

impl Session {
    /// Returns how many entities are not stored yet.
    #[must_use]
    pub fn unsaved_entities(&self) -> usize {
        let _guard = fork::guard();
        let state = self.whole_state();
        if self.is_read_only() { 0 } else { state.dirty.entities.len() }
    }

    /// Writes everything that is dirty now, without waiting for locks.
    ///
    /// # Errors
    /// What prevents it from being written.
    pub fn write_now(&self) -> Result<()> {
        self.write_all()
    }

    /// Opens another connection to the store, calls `pin` with it, and copies what the store lacks,
    /// all at one moment. Returns `None` if there can be no other connection.
    ///
    /// # Errors
    /// What prevents the store from being read, the error of `pin`, or
    /// [`Kind::Replaced`](store::Kind::Replaced) if what the store lacks must not be written to it.
    pub fn freeze(&self, mut pin: impl FnMut(&mut dyn Store) -> store::Result<()>) -> Result<Option<Frozen>> {
        let _guard = fork::guard();
        let mut handle = self.lock_store_preempting();
        self.opened(&mut handle, Duration::ZERO)?;
        let StoreHandle { store: Some(store), login, .. } = &mut *handle else {
            return Err(StoreError::gone(self.place()).into());
        };
        // While the handle is locked, nothing is on its way to the store.
        let Some(mut reader) = store.open_reader() else { return Ok(None) };
        let snapshot = store.snapshot()?;
        pin(&mut *reader)?;
        let changes = self.whole_state().copy_dirty();
        let base = Base { revision: snapshot.revision, auth_key: snapshot.auth_key() };
        self.check_login(login, &base, changes.credentials.as_ref())?;
        Ok(Some(Frozen { reader, changes }))
    }
}

impl State {
    /// Copies what is dirty, which stays dirty.
    fn copy_dirty(&self) -> Changes {
        let Self { dirty, table, update_states, sent_files, .. } = self;
        let mut entities = EntityBatch::with_capacity(dirty.entities.len() + dirty.dates.len());
        dirty.forgotten.iter().for_each(|(id, before)| entities.push_gone(*id, *before));
        dirty.entities.iter().chain(&dirty.dates).for_each(|id| table.copy(*id, &mut entities));
        let states = dirty.update_states.iter().chain(&dirty.channel_dates);
        Changes {
            credentials: dirty.credentials.clone(),
            entities,
            update_states: states.filter_map(|id| Some((*id, *update_states.get(id)?))).collect(),
            sent_files: (dirty.sent_files.iter())
                .filter_map(|key| Some((key.clone(), *sent_files.get(key)?)))
                .collect(),
        }
    }
}
