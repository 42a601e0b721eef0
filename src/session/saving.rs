//! Writing what is unsaved: by the writer about a second after the change, by `save()`, at `close()`, and when the session
//! is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::journal::Taken;
use super::loading::SLOT_RETRY;
use super::state::{OnSaved, Rest, State, Waiter};
use super::{Session, Slot, turns};
use crate::error::{Error, Result};
use crate::fork;
use crate::store::Changes;
use crate::sync::{AtomicBool, Ordering, sleep};
use crate::writer::{self, Saved, Task};

/// How long the writer lets changes gather. With the time to write them it makes about a second.
pub(super) const GATHER: Duration = Duration::from_millis(500);
/// The same for mere dates: as often as Telethon's clients save by themselves.
const GATHER_DATES: Duration = Duration::from_secs(60);
/// How long `save()` outside an event loop waits for a lock to write the rest, before it leaves that to the writer.
const SAVE_WAIT: Duration = Duration::from_secs(30);
/// How long whoever waits for a lock sleeps between two attempts. Nobody holds the slot meanwhile.
const PAUSE: Duration = Duration::from_millis(10);
/// Rows copied out of the session at a time, so that nobody waits long for its lock.
const ROWS: usize = 1000;
/// Received pages put into the cache at a visit: some milliseconds' work.
const PAGES: usize = 64;

/// Asked before each further attempt whether the caller still has a mind to wait.
pub type Patience<'a> = &'a mut dyn FnMut() -> bool;

impl Session {
    /// Writes the credentials now if they have changed; and the rest too, or asks the writer to if the caller must not be
    /// held up.
    ///
    /// # Errors
    /// Whatever keeps the credentials from being written. What else is unsaved stays in memory and is tried again.
    pub fn save(&self, may_block: bool, patience: Patience<'_>) -> Result<()> {
        let (credentials, unsaved) = {
            let _working = fork::working();
            let state = self.whole_state();
            (state.journal.credentials.is_some() || state.are_credentials_under_way, !state.is_saved())
        };
        if !self.is_stored() || !(unsaved || credentials) {
            return Ok(());
        }
        if may_block && credentials {
            return self.write_all(self.timeout(), patience);
        }
        if credentials {
            self.patiently(self.timeout(), patience, || self.write_credentials())?;
        }
        if !may_block {
            let _working = fork::working();
            self.write_soon();
            return Ok(());
        }
        match self.write_all(SAVE_WAIT.max(self.timeout()), patience) {
            Err(Error::Locked { .. }) => Ok(()),
            other => other,
        }
    }

    /// Calls `tell` when all changes up to now are written, or cannot be for another cause than a lock.
    pub fn when_saved(&self, tell: OnSaved) {
        let _working = fork::working();
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

    /// Writes everything and closes the store. It is opened again when it is needed.
    ///
    /// # Errors
    /// [`Error::Unsaved`] if that is not possible within `limit`; it can be called again.
    pub fn close(&self, limit: Duration, patience: Patience<'_>) -> Result<()> {
        let begun = Instant::now();
        let written = self.write_all(limit, patience);
        let _working = fork::working();
        written.map_err(|cause| Error::Unsaved {
            cause: Box::new(cause),
            waited: begun.elapsed().as_secs(),
            what: self.state().journal.describe(),
        })?;
        let mut slot = self.slot();
        if self.location.as_ref().is_some_and(|location| !location.is_lost_when_closed()) {
            slot.store = None;
            self.is_closed.store(true, Ordering::Release);
            self.move_on(&mut slot);
        }
        Ok(())
    }

    /// Removes what is stored, and forgets what is unsaved. Answers whether it is gone. A file that holds another login by
    /// now, or that another program is writing to, is left alone.
    #[must_use]
    pub fn delete(&self) -> bool {
        let _working = fork::working();
        let mut slot = self.slot();
        let Some(location) = self.location.as_ref().filter(|location| !location.is_lost_when_closed()) else {
            return true;
        };
        slot.store = None;
        if self.holds_anothers_login(&slot) {
            log::error!("{} is not deleted: it holds another login than this session, or is locked", location.name());
            return false;
        }
        slot.may_create = true;
        slot.is_gone = false;
        slot.stored_key = Zeroizing::default();
        slot.read_key = Zeroizing::default();
        slot.former_key = None;
        let waiters = {
            let mut state = self.whole_state();
            state.key = Zeroizing::default();
            state.forget_unsaved();
            state.saved = state.changes;
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters {
            (waiter.tell)(Ok(()));
        }
        location.delete()
    }

    /// To be called when the last reference to the session goes. What is unsaved is written, now or by the writer.
    pub fn abandon(&self) {
        {
            let _working = fork::working();
            self.state().is_abandoned = true;
        }
        if self.is_stored() && self.write_everything().is_err() {
            let _working = fork::working();
            self.write_soon();
        }
    }

    /// To be called, with the state locked, after each change that was put into the journal: since when it waits to be written.
    pub(super) fn note_change(&self, state: &mut State, since: Instant) {
        state.changes += 1;
        self.plan(&mut state.due, since + GATHER);
    }

    /// The same for what may wait longer.
    pub(super) fn note_date(&self, state: &mut State, since: Instant) {
        state.changes += 1;
        self.plan(&mut state.dates_due, since + GATHER_DATES);
    }

    fn plan(&self, due: &mut Option<Instant>, at: Instant) {
        self.is_closed.store(false, Ordering::Release);
        if due.is_none() {
            *due = Some(at);
            self.visit_in(at.saturating_duration_since(Instant::now()));
        }
    }

    /// Asks the writer to write what is unsaved, now.
    fn write_soon(&self) {
        self.state().due = Some(Instant::now());
        self.visit_in(Duration::ZERO);
    }

    pub(super) fn visit_in(&self, delay: Duration) {
        if let Some(me) = self.me.upgrade() {
            writer::visit(me, delay);
        }
    }

    fn write_credentials(&self) -> Result<()> {
        let _working = fork::working();
        // Whoever is writing them already holds the slot, and has put them back by now if that failed.
        let mut slot = self.slot_urgently();
        let Some(credentials) = self.state().take_credentials() else { return Ok(()) };
        let changes = Changes { credentials: Some(credentials), ..Changes::default() };
        let result = self.transact(&mut slot, |slot, _| {
            self.check_login(slot, changes.credentials.as_ref())?;
            let store = self.opened(slot, Duration::ZERO)?;
            store.apply(&changes)?;
            store.commit()
        });
        match &result {
            Ok(()) => slot.note_written(&changes),
            Err(error) => self.let_go_if_broken(&mut slot, error),
        }
        let tells = {
            let mut state = self.state();
            state.are_credentials_under_way = false;
            match &result {
                Ok(()) if state.journal.is_empty() => state.saved = state.changes,
                Ok(()) => {}
                Err(_) => state.journal.put_back_credentials(changes.credentials),
            }
            state.take_waiters(None)
        };
        for tell in tells {
            tell(Ok(()));
        }
        result
    }

    /// Tries again while the store is locked, until `limit` is over or the caller loses patience.
    pub(super) fn patiently<T>(
        &self,
        limit: Duration,
        patience: Patience<'_>,
        attempt: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        patiently(limit, patience, |error| self.note_trouble(error), attempt)
    }

    /// Writes all that is unsaved now. Waits at most `limit` for a lock.
    fn write_all(&self, limit: Duration, patience: Patience<'_>) -> Result<()> {
        self.patiently(limit, patience, || self.write_everything())
    }

    /// Writes all that is unsaved now, without waiting for a lock. What others give meanwhile need not be written.
    pub(super) fn write_everything(&self) -> Result<()> {
        let up_to = {
            let _working = fork::working();
            self.whole_state().changes
        };
        loop {
            let working = fork::working();
            let rest = {
                let state = self.whole_state();
                if state.is_saved() || state.saved >= up_to {
                    return Ok(());
                }
                state.turns.rest()
            };
            if !rest.is_zero() {
                drop(working);
                sleep(rest);
                continue;
            }
            self.write(&mut self.slot_urgently(), true)?;
            self.note_success();
        }
    }

    /// Writes what is unsaved now in one transaction. Ends it early if somebody waits urgently for
    /// the store, or if it takes long; the next goes on with the rest.
    fn write(&self, slot: &mut Slot, with_dates: bool) -> Result<()> {
        let ((up_to, with_dates), is_anything_unsaved) = {
            let mut state = self.state();
            (state.begin_write(with_dates), !state.journal.holds_dates_only())
        };
        let (mut taken, mut rows) = (Vec::new(), 0);
        let result = if is_anything_unsaved {
            self.transact(slot, |slot, begun| self.write_slices(slot, begun, &mut rows, &mut taken))
        } else {
            Ok(true)
        };
        let mut state = self.state();
        state.are_credentials_under_way = false;
        match result {
            // We hold the slot, so nobody else is writing either.
            Ok(_) if state.journal.is_empty() => {
                state.rest = None;
                state.saved = state.changes;
            }
            Ok(true) => {
                state.rest = None;
                if with_dates {
                    state.saved = state.saved.max(up_to);
                }
            }
            Ok(false) => state.rest = Some(Rest { up_to, rows, with_dates }),
            Err(_) => state.put_back(taken),
        }
        let tells = state.take_waiters(result.as_ref().err());
        drop(state);
        let result = result.map(drop);
        for tell in tells {
            tell(result.clone());
        }
        if let Err(error) = &result {
            self.let_go_if_broken(slot, error);
        }
        result
    }

    /// Begins a transaction and lets `write` write and commit it, from the time when it began; rolls
    /// it back if that fails. A panic becomes an error.
    fn transact<T>(&self, slot: &mut Slot, write: impl FnOnce(&mut Slot, Instant) -> Result<T>) -> Result<T> {
        safely(slot, |slot| {
            self.opened(slot, Duration::ZERO)?.begin()?;
            let begun = Instant::now();
            let written = write(slot, begun);
            if let Some(store) = &mut slot.store {
                if written.is_err() {
                    store.roll_back();
                }
                store.rest();
            }
            self.state().turns.add(begun);
            written
        })
    }

    /// Returns `true` if all is written that belongs to the write, and leaves in `rows` how many
    /// entities are not.
    fn write_slices(&self, slot: &mut Slot, begun: Instant, rows: &mut usize, taken: &mut Vec<Taken>) -> Result<bool> {
        self.is_behind(slot)?;
        let _writing = Writing::begin(&self.is_writing);
        *rows = self.state().rows_to_write();
        let mut written_key = Changes::default();
        loop {
            let mut state = self.state();
            let is_all = state.journal.holds_dates_only() || (*rows == 0 && !taken.is_empty());
            let is_wanted = || self.urgent.load(Ordering::Relaxed) > 0 || begun.elapsed() >= turns::LONGEST;
            if is_all || (!taken.is_empty() && is_wanted()) {
                drop(state);
                self.opened(slot, Duration::ZERO)?.commit()?;
                slot.note_written(&written_key);
                return Ok(is_all);
            }
            let (mut changes, keys) = state.take(ROWS.min(*rows));
            drop(state);
            *rows = rows.saturating_sub(ROWS);
            taken.push(keys);
            self.check_login(slot, changes.credentials.as_ref())?;
            self.opened(slot, Duration::ZERO)?.apply(&changes)?;
            if changes.credentials.is_some() {
                written_key.credentials = changes.credentials.take();
            }
        }
    }

    fn write_in_turn(&self) -> Option<Duration> {
        let Some(mut slot) = self.try_slot() else { return Some(SLOT_RETRY) };
        let with_dates = {
            let mut state = self.state();
            // What changes from now on waits for the next time.
            state.due = None;
            state.are_dates_due()
        };
        let written = self.write(&mut slot, with_dates);
        drop(slot);
        if let Err(error) = written {
            self.note_trouble(&error);
            return Some(self.state().trouble.next_delay(&error));
        }
        self.note_success();
        if !self.inbox.is_empty() {
            return Some(SLOT_RETRY);
        }
        let next = self.state().time_to_next_write().map(|wait| wait.max(SLOT_RETRY));
        earlier(next, self.load_some())
    }
}

/// Says that a transaction is under way, until it is dropped: at once when the transaction ends, for then others can write.
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

/// Tries again while something is locked, until `limit` is over or the caller loses patience.
pub(super) fn patiently<T>(
    limit: Duration,
    patience: Patience<'_>,
    note: impl Fn(&Error),
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Err(error @ Error::Locked { .. }) if Instant::now() < deadline && patience() => {
                note(&error);
                sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// Makes an error of a panic, so that what was taken from the journal is not lost with it. The connection is not trusted any more.
fn safely<T>(slot: &mut Slot, write: impl FnOnce(&mut Slot) -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(|| write(slot))).unwrap_or_else(|panic| {
        slot.store = None;
        Err(Error::from_panic(panic.as_ref()))
    })
}

/// The shorter of two times, of which there may be none.
fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

impl Task for Session {
    fn turn(&self) -> Option<Duration> {
        let _working = fork::working();
        let is_all_taken_in = self.take_in_pages(PAGES);
        let wait = {
            let mut state = self.state();
            if state.journal.holds_dates_only() {
                state.due = None;
            }
            if state.is_saved() {
                state.dates_due = None;
            }
            state.time_to_next_write()
        };
        match wait {
            Some(Duration::ZERO) => self.write_in_turn(),
            _ if !is_all_taken_in => Some(Duration::ZERO),
            wait => earlier(wait, self.load_some()),
        }
    }

    fn save_everything(&self) -> Saved {
        let Err(error) = self.write_everything() else { return Saved::Everything };
        let _working = fork::working();
        let what = format!("{error}; unsaved: {}", self.state().journal.describe());
        if matches!(error, Error::Locked { .. }) { Saved::NotYet(what) } else { Saved::Never(what) }
    }
}
