//! Opening: creates or upgrades the tables if necessary, and reads everything except entities and
//! sent files. A file that is refused stays unchanged: all changes are made in one transaction,
//! which is committed only when everything has been read.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, ffi};

use session_core::credentials::Credentials;
use session_core::store::{Kind, Result, Revision, Snapshot, StoreError};

use crate::error::{
    SqliteFailure, cannot_upgrade, holds_login, must_be_upgraded, not_a_session, sqlite_error, too_new,
};
use crate::schema::{self, Tables, Unversioned, VERSION_7, VERSION_8};
use crate::{login, store};

/// What a file is, according to its table `version`.
enum Found {
    /// There is no such table.
    Nothing,
    /// The table is empty: a program stopped while it created or upgraded the file.
    Unversioned,
    Version(i64),
}

/// Prepares a database; new and older ones get the database version `wanted`. Returns its version
/// and what was read. Leaves one unchanged that `check` refuses.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    wanted: i64,
    may_hold_login: bool,
    check: &dyn Fn(&Connection) -> Result<()>,
) -> Result<(i64, Snapshot)> {
    let explained = |error| sqlite_error(path, error);
    let read = |reading: &Transaction<'_>, version, revision| {
        let snapshot = store::read_snapshot(reading, path, version, revision)?;
        if !may_hold_login && snapshot.credentials.as_ref().is_some_and(Credentials::has_key) {
            return Err(holds_login(path));
        }
        check(reading)?;
        Ok(snapshot)
    };
    // One transaction, and so one lock, for everything that is read.
    let looking = connection.transaction().map_err(explained)?;
    let revision = store::revision(&looking).map_err(explained)?;
    let mut as_it_is = None;
    if let Found::Version(version) = read_version(&looking, path)?
        && version >= wanted
    {
        let is_sound = examine(&looking, path, version)?;
        let snapshot = read(&looking, version, revision)?;
        if is_sound {
            looking.commit().map_err(explained)?;
            return Ok((version, snapshot));
        }
        as_it_is = Some((version, snapshot));
    }
    drop(looking);
    match (make(connection, path, wanted, revision, read), as_it_is) {
        // The file cannot be mended, but it can be read.
        (Err(StoreError { kind: Kind::ReadOnly, .. }), Some(as_it_is)) => Ok(as_it_is),
        (made, _) => made,
    }
}

/// Reads a file that must not be changed. Returns its version and what was read.
pub(super) fn look_only(connection: &mut Connection, path: &Path, wanted: i64) -> Result<(i64, Snapshot)> {
    let explained = |error| sqlite_error(path, error);
    let looking = connection.transaction().map_err(explained)?;
    match read_version(&looking, path)? {
        Found::Version(version @ VERSION_7..) => {
            examine(&looking, path, version)?;
            let snapshot = store::read_snapshot(&looking, path, version, Revision::default())?;
            looking.commit().map_err(explained)?;
            Ok((version, snapshot))
        }
        Found::Version(version) => Err(must_be_upgraded(path, version, wanted)),
        Found::Nothing => Err(refuse(&looking, path, "it has no table `version`")),
        Found::Unversioned => Err(refuse(&looking, path, "its table `version` is empty")),
    }
}

/// Creates, upgrades or mends the tables, and reads the file.
fn make(
    connection: &mut Connection,
    path: &Path,
    wanted: i64,
    revision: Revision,
    read: impl Fn(&Transaction<'_>, i64, Revision) -> Result<Snapshot>,
) -> Result<(i64, Snapshot)> {
    let explained = |error| sqlite_error(path, error);
    store::set_up_for_writing(connection).map_err(explained)?;
    let making = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explained)?;
    // Another program may have done so before the lock was taken.
    let from = match read_version(&making, path)? {
        Found::Nothing => None,
        Found::Version(version) => Some(version),
        Found::Unversioned => match schema::without_version(&making).map_err(explained)? {
            Unversioned::New => {
                schema::remove_empty(&making).map_err(explained)?;
                None
            }
            Unversioned::Version(version) => Some(version),
            Unversioned::Unclear => return Err(refuse(&making, path, "its table `version` is empty")),
        },
    };
    let mut version = wanted;
    if let Some(found) = from {
        version = schema::target(&making, found, wanted).map_err(explained)?;
        schema::upgrade(&making, found, version).map_err(|error| explain_upgrade(path, found, version, error))?;
        examine(&making, path, version)?;
    } else {
        schema::create(&making, wanted).map_err(explained)?;
        login::write_credentials(&making, &Credentials::default(), wanted).map_err(explained)?;
    }
    let mut snapshot = read(&making, version, revision)?;
    making.commit().map_err(explained)?;
    if from.is_none() {
        snapshot = Snapshot { credentials: None, is_new: true, ..snapshot };
    }
    Ok((version, snapshot))
}

/// Names the command that saves what is in the file, unless the disk or another program is the
/// cause.
fn explain_upgrade(path: &Path, from: i64, to: i64, error: rusqlite::Error) -> StoreError {
    let error = sqlite_error(path, error);
    match error.cause::<SqliteFailure>() {
        Some(failure) if [ffi::SQLITE_ERROR, ffi::SQLITE_CONSTRAINT].contains(&failure.code) => {
            cannot_upgrade(path, from, to, failure.clone())
        }
        _ => error,
    }
}

/// Returns `true` if the tables are sound, and `false` if they can be read and mended.
fn examine(reading: &Transaction<'_>, path: &Path, version: i64) -> Result<bool> {
    match schema::examine(reading, version).map_err(|error| sqlite_error(path, error))? {
        Tables::Sound => Ok(true),
        Tables::Mendable => Ok(false),
        Tables::Faulty(reason) => Err(refuse(reading, path, &reason)),
    }
}

fn refuse(reading: &Connection, path: &Path, reason: &str) -> StoreError {
    not_a_session(path, reason, schema::has_login_table(reading).unwrap_or(false))
}

/// Reads the file's version, if it is a supported one.
fn read_version(connection: &Connection, path: &Path) -> Result<Found> {
    let refused = |reason: &str| refuse(connection, path, reason);
    let read = connection.query_row("select version from version", [], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Integer(version) => Some(version),
            _ => None,
        })
    });
    match read.optional() {
        Ok(Some(Some(version @ 1..=VERSION_8))) => Ok(Found::Version(version)),
        Ok(Some(Some(version @ ..=0))) => Err(refused(&format!("it has database version {version}"))),
        Ok(Some(Some(version))) => Err(too_new(path, version, VERSION_8)),
        Ok(Some(None)) => Err(refused("the version in its table `version` is not a number")),
        Ok(None) => Ok(Found::Unversioned),
        Err(error) => match schema::why_no_version(connection) {
            Ok(None) => Ok(Found::Nothing),
            Ok(Some(why)) => Err(refused(&format!("{why} ({error})"))),
            Err(_) => Err(sqlite_error(path, error)),
        },
    }
}
