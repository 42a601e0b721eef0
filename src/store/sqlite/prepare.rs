//! Opening: makes or upgrades the tables if need be, and reads all but the entities. A file that is refused is left as it
//! was: whatever is done to it is done in one transaction, which ends well only when everything has been read.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, ffi};

use super::schema::{self, Tables, Unversioned, VERSION_8};
use super::{login, sqlite_error, store};
use crate::error::{Error, Result};
use crate::store::{Credentials, Opened};

/// What a file is, by its table `version`.
enum Found {
    /// It has no such table.
    Nothing,
    /// The table is empty: a program stopped while it made or upgraded the file.
    Unversioned,
    Version(i64),
}

/// Prepares a database, new and older ones for the database version `wanted`. Returns its version and what was read.
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
    let mut as_it_is = None;
    if let Found::Version(version) = read_version(&looking, path)?
        && version >= wanted
    {
        let is_sound = examine(&looking, path, version)?;
        let opened = read(&looking, version, others_commits)?;
        if is_sound {
            looking.commit().map_err(explained)?;
            return Ok((version, opened));
        }
        as_it_is = Some((version, opened));
    }
    drop(looking);
    match (make(connection, path, wanted, others_commits, read), as_it_is) {
        // What can be read is better than nothing.
        (Err(Error::Sqlite { code: ffi::SQLITE_READONLY, .. }), Some(as_it_is)) => Ok(as_it_is),
        (made, _) => made,
    }
}

/// Makes, upgrades or mends the tables, and reads the file.
fn make(
    connection: &mut Connection,
    path: &Path,
    wanted: i64,
    others_commits: i64,
    read: impl Fn(&Transaction<'_>, i64, i64) -> Result<Opened>,
) -> Result<(i64, Opened)> {
    let explained = |error| sqlite_error(path, error);
    store::set_up_for_writing(connection).map_err(explained)?;
    let making = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explained)?;
    // Another program may have done it while we waited for the lock.
    let from = match read_version(&making, path)? {
        Found::Nothing => None,
        Found::Version(version) => Some(version),
        Found::Unversioned => match schema::without_version(&making).map_err(explained)? {
            Unversioned::New => {
                schema::remove_empty(&making).map_err(explained)?;
                None
            }
            Unversioned::Version(version) => Some(version),
            Unversioned::Unclear => return Err(not_a_session(&making, path, "its table `version` is empty")),
        },
    };
    let mut version = wanted;
    if let Some(found) = from {
        version = schema::target(&making, found, wanted).map_err(explained)?;
        schema::upgrade(&making, found, version).map_err(|error| why_not_upgraded(path, found, version, error))?;
        examine(&making, path, version)?;
    } else {
        schema::create(&making, wanted).map_err(explained)?;
        login::write_credentials(&making, &Credentials::default(), wanted).map_err(explained)?;
    }
    let mut opened = read(&making, version, others_commits)?;
    making.commit().map_err(explained)?;
    if from.is_none() {
        opened = Opened { credentials: None, is_new: true, ..opened };
    }
    Ok((version, opened))
}

/// Names the command that saves what is in the file, unless it is the disk or another program that is in the way.
fn why_not_upgraded(path: &Path, from: i64, to: i64, error: rusqlite::Error) -> Error {
    match sqlite_error(path, error) {
        Error::Sqlite { path, code: code @ (ffi::SQLITE_ERROR | ffi::SQLITE_CONSTRAINT), message } => {
            Error::CannotUpgrade { path, from, to, code, message }
        }
        other => other,
    }
}

/// Returns `true` if the tables are as they must be, and `false` if they can be read and mended.
fn examine(reading: &Transaction<'_>, path: &Path, version: i64) -> Result<bool> {
    match schema::examine(reading, version).map_err(|error| sqlite_error(path, error))? {
        Tables::Sound => Ok(true),
        Tables::Mendable => Ok(false),
        Tables::Faulty(reason) => Err(not_a_session(reading, path, &reason)),
    }
}

/// Names the command that saves what is in the file, if it is or was a session.
fn not_a_session(reading: &Connection, path: &Path, reason: &str) -> Error {
    let (path, reason) = (path.to_owned(), reason.to_owned());
    if schema::has_login_table(reading).unwrap_or(false) {
        Error::Unusable { path, reason }
    } else {
        Error::NotASession { path, reason }
    }
}

fn read(reading: &Transaction<'_>, path: &Path, version: i64, others_commits: i64) -> Result<Opened> {
    let credentials = login::read_credentials(reading, path, version)?;
    let update_states = login::read_update_states(reading).map_err(|error| sqlite_error(path, error))?;
    Ok(Opened { is_new: false, others_commits, credentials, update_states })
}

/// Reads the file's version, if it is one that we know.
fn read_version(connection: &Connection, path: &Path) -> Result<Found> {
    let refused = |reason: &str| not_a_session(connection, path, reason);
    let read = connection.query_row("select version from version", [], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Integer(version) => Some(version),
            _ => None,
        })
    });
    match read.optional() {
        Ok(Some(Some(version @ 1..=VERSION_8))) => Ok(Found::Version(version)),
        Ok(Some(Some(version @ ..=0))) => Err(refused(&format!("it has database version {version}"))),
        Ok(Some(Some(version))) => Err(Error::TooNew { path: path.to_owned(), version, newest: VERSION_8 }),
        Ok(Some(None)) => Err(refused("the version in its table `version` is no number")),
        Ok(None) => Ok(Found::Unversioned),
        Err(error) => match schema::why_no_version(connection) {
            Ok(None) => Ok(Found::Nothing),
            Ok(Some(why)) => Err(refused(&format!("{why} ({error})"))),
            Err(_) => Err(sqlite_error(path, error)),
        },
    }
}
