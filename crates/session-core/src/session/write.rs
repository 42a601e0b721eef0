//! Writing what is dirty: the writer does so about a second after a change, and so do `save()`,
//! `close()` and the last reference to the session.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::dirty_set::InFlight;
use super::handle::StoreHandle;
use super::load::HANDLE_RETRY;
use super::retry::KeepWaiting;
use super::state::{OnSaved, State, Waiter, Write};
use super::stored_login::StoredLogin;
use super::{BRIEF_TIMEOUT, Session, turns};
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{self, Base, ChangeSource, Changes, Kind, Lease, Revision, Store, StoreError, Written};
use crate::sync::{AtomicBool, Ordering, sleep};
use crate::writer::{self, FlushOutcome, Task};

/// How long the writer lets changes gather. With the time to write them, this makes about a second.
pub(super) const FLUSH_DELAY: Duration = Duration::from_millis(500);
/// How long it lets mere dates gather: Telethon's clients save as often by themselves.
const DATES_FLUSH_DELAY: Duration = Duration::from_mins(1);
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
        if self.is_read_only() {
            let _guard = fork::guard();
            return self.check_unchanged();
        }
        if may_block && has_credentials {
            return self.write_all_retrying(self.timeout(), keep_waiting);
        }
        if has_credentials {
            let earlier = self.posts();
            self.retry_while_busy(self.timeout(), keep_waiting, || self.write_credentials(earlier))?;
        }
        if !may_block {
            let _guard = fork::guard();
            self.write_soon();
            return Ok(());
        }
        match self.write_all_retrying(SAVE_TIMEOUT.max(self.timeout()), keep_waiting) {
            Err(error) if error.is_retryable() || error.kind() == Some(Kind::Unconfirmed) => Ok(()),
            other => other,
        }
    }

    /// Calls `tell` when all changes so far are written, or cannot be for another reason than a
    /// lock.
    pub fn when_saved(&self, tell: OnSaved) {
        let _guard = fork::guard();
        if self.is_read_only() {
            return tell(self.check_unchanged());
        }
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

    fn write_credentials(&self, earlier: u64) -> Result<()> {
        let _guard = fork::guard();
        // A thread that is writing them holds the store, and has restored them by now if that
        // failed.
        let mut handle = self.lock_store_preempting();
        self.settle_posted(&mut handle, BRIEF_TIMEOUT, earlier)?;
        let (credentials, up_to) = {
            let mut state = self.state();
            let Some(credentials) = state.take_credentials() else { return Ok(()) };
            (credentials, state.saved)
        };
        let written = catch_panics(&mut handle, |handle| {
            let (store, lease, login, _) = self.opened_parts(handle)?;
            check_lease(lease)?;
            let mut source =
                CredentialsOnly { session: self, login, credentials: Some(credentials.clone()), begun: None };
            let written = store.write(&mut source);
            if let Some(begun) = source.begun {
                self.note_turn(store, begun);
            }
            Ok(Some(written?))
        });
        let in_flight = vec![InFlight { credentials: Some(credentials), ..InFlight::default() }];
        let write = Write { in_flight, up_to, is_credentials_only: true, ..Write::default() };
        self.end_or_post(&mut handle, write, written, BRIEF_TIMEOUT)
    }

    /// Writes everything that is dirty now, and waits up to `limit` for locks.
    pub(super) fn write_all_retrying(&self, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<()> {
        let earlier = self.posts();
        self.retry_while_busy(limit, keep_waiting, || self.write_all_after(earlier))
    }

    /// Writes everything that is dirty now, without waiting for locks. Later changes need not be
    /// written.
    pub(super) fn write_all(&self) -> Result<()> {
        self.write_all_after(0)
    }

    /// Like [`write_all`](Self::write_all), in a caller that has begun after the post `earlier`.
    fn write_all_after(&self, earlier: u64) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
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
            self.write(&mut self.lock_store_preempting(), true, BRIEF_TIMEOUT, earlier)?;
            self.record_success();
        }
    }

    /// Writes what is dirty now in one transaction. It ends early if another thread wants the
    /// store, or if it takes long; the next write continues with the rest. If the write is posted,
    /// waits at most `timeout` for its end. Ignores the failure of a post up to `earlier`.
    fn write(&self, handle: &mut StoreHandle, with_dates: bool, timeout: Duration, earlier: u64) -> Result<()> {
        self.settle_posted(handle, timeout, earlier)?;
        self.compare_added(handle, timeout)?;
        let (mut write, is_anything_dirty) = {
            let mut state = self.state();
            let (up_to, with_dates) = state.begin_write(with_dates);
            (Write { up_to, with_dates, ..Write::default() }, !state.dirty.holds_dates_only())
        };
        let written = if is_anything_dirty {
            catch_panics(handle, |handle| self.write_slices(handle, &mut write).map(Some))
        } else {
            write.is_complete = true;
            Ok(None)
        };
        self.end_or_post(handle, write, written, timeout)
    }

    /// Hands the dirty data out to the store, in slices.
    fn write_slices(&self, handle: &mut StoreHandle, write: &mut Write) -> Result<Written> {
        let (store, lease, login, loaded_revision) = self.opened_parts(handle)?;
        check_lease(lease)?;
        let loaded_revision = *loaded_revision;
        let mut source = Slices { session: self, login, loaded_revision, write, begun: None, writing: None };
        let written = store.write(&mut source);
        // The transaction has ended: from here on other connections can write.
        let begun = source.begun;
        drop(source);
        if let Some(begun) = begun {
            self.note_turn(store, begun);
        }
        Ok(written?)
    }

    /// Notes that a transaction that began at `begun` has ended.
    fn note_turn(&self, store: &mut dyn Store, begun: Instant) {
        store.trim();
        if !self.is_remote() {
            self.state().turns.add(begun);
        }
    }

    /// Ends a write or, if the store has posted it, waits at most `timeout` for its end.
    fn end_or_post(
        &self,
        handle: &mut StoreHandle,
        write: Write,
        written: Result<Option<Written>>,
        timeout: Duration,
    ) -> Result<()> {
        let is_posted = !write.in_flight.is_empty() && is_pending(&written);
        if !is_posted {
            return self.end_write(handle, write, written);
        }
        {
            let mut state = self.state();
            state.posts += 1;
            state.posted = Some(write);
        }
        self.end_posted(handle, timeout)
    }

    /// Returns how many writes were posted.
    fn posts(&self) -> u64 {
        let _guard = fork::guard();
        self.state().posts
    }

    /// Like [`end_posted`](Self::end_posted), but ignores the failure of a post up to `earlier`: it may
    /// be over by now, what it had taken is dirty again, and the next write will tell.
    fn settle_posted(&self, handle: &mut StoreHandle, timeout: Duration, earlier: u64) -> Result<()> {
        let is_earlier = self.state().posts <= earlier;
        let ended = self.end_posted(handle, timeout);
        ended.or_else(|error| if is_earlier && error.kind() != Some(Kind::Pending) { Ok(()) } else { Err(error) })
    }

    /// Ends the write that was posted, if there is one, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// [`Kind::Pending`] if it has not ended yet, or what prevented it.
    fn end_posted(&self, handle: &mut StoreHandle, timeout: Duration) -> Result<()> {
        if self.state().posted.is_none() {
            return Ok(());
        }
        let written = catch_panics(handle, |handle| {
            let posted = handle.store.as_mut().and_then(|store| store.poll_write(timeout));
            // A store that was closed meanwhile has forgotten it. Writing it again changes nothing.
            let interrupted =
                || StoreError::new(Kind::Unreachable, self.place(), "the write was interrupted".to_owned());
            Ok(Some(posted.unwrap_or_else(|| Err(interrupted()))?))
        });
        if is_pending(&written) {
            return written.map(drop);
        }
        let write = self.state().posted.take();
        write.map_or(Ok(()), |write| self.end_write(handle, write, written))
    }

    fn end_write(&self, handle: &mut StoreHandle, write: Write, written: Result<Option<Written>>) -> Result<()> {
        let key = write.auth_key().cloned();
        if let Ok(Some(Written { revision })) = written {
            if !write.is_credentials_only {
                if write.base == handle.loaded_revision {
                    handle.loaded_revision = revision;
                }
                handle.login.set_revision(write.base, revision);
            }
            if let Some(key) = key {
                handle.login.set_written(key);
            }
        } else if let (Some(key), Err(Error::Store(error))) = (key, &written)
            && error.kind == Kind::Unreachable
        {
            handle.login.set_unsure(key);
        }
        let result = written.map(drop);
        let tells = {
            let mut state = self.state();
            if result.is_ok() {
                self.plan_to_look(&mut state);
                self.plan_to_check_index(&mut state);
            }
            state.end_write(write, result.as_ref().err())
        };
        if let Err(error) = &result {
            self.close_if_unusable(handle, error);
        }
        for (tell, result) in tells {
            tell(result);
        }
        result
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
        let written = self.write(&mut handle, with_dates, Duration::ZERO, 0);
        drop(handle);
        if let Err(error) = written {
            self.record_failure(&error);
            return Some(self.state().health.next_delay(&error));
        }
        self.record_success();
        if !self.inbox.is_empty() {
            return Some(HANDLE_RETRY);
        }
        let (next, closes) = {
            let mut state = self.state();
            let closes = state.closes_when_written && state.is_saved();
            state.closes_when_written &= !closes;
            (state.time_to_next_write().map(|wait| wait.max(HANDLE_RETRY)), closes)
        };
        if closes {
            self.close_store(&mut self.lock_store());
            return next;
        }
        earlier(next, self.load_some())
    }
}

/// The dirty data of a session, in slices.
struct Slices<'a> {
    session: &'a Session,
    login: &'a mut StoredLogin,
    loaded_revision: Revision,
    write: &'a mut Write,
    /// When the transaction began.
    begun: Option<Instant>,
    writing: Option<Writing<'a>>,
}

impl ChangeSource for Slices<'_> {
    fn next(&mut self, base: &Base) -> store::Result<Option<Changes>> {
        let Self { session, login, write, .. } = self;
        let begun = *self.begun.get_or_insert_with(Instant::now);
        if self.writing.is_none() {
            session.refresh_if_stale(self.loaded_revision, base.revision);
            write.base = base.revision;
            self.writing = Some(Writing::begin(&session.is_writing));
            write.rows = session.state().rows_to_write();
        }
        let mut state = session.state();
        let has_written = !write.in_flight.is_empty();
        write.is_complete = state.dirty.holds_dates_only() || (write.rows == 0 && has_written);
        let must_end = || session.preempting.load(Ordering::Relaxed) > 0 || begun.elapsed() >= turns::LONGEST;
        if write.is_complete || (has_written && must_end()) {
            return Ok(None);
        }
        let (changes, in_flight) = state.take(ROWS.min(write.rows));
        drop(state);
        write.rows = write.rows.saturating_sub(ROWS);
        write.in_flight.push(in_flight);
        session.check_login(login, base, changes.credentials.as_ref())?;
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

fn is_pending<T>(result: &Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == Some(Kind::Pending))
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
        let is_removing = self.end_removal();
        let next = self.write_or_load(is_inbox_empty);
        let next = earlier(next, self.evict());
        if is_removing { Some(Duration::ZERO) } else { next }
    }

    fn flush_all(&self) -> FlushOutcome {
        let Err(error) = self.write_all() else { return FlushOutcome::Flushed };
        let _guard = fork::guard();
        let what = format!("{error}; unsaved: {}", self.state().describe_unsaved());
        if error.is_retryable() { FlushOutcome::Retry(what) } else { FlushOutcome::Failed(what) }
    }
}

impl Session {
    /// Writes if that is due, loads, and looks at what other connections have changed. Returns the
    /// delay until it wants to go on.
    fn write_or_load(&self, is_inbox_empty: bool) -> Option<Duration> {
        if self.is_read_only() {
            return if is_inbox_empty { self.load_some() } else { Some(Duration::ZERO) };
        }
        let look = self.hear_of_changes();
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
        let next = match wait {
            Some(Duration::ZERO) => self.run_write(),
            _ if !is_inbox_empty => Some(Duration::ZERO),
            wait => earlier(wait, self.load_some()),
        };
        earlier(next, look)
    }
}
