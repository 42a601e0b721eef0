//! A look at a database file without a connection to it, and so without any lock.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::file_system::{above_standard_streams, is_at, is_coherent};
use crate::lock::{self, Bytes};
use crate::open_files::{self, Shared, locked};
use crate::shm;

/// The length of the part of a header of shared memory that each commit changes.
const MEMORY_LEN: usize = 96;

/// A database file that is open for looking at it.
#[derive(Debug)]
pub struct Peek {
    file: Shared,
    path: PathBuf,
    /// Whether what is read is what was last written.
    is_coherent: bool,
}

impl Peek {
    /// The length of the header of a database.
    pub const HEADER_LEN: usize = 100;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// What prevents it from being opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        open_files::close_waiting();
        // One file, by whatever link it is opened, as SQLite does it.
        let path = path.canonicalize()?;
        let file = open_one(&path)?;
        let is_coherent = is_coherent(&file, false);
        Ok(Self { file: open_files::add(file), path, is_coherent })
    }

    /// Returns the header, or as much of it as there is.
    ///
    /// # Errors
    /// What prevents it from being read.
    pub fn header(&self) -> io::Result<Vec<u8>> {
        let mut header = vec![0; Self::HEADER_LEN];
        let file = locked(&self.file);
        let file =
            file.as_ref().ok_or_else(|| io::Error::other("the file was opened by the parent of this process"))?;
        let count = file.read_at(&mut header, 0)?;
        header.truncate(count);
        Ok(header)
    }

    /// Returns the header of the shared memory that connections in WAL mode have; `None` if there is
    /// none, or it cannot be read.
    #[must_use]
    pub fn shared_memory(&self) -> Option<Vec<u8>> {
        let file = open_one(&shm::path_of(&self.path)).ok()?;
        let mut header = vec![0; MEMORY_LEN];
        let read = file.read_exact_at(&mut header, 0);
        open_files::close(file, false, shm::ALL);
        read.is_ok().then_some(header)
    }

    /// Returns `true` if the file is still at its path.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let attributes = locked(&self.file).as_ref().and_then(|file| file.metadata().ok());
        attributes.is_some_and(|attributes| is_at(&self.path, &attributes) == Some(true))
    }

    /// Returns `true` if what is read without a lock is what was last written.
    #[must_use]
    pub fn is_coherent(&self) -> bool {
        self.is_coherent
    }
}

impl Drop for Peek {
    fn drop(&mut self) {
        const ALL: Bytes = lock::ALL;
        if let Some(file) = locked(&self.file).take() {
            open_files::close(file, false, ALL);
        }
    }
}

fn open_one(path: &Path) -> io::Result<File> {
    if let Some(file) = open_files::take_waiting(path, false) {
        return Ok(file);
    }
    above_standard_streams(OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?)
}
