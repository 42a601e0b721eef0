//! Opening: makes or upgrades the tables if need be, and reads all but the entities. A file that is refused is left as it
//! was: whatever is done to it is done in one transaction, which ends well only when everything has been read.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::schema::{self, VERSION_8};
use super::{login, sqlite_error, store};
use crate::error::{Error, Result};
use crate::store::{Credentials, Opened};

/// What a file is, by its table `version`.
enum Found {
    /// It has no such table.
    Nothing,
    Version(i64),
}

/// Prepares a database, new and older ones for the database version `wanted`. Answers its version and what was read.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    wanted: i64,
    may_hold_login: bool,
) -> Result<(i64, Opened)> {
    let explained = |error| sqlite_error(path, error);
    let read = |reading: &Transaction<'_>, version, others_commits| {
        let opened = read(reading, path, version, others_commits)?;
        if !may_hold_login && opened.credentials.as_ref().is_some_and(Credentials::has_key) {
            return Err(Error::HoldsLogin { path: path.to_owned() });
        }
        Ok(opened)
    };
    // One look at the file, and one lock.
    let looking = connection.transaction().map_err(explained)?;
    let others_commits = store::others_commits(&looking).map_err(explained)?;
    if let Found::Version(version) = read_version(&looking, path)?
        && version >= wanted
    {
        let opened = read(&looking, version, others_commits)?;
        looking.commit().map_err(explained)?;
        return Ok((version, opened));
    }
    drop(looking);
    store::set_up_for_writing(connection).map_err(explained)?;
    let making = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explained)?;
    // Another program may have done it while we waited for the lock.
    let (version, is_new) = match read_version(&making, path)? {
        Found::Nothing => {
            make(&making, wanted).map_err(explained)?;
            (wanted, true)
        }
        Found::Version(version) if version < wanted => {
            schema::upgrade(&making, version, wanted).map_err(explained)?;
            (wanted, false)
        }
        Found::Version(version) => (version, false),
    };
    let mut opened = read(&making, version, others_commits)?;
    making.commit().map_err(explained)?;
    if is_new {
        opened = Opened { credentials: None, is_new, ..opened };
    }
    Ok((version, opened))
}

fn make(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    schema::create(connection, version)?;
    login::write_credentials(connection, &Credentials::default(), version)
}

fn read(reading: &Transaction<'_>, path: &Path, version: i64, others_commits: i64) -> Result<Opened> {
    if let Some(reason) = schema::fault(reading, version).map_err(|error| sqlite_error(path, error))? {
        return Err(Error::NotASession { path: path.to_owned(), reason });
    }
    Ok(Opened {
        is_new: false,
        others_commits,
        credentials: login::read_credentials(reading, path, version)?,
        update_states: login::read_update_states(reading).map_err(|error| sqlite_error(path, error))?,
    })
}

/// The file's version, if it is one that we know.
fn read_version(connection: &Connection, path: &Path) -> Result<Found> {
    let not_a_session = |reason: &str| Error::NotASession { path: path.to_owned(), reason: reason.to_owned() };
    let read = connection.query_row("select version from version", [], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Integer(version) => Some(version),
            _ => None,
        })
    });
    match read.optional() {
        Ok(Some(Some(version @ 1..=VERSION_8))) => Ok(Found::Version(version)),
        Ok(Some(Some(version @ ..=0))) => Err(not_a_session(&format!("it has database version {version}"))),
        Ok(Some(Some(version))) => Err(Error::TooNew { path: path.to_owned(), version, newest: VERSION_8 }),
        Ok(Some(None)) => Err(not_a_session("the version in its table `version` is no number")),
        Ok(None) => Err(not_a_session("its table `version` is empty")),
        Err(error) => match schema::why_no_version(connection) {
            Ok(None) => Ok(Found::Nothing),
            Ok(Some(why)) => Err(not_a_session(&format!("{why} ({error})"))),
            Err(_) => Err(sqlite_error(path, error)),
        },
    }
}
