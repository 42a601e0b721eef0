//! Whose login the file holds: nothing is written to a file with a login that is not this session's.
//!
//! A file is known by the key in it. Its name and its inode say nothing: either may be another file's
//! by the time the session comes back to it.

use std::path::PathBuf;

use super::mirror::Mirror;
use super::{Session, Slot};
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{Credentials, Opened, Opening, Store};
use crate::sync::Ordering;

impl Session {
    /// Checks a store that has just been opened again, before it is used.
    ///
    /// # Errors
    /// [`Error::Replaced`] if its login is not this session's.
    pub(super) fn check_reopened(&self, slot: &mut Slot, opened: &Opened) -> Result<()> {
        let found = opened.auth_key();
        let was_pointed_here = self.was_moved.load(Ordering::Acquire);
        let state = self.whole_state();
        let is_known = found == slot.stored_key || found == state.key;
        // Without a login of its own, and with nothing unsaved, a session may look at anybody's file.
        let may_look = !slot.is_gone && slot.stored_key.is_empty() && state.key.is_empty() && state.journal.is_empty();
        if opened.is_new || is_known {
            slot.stored_key = found;
        } else if was_pointed_here {
            let is_anothers = !found.is_empty();
            slot.former_key = is_anothers.then(|| state.key.clone());
            slot.stored_key = found;
        } else if !may_look {
            return Err(self.replaced());
        }
        slot.checked_at = Some(opened.others_commits);
        Ok(())
    }

    /// Checks, within a transaction, the login that is in the store, before `credentials` or anything
    /// else is written.
    ///
    /// # Errors
    /// [`Error::Replaced`] if it is not this session's, and the caller has not set a new one.
    pub(super) fn check_login(&self, slot: &mut Slot, credentials: Option<&Credentials>) -> Result<()> {
        let Some(store) = &mut slot.store else { return Ok(()) };
        let revision = store.others_commits()?;
        if credentials.is_none() && slot.checked_at == Some(revision) {
            return Ok(());
        }
        let found = store.auth_key()?;
        let own = self.state().key.clone();
        let stored = &slot.stored_key;
        let is_ours = match credentials.map(|credentials| &credentials.auth_key) {
            Some(key) if slot.former_key.as_ref() == Some(key) => found.is_empty() || found == *key,
            // Setting a key that is not the one this session knew is a login, and the last one wins.
            Some(key) => found == *stored || found == own || (!key.is_empty() && key != stored),
            None => found == *stored || found == own || (stored.is_empty() && own.is_empty()),
        };
        if !is_ours {
            return Err(self.replaced());
        }
        slot.checked_at = Some(revision);
        Ok(())
    }

    fn replaced(&self) -> Error {
        Error::Replaced { path: self.path().unwrap_or_else(|| ":memory:".into()) }
    }

    /// Returns `true` if the file holds a login that is not this session's: it must not be deleted.
    pub(super) fn holds_anothers_login(&self, slot: &Slot) -> bool {
        let opening = Opening { may_create: false, wait: super::loading::DELETE_WAIT };
        match self.location.as_ref().map(|location| location.open(opening)) {
            Some(Ok((_, opened))) => {
                let found = opened.auth_key();
                !found.is_empty() && found != slot.stored_key && found != self.state().key
            }
            // An entity file was replaced by a session file.
            Some(Err(Error::HoldsLogin { .. })) => true,
            _ => false,
        }
    }

    /// Takes the key that is in the store for this session's: the caller has changed the table itself.
    pub(super) fn adopt_login(slot: &mut Slot) {
        if let Some(key) = slot.store.as_mut().and_then(|store| store.auth_key().ok()) {
            slot.stored_key = key;
            slot.checked_at = None;
        }
    }

    /// Opens another file from the next use after `close()` on.
    pub fn set_path(&self, path: PathBuf) {
        let _working = fork::working();
        let mut slot = self.slot();
        slot.next_path = Some(path);
        if slot.store.is_none() && self.is_closed() {
            self.move_on(&mut slot);
        }
    }

    /// Leaves the closed file for the next one, if there is one, and forgets what is stored in it.
    pub(super) fn move_on(&self, slot: &mut Slot) {
        let Some((location, path)) = self.location.as_ref().zip(slot.next_path.take()) else { return };
        if location.path().as_ref() == Some(&path) {
            return;
        }
        location.move_to(path);
        slot.may_create = true;
        slot.is_gone = false;
        self.was_moved.store(true, Ordering::Release);
        let mut state = self.whole_state();
        state.forget_saved();
        state.mirror = Mirror::begin();
    }

    /// Opens the file that the session was moved to, for what is answered from memory alone.
    pub(super) fn open_if_moved(&self) {
        if self.was_moved.load(Ordering::Acquire) {
            let mut slot = self.slot();
            let opened = self.opened(&mut slot, super::loading::LOCKED_WAIT).map(|_: &mut Box<dyn Store>| Some(()));
            self.or_memory(&mut slot, opened, || None);
        }
    }
}
