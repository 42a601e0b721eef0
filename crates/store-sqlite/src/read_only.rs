//! A session file that is only read: no journal, no WAL, and no lock for longer than a read.
//!
//! Each read has a connection of its own. In WAL mode a connection that stays open keeps other
//! programs from switching the mode and from removing the WAL. SQLite would also create a WAL for a
//! file in that mode that has none: such a file is read as one that does not change, and read again
//! if it did.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use session_core::store::{
    ChangeSource, Counted, FileKey, Identity, Lookup, Place, Query, Result, Revision, ScanBatch, SentFile, Snapshot,
    Store, StoreError, Written,
};

use crate::backend::{self, OpenFile};
use crate::error::cannot_open;
use crate::peek::Peek;
use crate::prepare;
use crate::schema::VERSION_8;
use crate::store::{SqliteStore, Value};
use crate::watch::Watch;

/// How often a file is read again that changes while it is read without locks.
const MAX_ATTEMPTS: u32 = 20;

/// A session file that is only read.
#[derive(Debug)]
pub struct ReadOnlyStore {
    path: PathBuf,
    identity: Option<Identity>,
    version: i64,
    peek: Peek,
}

/// What can be seen of a file from outside.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Whether it is in WAL mode.
    is_in_wal_mode: bool,
    /// Whether there is a WAL that may hold changes.
    has_wal: bool,
    /// Whether connections of other programs share memory for the WAL.
    has_memory: bool,
    /// Differs for each state of the file.
    revision: Revision,
}

impl Look {
    /// Returns `true` if a file in this state is read without locks.
    fn is_read_without_locks(self) -> bool {
        self.is_in_wal_mode && !(self.has_wal && self.has_memory)
    }
}

impl ReadOnlyStore {
    /// Returns a store that reads a file as it is, of which nothing is known.
    pub(crate) fn over(path: &Path) -> Result<Self> {
        backend::register_fork_hook();
        let peek = peek_at(path)?;
        Ok(Self { path: path.to_owned(), identity: backend::identity(path), version: VERSION_8, peek })
    }

    /// Opens another connection. Returns it, and the revision of the file before.
    pub(crate) fn open_again(&self) -> Result<(SqliteStore, Revision)> {
        let look = self.look()?;
        Ok((self.connect(look, Duration::ZERO)?, look.revision))
    }

    pub(crate) fn current_revision(&self) -> Result<Revision> {
        Ok(self.look()?.revision)
    }

    /// Opens an existing file. One of an older version than `wanted` is read as it is, if it can be.
    pub(crate) fn open(path: &Path, wanted: i64, timeout: Duration) -> Result<(Self, Snapshot)> {
        let store = Self { version: wanted, ..Self::over(path)? };
        let (revision, identity) = (store.current_revision()?, store.identity.clone());
        let (version, snapshot) =
            store.read(timeout, |reader| prepare::look_only(reader.connection_mut(), path, wanted))?;
        Ok((Self { version, ..store }, Snapshot { revision, identity, ..snapshot }))
    }

    /// Executes one SQL statement that only reads. Returns its first row.
    ///
    /// # Errors
    /// What is wrong with the statement, or prevents it from being executed.
    pub fn execute(&mut self, statement: &str, values: &[Value]) -> Result<Option<Vec<Value>>> {
        Ok(self.read(Duration::ZERO, |reader| reader.execute(statement, values))?.0)
    }

    fn look(&self) -> Result<Look> {
        if !self.peek.is_in_place() {
            return Err(StoreError::gone(Place::File(self.path.clone())));
        }
        let opened;
        let peek = if self.peek.is_coherent() {
            &self.peek
        } else {
            // What an open file shows may be out of date.
            opened = peek_at(&self.path)?;
            &opened
        };
        let header = peek.header().map_err(|error| cannot_open(&self.path, &error.to_string()))?;
        let mut hasher = DefaultHasher::new();
        // What each commit changes of it: see `ofd_vfs::Watch`.
        header.get(18..40).hash(&mut hasher);
        let is_in_wal_mode = header.get(18) == Some(&2);
        let (mut has_wal, mut has_memory) = (false, false);
        if is_in_wal_mode {
            let wal = fs::metadata(self.beside("-wal")).ok();
            has_wal = wal.as_ref().is_some_and(|wal| wal.len() > 0);
            wal.map(|wal| (wal.len(), wal.modified().ok())).hash(&mut hasher);
            let memory = peek.shared_memory();
            has_memory = memory.is_some() || fs::exists(self.beside("-shm")).unwrap_or(false);
            memory.hash(&mut hasher);
        }
        Ok(Look { is_in_wal_mode, has_wal, has_memory, revision: Revision(hasher.finish().cast_signed()) })
    }

    /// Calls `read` with a connection. Repeats that if the file has changed meanwhile although it
    /// should not have.
    fn read<T>(&self, timeout: Duration, mut read: impl FnMut(&mut SqliteStore) -> Result<T>) -> Result<T> {
        for _ in 0..MAX_ATTEMPTS {
            let look = self.look()?;
            let found = self.connect(look, timeout).and_then(|mut reader| read(&mut reader));
            if !look.is_read_without_locks() || self.look()?.revision == look.revision {
                return found;
            }
        }
        Err(StoreError::busy(Place::File(self.path.clone())))
    }

    fn connect(&self, look: Look, timeout: Duration) -> Result<SqliteStore> {
        let name = if look.is_in_wal_mode && !look.has_wal {
            uri(&self.path, "immutable=1")
        } else if look.is_in_wal_mode {
            uri(&self.path, "readonly_shm=1")
        } else {
            self.path.clone()
        };
        let connection = backend::connect_read_only(&self.path, &name, timeout)?;
        let file = OpenFile { path: self.path.clone(), identity: self.identity.clone() };
        let store = SqliteStore::new((connection, Watch::default()), Some(file), self.version, true);
        Ok(if look.is_read_without_locks() { store.without_locks() } else { store })
    }

    /// Returns the path of a file that SQLite keeps beside this one. SQLite resolves links first.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.canonicalize().unwrap_or_else(|_| self.path.clone()).into_os_string();
        name.push(suffix);
        name.into()
    }
}

impl Store for ReadOnlyStore {
    fn find(&mut self, query: &Query<'_>, since: Option<Revision>, timeout: Duration) -> Result<Lookup> {
        if since.is_some() && since == Some(self.revision()?) {
            return Ok(Lookup::Unchanged);
        }
        self.read(timeout, |reader| reader.find(query, None, timeout))
    }

    fn scan(&mut self, after: Option<i64>, limit: usize) -> Result<ScanBatch> {
        self.read(Duration::ZERO, |reader| reader.scan(after, limit))
    }

    fn count(&mut self, ids: RangeInclusive<i64>, limit: usize, timeout: Duration) -> Result<Counted> {
        self.read(timeout, |reader| reader.count(ids.clone(), limit, timeout))
    }

    fn open_reader(&mut self) -> Option<Box<dyn Store>> {
        let opened = self.open_again().inspect_err(|error| log::debug!("{error}"));
        // Without locks it would read what changes meanwhile.
        opened.ok().filter(|(reader, _)| reader.takes_locks()).map(|(reader, _)| Box::new(reader) as _)
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let revision = self.revision()?;
        let snapshot = self.read(Duration::ZERO, Store::snapshot)?;
        Ok(Snapshot { revision, ..snapshot })
    }

    fn revision(&mut self) -> Result<Revision> {
        self.current_revision()
    }

    fn is_at(&mut self, revision: Revision) -> bool {
        self.peek.is_coherent() && self.look().is_ok_and(|look| look.revision == revision)
    }

    fn sent_file(&mut self, key: &FileKey, timeout: Duration) -> Result<Option<SentFile>> {
        self.read(Duration::ZERO, |reader| reader.sent_file(key, timeout))
    }

    fn sent_files(&mut self, timeout: Duration) -> Result<Vec<(FileKey, SentFile)>> {
        self.read(Duration::ZERO, |reader| reader.sent_files(timeout))
    }

    fn write(&mut self, _source: &mut dyn ChangeSource) -> Result<Written> {
        Err(StoreError::read_only(Place::File(self.path.clone())))
    }
}

fn peek_at(path: &Path) -> Result<Peek> {
    Peek::open(path).map_err(|error| cannot_open(path, &error.to_string()))
}

/// Returns the URI of a file with a parameter of SQLite's.
fn uri(path: &Path, parameter: &str) -> PathBuf {
    let name = path.as_os_str().as_encoded_bytes();
    // A Windows path begins with a drive.
    let mut uri = String::from(if name.starts_with(b"/") { "file://" } else { "file:///" });
    for byte in name {
        match *byte {
            b'\\' if cfg!(windows) => uri.push('/'),
            byte if byte.is_ascii_alphanumeric() || b"/:._-~".contains(&byte) => uri.push(char::from(byte)),
            byte => {
                // Writing to a text does not fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    OsString::from(format!("{uri}?{parameter}")).into()
}
