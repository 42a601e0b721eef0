//! The end of a session: closing, deleting, and the last reference.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Session;
use super::handle::StoreHandle;
use super::retry::KeepWaiting;
use crate::error::{Error, Result};
use crate::fork;
use crate::sync::Ordering;

impl Session {
    /// Writes everything and closes the store. The next use opens it again.
    ///
    /// # Errors
    /// [`Error::Unsaved`] if that is not possible within `limit`; it can be called again.
    pub fn close(&self, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        let begun = Instant::now();
        let written = self.write_all_retrying(limit, keep_waiting);
        let _guard = fork::guard();
        if let Err(cause) = written
            && !self.give_up_if_of_others(&cause)
        {
            let (waited, what) = (begun.elapsed().as_secs(), self.state().describe_unsaved());
            return Err(Error::Unsaved { cause: Box::new(cause), waited, what });
        }
        self.close_store(&mut self.lock_store());
        Ok(())
    }

    /// Like [`close`](Self::close), for a caller that must not be blocked: what is not written within
    /// `limit` is written by the writer, which then closes the store.
    ///
    /// # Errors
    /// What prevents it from being written, if waiting does not help.
    pub fn close_soon(&self, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        let written = self.write_all_retrying(limit, keep_waiting);
        let _guard = fork::guard();
        match written {
            Ok(()) => self.close_store(&mut self.lock_store()),
            Err(error) if error.is_retryable() => {
                self.state().closes_when_written = true;
                self.write_soon();
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Closes a store to which everything has been written.
    pub(super) fn close_store(&self, handle: &mut StoreHandle) {
        if self.backend.as_ref().is_some_and(|backend| !backend.is_ephemeral()) {
            handle.close();
            self.is_closed.store(true, Ordering::Release);
            self.switch_place(handle);
        }
    }

    /// Returns `true` if the session was closed, and nothing was stored in it or read from its
    /// store since.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Switches to another place that the backend has been given, now if the session is closed,
    /// otherwise at the next [`close`](Self::close).
    pub fn switch_place_when_closed(&self) {
        let _guard = fork::guard();
        let mut handle = self.lock_store();
        if handle.store.is_none() && self.is_closed() {
            self.switch_place(&mut handle);
        }
    }

    /// Deletes what is stored and forgets what is dirty. Returns `true` if nothing is stored any
    /// more. A store that holds another login by now, or that another program is writing to, is
    /// left alone. A server that does not answer within `timeout` goes on by itself.
    #[must_use]
    pub fn delete(&self, timeout: Duration) -> bool {
        let _guard = fork::guard();
        if self.is_read_only() {
            log::error!("{} is not deleted: it was opened with read_only=True", self.place());
            return false;
        }
        let mut handle = self.lock_store();
        let Some(backend) = self.backend.as_ref().filter(|backend| !backend.is_ephemeral()) else {
            return true;
        };
        handle.close();
        if !backend.is_remote() && self.holds_another_login(&handle.login) {
            log::error!("{} is not deleted: it holds another login than this session, or is locked", self.place());
            return false;
        }
        handle.may_create = true;
        handle.is_gone = false;
        let (own_key, waiters) = {
            let mut state = self.whole_state();
            let own_key = std::mem::take(&mut state.key);
            state.mark_all_clean();
            state.saved = state.changes;
            (own_key, std::mem::take(&mut state.waiters))
        };
        for waiter in waiters {
            (waiter.tell)(Ok(()));
        }
        let deleted = backend.delete(handle.login.forget(own_key), timeout);
        // A server may go on with it, and fail.
        if deleted.is_ok() && !backend.is_remote() {
            handle.login.undeleted.clear();
        }
        deleted.unwrap_or_else(|error| {
            log::warn!("not deleted: {error}");
            false
        })
    }

    /// Writes what is dirty, now or by the writer. Call when the last reference to the session
    /// goes.
    pub fn release(&self) {
        {
            let _guard = fork::guard();
            let mut state = self.state();
            state.is_released = true;
            if state.look_due.take().is_some() {
                // Instead of a run that would keep the session alive until then.
                self.schedule(Duration::ZERO);
            }
        }
        if self.is_stored() && self.write_all().is_err() {
            let _guard = fork::guard();
            self.write_soon();
        }
    }
}

impl Drop for Session {
    /// Closes the store under a fork guard. In a child, the store is the parent's and is forgotten.
    fn drop(&mut self) {
        if self.backend.is_none() {
            return;
        }
        let _guard = fork::guard();
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).count(0);
        let handle = self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        handle.reset_after_fork();
        handle.close();
    }
}
