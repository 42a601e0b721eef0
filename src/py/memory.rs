//! `MemoryCore`, the base of all sessions: entities in, input peers out.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use super::guard::{detached, guarded, is_in_event_loop, patiently};
use super::lookup::{Lookup, Meaning, meaning, whole_text};
use super::read::{self, Reader, Row};
use super::telethon::Telethon;
use super::value::Truth;
use super::{flush, make};
use crate::entity::candidates;
use crate::entity_cache::{EntityPage, IdAndHash, TextKey};
use crate::session::{InMemory, Session};
use crate::store::Query;

/// The entities of a session. `RustMemorySession` is made of it; see its documentation.
#[pyclass(frozen, subclass, module = "telethon_session_rust._core")]
pub(super) struct MemoryCore {
    /// Set by whoever opens a file; otherwise by the first use, in memory.
    session: OnceLock<Arc<Session>>,
    /// Whether the class leaves the making of rows to us; if not, its overrides are called for each entity.
    makes_rows: bool,
    /// Whether it leaves the finding of rows to us.
    finds_rows: bool,
}

/// An id and access hash as Python objects: an override may answer what it likes for a hash.
type Found<'py> = (i64, Bound<'py, PyAny>);

impl MemoryCore {
    pub(super) fn new(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let flag = |name| class.getattr_opt(name)?.map_or(Ok(true), |flag| flag.is_truthy());
        Ok(Self {
            session: OnceLock::new(),
            makes_rows: flag(intern!(py, "_makes_rows"))?,
            finds_rows: flag(intern!(py, "_finds_rows"))?,
        })
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        self.session.get_or_init(Session::in_memory)
    }

    /// Puts a session with a file in the place of the one in memory. Gives it back if the session is in use already.
    pub(super) fn set_session(&self, session: Arc<Session>) -> Result<(), Arc<Session>> {
        self.session.set(session)
    }

    /// Looks in memory, and without the interpreter's lock where that may take time.
    fn find(&self, py: Python<'_>, query: &Query<'_>, wait: &Wait) -> PyResult<Option<IdAndHash>> {
        let session = self.session();
        match guarded(|| session.try_find(query))? {
            InMemory::Found(found) => Ok(Some(found)),
            InMemory::NotFound => Ok(None),
            InMemory::Unknown if is_in_event_loop(py)? => detached(py, || session.find(query)),
            InMemory::Unknown => {
                let until = wait.until(session.timeout());
                patiently(py, |patience| Ok(session.find_patiently(query, until, patience)))
            }
        }
    }

    fn find_phone(&self, py: Python<'_>, phone: &str, wait: &Wait) -> PyResult<Option<IdAndHash>> {
        let phone = self.session().phone_form(phone);
        self.find(py, &Query::Text(TextKey::Phone, &phone), wait)
    }

    fn find_id(&self, id: &Bound<'_, PyAny>, exact: bool, wait: &Wait) -> PyResult<Option<IdAndHash>> {
        let py = id.py();
        let Some(id) = self.id_of(id)? else { return Ok(None) };
        let query = if exact { Query::Id(id) } else { Query::AnyId(candidates(id)) };
        self.find(py, &query, wait)
    }

    /// The number that is meant, if any. One that does not fit 64 bits is nobody's: Telethon's file raises, its memory answers
    /// nothing. Both take a float for the number it equals, and the file takes digits for one.
    fn id_of(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
        let is_stored = self.session().is_stored();
        if let Ok(float) = id.cast::<PyFloat>() {
            let whole = float.call_method0("is_integer")?.is_truthy()?;
            let number = if whole { Some(float.call_method0("__int__")?) } else { None };
            return Ok(number.and_then(|number| number.extract().ok()));
        }
        if let Ok(text) = id.cast::<PyString>() {
            let digits = whole_text(text)?.map(|text| self.session().phone_form(text));
            return Ok(digits.and_then(|digits| digits.parse().ok()).filter(|_| is_stored));
        }
        match id.extract() {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.is_instance_of::<PyOverflowError>(id.py()) && is_stored => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn find_natively<'py>(
        &self,
        py: Python<'py>,
        lookup: &Lookup<'_, 'py>,
        wait: &Wait,
    ) -> PyResult<Option<Found<'py>>> {
        let found = match lookup {
            Lookup::Phone(phone) => self.find_phone(py, phone, wait)?,
            Lookup::Username(username) => self.find(py, &Query::Text(TextKey::Username, username), wait)?,
            Lookup::Name(name) => self.find_text(TextKey::Name, name, wait)?,
            Lookup::Id { id, exact } => self.find_id(id, *exact, wait)?,
        };
        found.map(|(id, hash)| Ok((id, hash.into_pyobject(py)?.into_any()))).transpose()
    }

    fn find_text(&self, key: TextKey, text: &Bound<'_, PyString>, wait: &Wait) -> PyResult<Option<IdAndHash>> {
        whole_text(text)?.map_or(Ok(None), |whole| self.find(text.py(), &Query::Text(key, whole), wait))
    }

    fn put(&self, py: Python<'_>, page: EntityPage) -> PyResult<()> {
        if page.is_empty() {
            return Ok(());
        }
        let session = self.session();
        match guarded(|| session.try_put(page))? {
            Ok(()) => Ok(()),
            Err(page) => detached(py, || session.put(page)),
        }
    }
}

impl Drop for MemoryCore {
    /// What is unsaved is written when the last reference goes; without the interpreter's lock, for it may have to wait.
    fn drop(&mut self) {
        let mut session = self.session.take().filter(|session| session.is_stored());
        let mut end = || {
            if let Some(session) = session.take() {
                session.abandon();
            }
        };
        let ended = Python::try_attach(|py| detached(py, &mut end).map_err(|error| error.print(py)));
        if ended.is_none() {
            let _ = guarded(end);
        }
    }
}

/// Until when a locked store is waited for: once in a call, whatever is looked for in turn.
#[derive(Default)]
struct Wait(OnceCell<Instant>);

impl Wait {
    fn until(&self, timeout: Duration) -> Instant {
        *self.0.get_or_init(|| Instant::now() + timeout)
    }
}

/// Calls the class's own `get_entity_rows_by_...`.
fn find_by_override<'py>(slf: &Bound<'py, MemoryCore>, lookup: &Lookup<'_, 'py>) -> PyResult<Option<Found<'py>>> {
    let py = slf.py();
    let row = match lookup {
        Lookup::Phone(phone) => slf.call_method1(intern!(py, "get_entity_rows_by_phone"), (phone,)),
        Lookup::Username(username) => slf.call_method1(intern!(py, "get_entity_rows_by_username"), (username,)),
        Lookup::Name(name) => slf.call_method1(intern!(py, "get_entity_rows_by_name"), (name,)),
        Lookup::Id { id, exact } => slf.call_method1(intern!(py, "get_entity_rows_by_id"), (id, *exact)),
    }?;
    if !row.is_truthy()? {
        return Ok(None);
    }
    let [id, hash] = unpacked(&row)?;
    Ok(Some((id.extract()?, hash)))
}

/// The values of a row, which may be of any class: a database's own, for one.
fn unpacked<'py, const N: usize>(row: &Bound<'py, PyAny>) -> PyResult<[Bound<'py, PyAny>; N]> {
    let values = row.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    <[_; N]>::try_from(values).map_err(|values| {
        PyValueError::new_err(format!("a row of {N} values is needed, and this one has {}", values.len()))
    })
}

#[pymethods]
impl MemoryCore {
    /// Takes whatever the subclass's `__init__` takes.
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::new(cls)
    }

    pub(super) fn process_entities<'py>(slf: &Bound<'py, Self>, tlo: &Bound<'py, PyAny>) -> PyResult<()> {
        let (py, core) = (slf.py(), slf.get());
        let session = core.session();
        let page = if core.makes_rows {
            let mut reader = Reader::new(py, session)?;
            read::for_each_entity(Telethon::get(py)?, tlo, |entity| reader.read(entity))?;
            reader.into_page()?
        } else {
            let rows = slf.call_method1(intern!(py, "_entities_to_rows"), (tlo,))?;
            rows_to_page(session, &rows)?
        };
        core.put(py, page)
    }

    /// The rows of the entities in an object, each as `_entity_values_to_row` makes it.
    fn _entities_to_rows<'py>(slf: &Bound<'py, Self>, tlo: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let rows = PyList::empty(py);
        read::for_each_entity(Telethon::get(py)?, tlo, |entity| {
            let row = slf.call_method1(intern!(py, "_entity_to_row"), (entity,))?;
            if row.is_truthy()? { rows.append(row) } else { Ok(()) }
        })?;
        Ok(rows)
    }

    /// The row of an entity as `_entity_values_to_row` makes it; `None` for what is not stored.
    fn _entity_to_row<'py>(slf: &Bound<'py, Self>, e: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let row = read::row_of(Telethon::get(py)?, e)?;
        row.map(|row| slf.call_method1(intern!(py, "_entity_values_to_row"), row)).transpose()
    }

    #[staticmethod]
    fn _entity_values_to_row<'py>(
        id: Bound<'py, PyAny>,
        hash: Bound<'py, PyAny>,
        username: Bound<'py, PyAny>,
        phone: Bound<'py, PyAny>,
        name: Bound<'py, PyAny>,
    ) -> Row<'py> {
        (id, hash, username, phone, name)
    }

    fn get_entity_rows_by_phone(&self, phone: &Bound<'_, PyAny>) -> PyResult<Option<IdAndHash>> {
        let py = phone.py();
        if self.session().is_stored() && (phone.is_instance_of::<PyInt>() || phone.is_instance_of::<PyFloat>()) {
            return self.find_phone(py, read::digits(phone)?.to_str()?, &Wait::default());
        }
        let Ok(phone) = phone.cast::<PyString>() else { return Ok(None) };
        whole_text(phone)?.map_or(Ok(None), |phone| self.find_phone(py, phone, &Wait::default()))
    }

    fn get_entity_rows_by_username(&self, username: &Bound<'_, PyAny>) -> PyResult<Option<IdAndHash>> {
        let Ok(username) = username.cast::<PyString>() else { return Ok(None) };
        self.find_text(TextKey::Username, username, &Wait::default())
    }

    fn get_entity_rows_by_name(&self, name: &Bound<'_, PyAny>) -> PyResult<Option<IdAndHash>> {
        let Ok(name) = name.cast::<PyString>() else { return Ok(None) };
        self.find_text(TextKey::Name, name, &Wait::default())
    }

    #[pyo3(signature = (id, exact = Truth(true)), text_signature = "($self, id, exact=True)")]
    fn get_entity_rows_by_id(&self, id: &Bound<'_, PyAny>, exact: Truth) -> PyResult<Option<IdAndHash>> {
        self.find_id(id, exact.0, &Wait::default())
    }

    fn get_input_entity<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, core) = (slf.py(), slf.get());
        let telethon = Telethon::get(py)?;
        let lookups = match meaning(telethon, key)? {
            Meaning::Peer(peer) => return Ok(peer),
            Meaning::Lookups(lookups) => lookups,
        };
        let wait = Wait::default();
        for lookup in lookups.iter().flatten() {
            let found =
                if core.finds_rows { core.find_natively(py, lookup, &wait)? } else { find_by_override(slf, lookup)? };
            if let Some((id, hash)) = found {
                return make::input_peer(telethon, id, &hash);
            }
        }
        Err(PyValueError::new_err(("Could not find input entity with key ", key.clone().unbind())))
    }

    /// All entities in memory as rows `(marked id, access hash, username, phone, name)`.
    fn _rows<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut rows = Vec::new();
        let session = self.session();
        let entities = detached(py, || session.entities())?;
        for entity in entities.iter() {
            let [username, phone, name] = entity.texts().map(|text| text.map(String::from_utf8_lossy));
            rows.push((entity.id, entity.hash, username, phone, name).into_pyobject(py)?);
        }
        Ok(rows)
    }

    /// Takes in rows.
    #[pyo3(signature = (rows, /))]
    fn _put_rows(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        let page = rows_to_page(self.session(), rows)?;
        self.put(rows.py(), page)
    }

    /// Forgets all entities, unless they are stored in a file.
    fn _clear(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.session();
        detached(py, || session.clear_entities())
    }

    /// Panics as a defect of the core would.
    #[cfg(feature = "faults")]
    fn _panic(&self, py: Python<'_>, detached_too: bool) -> PyResult<()> {
        let session = self.session();
        if detached_too { detached(py, || session.panic()) } else { guarded(|| session.panic()) }
    }

    /// An awaitable of the running event loop that is done when everything is on disk.
    fn _flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        flush::flush(py, self.session())
    }
}

fn rows_to_page(session: &Session, rows: &Bound<'_, PyAny>) -> PyResult<EntityPage> {
    let mut reader = Reader::new(rows.py(), session)?;
    for row in rows.try_iter()? {
        reader.read_row(&unpacked(&row?)?)?;
    }
    reader.into_page()
}
