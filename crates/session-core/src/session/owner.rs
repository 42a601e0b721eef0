//! A store that is, or may be, another account's: the session is kept in memory until it shows that
//! it is the store's.

use std::sync::Arc;

use super::handle::StoreHandle;
use super::load_state::LoadState;
use super::state::State;
use super::{BRIEF_TIMEOUT, Session, SessionOptions};
use crate::error::{Error, Result};
use crate::fork;
use crate::store::{Backend, Kind};

impl Session {
    /// Returns a session whose store must not be opened yet.
    pub(super) fn unopened(backend: Arc<dyn Backend>, options: SessionOptions) -> Arc<Self> {
        let handle = StoreHandle { generation: fork::generation(), ..StoreHandle::default() };
        let state = State { generation: fork::generation(), ..State::default() };
        Self::new(Some(backend), options, handle, state)
    }

    /// Checks again whether the session may use its store, because its login has changed or its
    /// account is known now. If so, the store is used from now on. If not, or not yet, what was read
    /// from it is forgotten.
    ///
    /// # Errors
    /// [`Kind::NotOwner`] if it may not.
    pub fn check_owner(&self) -> Result<()> {
        let _guard = fork::guard();
        let mut handle = self.lock_store_preempting();
        let checked = match &mut handle.store {
            Some(store) => store.check().map_err(Error::from),
            None => self.opened(&mut handle, BRIEF_TIMEOUT).map(drop),
        };
        match checked {
            Err(error) if error.kind().is_some_and(Kind::is_of_others) => {
                handle.close();
                let mut state = self.whole_state();
                state.forget_clean();
                state.loading = LoadState::Loaded;
                if error.kind() == Some(Kind::NotOwner) { Err(error) } else { Ok(()) }
            }
            // The next use of the store will tell.
            _ => Ok(()),
        }
    }

    /// Forgets what is dirty if it can never be written, because the store is another account's.
    /// Returns `true` if so.
    pub(super) fn give_up_if_of_others(&self, error: &Error) -> bool {
        let is_of_others = error.kind().is_some_and(Kind::is_of_others);
        if is_of_others {
            let mut state = self.whole_state();
            let what = state.describe_unsaved();
            if !what.is_empty() {
                log::warn!("{error}; not stored: {what}");
            }
            state.mark_all_clean();
            state.saved = state.changes;
        }
        is_of_others
    }
}
