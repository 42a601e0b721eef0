//! Tells without a lock, and without asking SQLite, whether anything was committed to a database.
//!
//! When SQLite begins to read, it compares bytes of the file with those that it read before, under
//! a lock, and forgets its pages if they differ. Each commit changes them: in the file's header
//! they are a counter of commits, the number of pages and the list of free pages; in WAL mode, the
//! header of the shared memory. A [`Watch`] compares the same bytes. What is read without a lock
//! while another connection commits differs from what was there before as soon as a new byte is
//! read, and until then the commit has not ended.
//!
//! This takes a file system on which a read returns what was last written, by whichever process
//! ([`is_coherent`](crate::file_system::is_coherent)).

use std::cell::RefCell;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::{Arc, Mutex};

use crate::open_files::{Shared, locked};

/// The bytes of the file that SQLite compares.
const HEADER: Range<u64> = 24..40;
const HEADER_LEN: usize = 16;
/// The two copies of the header of the shared memory.
const MEMORY_LEN: usize = 96;

thread_local! {
    static OPENED: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Tells one state of a database from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(Bytes);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    Header([u8; HEADER_LEN]),
    Memory([u8; MEMORY_LEN]),
}

/// Watches the database file of one connection.
#[derive(Debug)]
pub struct Watch {
    file: Shared,
    seen: SharedSeen,
    /// Whether what is read is what was last written.
    is_coherent: bool,
}

/// What a connection last read or wrote of its file.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The compared bytes of the header, if they were read under a lock.
    header: Option<[u8; HEADER_LEN]>,
    /// The shared memory, in WAL mode.
    memory: Option<Shared>,
}

pub(crate) type SharedSeen = Arc<Mutex<Seen>>;

impl Watch {
    pub(crate) fn new(file: Shared, seen: SharedSeen, is_coherent: bool) -> Self {
        Self { file, seen, is_coherent }
    }

    /// Returns `true` if both watch the same file.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        let identity = |file: &Shared| {
            let found = locked(file).as_ref()?.metadata().ok()?;
            Some((found.dev(), found.ino()))
        };
        let own = identity(&self.file);
        own.is_some() && own == identity(&other.file)
    }

    /// Returns the mark of the database as it is now; `None` if that cannot be told.
    #[must_use]
    pub fn now(&self) -> Option<Mark> {
        if !self.is_coherent {
            return None;
        }
        let memory = locked(&self.seen).memory.clone();
        Some(Mark(match memory {
            None => Bytes::Header(read(&self.file, HEADER.start)?),
            Some(memory) => Bytes::Memory(read(&memory, 0)?),
        }))
    }

    /// Returns the mark of the database as SQLite saw it when it was last asked, if that can be
    /// told. `before` is what [`now`](Self::now) returned before SQLite was asked.
    #[must_use]
    pub fn seen(&self, before: Option<Mark>) -> Option<Mark> {
        before?;
        {
            let seen = locked(&self.seen);
            if seen.memory.is_none() {
                return seen.header.map(|header| Mark(Bytes::Header(header)));
            }
        }
        // In WAL mode others may commit while SQLite reads: what it saw is known only if none did.
        before.filter(|before| self.now() == Some(*before))
    }
}

impl Seen {
    /// Notes what was read under a lock, or written, at `offset`.
    pub(crate) fn note(&mut self, data: &[u8], offset: u64) {
        let header = HEADER.start.checked_sub(offset).and_then(|at| data.get(usize::try_from(at).ok()?..));
        if let Some(header) = header.and_then(|rest| rest.first_chunk()) {
            self.header = Some(*header);
        }
    }

    /// Notes that the connection uses this shared memory, or none any more.
    pub(crate) fn set_memory(&mut self, memory: Option<Shared>) {
        *self = Self { header: None, memory };
    }

    /// Forgets what was read, because it may be out of date.
    pub(crate) fn forget(&mut self) {
        self.header = None;
    }
}

/// Returns `true` if the compared bytes of the header may be among what is read or written from
/// `offset` on.
pub(crate) fn concerns(offset: u64) -> bool {
    offset <= HEADER.start
}

/// Keeps the watch of the file that this thread has just opened.
pub(crate) fn set_opened(watch: Option<Watch>) {
    OPENED.set(watch);
}

pub(crate) fn take_opened() -> Option<Watch> {
    OPENED.take()
}

fn read<const N: usize>(file: &Shared, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    locked(file).as_ref()?.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}
