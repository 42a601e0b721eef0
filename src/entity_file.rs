//! `EntityFileCore`, what keeps the entities of a string session in a file.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use session_core::session::SessionOptions;
use session_core::store::Backend;
use store_sqlite::SqliteFile;

use crate::sqlite::absolute;
use crate::stored::{StoredCore, open, seconds};

/// A session that may have an entity file. `RustStringSession` is made of it; see its
/// documentation.
#[pyclass(frozen, subclass, extends = StoredCore, module = "telethon_session_rust._core")]
pub(crate) struct EntityFileCore;

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
        Ok(StoredCore::new(cls)?.add_subclass(Self))
    }

    /// Opens a file for entities, update states and sent files. It must not hold a login.
    #[pyo3(signature = (path, version, timeout = 5.0, /))]
    fn _open_entity_file(slf: &Bound<'_, Self>, path: PathBuf, version: i64, timeout: f64) -> PyResult<()> {
        let file = SqliteFile::new(Some(absolute(path)?), version).without_login();
        let options = SessionOptions { timeout: seconds(timeout), exclusive: false };
        let file: Arc<dyn Backend> = Arc::new(file);
        open(slf.as_super().as_super(), &file, options).map(drop)
    }
}
