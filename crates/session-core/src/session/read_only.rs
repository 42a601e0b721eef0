//! Sessions that only read their store. What they learn stays in memory, where it is dirty for good.

use super::Session;
use super::state::State;
use crate::credentials::Credentials;
use crate::entity_table::{Dirty, EntityBatch};
use crate::error::Result;
use crate::store::StoreError;

impl Session {
    /// Returns `true` if the session only reads its store.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.backend.as_ref().is_some_and(|backend| backend.is_read_only())
    }

    /// Checks that the login is the stored one.
    ///
    /// # Errors
    /// [`Kind::ReadOnly`](crate::store::Kind::ReadOnly) if it has changed.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        if self.state().dirty.credentials.is_none() { Ok(()) } else { Err(StoreError::read_only(self.place()).into()) }
    }
}

impl State {
    /// Returns `true` if these credentials must not be set, because the store is only read and holds
    /// others. A temporary key is never compared: it is renewed all the time.
    pub(super) fn is_stored_login(&self, credentials: &Credentials) -> bool {
        self.read_only_login.as_ref().is_some_and(|stored| {
            let stored = Credentials { tmp_auth_key: credentials.tmp_auth_key.clone(), ..stored.clone() };
            stored == *credentials
        })
    }

    /// Marks what is dirty clean where the store has a newer row: it was written by another program.
    pub(super) fn yield_to_newer(&mut self, stored: &EntityBatch) {
        if self.read_only_login.is_none() || (self.dirty.entities.is_empty() && self.dirty.dates.is_empty()) {
            return;
        }
        let mut known = EntityBatch::default();
        for entity in stored.iter() {
            known.clear();
            self.table.copy(entity.id, &mut known);
            if known.get(0).is_some_and(|known| known.dirty != Dirty::Clean && known.seen < entity.seen) {
                self.table.take_dirty(entity.id, &mut known);
            }
        }
    }
}
