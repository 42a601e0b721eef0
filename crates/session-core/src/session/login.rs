//! Whose login the store holds: nothing is written to a store that was replaced by one with another
//! login.
//!
//! A login is known by its key. Several programs may share a store that is still the one it was, by
//! its identity.

use std::time::Duration;

use super::Session;
use super::handle::StoreHandle;
use super::load_state::LoadState;
use super::stored_login::StoredLogin;
use crate::credentials::Credentials;
use crate::store::{Base, Kind, OpenOptions, Result, Snapshot, StoreError};
use crate::sync::Ordering;

/// How long `delete()` waits for a lock, to see whose login it would delete.
const DELETE_WAIT: Duration = Duration::from_secs(1);

impl Session {
    /// Checks the login of a store that has just been reopened, before it is used.
    ///
    /// # Errors
    /// [`Kind::Replaced`] if it is not this session's.
    pub(super) fn check_reopened(&self, handle: &mut StoreHandle, snapshot: &Snapshot) -> Result<()> {
        let found = snapshot.auth_key();
        let was_moved = self.was_moved.load(Ordering::Acquire);
        let StoreHandle { login, is_gone, .. } = handle;
        let is_same_store = !*is_gone && snapshot.identity.is_some() && snapshot.identity == login.identity;
        let state = self.whole_state();
        // The data of a session with another login must not get into the store, whatever key the
        // session is given now.
        let may_have_set_it = !*is_gone || login.stored_key.is_empty();
        let is_known = found == login.stored_key || (found == state.key && may_have_set_it);
        // Without a login of its own, and with nothing dirty, a session may read any store.
        let may_look = !*is_gone && login.stored_key.is_empty() && state.key.is_empty() && state.dirty.is_empty();
        login.is_guest = false;
        if snapshot.is_new || is_known {
            login.read_key.clone_from(&found);
            login.stored_key = found;
        } else if was_moved {
            login.former_key = (!found.is_empty()).then(|| state.key.clone());
            login.read_key.clone_from(&found);
            login.stored_key = found;
        } else if is_same_store {
            // As if it had stayed open: the next write compares the keys.
        } else if may_look {
            login.is_guest = true;
        } else {
            return Err(StoreError::replaced(self.place()));
        }
        if !login.is_guest {
            login.identity.clone_from(&snapshot.identity);
        }
        login.checked_at = Some(snapshot.revision);
        Ok(())
    }

    /// Checks, within a write, whether the login in the store allows `credentials`, or anything
    /// else, to be written.
    ///
    /// # Errors
    /// [`Kind::Replaced`] if it does not.
    pub(super) fn check_login(
        &self,
        login: &mut StoredLogin,
        base: &Base,
        credentials: Option<&Credentials>,
    ) -> Result<()> {
        if credentials.is_none() && login.checked_at == Some(base.revision) && !login.is_guest {
            return Ok(());
        }
        let may_write = login.may_write(&base.auth_key, credentials, &self.state().key, self.is_remote());
        if !may_write {
            return Err(StoreError::replaced(self.place()));
        }
        login.checked_at = Some(base.revision);
        Ok(())
    }

    /// Returns `true` if the store holds a login that is not this session's, or may: it must not be
    /// deleted.
    pub(super) fn holds_another_login(&self, login: &StoredLogin) -> bool {
        let options = OpenOptions { may_create: false, timeout: DELETE_WAIT };
        match self.backend.as_ref().map(|backend| backend.open(options)) {
            Some(Ok((_, snapshot))) => {
                let found = snapshot.auth_key();
                let is_own = found == login.stored_key || found == self.state().key || login.undeleted.contains(&found);
                !found.is_empty() && !is_own
            }
            // An entity file was replaced by a session file; the login is encrypted with another
            // key; or another program is writing, perhaps a login.
            Some(Err(error)) => {
                error.is_retryable()
                    || matches!(error.kind, Kind::HoldsLogin | Kind::Sealed)
                    || error.kind.is_of_others()
            }
            None => false,
        }
    }

    /// Closes what belonged to the place before, if the backend has been pointed to another one.
    /// Call with the store closed.
    pub(super) fn switch_place(&self, handle: &mut StoreHandle) {
        if !self.backend.as_ref().is_some_and(|backend| backend.switch_place()) {
            return;
        }
        handle.may_create = true;
        handle.is_gone = false;
        self.was_moved.store(true, Ordering::Release);
        let mut state = self.whole_state();
        state.forget_clean();
        state.loading = LoadState::begin();
    }
}
