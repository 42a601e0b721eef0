//! Which exception an error of the core becomes: the one that Telethon's users catch today.

use std::path::Path;

use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rusqlite::ffi;

use crate::error::Error;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let name = match &error {
            Error::SessionString(error) => return PyValueError::new_err(error.to_string()),
            Error::HoldsLogin { .. } => return PyValueError::new_err(error.to_string()),
            Error::Defect { .. } => return PyRuntimeError::new_err(error.to_string()),
            Error::InUse { path, pid } => return in_use(&error, path, *pid),
            Error::Sqlite { code: ffi::SQLITE_NOMEM, .. } => {
                return PyMemoryError::new_err(error.to_string());
            }
            Error::Sqlite { code, .. } | Error::CannotUpgrade { code, .. } => exception_name(*code),
            Error::NoAccessHash { .. } => "IntegrityError",
            Error::Unsaved { cause, .. } => match &**cause {
                Error::Sqlite { code, .. } => exception_name(*code),
                _ => "OperationalError",
            },
            Error::Locked { .. } | Error::CannotOpen { .. } | Error::Gone { .. } | Error::Replaced { .. } => {
                "OperationalError"
            }
            Error::NotASession { .. } | Error::Unusable { .. } | Error::TooNew { .. } => "DatabaseError",
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

fn in_use(error: &Error, path: &Path, pid: u32) -> PyErr {
    Python::attach(|py| {
        let class = py.import("telethon_session_rust.errors").and_then(|module| module.getattr("SessionInUseError"));
        match class.and_then(|class| class.call1((error.to_string(), path, pid))) {
            Ok(value) => PyErr::from_value(value),
            Err(error) => error,
        }
    })
}

/// An error of Python's `sqlite3`.
pub(super) fn sqlite3_exception(name: &str, message: String) -> PyErr {
    Python::attach(|py| match py.import("sqlite3").and_then(|module| module.getattr(name)) {
        Ok(class) => PyErr::from_value(
            class.call1((message,)).unwrap_or_else(|error| error.into_value(py).into_bound(py).into_any()),
        ),
        Err(error) => error,
    })
}
