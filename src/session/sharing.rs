//! Another connection of the program's own, handed out to the caller: what it commits counts as done by the
//! session itself, so what it deletes is forgotten here too.

use std::time::Duration;

use super::{Patience, Session, Slot};
use crate::error::{Error, Result};
use crate::fork;
use crate::sync::Ordering;

impl Session {
    /// Writes everything, so that another connection of this program may be used now.
    ///
    /// Without `may_wait` a locked file is left as it is: it may be that connection that holds it.
    ///
    /// # Errors
    /// Whatever keeps the file from being opened or written.
    pub fn share(&self, may_wait: bool, patience: Patience<'_>) -> Result<()> {
        let limit = if may_wait { self.timeout() } else { Duration::ZERO };
        let shared = self.patiently(limit, patience, || {
            self.write_everything()?;
            let _working = fork::working();
            self.opened(&mut self.slot_urgently(), Duration::ZERO).map(drop)
        });
        match shared {
            Err(Error::Locked { .. }) if !may_wait => {}
            other => other?,
        }
        self.is_shared.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes over what the other connection has done, which may have changed the login too.
    ///
    /// # Errors
    /// Whatever keeps the store from being read.
    pub fn take_over(&self, patience: Patience<'_>) -> Result<()> {
        self.patiently(self.timeout(), patience, || {
            let _working = fork::working();
            let mut slot = self.slot_urgently();
            Self::adopt_login(&mut slot);
            self.refresh_if_shared(&mut slot)
        })
    }

    /// Says that the other connection is closed.
    pub fn end_sharing(&self) {
        self.is_shared.store(false, Ordering::Release);
    }

    /// Whether another connection of this program may have changed anything.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Forgets what is stored, if another connection has changed it. What is unsaved is written first: until then the
    /// two are looked through one after the other, as when another program writes.
    pub(super) fn refresh_if_shared(&self, slot: &mut Slot) -> Result<()> {
        let Slot { store: Some(store), others_commits, .. } = slot else { return Ok(()) };
        if !self.is_shared() {
            return Ok(());
        }
        let revision = store.others_commits()?;
        if revision == *others_commits || !self.whole_state().journal.is_empty() {
            return Ok(());
        }
        self.read_all_again(store)?;
        *others_commits = revision;
        Ok(())
    }

    /// Takes over what is not looked up in the store: update states.
    pub(super) fn see_shared(&self) {
        if self.is_shared() {
            let mut slot = self.slot_urgently();
            let seen = self.refresh_if_shared(&mut slot).map(Some);
            self.or_memory(&mut slot, seen, || None);
        }
    }
}
