//! The place of the open store, and who may use it.

use std::path::PathBuf;
use std::sync::{PoisonError, TryLockError};

use zeroize::Zeroizing;

use super::Session;
use crate::fork;
use crate::store::{Changes, Identity, Store};
use crate::sync::{MutexGuard, Ordering};

/// The place of the open store.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) store: Option<Box<dyn Store>>,
    /// Whether the store may be made anew if it is not there: only after it was deleted by its own session.
    pub(super) may_create: bool,
    /// Whether what was at the location was taken away. What is there next may be somebody else's.
    pub(super) is_gone: bool,
    /// The key that was last seen in the store, or written to it.
    pub(super) stored_key: Zeroizing<Vec<u8>>,
    /// The key that was read when the store was last opened.
    pub(super) read_key: Zeroizing<Vec<u8>>,
    /// The store's number of others' commits when its login was last checked.
    pub(super) checked_at: Option<i64>,
    /// What told the file from others when it was last opened.
    pub(super) identity: Option<Identity>,
    /// Whether the file got a login while the session, which has none, was closed. It only reads then.
    pub(super) is_guest: bool,
    /// The file that is opened after the next `close()`, if that is another.
    pub(super) next_path: Option<PathBuf>,
    /// The key that the session had when it was pointed to a file with another login. It is not
    /// written there.
    pub(super) former_key: Option<Zeroizing<Vec<u8>>>,
    /// The store's number of others' commits as of the last time everything was read.
    pub(super) others_commits: i64,
    /// The number of forks when this was last used.
    pub(super) generation: u64,
}

impl Slot {
    /// Remembers the key that is in the store now.
    pub(super) fn note_written(&mut self, changes: &Changes) {
        if let Some(credentials) = &changes.credentials {
            self.stored_key.clone_from(&credentials.auth_key);
            self.former_key = None;
        }
    }

    /// A connection does not survive a fork, and is not the child's to close.
    pub(super) fn notice_fork(&mut self) {
        if self.generation != fork::generation() {
            std::mem::forget(self.store.take());
            self.generation = fork::generation();
        }
    }
}

impl Session {
    pub(super) fn slot(&self) -> MutexGuard<'_, Slot> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.notice_fork();
        slot
    }

    /// The same, for somebody who should not have to wait for a long transaction: it is ended early.
    pub(super) fn slot_urgently(&self) -> MutexGuard<'_, Slot> {
        self.urgent.fetch_add(1, Ordering::Relaxed);
        let slot = self.slot();
        self.urgent.fetch_sub(1, Ordering::Relaxed);
        slot
    }

    pub(super) fn try_slot(&self) -> Option<MutexGuard<'_, Slot>> {
        let mut slot = match self.slot.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        slot.notice_fork();
        Some(slot)
    }
}
