//! Another connection of this program to the same store, handed out to the caller, and direct use
//! of the open store. What the other connection commits counts as done by the session itself, so
//! what it deletes is forgotten here too.

use std::time::Duration;

use super::Session;
use super::handle::StoreHandle;
use super::retry::KeepWaiting;
use crate::error::Result;
use crate::fork;
use crate::store::Store;
use crate::sync::Ordering;

impl Session {
    /// Writes everything, so that another connection of this program can be used now.
    ///
    /// Without `may_wait`, a locked store is left as it is: that connection itself may hold it.
    ///
    /// # Errors
    /// What prevents the store from being opened or written.
    pub fn share(&self, may_wait: bool, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        let limit = if may_wait { self.timeout() } else { Duration::ZERO };
        let shared = self.retry_while_busy(limit, keep_waiting, || {
            self.write_all()?;
            let _guard = fork::guard();
            self.opened(&mut self.lock_store_preempting(), Duration::ZERO).map(drop)
        });
        match shared {
            Err(error) if error.is_retryable() && !may_wait => {}
            other => other?,
        }
        self.is_shared.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes over what the other connection has committed, which may include another login.
    ///
    /// # Errors
    /// What prevents the store from being read.
    pub fn take_over(&self, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        self.retry_while_busy(self.timeout(), keep_waiting, || {
            let _guard = fork::guard();
            let mut handle = self.lock_store_preempting();
            let StoreHandle { store, login, .. } = &mut *handle;
            if let Some(snapshot) = store.as_mut().and_then(|store| store.snapshot().ok()) {
                login.adopt(snapshot.auth_key());
            }
            self.refresh_if_shared(&mut handle)
        })
    }

    /// Notes that the other connection is closed.
    pub fn end_sharing(&self) {
        self.is_shared.store(false, Ordering::Release);
    }

    /// Returns `true` if another connection of this program may have changed anything.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Writes everything and calls `use_store` with the open store. Reloads the session if
    /// `use_store` returns `true`: it has changed what is stored, perhaps the login too.
    ///
    /// # Errors
    /// What prevents the store from being opened, written or reloaded, or the error of `use_store`.
    pub fn with_store<T>(
        &self,
        keep_waiting: KeepWaiting<'_>,
        mut use_store: impl FnMut(&mut dyn Store) -> Result<(T, bool)>,
    ) -> Result<T> {
        self.retry_while_busy(self.timeout(), keep_waiting, || {
            loop {
                self.write_all()?;
                let _guard = fork::guard();
                let mut handle = self.lock_store_preempting();
                self.opened(&mut handle, Duration::ZERO)?;
                // Reloading loses nothing only if nothing is dirty; and while the store is locked
                // nothing is written.
                if !self.is_read_only() && !self.whole_state().dirty.is_empty() {
                    continue;
                }
                let StoreHandle { store: Some(store), login, .. } = &mut *handle else { continue };
                let (value, has_changed) = use_store(&mut **store)?;
                if has_changed {
                    let snapshot = store.snapshot()?;
                    login.adopt(snapshot.auth_key());
                    self.reload(snapshot);
                }
                return Ok(value);
            }
        })
    }

    /// Reloads the session if another connection of this program has changed the store. What is
    /// dirty is written first: until then, lookups go through both, as when another program writes.
    pub(super) fn refresh_if_shared(&self, handle: &mut StoreHandle) -> Result<()> {
        let StoreHandle { store: Some(store), loaded_revision, .. } = handle else { return Ok(()) };
        if !self.is_shared() {
            return Ok(());
        }
        let revision = store.revision()?;
        if revision == *loaded_revision || !self.whole_state().dirty.is_empty() {
            return Ok(());
        }
        self.reload(store.snapshot()?);
        *loaded_revision = revision;
        Ok(())
    }

    /// Takes over what is not looked up in the store: update states.
    pub(super) fn see_shared(&self) {
        if self.is_shared() {
            let mut handle = self.lock_store_preempting();
            let seen = self.refresh_if_shared(&mut handle).map(Some);
            self.or_cached(&mut handle, seen, || None);
        }
    }
}
