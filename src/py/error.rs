//! Which exception an error of the core becomes: the one that Telethon's users catch today.

use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use rusqlite::ffi;

use crate::error::Error;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        if let Error::SessionString(error) = error {
            return PyValueError::new_err(error.to_string());
        }
        let name = match &error {
            Error::Sqlite { code: ffi::SQLITE_NOMEM, .. } => {
                return PyMemoryError::new_err(error.to_string());
            }
            Error::Sqlite { code, .. } => exception_name(*code),
            Error::NoAccessHash { .. } => "IntegrityError",
            Error::Unsaved { cause, .. } => match &**cause {
                Error::Sqlite { code, .. } => exception_name(*code),
                _ => "OperationalError",
            },
            Error::Locked { .. } | Error::CannotOpen { .. } => "OperationalError",
            Error::NotASession { .. } | Error::TooNew { .. } | Error::SessionString(_) => "DatabaseError",
        };
        sqlite3_exception(name, error.to_string())
    }
}

/// The exception that Python's own `sqlite3` raises for a result code.
fn exception_name(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_INTERNAL | ffi::SQLITE_NOTFOUND => "InternalError",
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
        | ffi::SQLITE_SCHEMA => "OperationalError",
        ffi::SQLITE_TOOBIG => "DataError",
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH => "IntegrityError",
        ffi::SQLITE_MISUSE | ffi::SQLITE_RANGE => "InterfaceError",
        _ => "DatabaseError",
    }
}

fn sqlite3_exception(name: &str, message: String) -> PyErr {
    Python::attach(|py| match py.import("sqlite3").and_then(|module| module.getattr(name)) {
        Ok(class) => PyErr::from_value(
            class.call1((message,)).unwrap_or_else(|error| error.into_value(py).into_bound(py).into_any()),
        ),
        Err(error) => error,
    })
}
