//! A database file: opened, read and written at its places, locked.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use nix::fcntl::OFlag;

use crate::lock::{self, Attempt, Level, Lock};
use crate::open_files::{self, Shared, locked};

/// How a file is to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) writable: bool,
    pub(crate) create: bool,
    /// It must not be there.
    pub(crate) new: bool,
}

/// An open database file.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    file: Shared,
    path: PathBuf,
    /// Device and number, by which it is known that the file at `path` is still this one.
    identity: (u64, u64),
    lock: Lock,
    /// The last error of the system, for SQLite to tell.
    last_errno: i32,
}

/// What became of an attempt to open a file here.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open; whether for writing too.
    Here(DatabaseFile, bool),
    /// SQLite's own VFS must open it: it is in WAL mode, or there are no such locks.
    NotHere,
}

thread_local! {
    static OPENING_ERROR: Cell<Option<io::Error>> = const { Cell::new(None) };
}

pub(crate) fn take_opening_error() -> Option<io::Error> {
    OPENING_ERROR.take()
}

impl DatabaseFile {
    /// Opens a file; for reading only where it may not be written.
    pub(crate) fn open(path: &[u8], mode: Mode) -> io::Result<Opened> {
        Self::try_open(path, mode).inspect_err(|error| OPENING_ERROR.set(Some(copy_of(error))))
    }

    fn try_open(path: &[u8], mode: Mode) -> io::Result<Opened> {
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
        if !lock::are_known(&file) || is_in_wal_mode(&file)? {
            open_files::close(file);
            return Ok(Opened::NotHere);
        }
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        let file = open_files::add(file);
        Ok(Opened::Here(Self { file, path, identity, lock: Lock::default(), last_errno: 0 }, is_writable))
    }

    /// Reads what there is at `offset`, and answers how much that was.
    pub(crate) fn read(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
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
        self.with_file(|file, _| file.write_all_at(data, offset))
    }

    pub(crate) fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.with_file(|file, _| file.set_len(size))
    }

    /// Returns when what was written is on the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.with_file(|file, _| file.sync_data())
    }

    pub(crate) fn size(&mut self) -> io::Result<u64> {
        self.with_file(|file, _| Ok(file.metadata()?.len()))
    }

    pub(crate) fn lock(&mut self, to: Level) -> io::Result<Attempt> {
        self.with_file(|file, lock| lock.raise(file, to))
    }

    pub(crate) fn unlock(&mut self, to: Level) -> io::Result<()> {
        self.with_file(|file, lock| lock.lower(file, to))
    }

    /// Whether anybody is going to write. SQLite asks when it finds a journal, which it takes for that of a writer that
    /// was killed if nobody is, rolls back and deletes. Once the file is not at its path any more, the journal there is
    /// another file's.
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

    /// Whether the file at the path is no longer this one.
    pub(crate) fn has_moved(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |found| (found.dev(), found.ino()) != self.identity)
    }

    pub(crate) fn close(self) {
        if let Some(file) = locked(&self.file).take() {
            open_files::close(file);
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

fn open_one(path: &PathBuf, mode: Mode) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(mode.writable).create(mode.create).create_new(mode.new);
    // Whoever has the file has the account. SQLite has followed the links in the path already.
    options.mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = options.open(path)?;
    above_standard_streams(file)
}

/// A program that has closed its standard streams writes to a file that got one of their numbers. A copy gets none.
fn above_standard_streams(file: File) -> io::Result<File> {
    const FIRST: i32 = 3;
    if file.as_raw_fd() < FIRST { file.try_clone() } else { Ok(file) }
}

/// Bytes 18 and 19 of the header say which versions of the format it takes to write and to read the file; 2 is WAL.
fn is_in_wal_mode(file: &File) -> io::Result<bool> {
    let mut versions = [0; 2];
    match file.read_exact_at(&mut versions, 18) {
        Ok(()) => Ok(versions.contains(&2)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
