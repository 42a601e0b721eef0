//! `EntityFileCore`, what keeps the entities of a string session in a file.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use session_core::session::SessionOptions;
use session_core::store::Backend;
use store_sqlite::{FileOwner, SqliteFile};

use crate::error::to_python;
use crate::guard::detached;
use crate::sqlite::absolute;
use crate::stored::{StoredCore, open, seconds};
use crate::value;

/// A session that may have an entity file. `RustStringSession` is made of it; see its
/// documentation.
#[pyclass(frozen, subclass, extends = StoredCore, module = "telethon_session_rust._core")]
pub(crate) struct EntityFileCore {
    owner: OnceLock<Arc<FileOwner>>,
}

#[pymethods]
impl EntityFileCore {
    /// Takes whatever the subclass's `__init__` takes.
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(StoredCore::new(cls)?.add_subclass(Self { owner: OnceLock::new() }))
    }

    /// Opens a file for entities, update states and sent files of the account with a key. It must
    /// not hold a login, and not be another account's.
    #[pyo3(signature = (path, version, timeout, auth_key, /))]
    fn _open_entity_file(
        slf: &Bound<'_, Self>,
        path: PathBuf,
        version: i64,
        timeout: f64,
        auth_key: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let owner = Arc::new(FileOwner::new(value::bytes(auth_key)?));
        let file = SqliteFile::new(Some(absolute(path)?), version).owned_by(Arc::clone(&owner));
        let options = SessionOptions { timeout: seconds(timeout), exclusive: false, ..SessionOptions::default() };
        let file: Arc<dyn Backend> = Arc::new(file);
        let memory = slf.as_super().as_super();
        open(memory, &file, options)?;
        // A session is opened once.
        let _ = slf.get().owner.set(owner);
        memory.get().watches_account.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Sets the key of the login. Raises `SessionOwnerError` if the file is another account's.
    #[pyo3(signature = (auth_key, /))]
    fn _set_owner_key(slf: &Bound<'_, Self>, auth_key: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(owner) = slf.get().owner.get() else { return Ok(()) };
        if !owner.set_key(value::bytes(auth_key)?) {
            return Ok(());
        }
        slf.as_super().as_super().get().watches_account.store(true, Ordering::Relaxed);
        check(slf)
    }

    /// Sets the ID of the account. Raises `SessionOwnerError` if the file is another account's.
    #[pyo3(signature = (account, /))]
    fn _note_account(slf: &Bound<'_, Self>, account: i64) -> PyResult<()> {
        let Some(owner) = slf.get().owner.get() else { return Ok(()) };
        slf.as_super().as_super().get().watches_account.store(false, Ordering::Relaxed);
        if owner.set_account(account) { check(slf) } else { Ok(()) }
    }
}

fn check(slf: &Bound<'_, EntityFileCore>) -> PyResult<()> {
    let session = slf.as_super().as_super().get().session();
    detached(slf.py(), || session.check_owner())?.map_err(to_python)
}
