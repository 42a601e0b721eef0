//! Whose login the file holds: nothing is written to a file that was replaced by one with another login.
//!
//! A file is known by the key in it. One that is still the file it was, by its number and the time when it was made, may
//! be shared by several programs.

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
        // The file is looked at before the state is locked, which calls in the event loop wait for.
        let identity = self.location.as_ref().and_then(|location| location.identity());
        let is_same_file = !slot.is_gone && identity.is_some() && identity == slot.identity;
        let state = self.whole_state();
        // What a session with another login holds must not get into the file, whatever key it is given now.
        let may_have_set_it = !slot.is_gone || slot.stored_key.is_empty();
        let is_known = found == slot.stored_key || (found == state.key && may_have_set_it);
        // Without a login of its own, and with nothing unsaved, a session may read any file.
        let may_look = !slot.is_gone && slot.stored_key.is_empty() && state.key.is_empty() && state.journal.is_empty();
        slot.is_guest = false;
        if opened.is_new || is_known {
            slot.read_key.clone_from(&found);
            slot.stored_key = found;
        } else if was_pointed_here {
            let is_anothers = !found.is_empty();
            slot.former_key = is_anothers.then(|| state.key.clone());
            slot.read_key.clone_from(&found);
            slot.stored_key = found;
        } else if is_same_file {
            // As if it had been open meanwhile: the next write looks at the keys.
        } else if may_look {
            slot.is_guest = true;
        } else {
            return Err(self.replaced());
        }
        if !slot.is_guest {
            slot.identity = identity;
        }
        slot.checked_at = Some(opened.others_commits);
        Ok(())
    }

    /// Checks, within a transaction, the login that is in the store, before `credentials` or anything else is written.
    ///
    /// A file that is open is one that several programs may share, and the last login wins. A key that was only read
    /// from it is no login, though, and neither is the lack of one.
    ///
    /// # Errors
    /// [`Error::Replaced`] if there is another login that must not be written to, or over.
    pub(super) fn check_login(&self, slot: &mut Slot, credentials: Option<&Credentials>) -> Result<()> {
        let Some(store) = &mut slot.store else { return Ok(()) };
        let revision = store.others_commits()?;
        if credentials.is_none() && slot.checked_at == Some(revision) && !slot.is_guest {
            return Ok(());
        }
        let found = store.auth_key()?;
        let may_write = match credentials.map(|credentials| &credentials.auth_key) {
            _ if found.is_empty() => true,
            _ if slot.is_guest => found == self.state().key,
            None => true,
            Some(key) if found == *key => true,
            Some(key) if slot.former_key.as_ref() == Some(key) => false,
            Some(key) => found == slot.stored_key || !(key.is_empty() || *key == slot.read_key),
        };
        if !may_write {
            return Err(self.replaced());
        }
        slot.checked_at = Some(revision);
        Ok(())
    }

    fn replaced(&self) -> Error {
        Error::Replaced { path: self.path().unwrap_or_else(|| ":memory:".into()) }
    }

    /// Returns `true` if the file holds a login that is not this session's, or may: it must not be deleted.
    pub(super) fn holds_anothers_login(&self, slot: &Slot) -> bool {
        let opening = Opening { may_create: false, wait: super::loading::DELETE_WAIT };
        match self.location.as_ref().map(|location| location.open(opening)) {
            Some(Ok((_, opened))) => {
                let found = opened.auth_key();
                !found.is_empty() && found != slot.stored_key && found != self.state().key
            }
            // An entity file was replaced by a session file; or another program is writing, which may be a login.
            Some(Err(Error::HoldsLogin { .. } | Error::Locked { .. })) => true,
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
            let opened = self.opened(&mut slot, super::loading::BRIEF_WAIT).map(|_: &mut Box<dyn Store>| Some(()));
            self.or_memory(&mut slot, opened, || None);
        }
    }
}
