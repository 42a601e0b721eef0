//! `StoredCore`, what sessions with any store add to the base: credentials, update states, sent
//! files, saving.

use std::sync::Arc;
use std::time::Duration;

use py_once::intern;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use session_core::credentials::Credentials;
use session_core::session::{BRIEF_TIMEOUT, Session, SessionOptions};
use session_core::store::{Backend, FileKey, FileKind, SentFile, UpdateState};
use zeroize::Zeroizing;

use crate::guard::{detached, guarded, interruptible, is_in_event_loop};
use crate::memory::MemoryCore;
use crate::telethon::Telethon;
use crate::{make, value};

/// How long `close()` waits for a store that another program holds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The core of a session with a store. `StoredSession` is made of it; see its documentation.
#[pyclass(frozen, subclass, extends = MemoryCore, module = "telethon_session_rust._core")]
pub(crate) struct StoredCore;

/// Data centre, address, port, key, takeout ID and temporary key.
pub(crate) type CredentialsTuple<'py> =
    (i64, Option<String>, Option<i64>, Bound<'py, PyBytes>, Option<i64>, Bound<'py, PyBytes>);

/// MD5 digest, size, kind, ID and access hash.
type SentFileTuple<'py> = (Bound<'py, PyBytes>, i64, i64, i64, i64);

impl StoredCore {
    pub(crate) fn new(class: &Bound<'_, PyType>) -> PyResult<PyClassInitializer<Self>> {
        Ok(PyClassInitializer::from(MemoryCore::new(class)?).add_subclass(Self))
    }
}

#[pymethods]
impl StoredCore {
    /// Takes whatever the subclass's `__init__` takes.
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Self::new(cls)
    }

    fn get_update_state<'py>(slf: &Bound<'py, Self>, entity_id: i64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        detached(py, || session.update_state(entity_id))?.map(|state| make::update_state(py, &state)).transpose()
    }

    fn set_update_state(slf: &Bound<'_, Self>, entity_id: i64, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        let state = UpdateState {
            pts: state.getattr(intern!(py, "pts"))?.extract()?,
            qts: state.getattr(intern!(py, "qts"))?.extract()?,
            date: Some(state.getattr(intern!(py, "date"))?.call_method0(intern!(py, "timestamp"))?.extract()?),
            seq: state.getattr(intern!(py, "seq"))?.extract()?,
        };
        if !guarded(|| session.try_set_update_state(entity_id, state))? {
            detached(py, || session.set_update_state(entity_id, state))?;
        }
        Ok(())
    }

    fn get_update_states<'py>(slf: &Bound<'py, Self>) -> PyResult<Vec<(i64, Bound<'py, PyAny>)>> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        let states = detached(py, || session.update_states())?;
        states.iter().map(|(id, state)| Ok((*id, make::update_state(py, state)?))).collect()
    }

    fn cache_file(
        slf: &Bound<'_, Self>,
        md5_digest: &Bound<'_, PyAny>,
        file_size: i64,
        instance: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        let telethon = Telethon::get(py)?;
        let class = instance.get_type();
        if !instance.is_instance(telethon.input_document.bind(py))?
            && !instance.is_instance(telethon.input_photo.bind(py))?
        {
            return Err(PyTypeError::new_err(format!("Cannot cache {} instance", class.repr()?)));
        }
        let kind = kind_of(telethon, class.as_any())?;
        let key = FileKey { md5_digest: value::bytes(md5_digest)?.to_vec(), size: file_size, kind };
        let file =
            (instance.getattr(intern!(py, "id"))?.extract()?, instance.getattr(intern!(py, "access_hash"))?.extract()?);
        detached(py, || session.set_sent_file(key, file))
    }

    fn get_file<'py>(
        slf: &Bound<'py, Self>,
        md5_digest: &Bound<'py, PyAny>,
        file_size: i64,
        cls: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        let kind = kind_of(Telethon::get(py)?, cls)?;
        let key = FileKey { md5_digest: value::bytes(md5_digest)?.to_vec(), size: file_size, kind };
        let limit = if is_in_event_loop(py)? { Duration::ZERO } else { session.timeout() };
        let file = interruptible(py, |keep_waiting| Ok(session.sent_file(&key, limit, keep_waiting)))?;
        file.map(|file| cls.call1(file)).transpose()
    }

    /// Returns all sent files: MD5 digest, size, kind, ID and access hash.
    fn _sent_files<'py>(slf: &Bound<'py, Self>) -> PyResult<Vec<SentFileTuple<'py>>> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        let limit = if is_in_event_loop(py)? { Duration::ZERO } else { session.timeout() };
        let files = interruptible(py, |keep_waiting| session.sent_files(limit, keep_waiting))?;
        let row = |(FileKey { md5_digest, size, kind }, (id, access_hash)): (FileKey, SentFile)| {
            (PyBytes::new(py, &md5_digest), size, kind as i64, id, access_hash)
        };
        Ok(files.into_iter().map(row).collect())
    }

    fn save(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        let may_block = !is_in_event_loop(py)?;
        interruptible(py, |keep_waiting| session.save(may_block, keep_waiting))
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        if session.is_remote() && is_in_event_loop(py)? {
            return interruptible(py, |keep_waiting| session.close_soon(BRIEF_TIMEOUT, keep_waiting));
        }
        interruptible(py, |keep_waiting| session.close(CLOSE_TIMEOUT.max(session.timeout()), keep_waiting))
    }

    fn delete(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let session = slf.as_super().get().session();
        let timeout = if is_in_event_loop(slf.py())? { BRIEF_TIMEOUT } else { session.timeout() };
        detached(slf.py(), || session.delete(timeout))
    }

    /// Sets the credentials that the next `save()` stores.
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
        let session = slf.as_super().get().session();
        detached(slf.py(), || session.set_credentials(credentials))
    }

    /// Returns `True` if the credentials are to be set again before `save()`, although they have not
    /// changed, because they are stored as they are or encrypted with an older key.
    fn _is_outdated(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let session = slf.as_super().get().session();
        detached(slf.py(), || session.has_outdated_login())
    }

    /// Returns `True` if all stored entities are in memory. Until then, names are looked up in the
    /// store.
    fn _is_loaded(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let session = slf.as_super().get().session();
        detached(slf.py(), || session.is_loaded())
    }

    /// Returns `True` if the session was closed, and nothing was stored in it or read from its
    /// store since.
    fn _is_closed(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().session().is_closed()
    }

    /// Sets how many seconds a locked store is waited for.
    #[pyo3(signature = (timeout, /))]
    fn _set_timeout(slf: &Bound<'_, Self>, timeout: f64) {
        slf.as_super().get().session().set_timeout(seconds(timeout));
    }
}

/// Opens the store of a session that has none yet. Returns the stored credentials.
pub(crate) fn open<'py>(
    slf: &Bound<'py, MemoryCore>,
    backend: &Arc<dyn Backend>,
    options: SessionOptions,
) -> PyResult<Option<CredentialsTuple<'py>>> {
    let py = slf.py();
    let options = SessionOptions { max_entities: slf.get().max_entities(), ..options };
    let (session, credentials) =
        interruptible(py, |keep_waiting| Session::open(Arc::clone(backend), options, keep_waiting))?;
    if let Err(session) = slf.get().set_session(session) {
        detached(py, || drop(session))?;
        return Err(PyRuntimeError::new_err("this session has been opened already"));
    }
    Ok(credentials.map(|credentials| {
        let Credentials { dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key } = credentials;
        let key = |key: Zeroizing<Vec<u8>>| PyBytes::new(py, &key);
        (dc_id, server_address, port, key(auth_key), takeout_id, key(tmp_auth_key))
    }))
}

/// Converts a timeout in seconds, which Python has checked. SQLite keeps milliseconds in 31 bits.
pub(crate) fn seconds(timeout: f64) -> Duration {
    const MOST: Duration = Duration::from_millis(i32::MAX as u64);
    Duration::try_from_secs_f64(timeout).map_or(MOST, |timeout| timeout.min(MOST))
}

/// Telethon compares the classes themselves: a subclass is neither.
fn kind_of(telethon: &Telethon, class: &Bound<'_, PyAny>) -> PyResult<FileKind> {
    if class.is(&telethon.input_document) {
        Ok(FileKind::Document)
    } else if class.is(&telethon.input_photo) {
        Ok(FileKind::Photo)
    } else {
        Err(PyValueError::new_err("The cls must be either InputDocument/InputPhoto"))
    }
}
