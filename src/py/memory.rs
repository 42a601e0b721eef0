//! `MemoryCore`, the base of all sessions: entities in, input peers out.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use super::guard::{detached, guarded, is_in_event_loop, patiently};
use super::lookup::{Lookup, Meaning, meaning, whole_text};
use super::read::{self, Reader, Row};
use super::scan::{EntityScan, kind_named, rows};
use super::telethon::Telethon;
use super::value::Truth;
use super::{add, flush, make};
use crate::entity::candidates;
use crate::entity_cache::{EntityPage, IdAndHash, TextKey};
use crate::fork;
use crate::session::{BRIEF_WAIT, InMemory, Session};
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
    /// A `set` of all rows, which Python's code looks at or has changed. Kept until the session changes otherwise.
    set: Mutex<Option<Py<PyAny>>>,
    has_set: AtomicBool,
    /// How often all rows have been replaced by others.
    replacements: AtomicU64,
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
            set: Mutex::new(None),
            has_set: AtomicBool::new(false),
            replacements: AtomicU64::new(0),
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
            InMemory::Unknown if is_in_event_loop(py)? => {
                let until = wait.until(BRIEF_WAIT);
                detached(py, || session.find_briefly(query, until))
            }
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
        if self.has_set.load(Ordering::Relaxed) {
            self.drop_stale_set(py)?;
        }
        match guarded(|| session.try_put(page))? {
            Ok(()) => Ok(()),
            Err(page) => detached(py, || session.put(page)),
        }
    }

    fn add_pages(&self, py: Python<'_>, pages: Vec<EntityPage>) -> PyResult<()> {
        let session = self.session();
        pages.into_iter().try_for_each(|page| detached(py, || session.add(page)))
    }

    fn set(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a set, and lets go of the one before with no lock held: what ends with it may be Python's code.
    fn keep_set(&self, py: Python<'_>, set: Option<Py<PyAny>>) {
        self.has_set.store(set.is_some(), Ordering::Relaxed);
        let before = std::mem::replace(&mut *self.set(), set);
        drop(before.map(|set| set.into_bound(py)));
    }

    /// Lets go of the set if it is not what the session holds any more. It takes much memory.
    fn drop_stale_set(&self, py: Python<'_>) -> PyResult<()> {
        let Some(set) = self.set().as_ref().map(|set| set.bind(py).clone()) else { return Ok(()) };
        let revision: Option<u64> = set.getattr(intern!(py, "_revision"))?.extract()?;
        let session = self.session();
        if guarded(|| session.try_revision())?.is_some_and(|now| Some(now) != revision) {
            self.keep_set(py, None);
        }
        Ok(())
    }
}

impl Drop for MemoryCore {
    /// What is unsaved is written when the last reference goes; without the interpreter's lock, for it may have to wait.
    fn drop(&mut self) {
        let mut session = self.session.take().filter(|session| session.is_stored());
        if fork::is_forking() {
            // Python frees what it likes while its hooks for a fork run. The writer has what is unsaved.
            std::mem::forget(session);
            return;
        }
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
    read::exactly(row.try_iter()?.collect::<PyResult<Vec<_>>>()?)
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
        if !slf.getattr(intern!(py, "save_entities"))?.is_truthy()? {
            return Ok(());
        }
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

    /// Whether the entities are stored, in a file or in a database in memory.
    fn _is_stored(&self) -> bool {
        self.session.get().is_some_and(|session| session.is_stored())
    }

    /// Goes through the entities, of one kind or of all, as rows of a class.
    #[pyo3(signature = (kind, row, /))]
    fn _scan(&self, kind: Option<&str>, row: Py<PyAny>) -> PyResult<EntityScan> {
        let kind = kind.map(|name| {
            kind_named(name).ok_or_else(|| {
                PyValueError::new_err(format!("the kind of an entity is 'user', 'chat' or 'channel', not '{name}'"))
            })
        });
        Ok(EntityScan::new(self.session().clone(), kind.transpose()?, row))
    }

    /// Stores typed rows: all of them or, if an error is raised, none.
    #[pyo3(signature = (rows, /))]
    fn _add(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, session) = (rows.py(), self.session());
        let mut pages = Pages::new(py, session);
        for (number, row) in rows.try_iter()?.enumerate() {
            add::read(pages.reader()?, number, &row?)?;
        }
        self.add_pages(py, pages.into_vec()?)
    }

    /// Takes in rows of marked id, access hash, username, phone and name, and when each was seen, if that is known.
    #[pyo3(signature = (rows, /))]
    fn _put_rows(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        self.add_pages(rows.py(), pages_of(self.session(), rows)?)
    }

    /// Takes in rows in the place of all there are in memory. A set of rows that was made before is the session's no longer.
    #[pyo3(signature = (rows, /))]
    fn _replace_rows(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, session) = (rows.py(), self.session());
        let pages = pages_of(session, rows)?;
        self.replacements.fetch_add(1, Ordering::Relaxed);
        detached(py, || session.clear_entities())?;
        self.add_pages(py, pages)?;
        self.keep_set(py, None);
        Ok(())
    }

    /// Takes rows out, of which those are left that the session has not got just so, and others in. Answers the revision before and
    /// after, or `None` if others have changed something in between; rows as they were before, and rows as they are now.
    #[pyo3(signature = (out, put, /))]
    #[allow(clippy::type_complexity)]
    fn _exchange<'py>(
        &self,
        out: &Bound<'py, PyAny>,
        put: &Bound<'py, PyAny>,
    ) -> PyResult<(Option<(u64, u64)>, Vec<Bound<'py, PyTuple>>, Vec<Bound<'py, PyTuple>>)> {
        let (py, session) = (out.py(), self.session());
        let (out, put) = (readable_pages_of(session, out)?, pages_of(session, put)?);
        let nothing = EntityPage::default();
        let steps = out.iter().map(|out| (out, EntityPage::default()));
        let steps = steps.chain(put.into_iter().map(|put| (&nothing, put)));
        let (mut revisions, mut gone, mut come) = (None, Vec::new(), Vec::new());
        let mut is_alone = true;
        for (out, put) in steps {
            let step = detached(py, || session.exchange(out, put))?;
            let (before, after) = step.revisions;
            let (first, last) = revisions.unwrap_or((before, before));
            is_alone &= last == before;
            revisions = Some((first, after));
            gone.extend(rows(py, &step.gone)?);
            come.extend(rows(py, &step.come)?);
        }
        Ok((revisions.filter(|_| is_alone), gone, come))
    }

    /// A number that changes whenever a row does.
    fn _revision(&self, py: Python<'_>) -> PyResult<u64> {
        let session = self.session();
        detached(py, || session.revision())
    }

    /// Forgets all entities, unless they are stored. Answers the revision after that.
    fn _clear(&self, py: Python<'_>) -> PyResult<u64> {
        let session = self.session();
        detached(py, || session.clear_entities())
    }

    /// How often all rows have been replaced.
    fn _replacements(&self) -> u64 {
        self.replacements.load(Ordering::Relaxed)
    }

    /// The set that was kept last, until the session changes otherwise.
    fn _kept_set<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.set().as_ref().map(|set| set.bind(py).clone())
    }

    /// Keeps a set of all rows, which has a `_revision`.
    #[pyo3(signature = (set, /))]
    fn _keep_set(&self, set: Py<PyAny>, py: Python<'_>) {
        self.keep_set(py, Some(set));
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

/// Pages of rows, which Python's objects become. Other threads and signals have their turn after each.
struct Pages<'a, 'py> {
    py: Python<'py>,
    session: &'a Session,
    reader: Option<Reader<'a, 'py>>,
    full: Vec<EntityPage>,
}

impl<'a, 'py> Pages<'a, 'py> {
    /// Rows in a page: about a millisecond's work.
    const ROWS: usize = 1000;

    fn new(py: Python<'py>, session: &'a Session) -> Self {
        Self { py, session, reader: None, full: Vec::new() }
    }

    /// The reader for the next row.
    fn reader(&mut self) -> PyResult<&mut Reader<'a, 'py>> {
        if let Some(full) = self.reader.take_if(|reader| reader.len() >= Self::ROWS) {
            self.full.push(full.into_page()?);
            self.py.check_signals()?;
            self.py.detach(|| ());
        }
        if self.reader.is_none() {
            self.reader = Some(Reader::new(self.py, self.session)?);
        }
        self.reader.as_mut().ok_or_else(|| PyValueError::new_err("no rows can be read"))
    }

    fn into_vec(mut self) -> PyResult<Vec<EntityPage>> {
        self.full.extend(self.reader.map(Reader::into_page).transpose()?);
        Ok(self.full)
    }
}

fn pages_of(session: &Session, rows: &Bound<'_, PyAny>) -> PyResult<Vec<EntityPage>> {
    let mut pages = Pages::new(rows.py(), session);
    for row in rows.try_iter()? {
        pages.reader()?.read_dated_row(&row?)?;
    }
    pages.into_vec()
}

/// Only of what can be a row of a session at all.
fn readable_pages_of(session: &Session, rows: &Bound<'_, PyAny>) -> PyResult<Vec<EntityPage>> {
    let mut pages = Pages::new(rows.py(), session);
    for row in rows.try_iter()? {
        let row = row?;
        if row.is_instance_of::<PyTuple>() {
            // A row that cannot be read is none of the session's.
            let _ = pages.reader()?.read_dated_row(&row);
        }
    }
    pages.into_vec()
}
