//! What a session holds besides entities: credentials, update states and sent files.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::retry::{KeepWaiting, retry_while_busy};
use super::state::State;
use super::{BRIEF_TIMEOUT, Session};
use crate::credentials::Credentials;
use crate::error::Result;
use crate::fork;
use crate::store::{FileKey, Kind, SentFile, UpdateState};

impl Session {
    /// Sets the credentials, to be stored by the next [`save`](Self::save).
    pub fn set_credentials(&self, credentials: Credentials) {
        let _guard = fork::guard();
        if self.is_stored() {
            let mut state = self.state();
            state.key.clone_from(&credentials.auth_key);
            state.dirty.credentials = (!state.is_stored_login(&credentials)).then_some(credentials);
            self.note_change(&mut state, Instant::now());
        }
    }

    /// Returns `true` if the credentials are to be set again although they have not changed, because
    /// the store holds them in a form that is out of date.
    #[must_use]
    pub fn has_outdated_login(&self) -> bool {
        let _guard = fork::guard();
        self.backend.as_ref().is_some_and(|backend| backend.is_outdated(&self.state().key))
    }

    /// Returns the update state of a channel or, for ID 0, of the account.
    #[must_use]
    pub fn update_state(&self, id: i64) -> Option<UpdateState> {
        let _guard = fork::guard();
        self.open_if_moved();
        self.see_shared();
        self.state().update_states.get(&id).copied()
    }

    /// Returns all update states, in the order of their IDs.
    #[must_use]
    pub fn update_states(&self) -> Vec<(i64, UpdateState)> {
        let _guard = fork::guard();
        self.open_if_moved();
        self.see_shared();
        self.state().update_states.iter().map(|(id, update_state)| (*id, *update_state)).collect()
    }

    /// Sets an update state unless that would have to wait. Returns `true` if it did.
    #[must_use]
    pub fn try_set_update_state(&self, id: i64, update_state: UpdateState) -> bool {
        self.try_state().map(|mut state| self.put_update_state(&mut state, id, update_state)).is_some()
    }

    /// Sets an update state.
    pub fn set_update_state(&self, id: i64, update_state: UpdateState) {
        let _guard = fork::guard();
        self.put_update_state(&mut self.state(), id, update_state);
    }

    fn put_update_state(&self, state: &mut State, id: i64, update_state: UpdateState) {
        let before = state.update_states.insert(id, update_state);
        if !self.is_stored() {
            return;
        }
        // A channel's date is of no use, and Telethon's clients make one up whenever they save.
        if id != 0 && before.is_some_and(|before| UpdateState { date: update_state.date, ..before } == update_state) {
            if !state.dirty.update_states.contains(&id) {
                state.dirty.channel_dates.insert(id);
                self.note_date(state, Instant::now());
            }
        } else {
            state.dirty.update_states.insert(id);
            self.note_change(state, Instant::now());
        }
    }

    /// Stores the server's reference to a sent file.
    pub fn set_sent_file(&self, key: FileKey, file: SentFile) {
        let _guard = fork::guard();
        let mut state = self.state();
        state.sent_files.insert(key.clone(), file);
        if self.is_stored() {
            state.dirty.sent_files.insert(key);
            self.note_change(&mut state, Instant::now());
        }
    }

    /// Returns the server's reference to a sent file. One that memory lacks is asked of a server again
    /// for up to `limit`.
    #[must_use]
    pub fn sent_file(&self, key: &FileKey, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Option<SentFile> {
        let attempt = || {
            let _guard = fork::guard();
            self.sent_file_now(key)
        };
        let limit = if self.is_remote() { limit } else { Duration::ZERO };
        retry_while_busy(limit, keep_waiting, |_| (), attempt).unwrap_or_default()
    }

    /// Returns all sent files that are stored or in memory, in any order.
    ///
    /// # Errors
    /// What prevents the store from being read. One that another connection holds, or that has not
    /// answered, is retried for up to `limit`.
    pub fn sent_files(&self, limit: Duration, keep_waiting: KeepWaiting<'_>) -> Result<Vec<(FileKey, SentFile)>> {
        let attempt = || {
            let _guard = fork::guard();
            self.sent_files_now()
        };
        retry_while_busy(limit, keep_waiting, |_| (), attempt)
    }

    fn sent_files_now(&self) -> Result<Vec<(FileKey, SentFile)>> {
        self.see_shared();
        let mut files = HashMap::new();
        // Locked until memory was read too: otherwise a file might be written and dropped in between.
        let mut handle = self.is_stored().then(|| self.lock_store_preempting());
        if let Some(handle) = &mut handle {
            let found = self.opened(handle, Duration::ZERO).and_then(|store| Ok(store.sent_files(BRIEF_TIMEOUT)?));
            if let Err(error) = &found
                && !error.is_retryable()
            {
                self.close_if_unusable(handle, error);
                self.record_failure(error);
            }
            files.extend(found?);
        }
        files.extend(self.state().sent_files.iter().map(|(key, file)| (key.clone(), *file)));
        Ok(files.into_iter().collect())
    }

    /// # Errors
    /// [`Kind::Pending`] if a server has not answered yet.
    fn sent_file_now(&self, key: &FileKey) -> Result<Option<SentFile>> {
        self.see_shared();
        if let Some(file) = self.state().sent_files.get(key) {
            return Ok(Some(*file));
        }
        if !self.is_stored() {
            return Ok(None);
        }
        let mut handle = self.lock_store_preempting();
        let found = self.opened(&mut handle, Duration::ZERO).and_then(|store| Ok(store.sent_file(key, BRIEF_TIMEOUT)?));
        match found {
            Err(error) if error.kind() == Some(Kind::Pending) => Err(error),
            found => {
                let Some(file) = self.or_cached(&mut handle, found, || None) else { return Ok(None) };
                self.state().sent_files.entry(key.clone()).or_insert(file);
                Ok(Some(file))
            }
        }
    }
}
