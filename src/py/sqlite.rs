//! `SQLiteCore`, what `RustSQLiteSession` adds to a file: the login in it.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use zeroize::Zeroizing;

use super::error::sqlite3_exception;
use super::file::{FileCore, checked, open};
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
    #[pyo3(signature = (path, version, exclusive, /))]
    fn _open<'py>(
        slf: &Bound<'py, Self>,
        path: Option<PathBuf>,
        version: i64,
        exclusive: bool,
    ) -> PyResult<Option<Login<'py>>> {
        let py = slf.py();
        let file = SqliteFile::new(checked(path)?, version);
        let login = open(slf.as_super().as_super(), if exclusive { file.exclusive() } else { file })?;
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
