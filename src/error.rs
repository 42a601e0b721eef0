//! The Python exception for each error of the core: one of ours, and for files also the one that
//! users of Telethon's session catch today.

use pyo3::exceptions::{PyFileExistsError, PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use session_core::error::Error;
use session_core::store::{Kind, Place, StoreError};
use store_net::owner::Owner;
use store_sqlite::{ErrorClass, HeldBy, SqliteFailure};

/// Makes the exception.
pub(crate) fn to_python(error: Error) -> PyErr {
    match error {
        Error::Store(error) => of_store(&error),
        Error::Unsaved { ref cause, .. } => {
            let place = if let Error::Store(cause) = &**cause { Some(&cause.place) } else { None };
            ours("Unsaved", place, error.to_string(), None)
        }
        Error::NoAccessHash { .. } => sqlite3_exception("IntegrityError", error.to_string()),
        Error::SessionString(error) => PyValueError::new_err(error.to_string()),
        Error::Bug { .. } => PyRuntimeError::new_err(error.to_string()),
    }
}

fn of_store(error: &StoreError) -> PyErr {
    let message = error.to_string();
    let name = match error.kind {
        Kind::Busy => "Locked",
        Kind::InUse => return ours("InUse", Some(&error.place), message, pid(error)),
        Kind::Gone | Kind::Replaced | Kind::LeaseLost => "Lost",
        Kind::NotASession | Kind::Corrupt | Kind::Sealed | Kind::TooNew => "Corrupt",
        Kind::CannotUpgrade => "Upgrade",
        Kind::Pending
        | Kind::Full
        | Kind::ReadOnly
        | Kind::Denied
        | Kind::CannotOpen
        | Kind::Io
        | Kind::Unreachable => "Unavailable",
        Kind::HoldsLogin => return PyValueError::new_err(message),
        Kind::NotOwner | Kind::Unconfirmed => {
            return named("SessionOwnerError", &error.place.to_string(), message, None);
        }
        Kind::Exists => return PyFileExistsError::new_err(message),
        Kind::Other if matches!(error.place, Place::Server(_)) => "Unavailable",
        Kind::Other => {
            let class = error.cause::<SqliteFailure>().map_or(ErrorClass::Database, SqliteFailure::class);
            return of_class(class, message);
        }
    };
    ours(name, Some(&error.place), message, None)
}

/// Returns the ID of the process that has the session.
fn pid(error: &StoreError) -> Option<u32> {
    let of_file = error.cause::<HeldBy>().map(|by| by.pid);
    of_file.or_else(|| error.cause::<Owner>().map(|owner| owner.pid))
}

/// Makes `Session...Error` or, for a file, `SessionFile...Error`.
fn ours(name: &str, place: Option<&Place>, message: String, pid: Option<u32>) -> PyErr {
    let file = if matches!(place, Some(Place::Server(_))) { "" } else { "File" };
    named(&format!("Session{file}{name}Error"), &place.map(Place::to_string).unwrap_or_default(), message, pid)
}

/// Makes the exception for a key that cannot be locked, which is at no place.
pub(crate) fn of_key(error: &StoreError) -> PyErr {
    let name = if error.kind == Kind::InUse { "SessionInUseError" } else { "SessionUnavailableError" };
    named(name, "", error.to_string(), pid(error))
}

/// Makes an exception of ours.
fn named(name: &str, place: &str, message: String, pid: Option<u32>) -> PyErr {
    Python::attach(|py| {
        let class = py.import("telethon_session_rust.errors").and_then(|module| module.getattr(name));
        let value = class.and_then(|class| match pid {
            Some(pid) => class.call1((message, place, pid)),
            None => class.call1((message, place)),
        });
        value.map_or_else(|error| error, PyErr::from_value)
    })
}

/// An error that SQLite raises for a statement of the user's own.
fn of_class(class: ErrorClass, message: String) -> PyErr {
    let name = match class {
        ErrorClass::Memory => return PyMemoryError::new_err(message),
        ErrorClass::Database => "DatabaseError",
        ErrorClass::Data => "DataError",
        ErrorClass::Integrity => "IntegrityError",
        ErrorClass::Interface => "InterfaceError",
        ErrorClass::Internal => "InternalError",
        ErrorClass::Operational => "OperationalError",
    };
    sqlite3_exception(name, message)
}

/// Makes an exception of Python's `sqlite3`.
pub(crate) fn sqlite3_exception(name: &str, message: String) -> PyErr {
    Python::attach(|py| {
        let class = py.import("sqlite3").and_then(|module| module.getattr(name));
        class.and_then(|class| class.call1((message,))).map_or_else(|error| error, PyErr::from_value)
    })
}
