//! Writing what is dirty: the writer does so about a second after a change, and so do `save()`,
//! `close()` and the last reference to the session.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::dirty_set::InFlight;
use super::handle::StoreHandle;
use super::load::HANDLE_RETRY;
use super::retry::KeepWaiting;
use super::state::{OnSaved, Remainder, State, Waiter};
use super::stored_login::StoredLogin;
use super::{Session, turns};
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{self, Base, ChangeSource, Changes, Lease, Revision, Store, StoreError};
use crate::sync::{AtomicBool, Ordering, sleep};
use crate::writer::{self, FlushOutcome, Task};

/// How long the writer lets changes gather. With the time to write them, this makes about a second.
pub(super) const FLUSH_DELAY: Duration = Duration::from_millis(500);
/// How long it lets mere dates gather: Telethon's clients save as often by themselves.
const DATES_FLUSH_DELAY: Duration = Duration::from_secs(60);
/// How long `save()` outside an event loop waits for a lock before it leaves the rest to the
/// writer.
const SAVE_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows copied out of the session at a time, so that its state is locked for moments only.
const ROWS: usize = 1000;
/// Received batches inserted into the table in one run: a few milliseconds' work.
const BATCHES: usize = 64;

impl Session {
    /// Writes the credentials now if they are dirty. Writes the rest too, or leaves it to the
    /// writer if the caller must not be blocked.
    ///
    /// # Errors
    /// What prevents the credentials from being written. Everything unsaved stays in memory and is
    /// retried.
    pub fn save(&self, may_block: bool, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        let (has_credentials, is_unsaved) = {
            let _guard = fork::guard();
            let state = self.whole_state();
            (state.dirty.credentials.is_some() || state.are_credentials_in_flight, !state.is_saved())
        };
        if !self.is_stored() || !(is_unsaved || has_credentials) {
            return Ok(());
        }
        if may_block && has_credentials {
            return self.write_all_retrying(self.timeout(), keep_waiting);
        }
        if has_credentials {
            self.retry_while_busy(self.timeout(), keep_waiting, || self.write_credentials())?;
        }
        if !may_block {
            let _guard = fork::guard();
            self.write_soon();
            return Ok(());
        }
        match self.write_all_retrying(SAVE_TIMEOUT.max(self.timeout()), keep_waiting) {
            Err(error) if error.is_retryable() => Ok(()),
            other => other,
        }
    }

    /// Calls `tell` when all changes so far are written, or cannot be for another reason than a
    /// lock.
    pub fn when_saved(&self, tell: OnSaved) {
        let _guard = fork::guard();
        let mut state = self.whole_state();
        if !self.is_stored() || state.is_saved() {
            drop(state);
            return tell(Ok(()));
        }
        let up_to = state.changes;
        state.waiters.push(Waiter { up_to, tell });
        drop(state);
        self.write_soon();
    }

    /// Counts a change that was added to the dirty set, which may wait to be written since `since`.
    /// Call with the state locked.
    pub(super) fn note_change(&self, state: &mut State, since: Instant) {
        state.changes += 1;
        self.plan(&mut state.due, since + FLUSH_DELAY);
    }

    /// Counts a change of a mere date, which may wait longer. Call with the state locked.
    pub(super) fn note_date(&self, state: &mut State, since: Instant) {
        state.changes += 1;
        self.plan(&mut state.dates_due, since + DATES_FLUSH_DELAY);
    }

    fn plan(&self, due: &mut Option<Instant>, at: Instant) {
        self.is_closed.store(false, Ordering::Release);
        if due.is_none() {
            *due = Some(at);
            self.schedule(at.saturating_duration_since(Instant::now()));
        }
    }

    /// Has the writer write what is dirty now.
    pub(super) fn write_soon(&self) {
        self.state().due = Some(Instant::now());
        self.schedule(Duration::ZERO);
    }

    /// Schedules the next run of the writer's task.
    pub(super) fn schedule(&self, delay: Duration) {
        if let Some(me) = self.me.upgrade() {
            writer::schedule(me, delay);
        }
    }

    fn write_credentials(&self) -> Result<()> {
        let _guard = fork::guard();
        // A thread that is writing them holds the store, and has restored them by now if that
        // failed.
        let mut handle = self.lock_store_preempting();
        let Some(credentials) = self.state().take_credentials() else { return Ok(()) };
        let written = catch_panics(&mut handle, |handle| {
            let (store, lease, login, _) = self.opened_parts(handle)?;
            check_lease(lease)?;
            let mut source =
                CredentialsOnly { session: self, login, credentials: Some(credentials.clone()), begun: None };
            let written = store.write(&mut source);
            if let Some(begun) = source.begun {
                store.trim();
                self.state().turns.add(begun);
            }
            Ok(written?)
        });
        match &written {
            Ok(_) => handle.login.set_written(credentials.auth_key.clone()),
            Err(error) => self.close_if_unusable(&mut handle, error),
        }
        let tells = {
            let mut state = self.state();
            state.are_credentials_in_flight = false;
            match &written {
                Ok(_) if state.dirty.is_empty() => state.saved = state.changes,
                Ok(_) => {}
                Err(_) => state.dirty.restore_credentials(Some(credentials)),
            }
            state.take_waiters(None)
        };
        for tell in tells {
            tell(Ok(()));
        }
        written.map(drop)
    }

    /// Writes everything that is dirty now, and waits up to `limit` for locks.
    pub(super) fn write_all_retrying(&self, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        self.retry_while_busy(limit, keep_waiting, || self.write_all())
    }

    /// Writes everything that is dirty now, without waiting for locks. Later changes need not be
    /// written.
    pub(super) fn write_all(&self) -> Result<()> {
        let up_to = {
            let _guard = fork::guard();
            self.whole_state().changes
        };
        loop {
            let guard = fork::guard();
            let pause = {
                let state = self.whole_state();
                if state.is_saved() || state.saved >= up_to {
                    return Ok(());
                }
                state.turns.pause()
            };
            if !pause.is_zero() {
                drop(guard);
                sleep(pause);
                continue;
            }
            self.write(&mut self.lock_store_preempting(), true)?;
            self.record_success();
        }
    }

    /// Writes what is dirty now in one transaction. It ends early if another thread wants the
    /// store, or if it takes long; the next write continues with the rest.
    fn write(&self, handle: &mut StoreHandle, with_dates: bool) -> Result<()> {
        let ((up_to, with_dates), is_anything_dirty) = {
            let mut state = self.state();
            (state.begin_write(with_dates), !state.dirty.holds_dates_only())
        };
        let (mut in_flight, mut rows) = (Vec::new(), 0);
        let result = if is_anything_dirty {
            catch_panics(handle, |handle| self.write_slices(handle, &mut rows, &mut in_flight))
        } else {
            Ok(true)
        };
        let mut state = self.state();
        state.are_credentials_in_flight = false;
        match result {
            // The store is locked, so no other thread is writing either.
            Ok(_) if state.dirty.is_empty() => {
                state.remainder = None;
                state.saved = state.changes;
            }
            Ok(true) => {
                state.remainder = None;
                if with_dates {
                    state.saved = state.saved.max(up_to);
                }
            }
            Ok(false) => state.remainder = Some(Remainder { up_to, rows, with_dates }),
            Err(_) => state.restore(in_flight),
        }
        let tells = state.take_waiters(result.as_ref().err());
        drop(state);
        let result = result.map(drop);
        for tell in tells {
            tell(result.clone());
        }
        if let Err(error) = &result {
            self.close_if_unusable(handle, error);
        }
        result
    }

    /// Returns `true` if everything that belongs to the write is written. Otherwise `rows` is the
    /// number of entities that are left.
    fn write_slices(&self, handle: &mut StoreHandle, rows: &mut usize, in_flight: &mut Vec<InFlight>) -> Result<bool> {
        let (store, lease, login, loaded_revision) = self.opened_parts(handle)?;
        check_lease(lease)?;
        let mut source = Slices {
            session: self,
            login,
            loaded_revision: *loaded_revision,
            rows,
            in_flight,
            begun: None,
            base: Revision::default(),
            is_complete: false,
            writing: None,
        };
        let written = store.write(&mut source);
        // The transaction has ended: from here on other connections can write.
        let (begun, base, is_complete) = (source.begun, source.base, source.is_complete);
        drop(source);
        if let Some(begun) = begun {
            store.trim();
            self.state().turns.add(begun);
        }
        let written = written?;
        if base == *loaded_revision {
            *loaded_revision = written.revision;
        }
        login.set_revision(base, written.revision);
        if let Some(credentials) = in_flight.iter().rev().find_map(|taken| taken.credentials.as_ref()) {
            login.set_written(credentials.auth_key.clone());
        }
        Ok(is_complete)
    }

    /// Opens the store if it is closed, and returns the parts of its handle that a write uses.
    #[allow(clippy::type_complexity)]
    fn opened_parts<'a>(
        &self,
        handle: &'a mut StoreHandle,
    ) -> Result<(&'a mut dyn Store, Option<&'a dyn Lease>, &'a mut StoredLogin, &'a mut Revision)> {
        self.opened(handle, Duration::ZERO)?;
        let StoreHandle { store, lease, login, loaded_revision, .. } = handle;
        let Some(store) = store.as_deref_mut() else {
            return Err(StoreError::gone(self.place()).into());
        };
        Ok((store, lease.as_deref(), login, loaded_revision))
    }

    fn run_write(&self) -> Option<Duration> {
        let Some(mut handle) = self.try_lock_store() else { return Some(HANDLE_RETRY) };
        let with_dates = {
            let mut state = self.state();
            // What changes from now on waits for the next write.
            state.due = None;
            state.are_dates_due()
        };
        let written = self.write(&mut handle, with_dates);
        drop(handle);
        if let Err(error) = written {
            self.record_failure(&error);
            return Some(self.state().health.next_delay(&error));
        }
        self.record_success();
        if !self.inbox.is_empty() {
            return Some(HANDLE_RETRY);
        }
        let next = self.state().time_to_next_write().map(|wait| wait.max(HANDLE_RETRY));
        earlier(next, self.load_some())
    }
}

/// The dirty data of a session, in slices.
struct Slices<'a> {
    session: &'a Session,
    login: &'a mut StoredLogin,
    loaded_revision: Revision,
    /// How many entities are left to write.
    rows: &'a mut usize,
    in_flight: &'a mut Vec<InFlight>,
    /// When the transaction began.
    begun: Option<Instant>,
    base: Revision,
    is_complete: bool,
    writing: Option<Writing<'a>>,
}

impl ChangeSource for Slices<'_> {
    fn next(&mut self, base: &Base) -> store::Result<Option<Changes>> {
        let session = self.session;
        let begun = *self.begun.get_or_insert_with(Instant::now);
        if self.writing.is_none() {
            session.refresh_if_stale(self.loaded_revision, base.revision);
            self.base = base.revision;
            self.writing = Some(Writing::begin(&session.is_writing));
            *self.rows = session.state().rows_to_write();
        }
        let mut state = session.state();
        let has_written = !self.in_flight.is_empty();
        self.is_complete = state.dirty.holds_dates_only() || (*self.rows == 0 && has_written);
        let must_end = || session.preempting.load(Ordering::Relaxed) > 0 || begun.elapsed() >= turns::LONGEST;
        if self.is_complete || (has_written && must_end()) {
            return Ok(None);
        }
        let (changes, in_flight) = state.take(ROWS.min(*self.rows));
        drop(state);
        *self.rows = self.rows.saturating_sub(ROWS);
        self.in_flight.push(in_flight);
        session.check_login(self.login, base, changes.credentials.as_ref())?;
        Ok(Some(changes))
    }
}

/// The credentials alone.
struct CredentialsOnly<'a> {
    session: &'a Session,
    login: &'a mut StoredLogin,
    credentials: Option<Credentials>,
    /// When the transaction began.
    begun: Option<Instant>,
}

impl ChangeSource for CredentialsOnly<'_> {
    fn next(&mut self, base: &Base) -> store::Result<Option<Changes>> {
        self.begun.get_or_insert_with(Instant::now);
        let Some(credentials) = self.credentials.take() else { return Ok(None) };
        self.session.check_login(self.login, base, Some(&credentials))?;
        Ok(Some(Changes { credentials: Some(credentials), ..Changes::default() }))
    }
}

/// Marks a transaction as under way until it is dropped.
struct Writing<'a>(&'a AtomicBool);

impl<'a> Writing<'a> {
    fn begin(is_writing: &'a AtomicBool) -> Self {
        is_writing.store(true, Ordering::Release);
        Self(is_writing)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn check_lease(lease: Option<&dyn Lease>) -> store::Result<()> {
    lease.map_or(Ok(()), Lease::check)
}

/// Turns a panic into an error, so that what was taken out of the dirty set can be restored. The
/// connection is not trusted any more.
fn catch_panics<T>(handle: &mut StoreHandle, write: impl FnOnce(&mut StoreHandle) -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(|| write(handle))).unwrap_or_else(|panic| {
        handle.close();
        Err(Error::from_panic(panic.as_ref()))
    })
}

/// Returns the shorter of two delays.
fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

impl Task for Session {
    fn run_once(&self) -> Option<Duration> {
        let _guard = fork::guard();
        let is_inbox_empty = self.drain_inbox(BATCHES);
        let wait = {
            let mut state = self.state();
            if state.dirty.holds_dates_only() {
                state.due = None;
            }
            if state.is_saved() {
                state.dates_due = None;
            }
            state.time_to_next_write()
        };
        match wait {
            Some(Duration::ZERO) => self.run_write(),
            _ if !is_inbox_empty => Some(Duration::ZERO),
            wait => earlier(wait, self.load_some()),
        }
    }

    fn flush_all(&self) -> FlushOutcome {
        let Err(error) = self.write_all() else { return FlushOutcome::Flushed };
        let _guard = fork::guard();
        let what = format!("{error}; unsaved: {}", self.state().dirty.describe());
        if error.is_retryable() { FlushOutcome::Retry(what) } else { FlushOutcome::Failed(what) }
    }
}
