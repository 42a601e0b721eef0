//! What a session holds besides entities: credentials, update states and sent files.

use std::time::{Duration, Instant};

use super::Session;
use super::state::State;
use crate::credentials::Credentials;
use crate::fork;
use crate::store::{FileKey, SentFile, UpdateState};

impl Session {
    /// Sets the credentials, to be stored by the next [`save`](Self::save).
    pub fn set_credentials(&self, credentials: Credentials) {
        let _guard = fork::guard();
        if self.is_stored() {
            let mut state = self.state();
            state.key.clone_from(&credentials.auth_key);
            state.dirty.credentials = Some(credentials);
            self.note_change(&mut state, Instant::now());
        }
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

    /// Returns the server's reference to a sent file.
    #[must_use]
    pub fn sent_file(&self, key: &FileKey) -> Option<SentFile> {
        let _guard = fork::guard();
        self.see_shared();
        if let Some(file) = self.state().sent_files.get(key) {
            return Some(*file);
        }
        if !self.is_stored() {
            return None;
        }
        let mut handle = self.lock_store_preempting();
        let found = self.opened(&mut handle, Duration::ZERO).and_then(|store| Ok(store.sent_file(key)?));
        let file = self.or_cached(&mut handle, found, || None)?;
        self.state().sent_files.entry(key.clone()).or_insert(file);
        Some(file)
    }
}
