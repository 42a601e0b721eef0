//! `exclusive=True` by the key of a login, wherever the login is stored.

use pyo3::prelude::*;
use store_sqlite::KeyLease;

use std::sync::{Mutex, PoisonError};

use crate::error::of_key;
use crate::guard::detached;
use crate::value;

/// The lock of a key, which excludes others of the same key, in any program of this user.
#[pyclass(frozen, module = "telethon_session_rust._core")]
pub(crate) struct KeyLock(Mutex<Option<KeyLease>>);

#[pymethods]
impl KeyLock {
    /// Locks a key. Raises `SessionInUseError` if it is locked.
    #[new]
    #[pyo3(signature = (key, /))]
    fn __new__(key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let bytes = value::bytes(key)?;
        let lease = detached(key.py(), || KeyLease::take(&bytes))?;
        Ok(Self(Mutex::new(Some(lease.map_err(|error| of_key(&error))?))))
    }

    /// Unlocks it.
    fn release(&self) {
        let lease = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(lease);
    }
}
