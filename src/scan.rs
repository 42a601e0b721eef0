//! `EntityScan`: an iterator over a session's entities, as typed rows one by one or as plain rows
//! in slices.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use py_once::intern;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::guard::{interruptible, is_in_event_loop};
use session_core::entity::{PeerKind, SELF, unmark};
use session_core::entity_table::{BatchEntity, EntityBatch};
use session_core::session::{self, Session};

/// An iterator over a session's entities. `RustMemorySession.entities` returns it; see its
/// documentation.
#[pyclass(frozen, module = "telethon_session_rust._core")]
pub(crate) struct EntityScan {
    session: Arc<Session>,
    /// The wanted kind; `None` for all.
    kind: Option<PeerKind>,
    /// The class of the rows that are yielded one by one.
    class: Py<PyAny>,
    /// Taken out while it is used: no lock may be held while the GIL is released.
    progress: Mutex<Option<Progress>>,
}

#[derive(Default)]
struct Progress {
    scan: session::EntityScan,
    batch: EntityBatch,
    /// How many entities of the batch have been yielded.
    given: usize,
    is_done: bool,
}

impl EntityScan {
    pub(crate) fn new(session: Arc<Session>, kind: Option<PeerKind>, class: Py<PyAny>) -> Self {
        Self { session, kind, class, progress: Mutex::new(Some(Progress::default())) }
    }

    fn with_progress<T>(&self, call: impl FnOnce(&mut Progress) -> PyResult<T>) -> PyResult<T> {
        let lock = || self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = lock().take();
        let mut progress = taken.ok_or_else(|| PyRuntimeError::new_err("this iterator is in use by another thread"))?;
        let result = call(&mut progress);
        *lock() = Some(progress);
        result
    }

    fn is_wanted(&self, entity: &BatchEntity<'_>) -> bool {
        entity.id != SELF && self.kind.is_none_or(|wanted| wanted == unmark(entity.id).1)
    }

    /// Reads the next batch. Returns `false` at the end.
    fn read(&self, py: Python<'_>, progress: &mut Progress) -> PyResult<bool> {
        if !progress.is_done {
            let limit = if is_in_event_loop(py)? { Duration::ZERO } else { self.session.timeout() };
            let scan = &mut progress.scan;
            progress.batch = interruptible(py, |keep_waiting| self.session.scan(scan, limit, keep_waiting))?;
            progress.given = 0;
            progress.is_done = progress.batch.is_empty();
        }
        Ok(!progress.is_done)
    }
}

#[pymethods]
impl EntityScan {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.with_progress(|progress| {
            loop {
                while let Some(entity) = progress.batch.get(progress.given) {
                    if !self.is_wanted(&entity) {
                        progress.given += 1;
                        continue;
                    }
                    let row = typed_row(self.class.bind(py), &entity)?;
                    progress.given += 1;
                    return Ok(Some(row));
                }
                if !self.read(py, progress)? {
                    return Ok(None);
                }
            }
        })
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "telethon_session_rust.entity"))?.call_method1(intern!(py, "_iterate"), (slf,))
    }

    /// Returns the next entities, a few hundred at most; none at the end.
    fn _typed_slice<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.with_progress(|progress| {
            loop {
                let mut rows = Vec::new();
                while let Some(entity) = progress.batch.get(progress.given) {
                    if self.is_wanted(&entity) {
                        rows.push(typed_row(self.class.bind(py), &entity)?);
                    }
                    progress.given += 1;
                }
                if !rows.is_empty() || !self.read(py, progress)? {
                    return Ok(rows);
                }
            }
        })
    }

    /// Returns the next rows `(marked ID, access hash, username, phone, name, date seen)`, a few
    /// hundred at most, of every kind and with the account's own ID; none at the end. A row of an entity
    /// with aliases has a tuple of them, too.
    fn _slice<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.with_progress(|progress| {
            self.read(py, progress)?;
            progress.batch.iter().map(|entity| dated_row(py, &entity)).collect()
        })
    }

    /// Returns the next rows without dates.
    fn _undated_slice<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.with_progress(|progress| {
            self.read(py, progress)?;
            rows(py, &progress.batch)
        })
    }
}

/// Returns the entities of a batch as Telethon's rows: marked ID, access hash, username, phone,
/// name.
pub(crate) fn rows<'py>(py: Python<'py>, batch: &EntityBatch) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    batch
        .iter()
        .map(|entity| {
            let [username, phone, name] = texts(&entity);
            (entity.id, entity.access_hash, username, phone, name).into_pyobject(py)
        })
        .collect()
}

/// Returns an entity as a row of a class that takes the values of `Entity`.
pub(crate) fn typed_row<'py>(class: &Bound<'py, PyAny>, entity: &BatchEntity<'_>) -> PyResult<Bound<'py, PyAny>> {
    let (id, kind) = unmark(entity.id);
    let [_, phone, name] = texts(entity);
    let username = entity.main_username().map(String::from_utf8_lossy);
    let seen = Some(entity.seen).filter(|seen| *seen != 0);
    class.call1((id, name_of(class.py(), kind), entity.access_hash, username, phone, name, seen))
}

fn dated_row<'py>(py: Python<'py>, entity: &BatchEntity<'_>) -> PyResult<Bound<'py, PyTuple>> {
    let [username, phone, name] = texts(entity);
    if !entity.has_aliases() {
        return (entity.id, entity.access_hash, username, phone, name, entity.seen).into_pyobject(py);
    }
    let aliases = PyTuple::new(py, entity.aliases().map(String::from_utf8_lossy).collect::<Vec<_>>())?;
    (entity.id, entity.access_hash, username, phone, name, entity.seen, aliases).into_pyobject(py)
}

fn texts<'a>(entity: &BatchEntity<'a>) -> [Option<std::borrow::Cow<'a, str>>; 3] {
    entity.texts().map(|text| text.map(String::from_utf8_lossy))
}

pub(crate) fn name_of(py: Python<'_>, kind: PeerKind) -> &Bound<'_, PyString> {
    match kind {
        PeerKind::User => intern!(py, "user"),
        PeerKind::Chat => intern!(py, "chat"),
        PeerKind::Channel => intern!(py, "channel"),
    }
}

/// Returns the kind with a name.
pub(crate) fn kind_named(name: &str) -> Option<PeerKind> {
    match name {
        "user" => Some(PeerKind::User),
        "chat" => Some(PeerKind::Chat),
        "channel" => Some(PeerKind::Channel),
        _ => None,
    }
}

/// Returns the kind that a caller asks for; `None` for all.
pub(crate) fn wanted_kind(kind: Option<&str>) -> PyResult<Option<PeerKind>> {
    let unknown = |name| format!("the kind of an entity is 'user', 'chat' or 'channel', not '{name}'");
    kind.map(|name| kind_named(name).ok_or_else(|| PyValueError::new_err(unknown(name)))).transpose()
}
