//! `SQLiteCore`, what `RustSQLiteSession` adds to a file: the login in it.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use zeroize::Zeroizing;

use super::error::sqlite3_exception;
use super::file::{FileCore, checked, open, seconds};
use super::guard::{detached, patiently};
use super::value;
use crate::store::Credentials;
use crate::store::sqlite::SqliteFile;

/// A session file. `RustSQLiteSession` is made of it; see its documentation.
#[pyclass(frozen, subclass, extends = FileCore, module = "telethon_session_rust._core")]
pub(super) struct SQLiteCore;

/// Data centre, address, port, key, takeout id and temporary key.
type Login<'py> = (i64, Option<String>, Option<i64>, Bound<'py, PyBytes>, Option<i64>, Bound<'py, PyBytes>);

#[pymethods]
impl SQLiteCore {
    /// Takes whatever the subclass's `__init__` takes.
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(FileCore::new(cls)?.add_subclass(Self))
    }

    /// Opens the file, or a database in memory, and answers the login in it; `None` if there was none.
    #[pyo3(signature = (path, version, exclusive, timeout = 5.0, /))]
    fn _open<'py>(
        slf: &Bound<'py, Self>,
        path: Option<PathBuf>,
        version: i64,
        exclusive: bool,
        timeout: f64,
    ) -> PyResult<Option<Login<'py>>> {
        let py = slf.py();
        let file = SqliteFile::new(checked(path)?, version);
        let file = if exclusive { file.exclusive() } else { file };
        let login = open(slf.as_super().as_super(), file, seconds(timeout))?;
        Ok(login.map(|login| {
            let Credentials { dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key } = login;
            let key = |key: Zeroizing<Vec<u8>>| PyBytes::new(py, &key);
            (dc_id, server_address, port, key(auth_key), takeout_id, key(tmp_auth_key))
        }))
    }

    /// Whether all entities of the file are in memory. Until they are, names are looked for in the file.
    fn _is_loaded(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let session = slf.as_super().as_super().get().session();
        detached(slf.py(), || session.is_loaded())
    }

    /// Sets how many seconds a locked file is waited for.
    #[pyo3(signature = (timeout, /))]
    fn _set_timeout(slf: &Bound<'_, Self>, timeout: f64) {
        slf.as_super().as_super().get().session().set_timeout(seconds(timeout));
    }

    /// Opens another file from the next use after `close()` on.
    #[pyo3(signature = (path, /))]
    fn _set_path(slf: &Bound<'_, Self>, path: PathBuf) -> PyResult<()> {
        let session = slf.as_super().as_super().get().session();
        if let Some(path) = checked(Some(path))? {
            detached(slf.py(), || session.set_path(path))?;
        }
        Ok(())
    }

    /// Whether the session was closed, and nothing was given to it or read from its file since.
    fn _is_closed(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().as_super().get().session().is_closed()
    }

    /// The file that is open or, after `close()`, is opened next.
    fn _file(slf: &Bound<'_, Self>) -> Option<PathBuf> {
        slf.as_super().as_super().get().session().path()
    }

    /// Writes everything, for another connection of this program to use the file.
    #[pyo3(signature = (may_wait, /))]
    fn _share(slf: &Bound<'_, Self>, may_wait: bool) -> PyResult<()> {
        let session = slf.as_super().as_super().get().session();
        patiently(slf.py(), |patience| session.share(may_wait, patience))
    }

    /// Takes over what the other connection has committed.
    fn _take_over(slf: &Bound<'_, Self>) -> PyResult<()> {
        let session = slf.as_super().as_super().get().session();
        patiently(slf.py(), |patience| session.take_over(patience))
    }

    /// Says that the other connection is closed.
    fn _end_sharing(slf: &Bound<'_, Self>) {
        slf.as_super().as_super().get().session().end_sharing();
    }

    /// Says what the table `sessions` is to hold after the next `save()`.
    #[pyo3(signature = (dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key, /))]
    fn _set_credentials(
        slf: &Bound<'_, Self>,
        dc_id: &Bound<'_, PyAny>,
        server_address: Option<String>,
        port: Option<&Bound<'_, PyAny>>,
        auth_key: &Bound<'_, PyAny>,
        takeout_id: Option<i64>,
        tmp_auth_key: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let credentials = Credentials {
            dc_id: value::number(dc_id)?,
            server_address,
            port: port.map(value::number).transpose()?,
            auth_key: value::bytes(auth_key)?,
            takeout_id,
            tmp_auth_key: value::bytes(tmp_auth_key)?,
        };
        let session = slf.as_super().as_super().get().session();
        detached(slf.py(), || session.set_credentials(credentials))
    }

    /// Executes a statement on the file, with everything saved first, and answers its first row.
    #[pyo3(signature = (stmt, *values))]
    fn _execute<'py>(
        slf: &Bound<'py, Self>,
        stmt: &str,
        values: &Bound<'py, PyTuple>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        if stmt.contains('\0') {
            return Err(sqlite3_exception("ProgrammingError", "the query contains a null character".to_owned()));
        }
        let (py, session) = (slf.py(), slf.as_super().as_super().get().session());
        let values = values.iter().map(|object| value::from_python(&object)).collect::<PyResult<Vec<_>>>()?;
        let row = patiently(py, |patience| session.execute(stmt, &values, patience))?;
        row.map(|row| {
            let objects = row.iter().map(|value| value::to_python(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, objects)
        })
        .transpose()
    }
}
