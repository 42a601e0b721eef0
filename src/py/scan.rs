//! `EntityScan`: going through a session's entities, as typed rows one by one or as plain ones in slices.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::guard::{is_in_event_loop, patiently};
use crate::entity::{PeerKind, unmark};
use crate::entity_cache::{EntityPage, PageEntity};
use crate::session::{Scan, Session};

/// Where the client keeps its own id, which is no entity.
const SELF: i64 = 0;

/// An iterator over a session's entities. `RustMemorySession.entities` returns it; see its documentation.
#[pyclass(frozen, module = "telethon_session_rust._core")]
pub(super) struct EntityScan {
    session: Arc<Session>,
    /// The kind of entity that is wanted; all if there is none.
    kind: Option<PeerKind>,
    /// The class of the rows that are given one by one.
    class: Py<PyAny>,
    /// Taken out while it is used: no lock may be held while the interpreter's is given back.
    progress: Mutex<Option<Progress>>,
}

#[derive(Default)]
struct Progress {
    scan: Scan,
    page: EntityPage,
    /// How many entities of the page have been given.
    given: usize,
    is_done: bool,
}

impl EntityScan {
    pub(super) fn new(session: Arc<Session>, kind: Option<PeerKind>, class: Py<PyAny>) -> Self {
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

    /// Reads the next page. Returns whether there was one.
    fn read(&self, py: Python<'_>, progress: &mut Progress) -> PyResult<bool> {
        if !progress.is_done {
            let limit = if is_in_event_loop(py)? { Duration::ZERO } else { self.session.timeout() };
            let scan = &mut progress.scan;
            progress.page = patiently(py, |patience| self.session.scan(scan, limit, patience))?;
            progress.given = 0;
            progress.is_done = progress.page.is_empty();
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
                while let Some(entity) = progress.page.get(progress.given) {
                    let (id, kind) = unmark(entity.id);
                    if entity.id == SELF || self.kind.is_some_and(|wanted| wanted != kind) {
                        progress.given += 1;
                        continue;
                    }
                    let [username, phone, name] = texts(&entity);
                    let seen = Some(entity.seen).filter(|seen| *seen != 0);
                    let values = (id, name_of(py, kind), entity.hash, username, phone, name, seen);
                    let row = self.class.bind(py).call1(values)?;
                    progress.given += 1;
                    return Ok(Some(row));
                }
                if !self.read(py, progress)? {
                    return Ok(None);
                }
            }
        })
    }

    /// The next rows `(marked id, access hash, username, phone, name, when last seen)`, some hundreds at the most, of every kind
    /// and with the account's own. None at the end.
    fn _slice<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.with_progress(|progress| {
            self.read(py, progress)?;
            progress.page.iter().map(|entity| dated_row(py, &entity)).collect()
        })
    }

    /// The same without when they were seen.
    fn _undated_slice<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.with_progress(|progress| {
            self.read(py, progress)?;
            rows(py, &progress.page)
        })
    }
}

/// The entities of a page as Telethon's rows: marked id, access hash, username, phone, name.
pub(super) fn rows<'py>(py: Python<'py>, page: &EntityPage) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    page.iter()
        .map(|entity| {
            let [username, phone, name] = texts(&entity);
            (entity.id, entity.hash, username, phone, name).into_pyobject(py)
        })
        .collect()
}

fn dated_row<'py>(py: Python<'py>, entity: &PageEntity<'_>) -> PyResult<Bound<'py, PyTuple>> {
    let [username, phone, name] = texts(entity);
    (entity.id, entity.hash, username, phone, name, entity.seen).into_pyobject(py)
}

fn texts<'a>(entity: &PageEntity<'a>) -> [Option<std::borrow::Cow<'a, str>>; 3] {
    entity.texts().map(|text| text.map(String::from_utf8_lossy))
}

fn name_of(py: Python<'_>, kind: PeerKind) -> &Bound<'_, PyString> {
    match kind {
        PeerKind::User => pyo3::intern!(py, "user"),
        PeerKind::Chat => pyo3::intern!(py, "chat"),
        PeerKind::Channel => pyo3::intern!(py, "channel"),
    }
}

/// The kind with a name.
pub(super) fn kind_named(name: &str) -> Option<PeerKind> {
    match name {
        "user" => Some(PeerKind::User),
        "chat" => Some(PeerKind::Chat),
        "channel" => Some(PeerKind::Channel),
        _ => None,
    }
}
