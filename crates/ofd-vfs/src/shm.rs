//! The shared memory of a database in WAL mode: the `-shm` file, mapped and locked.
//!
//! The bytes, their meaning and the protocol are those of SQLite's own VFS for Unix (`os_unix.c`,
//! <https://sqlite.org/walformat.html>), so that all connections to a file share one memory,
//! whichever VFS they use. Each connection of this VFS has its own descriptor, to which its locks
//! belong.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::fcntl::OFlag;

use crate::file_system::{above_standard_streams, is_at};
use crate::lock::{self, Attempt, Bytes, LockState};
use crate::open_files::{self, Shared, locked};

/// Where SQLite's locks begin: after the header of the memory.
const FIRST: i64 = 120;
/// How many locks there are.
pub(crate) const SLOTS: u8 = 8;
/// Locked for reading by each connection. A connection that finds it free is the first, and clears
/// what a crash may have left.
const DEAD_MAN: Bytes = Bytes { first: FIRST + SLOTS as i64, count: 1 };
/// All locks.
pub(crate) const ALL: Bytes = Bytes { first: FIRST, count: SLOTS as i64 + 1 };
/// The step by which the memory grows: on a full disk this fails, rather than the first access.
const PAGE: u64 = 4096;

/// The shared memory of one connection.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    file: Shared,
    path: PathBuf,
    is_writable: bool,
    /// Whether the connection takes part, that is, holds its lock of [`DEAD_MAN`].
    is_attached: bool,
    /// The mapped regions, in order. They stay where they are until the memory is closed.
    regions: Vec<MmapRaw>,
}

/// The outcome of an attempt to map a region.
#[derive(Debug)]
pub(crate) enum Mapped {
    /// It is at this address, and may be written or only read.
    At(*mut u8, bool),
    /// It does not exist, and was not to be created.
    NotThere(bool),
    /// Another connection is clearing the memory.
    Busy,
    /// It may only be read, and no other connection keeps it up to date.
    Unreliable,
}

/// What prevented a region from being mapped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file cannot be opened.
    Open(io::Error),
    /// The file cannot be cleared, measured or grown.
    Size(io::Error),
    /// The file cannot be locked.
    Lock(io::Error),
    /// The file cannot be mapped.
    Map(io::Error),
}

impl SharedMemory {
    /// Opens the memory of a database, whose attributes a new file gets. If it must not be written,
    /// only an existing file is opened.
    pub(crate) fn open(database: &Path, attributes: &Metadata, may_write: bool) -> io::Result<Self> {
        let path = path_of(database);
        let (file, is_writable) = if may_write {
            match open_one(&path, true, attributes) {
                Ok(file) => (file, true),
                Err(error) => (open_one(&path, false, attributes).map_err(|_| error)?, false),
            }
        } else {
            (open_one(&path, false, attributes)?, false)
        };
        Ok(Self { file: open_files::add(file), path, is_writable, is_attached: false, regions: Vec::new() })
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> Shared {
        Shared::clone(&self.file)
    }

    /// Maps a region of `size` bytes; creates it if that `may_extend` the file.
    pub(crate) fn map(&mut self, index: usize, size: usize, may_extend: bool) -> Result<Mapped, Failure> {
        let file = locked(&self.file);
        let file = file.as_ref().ok_or_else(|| Failure::Open(io::Error::other("the process was forked meanwhile")))?;
        if !self.is_attached {
            if let Some(refused) = attach(file, self.is_writable)? {
                return Ok(refused);
            }
            self.is_attached = true;
        }
        let end = (index as u64 + 1) * size as u64;
        if self.regions.len() <= index {
            let length = file.metadata().map_err(Failure::Size)?.len();
            if length < end {
                if !may_extend {
                    return Ok(Mapped::NotThere(self.is_writable));
                }
                extend(file, length, end).map_err(Failure::Size)?;
            }
        }
        while self.regions.len() <= index {
            let mut options = MmapOptions::new();
            options.offset(self.regions.len() as u64 * size as u64).len(size);
            let region = if self.is_writable { options.map_raw(file) } else { options.map_raw_read_only(file) };
            let region = region.map_err(Failure::Map)?;
            // A mapping keeps the open file, and so its locks: a child's copy would do so after the
            // parent's end.
            region.advise(Advice::DontFork).map_err(Failure::Map)?;
            self.regions.push(region);
        }
        let region = self.regions.get(index).ok_or_else(|| Failure::Map(io::Error::other("no such part")))?;
        Ok(Mapped::At(region.as_mut_ptr(), self.is_writable))
    }

    /// Locks or unlocks some of the slots.
    pub(crate) fn lock(&mut self, first: u8, count: u8, how: LockState) -> io::Result<Attempt> {
        let bytes = Bytes { first: FIRST + i64::from(first), count: i64::from(count) };
        match &*locked(&self.file) {
            Some(file) => match how {
                LockState::Unlocked => lock::release(file, bytes).map(|()| Attempt::Locked),
                LockState::Shared => lock::share(file, bytes),
                LockState::Exclusive => lock::exclude(file, bytes),
            },
            None => Err(io::Error::other("the process was forked meanwhile")),
        }
    }

    /// Returns `true` if another connection takes part.
    pub(crate) fn is_shared(&self) -> io::Result<bool> {
        locked(&self.file).as_ref().map_or(Ok(false), |file| lock::has_others(file, DEAD_MAN))
    }

    /// Returns `true` if another connection reads.
    pub(crate) fn has_readers(&self) -> io::Result<bool> {
        const FIRST_READER: u8 = 3;
        let readers = Bytes { first: FIRST + i64::from(FIRST_READER), count: i64::from(SLOTS - FIRST_READER) };
        locked(&self.file).as_ref().map_or(Ok(false), |file| lock::has_others(file, readers))
    }

    /// Returns whether the file at the path is this one; `None` if there is none.
    pub(crate) fn is_in_place(&self) -> Option<bool> {
        locked(&self.file).as_ref().and_then(|file| is_at(&self.path, &file.metadata().ok()?))
    }

    /// Closes the memory, and removes the file if this was the last connection.
    pub(crate) fn close(mut self, remove: bool) {
        // First, because the mappings keep the file open.
        self.regions.clear();
        let Some(file) = locked(&self.file).take() else { return };
        if remove {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = lock::release(&file, ALL);
        open_files::close(file, self.is_writable, ALL);
    }
}

/// Returns the path of the shared memory of a database.
pub(crate) fn path_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-shm");
    path.into()
}

/// Takes part in the memory; the first connection clears it. Returns why not, if that is not
/// possible now.
fn attach(file: &File, is_writable: bool) -> Result<Option<Mapped>, Failure> {
    match lock::lock_of_others(file, DEAD_MAN).map_err(Failure::Lock)? {
        LockState::Unlocked if !is_writable => return Ok(Some(Mapped::Unreliable)),
        LockState::Unlocked => {
            if lock::exclude(file, DEAD_MAN).map_err(Failure::Lock)? == Attempt::Busy {
                return Ok(Some(Mapped::Busy));
            }
            // Shorter than its header, but not empty, as SQLite's own VFS does it.
            if let Err(error) = file.set_len(3) {
                let _ = lock::release(file, DEAD_MAN);
                return Err(Failure::Size(error));
            }
        }
        LockState::Shared => {}
        LockState::Exclusive => return Ok(Some(Mapped::Busy)),
    }
    // Turns the exclusive lock into a shared one without a moment in between.
    match lock::share(file, DEAD_MAN).map_err(Failure::Lock)? {
        Attempt::Locked => Ok(None),
        Attempt::Busy => Ok(Some(Mapped::Busy)),
    }
}

fn extend(file: &File, from: u64, to: u64) -> io::Result<()> {
    (from / PAGE..to / PAGE).try_for_each(|page| file.write_all_at(&[0], (page + 1) * PAGE - 1))
}

fn open_one(path: &Path, is_writable: bool, attributes: &Metadata) -> io::Result<File> {
    if let Some(file) = open_files::take_waiting(path, is_writable) {
        return Ok(file);
    }
    let mode = attributes.mode() & 0o777;
    let mut options = OpenOptions::new();
    options.read(true).write(is_writable).create(is_writable).truncate(false);
    options.mode(mode).custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = above_standard_streams(options.open(path)?)?;
    let found = file.metadata()?;
    // A program that may open the database must be able to open this file too, whatever the umask
    // is. Best effort.
    if is_writable && found.len() == 0 && found.mode() & 0o777 != mode {
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    if is_writable && (found.uid(), found.gid()) != (attributes.uid(), attributes.gid()) {
        let _ = fchown(&file, Some(attributes.uid()), Some(attributes.gid()));
    }
    Ok(file)
}
