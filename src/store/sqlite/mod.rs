//! The `.session` file: an SQLite database as Telethon writes it.

mod entities;
mod login;
mod schema;
mod store;

pub use schema::{VERSION_7, VERSION_8};

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, ffi};

use self::store::SqliteStore;
use super::{Credentials, Location, Opened, Store};
use crate::error::{Error, Result};

/// How long the constructor waits for a file that another program holds. Python's `sqlite3`, and so Telethon, waits as long.
const OPEN_WAIT: Duration = Duration::from_secs(5);

/// A session file, or a database in memory.
#[derive(Debug)]
pub struct SqliteFile {
    /// `None` is in memory.
    path: Option<PathBuf>,
    /// The database version of new and of upgraded files.
    version: i64,
}

impl SqliteFile {
    /// The file at `path`, or a database in memory. New and older files get the database version `version`,
    /// or the newest that we know if that is higher.
    #[must_use]
    pub fn new(path: Option<PathBuf>, version: i64) -> Self {
        Self { path, version: version.clamp(VERSION_7, VERSION_8) }
    }

    fn connect(&self) -> Result<Connection> {
        let name = display_path(self.path.as_deref());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.path {
            None => Connection::open_in_memory_with_flags(flags),
            Some(path) => {
                create_for_owner_alone(path)
                    .map_err(|error| Error::CannotOpen { path: path.clone(), message: error.to_string() })?;
                Connection::open_with_flags(path, flags)
            }
        }
        .map_err(|error| sqlite_error(&name, error))?;
        connection.busy_timeout(OPEN_WAIT).map_err(|error| sqlite_error(&name, error))?;
        Ok(connection)
    }
}

/// SQLite makes files readable to all. A session opens an account, so ours are their owner's alone; an existing
/// file keeps its mode.
fn create_for_owner_alone(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut options = fs::OpenOptions::new();
    // Not `create_new`: a link to a file that is not there yet is followed, as SQLite would.
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}

impl Location for SqliteFile {
    fn open(&self) -> Result<(Box<dyn Store>, Opened)> {
        let path = display_path(self.path.as_deref());
        let mut connection = self.connect()?;
        let (version, is_new) = prepare(&mut connection, &path, self.version)?;
        let explained = |error| sqlite_error(&path, error);
        // One look at the file, and one lock.
        let reading = connection.transaction().map_err(explained)?;
        let opened = Opened {
            is_new,
            others_commits: store::others_commits(&reading).map_err(explained)?,
            credentials: if is_new { None } else { login::read_credentials(&reading, &path, version)? },
            update_states: login::read_update_states(&reading).map_err(explained)?,
        };
        reading.commit().map_err(explained)?;
        Ok((Box::new(SqliteStore::new(connection, path, version)), opened))
    }

    fn name(&self) -> String {
        display_path(self.path.as_deref()).display().to_string()
    }

    fn is_lost_when_closed(&self) -> bool {
        self.path.is_none()
    }

    fn delete(&self) -> bool {
        self.path.as_ref().is_none_or(|path| fs::remove_file(path).is_ok())
    }

    fn phone_form<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        entities::phone_form(phone)
    }
}

/// Makes the tables if there are none, upgrades older ones, and answers the file's database version and whether it is new.
fn prepare(connection: &mut Connection, path: &Path, wanted: i64) -> Result<(i64, bool)> {
    let found = read_version(connection).map_err(|error| sqlite_error(path, error))?;
    if let Found::Version(version) = found
        && version >= wanted
    {
        return Ok((check_version(path, version)?, false));
    }
    store::zero_what_is_deleted(connection).map_err(|error| sqlite_error(path, error))?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| sqlite_error(path, error))?;
    // Another program may have done it while we waited for the lock.
    let prepared = match read_version(&transaction).map_err(|error| sqlite_error(path, error))? {
        Found::Nothing => {
            let create = || {
                schema::create(&transaction, wanted)?;
                login::write_credentials(&transaction, &Credentials::default(), wanted)
            };
            create().map_err(|error| sqlite_error(path, error))?;
            (wanted, true)
        }
        Found::NoVersion => {
            let reason = "its table `version` is empty".to_owned();
            return Err(Error::NotASession { path: path.to_owned(), reason });
        }
        Found::Version(version) if version < wanted => {
            check_version(path, version)?;
            schema::upgrade(&transaction, version, wanted).map_err(|error| sqlite_error(path, error))?;
            (wanted, false)
        }
        Found::Version(version) => (check_version(path, version)?, false),
    };
    transaction.commit().map_err(|error| sqlite_error(path, error))?;
    Ok(prepared)
}

enum Found {
    Nothing,
    NoVersion,
    Version(i64),
}

fn read_version(connection: &Connection) -> rusqlite::Result<Found> {
    const HAS_TABLE: &str = "select name from sqlite_master where type = 'table' and name = 'version'";
    match connection.query_row("select version from version", [], |row| row.get(0)).optional() {
        Ok(version) => Ok(version.map_or(Found::NoVersion, Found::Version)),
        Err(error) => {
            let has_table = connection.query_row(HAS_TABLE, [], |_| Ok(())).optional()?.is_some();
            if has_table { Err(error) } else { Ok(Found::Nothing) }
        }
    }
}

fn check_version(path: &Path, version: i64) -> Result<i64> {
    let path = || path.to_owned();
    match version {
        1..=VERSION_8 => Ok(version),
        ..=0 => Err(Error::NotASession { path: path(), reason: format!("it has database version {version}") }),
        _ => Err(Error::TooNew { path: path(), version, newest: VERSION_8 }),
    }
}

fn display_path(path: Option<&Path>) -> PathBuf {
    path.map_or_else(|| PathBuf::from(":memory:"), Path::to_owned)
}

fn sqlite_error(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => match failure.extended_code & 0xff {
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Error::Locked { path },
            code => {
                let message = message.unwrap_or_else(|| ffi::code_to_str(failure.extended_code).to_owned());
                Error::Sqlite { path, code, message }
            }
        },
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            Error::Sqlite { path, code: error.extended_code & 0xff, message: msg }
        }
        other => Error::Sqlite { path, code: ffi::SQLITE_ERROR, message: other.to_string() },
    }
}
