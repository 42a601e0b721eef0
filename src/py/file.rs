//! `FileCore`, what sessions with a file add to the base: update states, sent files, saving.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::guard::{detached, guarded, is_in_event_loop, patiently};
use super::memory::MemoryCore;
use super::telethon::Telethon;
use super::{make, value};
use crate::session::Session;
use crate::store::sqlite::SqliteFile;
use crate::store::{Credentials, FileKey, FileKind, UpdateState};

/// How long `close()` waits for a file that somebody else holds.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// A file behind a session. `RustStringSession` is made of it for its entity file, and `SQLiteCore` goes on from it.
#[pyclass(frozen, subclass, extends = MemoryCore, module = "telethon_session_rust._core")]
pub(super) struct FileCore;

impl FileCore {
    pub(super) fn new(class: &Bound<'_, PyType>) -> PyResult<PyClassInitializer<Self>> {
        Ok(PyClassInitializer::from(MemoryCore::new(class)?).add_subclass(Self))
    }
}

#[pymethods]
impl FileCore {
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

    /// Opens a file for entities, update states and sent files alone.
    #[pyo3(signature = (path, version, timeout = 5.0, /))]
    fn _open_entity_file(slf: &Bound<'_, Self>, path: PathBuf, version: i64, timeout: f64) -> PyResult<()> {
        let file = SqliteFile::new(checked(Some(path))?, version).without_login();
        open(slf.as_super(), file, seconds(timeout)).map(drop)
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
        let file = detached(py, || session.sent_file(&key))?;
        file.map(|file| cls.call1(file)).transpose()
    }

    fn save(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, session) = (slf.py(), slf.as_super().get().session());
        let may_block = !is_in_event_loop(py)?;
        patiently(py, |patience| session.save(may_block, patience))
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let session = slf.as_super().get().session();
        patiently(slf.py(), |patience| session.close(CLOSE_LIMIT.max(session.timeout()), patience))
    }

    fn delete(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let session = slf.as_super().get().session();
        detached(slf.py(), || session.delete())
    }
}

/// Where the program goes to later must not decide which file is opened again.
pub(super) fn checked(path: Option<PathBuf>) -> PyResult<Option<PathBuf>> {
    let path = path.map(std::path::absolute).transpose()?;
    if path.as_ref().is_some_and(|path| path.as_os_str().as_encoded_bytes().contains(&0)) {
        return Err(PyValueError::new_err("a session's name cannot hold a null byte"));
    }
    Ok(path)
}

/// Opens a file for a session that has none yet.
pub(super) fn open(slf: &Bound<'_, MemoryCore>, file: SqliteFile, timeout: Duration) -> PyResult<Option<Credentials>> {
    let py = slf.py();
    let (session, login) = patiently(py, |patience| Session::open_within(Box::new(file), timeout, patience))?;
    if let Err(session) = slf.get().set_session(session) {
        detached(py, || drop(session))?;
        return Err(PyRuntimeError::new_err("this session has been opened already"));
    }
    Ok(login)
}

/// A timeout in seconds, which was checked in Python. SQLite keeps milliseconds in 31 bits.
pub(super) fn seconds(timeout: f64) -> Duration {
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
