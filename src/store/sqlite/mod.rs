//! The `.session` file: an SQLite database as Telethon writes it.

mod claim;
mod entities;
mod login;
mod prepare;
mod schema;
mod store;

pub use schema::{VERSION_7, VERSION_8};

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use self::claim::Claim;
use self::store::SqliteStore;
use super::{Identity, Location, Opened, Opening, Store};
use crate::error::{Error, Result};

/// A session file, or a database in memory.
#[derive(Debug)]
pub struct SqliteFile {
    /// `None` is in memory.
    path: Option<Mutex<PathBuf>>,
    /// The database version of new and of upgraded files.
    version: i64,
    /// Whether nobody else may have it who asks for the same.
    is_exclusive: bool,
    /// Whether there may be a login in it.
    may_hold_login: bool,
}

impl SqliteFile {
    /// The file at `path`, or a database in memory. New and older files get the database version `version`,
    /// or the newest that we know if that is higher.
    #[must_use]
    pub fn new(path: Option<PathBuf>, version: i64) -> Self {
        let version = version.clamp(VERSION_7, VERSION_8);
        Self { path: path.map(Mutex::new), version, is_exclusive: false, may_hold_login: true }
    }

    /// The same, for one alone: while it is open, another that asks for this too gets [`Error::InUse`].
    #[must_use]
    pub fn exclusive(self) -> Self {
        Self { is_exclusive: true, ..self }
    }

    /// The same, for entities alone: a file with a login is refused with [`Error::HoldsLogin`].
    #[must_use]
    pub fn without_login(self) -> Self {
        Self { may_hold_login: false, ..self }
    }

    fn connect(&self, opening: Opening) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self.path() {
            None => Connection::open_in_memory_with_flags(flags).map_err(|error| sqlite_error(&self.place(), error))?,
            Some(path) => {
                connect_to(&path, flags).map_err(|error| why_it_cannot_be_opened(&path, sqlite_error(&path, error)))?
            }
        };
        let set_up = || {
            connection.busy_timeout(opening.wait)?;
            // As in Python's: a table of the user's own that refers to a row must not lose its own when that is replaced.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
            // What a file says is not to be believed: it may come from anybody.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
        };
        set_up().map_err(|error| sqlite_error(&self.place(), error))?;
        Ok(connection)
    }

    /// The path, for error texts.
    fn place(&self) -> PathBuf {
        self.path().unwrap_or_else(|| PathBuf::from(":memory:"))
    }
}

/// By the VFS that keeps out of the way of any other SQLite in the process, where there is one.
fn connect_to(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    #[cfg(target_os = "linux")]
    if let Ok(vfs) = ofd_vfs::name() {
        return Connection::open_with_flags_and_vfs(path, flags, vfs);
    }
    Connection::open_with_flags(path, flags)
}

/// To be called in the child just after a fork.
pub(crate) fn after_fork_in_child() {
    #[cfg(target_os = "linux")]
    ofd_vfs::after_fork_in_child();
    #[cfg(not(target_os = "linux"))]
    claim::after_fork_in_child();
}

/// SQLite says only that it cannot.
fn why_it_cannot_be_opened(path: &Path, error: Error) -> Error {
    #[cfg(target_os = "linux")]
    if let (Error::Sqlite { code: ffi::SQLITE_CANTOPEN, .. }, Some(cause)) = (&error, ofd_vfs::take_opening_error()) {
        return Error::CannotOpen { path: path.to_owned(), message: cause.to_string() };
    }
    #[cfg(not(target_os = "linux"))]
    if let (Error::Sqlite { code: ffi::SQLITE_CANTOPEN, .. }, Err(cause)) = (&error, fs::File::open(path)) {
        return Error::CannotOpen { path: path.to_owned(), message: cause.to_string() };
    }
    error
}

/// Sees to it that there is a file, and that it is one.
fn look_for(path: &Path, may_create: bool) -> Result<()> {
    let cannot_open = |message: String| Error::CannotOpen { path: path.to_owned(), message };
    // Before it is made: SQLite could not open it.
    if cfg!(not(unix)) && path.to_str().is_none() {
        return Err(cannot_open("its name is not Unicode".to_owned()));
    }
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) if found.is_dir() => Err(cannot_open("it is a folder".to_owned())),
        Ok(_) => Err(cannot_open("it is no regular file".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound && may_create => {
            create_for_owner_alone(path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => cannot_open("the folder that it is to be in does not exist".to_owned()),
                _ => cannot_open(error.to_string()),
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::Gone { path: path.to_owned() }),
        Err(error) => Err(cannot_open(error.to_string())),
    }
}

/// SQLite makes files readable to all. A session opens an account, so ours are their owner's alone, whatever the umask says; an
/// existing file keeps its mode.
fn create_for_owner_alone(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    // Not `create_new`: a link to a file that is not there yet is followed, as SQLite would.
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        const OWNER_ALONE: u32 = 0o600;
        options.mode(OWNER_ALONE).open(path)?.set_permissions(fs::Permissions::from_mode(OWNER_ALONE))
    }
    #[cfg(not(unix))]
    options.open(path).map(drop)
}

impl Location for SqliteFile {
    fn open(&self, opening: Opening) -> Result<(Box<dyn Store>, Opened)> {
        let path = self.place();
        let mut claim = None;
        if self.path.is_some() {
            look_for(&path, opening.may_create)?;
            if self.is_exclusive {
                claim = Some(Claim::take(&path)?);
            }
        }
        let mut connection = self.connect(opening)?;
        let (version, opened) = prepare::prepare(&mut connection, &path, self.version, self.may_hold_login)?;
        Ok((Box::new(SqliteStore::new(connection, path, version, self.may_hold_login, claim)), opened))
    }

    fn name(&self) -> String {
        self.place().display().to_string()
    }

    fn path(&self) -> Option<PathBuf> {
        self.path.as_ref().map(|path| path.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    #[cfg(unix)]
    fn identity(&self) -> Option<Identity> {
        use std::os::unix::fs::MetadataExt as _;

        let found = fs::metadata(self.path()?).ok()?;
        Some((found.dev(), found.ino(), found.created().ok()?))
    }

    fn move_to(&self, path: PathBuf) {
        if let Some(place) = &self.path {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = path;
        }
    }

    fn is_lost_when_closed(&self) -> bool {
        self.path.is_none()
    }

    fn delete(&self) -> bool {
        self.path().is_none_or(|path| fs::remove_file(path).is_ok())
    }

    fn phone_form<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        entities::phone_form(phone)
    }
}

fn sqlite_error(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    let (failure, message) = match error {
        rusqlite::Error::SqliteFailure(failure, message) => (failure, message),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg)),
        other => return Error::Sqlite { path, code: ffi::SQLITE_ERROR, message: other.to_string() },
    };
    let said = || message.unwrap_or_else(|| ffi::code_to_str(failure.extended_code).to_owned());
    match (failure.extended_code & 0xff, failure.extended_code) {
        // The last is what a crowd in WAL mode leads to.
        (ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL, _) => Error::Locked { path },
        (_, ffi::SQLITE_READONLY_DBMOVED) => Error::Gone { path },
        (code, ffi::SQLITE_READONLY_DIRECTORY) => {
            let message = format!("{}, for no journal can be made in its folder", said());
            Error::Sqlite { path, code, message }
        }
        (code, _) => Error::Sqlite { path, code, message: said() },
    }
}
