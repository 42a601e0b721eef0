//! Errors of SQLite and of session files, as errors of a store.

use std::path::{Path, PathBuf};

use rusqlite::ffi;
use session_core::store::{Kind, Place, StoreError};

/// SQLite's own error, the [cause](StoreError::cause) of a store's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqliteFailure {
    /// The basic result code (`SQLITE_FULL`, `SQLITE_CORRUPT`, ...).
    pub code: i32,
    /// SQLite's message.
    pub message: String,
}

/// The class of an error in Python's database API (PEP 249), as Python's `sqlite3` chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// `DatabaseError`, the base of the others.
    Database,
    /// `DataError`.
    Data,
    /// `IntegrityError`.
    Integrity,
    /// `InterfaceError`.
    Interface,
    /// `InternalError`.
    Internal,
    /// `OperationalError`.
    Operational,
    /// `MemoryError`, which is not the API's.
    Memory,
}

impl SqliteFailure {
    /// Returns the class of the error.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self.code {
            ffi::SQLITE_NOMEM => ErrorClass::Memory,
            ffi::SQLITE_INTERNAL | ffi::SQLITE_NOTFOUND => ErrorClass::Internal,
            ffi::SQLITE_ERROR
            | ffi::SQLITE_PERM
            | ffi::SQLITE_ABORT
            | ffi::SQLITE_BUSY
            | ffi::SQLITE_LOCKED
            | ffi::SQLITE_READONLY
            | ffi::SQLITE_INTERRUPT
            | ffi::SQLITE_IOERR
            | ffi::SQLITE_FULL
            | ffi::SQLITE_CANTOPEN
            | ffi::SQLITE_PROTOCOL
            | ffi::SQLITE_SCHEMA => ErrorClass::Operational,
            ffi::SQLITE_TOOBIG => ErrorClass::Data,
            ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH => ErrorClass::Integrity,
            ffi::SQLITE_MISUSE | ffi::SQLITE_RANGE => ErrorClass::Interface,
            _ => ErrorClass::Database,
        }
    }
}

/// The process that holds the lease of a file, the [cause](StoreError::cause) of [`Kind::InUse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("process {pid}")]
pub struct HeldBy {
    /// Its process ID; 0 if the system does not tell.
    pub pid: u32,
}

/// Makes a store's error of an error of SQLite.
pub(crate) fn sqlite_error(path: &Path, error: rusqlite::Error) -> StoreError {
    let place = place(path);
    let (failure, message) = match error {
        rusqlite::Error::SqliteFailure(failure, message) => (failure, message),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg)),
        other => {
            let failure = SqliteFailure { code: ffi::SQLITE_ERROR, message: other.to_string() };
            return StoreError::new(Kind::Other, place, format!("{failure}: {}", path.display())).caused_by(failure);
        }
    };
    let mut message = message.unwrap_or_else(|| ffi::code_to_str(failure.extended_code).to_owned());
    let kind = match (failure.extended_code & 0xff, failure.extended_code) {
        // The last is what many connections in WAL mode lead to.
        (ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL, _) => return StoreError::busy(place),
        (_, ffi::SQLITE_READONLY_DBMOVED) => return StoreError::gone(place),
        (_, ffi::SQLITE_READONLY_DIRECTORY) => {
            message += ", because no journal can be created in its folder";
            Kind::ReadOnly
        }
        (_, ffi::SQLITE_READONLY_ROLLBACK) => {
            message += ", because a process ended during a write and left a journal beside it, which has the previous \
                        contents";
            Kind::ReadOnly
        }
        (ffi::SQLITE_READONLY, _) => Kind::ReadOnly,
        (ffi::SQLITE_IOERR, _) => Kind::Io,
        (ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB, _) => Kind::Corrupt,
        (ffi::SQLITE_CANTOPEN, _) => Kind::CannotOpen,
        (ffi::SQLITE_PERM, _) => Kind::Denied,
        (ffi::SQLITE_FULL, _) => Kind::Full,
        _ => Kind::Other,
    };
    let failure = SqliteFailure { code: failure.extended_code & 0xff, message };
    StoreError::new(kind, place, format!("{failure}: {}", path.display())).caused_by(failure)
}

pub(crate) fn cannot_open(path: &Path, why: &str) -> StoreError {
    let message = format!("unable to open database file {}: {why}", path.display());
    StoreError::new(Kind::CannotOpen, place(path), message)
}

pub(crate) fn in_use(path: &Path, pid: u32) -> StoreError {
    let message = format!("{} is in use by process {pid}, which opened it with exclusive=True", path.display());
    StoreError::new(Kind::InUse, place(path), message).caused_by(HeldBy { pid })
}

/// The file is a database, but not a session that can be used. If it is or was a session, the
/// message names the command that saves what is in it.
pub(crate) fn not_a_session(path: &Path, reason: &str, was_a_session: bool) -> StoreError {
    let (kind, message) = if was_a_session {
        let repair = repair_command(path);
        let message = format!("{} is a session file that cannot be used: {reason}; {repair}", path.display());
        (Kind::Corrupt, message)
    } else {
        (Kind::NotASession, format!("{} is not a session file: {reason}", path.display()))
    };
    StoreError::new(kind, place(path), message)
}

pub(crate) fn cannot_upgrade(path: &Path, from: i64, to: i64, failure: SqliteFailure) -> StoreError {
    let message = format!(
        "{} cannot be upgraded from database version {from} to {to}: {failure}; {}",
        path.display(),
        repair_command(path)
    );
    StoreError::new(Kind::CannotUpgrade, place(path), message).caused_by(failure)
}

/// The file is of an older version, and is only to be read.
pub(crate) fn must_be_upgraded(path: &Path, version: i64, wanted: i64) -> StoreError {
    let message = format!(
        "{} has database version {version}, which cannot be read with read_only=True: `telethon-session upgrade {}` \
         makes it version {wanted}",
        path.display(),
        for_shell(path)
    );
    StoreError::new(Kind::CannotUpgrade, place(path), message)
}

pub(crate) fn too_new(path: &Path, version: i64, newest: i64) -> StoreError {
    let message = format!(
        "{} has database version {version}, and this release of telethon-session-rust supports at most {newest}; \
         install a newer release",
        path.display()
    );
    StoreError::new(Kind::TooNew, place(path), message)
}

pub(crate) fn holds_login(path: &Path) -> StoreError {
    let message = format!(
        "{} holds a login, and an entity file must not: give a file of its own, which is created if it does not exist",
        path.display()
    );
    StoreError::new(Kind::HoldsLogin, place(path), message)
}

/// The entity file is another account's, or another login's whose account is not known.
pub(crate) fn not_the_owner(path: &Path, account: Option<i64>) -> StoreError {
    let whose = account.map_or_else(
        || "another login, of which it is not known whether it is the same account's".to_owned(),
        |account| format!("account {account}, and this login is another account's"),
    );
    let message = format!(
        "{} is the entity file of {whose}: its access hashes would be of no use, so give each account a file of its \
         own, or delete this one",
        path.display()
    );
    StoreError::new(Kind::NotOwner, place(path), message)
}

/// The entity file is an account's, and it is not known whether the login is that account's.
pub(crate) fn not_the_owner_yet(path: &Path, account: i64) -> StoreError {
    let message = format!(
        "{} is the entity file of account {account}: this login is a new one, and the file is used as soon as it \
         shows that it is that account's, at the latest with client.get_me()",
        path.display()
    );
    StoreError::new(Kind::Unconfirmed, place(path), message)
}

fn repair_command(path: &Path) -> String {
    format!("`telethon-session repair {}` saves what can be read", for_shell(path))
}

/// Quotes a path for a POSIX shell if necessary, and keeps it from being parsed as an option.
fn for_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let path = if path.starts_with('-') { format!("./{path}") } else { path };
    if cfg!(windows) {
        return if path.contains(' ') { format!("\"{path}\"") } else { path };
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "@%+=:,./-_".contains(letter);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r#"'"'"'"#)) }
}

/// Returns the path that stands for a database in memory. Paths of files are absolute.
pub(crate) fn in_memory() -> PathBuf {
    PathBuf::from(":memory:")
}

fn place(path: &Path) -> Place {
    if path == in_memory() { Place::Memory } else { Place::File(path.to_owned()) }
}
