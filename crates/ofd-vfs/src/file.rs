//! A database file: opening, positioned reads and writes, locks; with the shared memory of WAL
//! mode.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::file_system::{above_standard_streams, is_at, is_coherent};
use crate::lock::{self, Attempt, Level, Lock, LockState};
use crate::open_files::{self, Shared, locked};
use crate::shm::{Failure, Mapped, SharedMemory};
use crate::watch::{self, SharedSeen, Watch};

/// How to open a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) writable: bool,
    pub(crate) create: bool,
    /// The file must not exist.
    pub(crate) new: bool,
}

/// An open database file.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    file: Shared,
    path: PathBuf,
    is_writable: bool,
    /// Whether the connection may write anything at all, such as shared memory.
    may_write: bool,
    /// The attributes when it was opened. Device and inode tell whether the file at `path` is still
    /// this one.
    metadata: Metadata,
    lock: Lock,
    /// In WAL mode, from the first read on.
    shared_memory: Option<SharedMemory>,
    /// What was last read, for a [`Watch`].
    seen: SharedSeen,
    /// The last error of the system, which SQLite may ask for.
    last_errno: i32,
}

/// The outcome of an attempt to open a file.
#[derive(Debug)]
pub(crate) enum OpenOutcome {
    /// It is open, and writable if `true`.
    Opened(Box<DatabaseFile>, bool),
    /// SQLite's own VFS must open it, because there are no such locks.
    Unsupported,
}

thread_local! {
    static OPENING_ERROR: Cell<Option<io::Error>> = const { Cell::new(None) };
}

pub(crate) fn take_opening_error() -> Option<io::Error> {
    OPENING_ERROR.take()
}

impl DatabaseFile {
    /// Opens a file; for reading only if it may not be written.
    pub(crate) fn open(path: &[u8], mode: Mode) -> io::Result<OpenOutcome> {
        Self::try_open(path, mode).inspect_err(|error| OPENING_ERROR.set(Some(copy_of(error))))
    }

    fn try_open(path: &[u8], mode: Mode) -> io::Result<OpenOutcome> {
        watch::set_opened(None);
        open_files::close_waiting();
        let path = PathBuf::from(OsStr::from_bytes(path));
        let (file, is_writable) = match open_one(&path, mode) {
            Ok(file) => (file, mode.writable),
            Err(error) if mode.writable && error.kind() != ErrorKind::IsADirectory => {
                let reading = Mode { writable: false, create: false, new: false };
                (open_one(&path, reading).map_err(|_| error)?, false)
            }
            Err(error) => return Err(error),
        };
        if !lock::are_known(&file) {
            open_files::close(file, is_writable, lock::ALL);
            return Ok(OpenOutcome::Unsupported);
        }
        let metadata = file.metadata()?;
        let is_coherent = is_coherent(&file, is_writable);
        let file = open_files::add(file);
        let seen = SharedSeen::default();
        watch::set_opened(Some(Watch::new(Shared::clone(&file), SharedSeen::clone(&seen), is_coherent)));
        let lock = Lock::default();
        let opened = Self {
            file,
            path,
            is_writable,
            may_write: mode.writable,
            metadata,
            lock,
            shared_memory: None,
            seen,
            last_errno: 0,
        };
        Ok(OpenOutcome::Opened(Box::new(opened), is_writable))
    }

    /// Reads what is at `offset`. Returns how many bytes that was.
    pub(crate) fn read(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.read_at(into, offset)?;
        if watch::concerns(offset) && self.lock.level() >= Level::Shared && self.shared_memory.is_none() {
            locked(&self.seen).note(into.get(..count).unwrap_or_default(), offset);
        }
        Ok(count)
    }

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with_file(|file, _| {
            let mut count = 0;
            while let Some(rest) = into.get_mut(count..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, offset + count as u64) {
                    Ok(0) => break,
                    Ok(read) => count += read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(count)
        })
    }

    /// Writes all of `data` at `offset`.
    pub(crate) fn write(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        let written = self.with_file(|file, _| file.write_all_at(data, offset));
        if watch::concerns(offset) && self.shared_memory.is_none() {
            let mut seen = locked(&self.seen);
            match &written {
                Ok(()) => seen.note(data, offset),
                Err(_) => seen.forget(),
            }
        }
        written
    }

    pub(crate) fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.with_file(|file, _| file.set_len(size))
    }

    /// Returns when written data is on disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.with_file(|file, _| file.sync_data())
    }

    pub(crate) fn size(&mut self) -> io::Result<u64> {
        self.with_file(|file, _| Ok(file.metadata()?.len()))
    }

    pub(crate) fn lock(&mut self, to: Level) -> io::Result<Attempt> {
        // A connection that has the file to itself removes the WAL. A connection that uses the
        // shared memory still has the file open, even if it has lost its lock of the file, as POSIX
        // locks are lost when anything in their process closes the file.
        if to == Level::Exclusive && self.shared_memory.as_ref().map_or(Ok(false), SharedMemory::is_shared)? {
            return Ok(Attempt::Busy);
        }
        self.with_file(|file, lock| lock.raise(file, to))
    }

    pub(crate) fn unlock(&mut self, to: Level) -> io::Result<()> {
        self.with_file(|file, lock| lock.lower(file, to))
    }

    /// Returns `true` if a connection is about to write. SQLite asks when it finds a journal.
    /// Without a writer it takes the journal for that of a killed process, rolls it back and
    /// deletes it. Once the file has left its path, the journal there belongs to another file.
    pub(crate) fn is_reserved(&mut self) -> io::Result<bool> {
        if self.has_moved() {
            return Ok(true);
        }
        self.with_file(|file, lock| lock.is_reserved(file))
    }

    pub(crate) fn lock_level(&self) -> Level {
        self.lock.level()
    }

    pub(crate) fn last_errno(&self) -> i32 {
        self.last_errno
    }

    /// Returns `true` if the file at the path is no longer this one.
    ///
    /// In WAL mode SQLite asks only at the end: whether the WAL at the path may be written back
    /// into this file, and removed. It may as long as the shared memory beside it is this
    /// connection's. A file that has taken the place of this one would be read through it.
    pub(crate) fn has_moved(&self) -> bool {
        match &self.shared_memory {
            Some(memory) => memory.is_in_place() == Some(false),
            None => !self.is_in_place(),
        }
    }

    fn is_in_place(&self) -> bool {
        is_at(&self.path, &self.metadata) == Some(true)
    }

    /// Maps a region of the shared memory, opening it first if necessary. Returns `None` if the
    /// file has moved: what is at the path now belongs to another file.
    pub(crate) fn map_shared(
        &mut self,
        index: usize,
        size: usize,
        may_extend: bool,
    ) -> Result<Option<Mapped>, Failure> {
        if self.shared_memory.is_none() && !self.is_in_place() {
            return Ok(None);
        }
        let result = match &mut self.shared_memory {
            Some(memory) => memory.map(index, size, may_extend),
            None => match SharedMemory::open(&self.path, &self.metadata, self.may_write) {
                // Nothing keeps it up to date, and it must not be created: SQLite reads the WAL alone.
                Err(error) if !self.may_write && error.kind() == ErrorKind::NotFound => Ok(Mapped::Unreliable),
                opened => opened.map_err(Failure::Open).and_then(|memory| {
                    locked(&self.seen).set_memory(Some(memory.file()));
                    self.shared_memory.insert(memory).map(index, size, may_extend)
                }),
            },
        };
        if let Err(Failure::Open(error) | Failure::Size(error) | Failure::Lock(error) | Failure::Map(error)) = &result {
            self.last_errno = error.raw_os_error().unwrap_or(0);
        }
        result.map(Some)
    }

    /// Locks or unlocks slots of the shared memory. Returns `None` if the lock is for writing and
    /// the file or its shared memory has moved: no other connection would see the write.
    pub(crate) fn lock_shared(&mut self, first: u8, count: u8, how: LockState) -> io::Result<Option<Attempt>> {
        const WRITER: u8 = 0;
        let is_to_be_written = first == WRITER && how == LockState::Exclusive;
        if is_to_be_written && !self.is_in_place() {
            return Ok(None);
        }
        let Some(memory) = &mut self.shared_memory else {
            // SQLite locks even if it reads the WAL alone.
            let is_alone = !self.may_write && how != LockState::Exclusive;
            let missing = || io::Error::other("there is no shared memory");
            return if is_alone { Ok(Some(Attempt::Locked)) } else { Err(missing()) };
        };
        if is_to_be_written && memory.is_in_place() != Some(true) {
            return Ok(None);
        }
        memory.lock(first, count, how).map(Some)
    }

    /// Returns `true` if another connection reads in WAL mode.
    pub(crate) fn has_readers(&self) -> io::Result<bool> {
        self.shared_memory.as_ref().map_or(Ok(false), SharedMemory::has_readers)
    }

    /// Closes the shared memory.
    pub(crate) fn unmap_shared(&mut self, remove: bool) {
        if let Some(memory) = self.shared_memory.take() {
            locked(&self.seen).set_memory(None);
            memory.close(remove);
        }
    }

    pub(crate) fn close(mut self) {
        self.unmap_shared(false);
        if let Some(file) = locked(&self.file).take() {
            let _ = lock::release(&file, lock::ALL);
            open_files::close(file, self.is_writable, lock::ALL);
        }
    }

    fn with_file<T>(&mut self, call: impl FnOnce(&File, &mut Lock) -> io::Result<T>) -> io::Result<T> {
        let result = match &*locked(&self.file) {
            Some(file) => call(file, &mut self.lock),
            None => Err(io::Error::other("the file was opened by the parent of this process")),
        };
        if let Err(error) = &result {
            self.last_errno = error.raw_os_error().unwrap_or(0);
        }
        result
    }
}

fn copy_of(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

fn open_one(path: &Path, mode: Mode) -> io::Result<File> {
    if !mode.new
        && let Some(file) = open_files::take_waiting(path, mode.writable)
    {
        return Ok(file);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(mode.writable).create(mode.create).create_new(mode.new);
    // The file gives access to the account. SQLite has resolved links in the path already.
    options.mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = options.open(path)?;
    above_standard_streams(file)
}
