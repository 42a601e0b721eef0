//! `await session.backup(path)`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use py_once::intern;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use sealed::Keyring;
use session_core::credentials::Credentials;
use session_core::error::{Error, Result};
use session_core::session::Tracker;
use session_core::store::{FileKey, FileKind, StoreError, UpdateState};
use store_sqlite::{BackupOptions, Caller, LastStep, Parts};
use zeroize::Zeroizing;

use crate::error::to_python;
use crate::guard::{detached, interruptible};
use crate::memory::MemoryCore;
use crate::sqlite::absolute;
use crate::value;

/// Stops a backup that another thread makes.
#[pyclass(frozen, module = "telethon_session_rust._core")]
pub(crate) struct BackupStop(AtomicBool);

#[pymethods]
impl BackupStop {
    #[new]
    fn __new__() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Stops the backup. Its file is not made.
    fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Copies a session to a new file. Returns when the file is complete.
pub(crate) fn back_up(
    slf: &Bound<'_, MemoryCore>,
    target: PathBuf,
    may_replace: bool,
    version: i64,
    needs_login: bool,
    stop: &BackupStop,
) -> PyResult<()> {
    let (py, target) = (slf.py(), absolute(target)?);
    let session = Arc::clone(slf.get().session());
    let mut caller = PyCaller {
        session: slf.clone().unbind(),
        keyring: slf.get().file_keyring(),
        stop,
        raised: None,
        checked: Instant::now(),
    };
    let options = BackupOptions { target: &target, may_replace, version, needs_login };
    let made = detached(py, || store_sqlite::back_up(&session, options, &mut caller))?;
    match caller.raised {
        Some(raised) => Err(raised),
        None => made.map_err(to_python),
    }
}

/// Copies a session file that is not open here, as it is.
#[pyfunction]
#[pyo3(signature = (source, target, overwrite, /))]
pub(crate) fn copy_file(py: Python<'_>, source: PathBuf, target: PathBuf, overwrite: bool) -> PyResult<()> {
    let (source, target) = (absolute(source)?, absolute(target)?);
    interruptible(py, |keep_waiting| store_sqlite::copy_file(&source, &target, overwrite, keep_waiting))
}

/// A Python session that is being copied.
struct PyCaller<'a> {
    session: Py<MemoryCore>,
    keyring: Option<&'a Keyring>,
    stop: &'a BackupStop,
    /// What Python code has raised.
    raised: Option<PyErr>,
    /// When signals were last looked for.
    checked: Instant,
}

/// ID, `pts`, `qts`, date and `seq`.
type StateTuple = (i64, Option<i64>, Option<i64>, Option<f64>, Option<i64>);
/// MD5 digest, size, kind, ID and access hash.
type FileTuple<'py> = (Bound<'py, PyAny>, i64, i64, i64, i64);
/// Data centre, address, port, key, takeout ID and temporary key.
type LoginTuple<'py> =
    (Bound<'py, PyAny>, Option<String>, Option<Bound<'py, PyAny>>, Bound<'py, PyAny>, Option<i64>, Bound<'py, PyAny>);

impl PyCaller<'_> {
    /// Asks the session's Python part for what it knows, as it is.
    fn ask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.session.bind(py).call_method0(intern!(py, "_backup_parts"))
    }

    /// Converts what was asked for.
    fn converted(&self, parts: &Bound<'_, PyAny>) -> PyResult<Parts> {
        let py = parts.py();
        let rows = self.session.bind(py).call_method1(intern!(py, "_backup_rows"), (parts,))?;
        let (login, states, files): (LoginTuple<'_>, Vec<StateTuple>, Vec<FileTuple<'_>>) = rows.extract()?;
        let (dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key) = login;
        let file = |(md5_digest, size, kind, id, access_hash): FileTuple<'_>| {
            let kind = FileKind::from_number(kind);
            let md5_digest = value::bytes(&md5_digest)?.to_vec();
            Ok::<_, PyErr>(kind.map(|kind| (FileKey { md5_digest, size, kind }, (id, access_hash))))
        };
        Ok(Parts {
            credentials: Credentials {
                dc_id: value::number(&dc_id)?,
                server_address,
                port: port.as_ref().map(value::number).transpose()?,
                auth_key: value::bytes(&auth_key)?,
                takeout_id,
                tmp_auth_key: value::bytes(&tmp_auth_key)?,
            },
            update_states: (states.into_iter())
                .map(|(id, pts, qts, date, seq)| (id, UpdateState { pts, qts, date, seq }))
                .collect(),
            sent_files: files.into_iter().filter_map(|row| file(row).transpose()).collect::<PyResult<_>>()?,
        })
    }

    fn noted<T>(&mut self, asked: PyResult<T>) -> Result<T> {
        asked.map_err(|error| {
            self.raised = Some(error);
            self.stopped()
        })
    }

    fn stopped(&self) -> Error {
        StoreError::stopped(self.session.get().session().place()).into()
    }
}

impl Caller for PyCaller<'_> {
    fn parts(&mut self) -> Result<Parts> {
        let parts = Python::attach(|py| self.converted(&self.ask(py)?));
        self.noted(parts)
    }

    fn last_step(&mut self, tracker: &Tracker, limit: usize) -> Result<Option<LastStep>> {
        let asked = Python::attach(|py| {
            let parts = self.ask(py)?;
            let Some(rest) = tracker.try_finish(limit) else { return Ok(None) };
            // Python may run other threads while it is asked.
            let is_one_moment = parts.eq(self.ask(py)?)?;
            Ok(Some(LastStep { parts: self.converted(&parts)?, rest, is_one_moment }))
        });
        self.noted(asked)
    }

    fn keep_going(&mut self) -> bool {
        const CHECK_INTERVAL: Duration = Duration::from_millis(100);
        if self.checked.elapsed() >= CHECK_INTERVAL && self.raised.is_none() {
            let signals = |py: Python<'_>| py.check_signals();
            self.raised = Python::attach(signals).err();
            self.checked = Instant::now();
        }
        self.raised.is_none() && !self.stop.0.load(Ordering::Acquire)
    }

    fn seal(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.keyring.map_or_else(|| Some(Zeroizing::new(key.to_vec())), |keyring| keyring.to_stored(key))
    }
}

impl MemoryCore {
    /// Sets the encryption keys of a file that a backup makes.
    pub(crate) fn set_file_keyring(&self, keyring: Keyring) -> PyResult<()> {
        let message = "this session has been opened already";
        self.keyring.set(keyring).map_err(|_| PyRuntimeError::new_err(message))
    }

    fn file_keyring(&self) -> Option<&Keyring> {
        self.keyring.get()
    }
}
