//! `RemoteCore`, what only a session on a server has: its URL.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use sealed::{Owner, SealedBackend};
use session_core::session::SessionOptions;
use session_core::store::Backend;
use store_net::RemoteServer;

use crate::encryption::keyring;
use crate::guard::interruptible;
use crate::stored::{CredentialsTuple, StoredCore, open, seconds};

/// A session on a server. `RustRedisSession` and its like are made of it; see their documentation.
#[pyclass(frozen, subclass, extends = StoredCore, module = "telethon_session_rust._core")]
pub(crate) struct RemoteCore;

#[pymethods]
impl RemoteCore {
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

    /// Opens a session on a server of a kind. Returns the stored credentials; `None` if there are none.
    #[pyo3(signature = (kind, url, session_name, exclusive, timeout, encryption_key = None, /))]
    fn _open<'py>(
        slf: &Bound<'py, Self>,
        kind: &str,
        url: &str,
        session_name: &str,
        exclusive: bool,
        timeout: f64,
        encryption_key: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<CredentialsTuple<'py>>> {
        slf.as_super().as_super().get().set_file_keyring(keyring(encryption_key, Owner::File)?)?;
        let keyring = keyring(encryption_key, Owner::Session(session_name))?;
        let options = SessionOptions { timeout: seconds(timeout), exclusive, ..SessionOptions::default() };
        let backend = server(kind, url)?.session(session_name);
        let backend: Arc<dyn Backend> = Arc::new(SealedBackend::new(backend, keyring));
        open(slf.as_super().as_super(), &backend, options)
    }
}

/// Returns the names of all sessions on a server, sorted.
#[pyfunction]
#[pyo3(signature = (kind, url, timeout, /))]
pub(crate) fn list_sessions(py: Python<'_>, kind: &str, url: &str, timeout: f64) -> PyResult<Vec<String>> {
    let server = server(kind, url)?;
    interruptible(py, |keep_waiting| Ok(server.list(Instant::now() + seconds(timeout), keep_waiting)?))
}

/// Returns a URL without user, password and parameters, for messages.
#[pyfunction]
#[pyo3(signature = (kind, url, /))]
pub(crate) fn public_url(kind: &str, url: &str) -> PyResult<String> {
    Ok(server(kind, url)?.public_url().to_owned())
}

/// Parses the URL of a server.
fn server(kind: &str, url: &str) -> PyResult<Box<dyn RemoteServer>> {
    match kind {
        #[cfg(feature = "redis")]
        "redis" => store_redis::server(url).map_err(invalid_url),
        #[cfg(feature = "sql")]
        "sql" => store_sql::server(url).map_err(invalid_url),
        #[cfg(feature = "mongodb")]
        "mongodb" => store_mongodb::server(url).map_err(invalid_url),
        _ => Err(PyValueError::new_err(format!(
            "this build of telethon-session-rust was made without the feature {kind:?}: install a wheel from PyPI, or \
             build it with that feature"
        ))),
    }
}

fn invalid_url(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
