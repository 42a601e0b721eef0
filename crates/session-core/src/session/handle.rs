//! The open store, and the lock that a thread holds while it uses the store.

use super::Session;
use super::bounds::SharedIndexer;
use super::reader::Reader;
use super::stored_login::StoredLogin;
use crate::fork;
use crate::store::{Lease, Revision, Store};
use crate::sync::{self, MutexGuard, Ordering};

/// The open store, if it is open, and what is known of it.
#[derive(Default)]
pub(super) struct StoreHandle {
    pub(super) store: Option<Box<dyn Store>>,
    /// The lease of the open store, if the session is exclusive. Dropped after the store.
    pub(super) lease: Option<Box<dyn Lease>>,
    /// The loader's own connection, if it has one.
    pub(super) reader: Option<Reader>,
    /// What completes the index of the store, if it is not complete.
    pub(super) indexer: Option<SharedIndexer>,
    /// Whether the store may be created if it does not exist: only after this session deleted it.
    pub(super) may_create: bool,
    /// Whether the store was taken away. What is found in its place next may belong to someone
    /// else.
    pub(super) is_gone: bool,
    pub(super) login: StoredLogin,
    /// The revision when everything was last read.
    pub(super) loaded_revision: Revision,
    /// The fork generation when this was last used.
    pub(super) generation: u64,
}

impl StoreHandle {
    /// Closes the store and ends its lease.
    pub(super) fn close(&mut self) {
        self.close_reader();
        self.close_indexer();
        self.store = None;
        self.lease = None;
    }

    /// Forgets the parent's connection, which must not be closed by the child.
    pub(super) fn reset_after_fork(&mut self) {
        if self.generation != fork::generation() {
            std::mem::forget(self.store.take());
            std::mem::forget(self.lease.take());
            if let Some(reader) = self.reader.take() {
                // Free, because the loader holds a fork guard while it reads.
                std::mem::forget(sync::lock(&reader).take());
            }
            if let Some(indexer) = self.indexer.take() {
                std::mem::forget(sync::lock(&indexer).take());
            }
            self.generation = fork::generation();
        }
    }
}

impl Session {
    /// Locks the store.
    pub(super) fn lock_store(&self) -> MutexGuard<'_, StoreHandle> {
        let mut handle = sync::lock(&self.handle);
        handle.reset_after_fork();
        handle
    }

    /// Locks the store ahead of a long transaction, which ends early.
    pub(super) fn lock_store_preempting(&self) -> MutexGuard<'_, StoreHandle> {
        self.preempting.fetch_add(1, Ordering::Relaxed);
        let handle = self.lock_store();
        self.preempting.fetch_sub(1, Ordering::Relaxed);
        handle
    }

    /// Locks the store if no other thread has it locked.
    pub(super) fn try_lock_store(&self) -> Option<MutexGuard<'_, StoreHandle>> {
        let mut handle = sync::try_lock(&self.handle)?;
        handle.reset_after_fork();
        Some(handle)
    }
}
