//! A connection of the loader's own, with which it reads while lookups use the store.
//!
//! Until everything is in memory, a lookup of a text reads the whole store. While such lookups
//! follow each other the store is hardly ever free, and the loader would get no turn. So a lookup
//! that finds the loader waiting opens a second connection for it. What the loader reads with it
//! may be older than what reaches memory or the store meanwhile by other ways; those entities it
//! leaves out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::Session;
use super::handle::StoreHandle;
use super::load::{HANDLE_RETRY, ROWS};
use super::state::State;
use crate::entity_table::EntityBatch;
use crate::error::Result;
use crate::store::{ScanBatch, Store};
use crate::sync::{self, Mutex};

/// How often a locked store is tried again with the reader before the loader waits for the store
/// itself: the lock may be the session's own, for as long as it likes.
const MAX_BUSY: u32 = 50;

/// The second connection; `None` once it is closed. Locked while it reads, and after the store
/// handle.
pub(super) type Reader = Arc<Mutex<Option<Box<dyn Store>>>>;

/// How the loader gets at the store.
#[derive(Debug, Default)]
pub(super) enum Access {
    /// By the store handle, whenever it is free.
    #[default]
    Handle,
    /// Likewise, but it was not free. The next lookup that reads the store opens a reader.
    Waiting,
    /// By a reader.
    Beside(Beside),
    /// By the handle, because there is no reader.
    Alone,
}

/// Reading beside the store handle.
#[derive(Debug)]
pub(super) struct Beside {
    reader: Reader,
    /// Entities that came into memory from the store, or went to it, since the reader was opened.
    newer: HashSet<i64, RandomState>,
    /// How often in a row the store was locked.
    busy: u32,
    /// Whether everything has been read.
    is_done: bool,
}

impl Access {
    /// Notes entities of which the reader may still read an earlier state.
    pub(super) fn note_newer(&mut self, ids: impl Iterator<Item = i64>) {
        if let Self::Beside(beside) = self {
            beside.newer.extend(ids);
        }
    }

    /// Returns `true` if the reader may still read an earlier state of an entity.
    fn has_newer(&self, id: i64) -> bool {
        matches!(self, Self::Beside(beside) if beside.newer.contains(&id))
    }

    /// Notes that the loader found the store in use.
    pub(super) fn note_waiting(&mut self) {
        if matches!(self, Self::Handle) {
            *self = Self::Waiting;
        }
    }

    fn beside(&mut self, reader: &Reader) -> Option<&mut Beside> {
        match self {
            Self::Beside(beside) if Arc::ptr_eq(&beside.reader, reader) => Some(beside),
            _ => None,
        }
    }
}

impl StoreHandle {
    /// Closes the reader, waiting for it if it reads.
    pub(super) fn close_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            let closed = sync::lock(&reader).take();
            drop(closed);
        }
    }
}

impl Session {
    /// Opens a reader if the loader waits for the store. Call before reading the store for long.
    pub(super) fn lend_reader(&self, handle: &mut StoreHandle) -> Result<()> {
        let is_waiting =
            self.state().loading.scan().is_some_and(|scan| matches!(scan.access, Access::Waiting) && scan.may_begin());
        if !is_waiting {
            return Ok(());
        }
        self.begin_scan(handle)?;
        handle.close_reader();
        let reader = handle.store.as_mut().and_then(|store| store.open_reader());
        let mut state = self.state();
        let Some(scan) = state.loading.scan() else { return Ok(()) };
        scan.access = match reader {
            None => Access::Alone,
            Some(store) => {
                let reader: Reader = Arc::new(Mutex::new(Some(store)));
                handle.reader = Some(Arc::clone(&reader));
                // The handle is locked, so nothing is on its way to the store now.
                Access::Beside(Beside { reader, newer: HashSet::default(), busy: 0, is_done: false })
            }
        };
        drop(state);
        self.schedule(Duration::ZERO);
        Ok(())
    }

    /// Ends the scan if the reader has read everything. Returns `true` if so.
    pub(super) fn end_if_read(&self, handle: &mut StoreHandle) -> Result<bool> {
        let is_done = self.state().loading.scan().is_some_and(|scan| match &scan.access {
            Access::Beside(beside) => beside.is_done,
            _ => false,
        });
        if is_done {
            self.end_scan(handle, &EntityBatch::default())?;
        }
        Ok(is_done)
    }

    /// Loads some rows with the reader. Returns `None` if there is none, or if it has read
    /// everything.
    pub(super) fn load_beside(&self) -> Option<Duration> {
        let (reader, after) = {
            let mut state = self.state();
            if state.is_released {
                return None;
            }
            let scan = state.loading.scan()?;
            match &scan.access {
                Access::Beside(beside) if !beside.is_done => (Arc::clone(&beside.reader), scan.after),
                _ => return None,
            }
        };
        let scanned = sync::lock(&reader).as_mut().map(|store| store.scan(after, ROWS));
        let mut state = self.state();
        // Otherwise everything is being read again, since this was read.
        let Some(beside) = state.loading.scan().and_then(|scan| scan.access.beside(&reader)) else {
            return Some(Duration::ZERO);
        };
        match scanned {
            Some(Ok(ScanBatch { entities, next })) => {
                beside.busy = 0;
                beside.is_done = next.is_none();
                state.put_read_beside(&entities);
                if let Some(scan) = state.loading.scan()
                    && next.is_some()
                {
                    scan.after = next;
                }
                Some(Duration::ZERO)
            }
            Some(Err(error)) if error.is_retryable() && beside.busy < MAX_BUSY => {
                beside.busy += 1;
                Some(HANDLE_RETRY)
            }
            Some(Err(_)) | None => {
                if let Some(scan) = state.loading.scan() {
                    scan.access = Access::Alone;
                }
                Some(Duration::ZERO)
            }
        }
    }
}

impl State {
    /// Takes over entities that a reader has read, except those that memory knows better.
    fn put_read_beside(&mut self, stored: &EntityBatch) {
        let Some(scan) = self.loading.scan() else { return };
        scan.note_stored(stored.ids());
        self.take_over(stored, |state, id| state.loading.current_scan().is_some_and(|scan| scan.access.has_newer(id)));
    }
}
