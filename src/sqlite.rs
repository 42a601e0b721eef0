//! `SQLiteCore`, what only a session with a file has: its name, SQL, and other connections to it.

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use sealed::{Owner, SealedBackend, SealedStore};
use session_core::session::SessionOptions;
use session_core::store::{Backend, Kind, StoreError};
use store_sqlite::{CREATE_USERNAMES, ReadOnlyStore, SqliteFile, SqliteStore};

use crate::error::sqlite3_exception;
use crate::guard::{detached, interruptible};
use crate::stored::{CredentialsTuple, StoredCore, open, seconds};
use crate::{encryption, value};

/// A session file. `RustSQLiteSession` is made of it; see its documentation.
#[pyclass(frozen, subclass, extends = StoredCore, module = "telethon_session_rust._core")]
pub(crate) struct SQLiteCore {
    file: OnceLock<Arc<SqliteFile>>,
}

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
        Ok(StoredCore::new(cls)?.add_subclass(Self { file: OnceLock::new() }))
    }

    /// Opens the file, or a database in memory. Returns the credentials in it; `None` if there are
    /// none.
    #[pyo3(signature = (path, version, exclusive, timeout = 5.0, encryption_key = None, read_only = false, /))]
    fn _open<'py>(
        slf: &Bound<'py, Self>,
        path: Option<PathBuf>,
        version: i64,
        exclusive: bool,
        timeout: f64,
        encryption_key: Option<&Bound<'py, PyAny>>,
        read_only: bool,
    ) -> PyResult<Option<CredentialsTuple<'py>>> {
        let keyring = encryption::keyring(encryption_key, Owner::File)?;
        slf.as_super().as_super().get().set_file_keyring(keyring.clone())?;
        let file = SqliteFile::new(path.map(absolute).transpose()?, version);
        let file = Arc::new(if read_only { file.read_only() } else { file });
        let options = SessionOptions { timeout: seconds(timeout), exclusive, ..SessionOptions::default() };
        let backend: Arc<dyn Backend> = Arc::new(SealedBackend::new(Arc::clone(&file) as _, keyring));
        let credentials = open(slf.as_super().as_super(), &backend, options)?;
        // A session is opened once.
        let _ = slf.get().file.set(file);
        Ok(credentials)
    }

    /// Sets the file to open at the next use after `close()`.
    #[pyo3(signature = (path, /))]
    fn _set_path(slf: &Bound<'_, Self>, path: PathBuf) -> PyResult<()> {
        let session = slf.as_super().as_super().get().session();
        let path = absolute(path)?;
        if let Some(file) = slf.get().file.get() {
            detached(slf.py(), || {
                file.set_next_path(path);
                session.switch_place_when_closed();
            })?;
        }
        Ok(())
    }

    /// Returns the file that is open or, after `close()`, is opened next.
    fn _file(&self) -> Option<PathBuf> {
        self.file.get().and_then(|file| file.path())
    }

    /// Writes everything, so that another connection of this program can use the file.
    #[pyo3(signature = (may_wait, /))]
    fn _share(slf: &Bound<'_, Self>, may_wait: bool) -> PyResult<()> {
        let session = slf.as_super().as_super().get().session();
        interruptible(slf.py(), |keep_waiting| session.share(may_wait, keep_waiting))
    }

    /// Takes over what the other connection has committed.
    fn _take_over(slf: &Bound<'_, Self>) -> PyResult<()> {
        let session = slf.as_super().as_super().get().session();
        interruptible(slf.py(), |keep_waiting| session.take_over(keep_waiting))
    }

    /// Notes that the other connection is closed.
    fn _end_sharing(slf: &Bound<'_, Self>) {
        slf.as_super().as_super().get().session().end_sharing();
    }

    /// Saves everything, executes a statement on the file, and returns its first row.
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
        let row = interruptible(py, |keep_waiting| {
            session.with_store(keep_waiting, |store| {
                let sealed = (store as &mut dyn Any).downcast_mut::<SealedStore>();
                let store = sealed.map(|sealed| sealed.inner() as &mut dyn Any);
                let Some(store) = store else {
                    let message = "this session has no file".to_owned();
                    return Err(StoreError::new(Kind::Other, session.place(), message).into());
                };
                if let Some(store) = store.downcast_mut::<ReadOnlyStore>() {
                    return Ok((store.execute(stmt, &values)?, false));
                }
                let Some(store) = store.downcast_mut::<SqliteStore>() else {
                    let message = "this session has no file".to_owned();
                    return Err(StoreError::new(Kind::Other, session.place(), message).into());
                };
                Ok(store.execute(stmt, &values)?)
            })
        })?;
        row.map(|row| {
            let objects = row.iter().map(|value| value::to_python(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, objects)
        })
        .transpose()
    }
}

/// Makes a path absolute, so that a later change of the working directory does not change which
/// file is opened again.
pub(crate) fn absolute(path: PathBuf) -> PyResult<PathBuf> {
    let path = std::path::absolute(path)?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(PyValueError::new_err("a session's name cannot contain a null byte"));
    }
    Ok(path)
}

/// Returns the statements that create the table of aliases.
#[pyfunction]
pub(crate) fn usernames_table() -> &'static str {
    CREATE_USERNAMES
}
