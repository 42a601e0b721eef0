//! `MemoryCore`, the base of all sessions: entities in, input peers out.

use std::cell::{Cell, OnceCell};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use py_once::intern;
use pyo3::create_exception;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use crate::backup::BackupStop;
use crate::guard::{detached, guarded, interruptible, is_in_event_loop};
use crate::lookup::{Lookup, Meaning, meaning, whole_text};
use crate::read::{self, Reader, Row};
use crate::scan::{EntityScan, rows, wanted_kind};
use crate::telethon::Telethon;
use crate::value::Truth;
use crate::{add, backup, flush, known, make};
use sealed::Keyring;
use session_core::entity::candidates;
use session_core::entity_table::{EntityBatch, IdAndAccessHash, TextField};
use session_core::fork;
use session_core::session::{BRIEF_TIMEOUT, CacheLookup, Session};
use session_core::store::Query;

/// The core of every session. `RustMemorySession` is made of it; see its documentation.
#[pyclass(frozen, subclass, module = "telethon_session_rust._core")]
pub(crate) struct MemoryCore {
    /// Set when a store is opened; otherwise by the first use, in memory.
    session: OnceLock<Arc<Session>>,
    /// Whether the class leaves making rows to Rust. If not, its overrides are called for each
    /// entity.
    makes_rows: bool,
    /// Whether the class leaves finding rows to Rust.
    finds_rows: bool,
    /// A `set` of all rows that Python code has read or changed. Kept until the session changes
    /// otherwise.
    set: Mutex<Option<Py<PyAny>>>,
    has_set: AtomicBool,
    /// How often all rows have been replaced.
    replacements: AtomicU64,
    /// How many entities may be in memory; `None` for all.
    max_entities: OnceLock<NonZeroUsize>,
    /// The encryption keys of a file that a backup makes.
    pub(crate) keyring: OnceLock<Keyring>,
    /// Whether `_note_account` is to be called with the account's ID as soon as it is received.
    pub(crate) watches_account: AtomicBool,
}

/// An ID and an access hash as Python objects: an override may return any object as a hash.
pub(crate) type Found<'py> = (i64, Bound<'py, PyAny>);

impl MemoryCore {
    pub(crate) fn new(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let flag = |name| class.getattr_opt(name)?.map_or(Ok(true), |flag| flag.is_truthy());
        Ok(Self {
            session: OnceLock::new(),
            makes_rows: flag(intern!(py, "_makes_rows"))?,
            finds_rows: flag(intern!(py, "_finds_rows"))?,
            set: Mutex::new(None),
            has_set: AtomicBool::new(false),
            replacements: AtomicU64::new(0),
            max_entities: OnceLock::new(),
            keyring: OnceLock::new(),
            watches_account: AtomicBool::new(false),
        })
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        self.session.get_or_init(|| Session::in_memory(self.max_entities()))
    }

    /// Returns how many entities may be in memory; `None` for all.
    pub(crate) fn max_entities(&self) -> Option<NonZeroUsize> {
        self.max_entities.get().copied()
    }

    /// Returns `true` if the class leaves finding rows to Rust.
    pub(crate) fn finds_rows(&self) -> bool {
        self.finds_rows
    }

    /// Replaces the session in memory by a stored one. Returns it if the session is in use already.
    pub(crate) fn set_session(&self, session: Arc<Session>) -> Result<(), Arc<Session>> {
        self.session.set(session)
    }

    /// Looks an entity up in memory, and without the GIL where that may take time.
    fn find(&self, py: Python<'_>, query: &Query<'_>, wait: &Wait) -> PyResult<Option<IdAndAccessHash>> {
        let session = self.session();
        match guarded(|| session.try_find(query))? {
            CacheLookup::Found(found) => Ok(Some(found)),
            CacheLookup::NotFound => Ok(None),
            CacheLookup::Unknown if is_in_event_loop(py)? => {
                let until = wait.until(BRIEF_TIMEOUT);
                let found = detached(py, || session.find_until(query, until))?;
                wait.note(&found);
                Ok(found.found())
            }
            CacheLookup::Unknown => {
                let until = wait.until(session.timeout());
                interruptible(py, |keep_waiting| Ok(session.find_retrying(query, until, keep_waiting)))
            }
        }
    }

    fn find_phone(&self, py: Python<'_>, phone: &str, wait: &Wait) -> PyResult<Option<IdAndAccessHash>> {
        let phone = self.session().normalize_phone(phone);
        self.find(py, &Query::Text(TextField::Phone, &phone), wait)
    }

    fn find_id(&self, id: &Bound<'_, PyAny>, exact: bool, wait: &Wait) -> PyResult<Option<IdAndAccessHash>> {
        let py = id.py();
        let Some(id) = self.id_of(id)? else { return Ok(None) };
        let query = if exact { Query::Id(id) } else { Query::AnyId(candidates(id)) };
        self.find(py, &query, wait)
    }

    /// Converts an ID, if it is one. Telethon accepts a float for the integer that it equals, and a
    /// session file accepts digits. IDs beyond 64 bits raise `OverflowError` in a session
    /// file and match nothing elsewhere.
    pub(crate) fn id_of(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
        let has_column_types = self.session().has_column_types();
        if let Ok(float) = id.cast::<PyFloat>() {
            let whole = float.call_method0("is_integer")?.is_truthy()?;
            let number = if whole { Some(float.call_method0("__int__")?) } else { None };
            return Ok(number.and_then(|number| number.extract().ok()));
        }
        if let Ok(text) = id.cast::<PyString>() {
            let digits = whole_text(text)?.map(|text| self.session().normalize_phone(text));
            return Ok(digits.and_then(|digits| digits.parse().ok()).filter(|_| has_column_types));
        }
        match id.extract() {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.is_instance_of::<PyOverflowError>(id.py()) && has_column_types => Err(error),
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
            Lookup::Username(username) => self.find(py, &Query::Text(TextField::Username, username), wait)?,
            Lookup::Name(name) => self.find_text(TextField::Name, name, wait)?,
            Lookup::Id { id, exact } => self.find_id(id, *exact, wait)?,
        };
        found.map(|(id, access_hash)| Ok((id, access_hash.into_pyobject(py)?.into_any()))).transpose()
    }

    fn find_text(&self, key: TextField, text: &Bound<'_, PyString>, wait: &Wait) -> PyResult<Option<IdAndAccessHash>> {
        whole_text(text)?.map_or(Ok(None), |whole| self.find(text.py(), &Query::Text(key, whole), wait))
    }

    fn put(&self, py: Python<'_>, batch: EntityBatch) -> PyResult<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let session = self.session();
        if self.has_set.load(Ordering::Relaxed) {
            self.drop_stale_set(py)?;
        }
        match guarded(|| session.try_put(batch))? {
            Ok(()) => Ok(()),
            Err(batch) => detached(py, || session.put(batch)),
        }
    }

    fn add_batches(&self, py: Python<'_>, batches: Vec<EntityBatch>) -> PyResult<()> {
        let session = self.session();
        batches.into_iter().try_for_each(|batch| detached(py, || session.add(batch)))
    }

    fn set(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a set, and releases the one before without a lock held: its end may run Python code.
    fn keep_set(&self, py: Python<'_>, set: Option<Py<PyAny>>) {
        self.has_set.store(set.is_some(), Ordering::Relaxed);
        let before = std::mem::replace(&mut *self.set(), set);
        drop(before.map(|set| set.into_bound(py)));
    }

    /// Releases the set if the session has changed, because it takes much memory.
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
    /// Writes what is unsaved when the last reference goes; without the GIL, because it may have to
    /// wait.
    fn drop(&mut self) {
        let mut session = self.session.take().filter(|session| session.is_stored());
        if fork::is_forking() {
            // Python may free objects while its fork hooks run. The writer still holds what is
            // unsaved.
            std::mem::forget(session);
            return;
        }
        let mut end = || {
            if let Some(session) = session.take() {
                session.release();
            }
        };
        let ended = Python::try_attach(|py| detached(py, &mut end).map_err(|error| error.print(py)));
        if ended.is_none() {
            let _ = guarded(end);
        }
    }
}

create_exception!(
    telethon_session_rust._core,
    Unanswered,
    PyValueError,
    "An entity is not in memory, and the server has not answered yet."
);

/// The deadline of one call, shared by all its lookups.
#[derive(Default)]
struct Wait {
    until: OnceCell<Instant>,
    /// Whether the store has not answered a lookup in time.
    is_unanswered: Cell<bool>,
}

impl Wait {
    fn until(&self, timeout: Duration) -> Instant {
        *self.until.get_or_init(|| Instant::now() + timeout)
    }

    fn note(&self, found: &CacheLookup) {
        if *found == CacheLookup::Unknown {
            self.is_unanswered.set(true);
        }
    }
}

/// Calls the class's own `get_entity_rows_by_...`.
pub(crate) fn find_by_override<'py>(
    slf: &Bound<'py, MemoryCore>,
    lookup: &Lookup<'_, 'py>,
) -> PyResult<Option<Found<'py>>> {
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
    let [id, access_hash] = unpacked(&row)?;
    Ok(Some((id.extract()?, access_hash)))
}

/// Unpacks a row, which may be of any class, such as a database's own.
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

    pub(crate) fn process_entities<'py>(slf: &Bound<'py, Self>, tlo: &Bound<'py, PyAny>) -> PyResult<()> {
        let (py, core) = (slf.py(), slf.get());
        if !slf.getattr(intern!(py, "save_entities"))?.is_truthy()? {
            return Ok(());
        }
        let session = core.session();
        let batch = if core.makes_rows {
            let telethon = Telethon::get(py)?;
            let mut reader = Reader::new(py, session)?;
            if core.watches_account.load(Ordering::Relaxed) {
                let mut account = None;
                read::for_each_entity(telethon, tlo, |entity| {
                    account = account.or(read::own_account(telethon, &entity)?);
                    reader.read(entity)
                })?;
                if let Some(account) = account {
                    slf.call_method1(intern!(py, "_note_account"), (account,))?;
                }
            } else {
                read::for_each_entity(telethon, tlo, |entity| reader.read(entity))?;
            }
            reader.finish()?
        } else {
            let rows = slf.call_method1(intern!(py, "_entities_to_rows"), (tlo,))?;
            rows_to_batch(session, &rows)?
        };
        core.put(py, batch)
    }

    /// Returns the rows of the entities in an object, each as `_entity_values_to_row` makes it.
    fn _entities_to_rows<'py>(slf: &Bound<'py, Self>, tlo: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let rows = PyList::empty(py);
        read::for_each_entity(Telethon::get(py)?, tlo, |entity| {
            let row = slf.call_method1(intern!(py, "_entity_to_row"), (entity,))?;
            if row.is_truthy()? { rows.append(row) } else { Ok(()) }
        })?;
        Ok(rows)
    }

    /// Returns the row of an entity as `_entity_values_to_row` makes it; `None` if it is not
    /// stored.
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

    fn get_entity_rows_by_phone(&self, phone: &Bound<'_, PyAny>) -> PyResult<Option<IdAndAccessHash>> {
        let py = phone.py();
        if self.session().has_column_types() && (phone.is_instance_of::<PyInt>() || phone.is_instance_of::<PyFloat>()) {
            return self.find_phone(py, read::digits(phone)?.to_str()?, &Wait::default());
        }
        let Ok(phone) = phone.cast::<PyString>() else { return Ok(None) };
        whole_text(phone)?.map_or(Ok(None), |phone| self.find_phone(py, phone, &Wait::default()))
    }

    fn get_entity_rows_by_username(&self, username: &Bound<'_, PyAny>) -> PyResult<Option<IdAndAccessHash>> {
        let Ok(username) = username.cast::<PyString>() else { return Ok(None) };
        self.find_text(TextField::Username, username, &Wait::default())
    }

    fn get_entity_rows_by_name(&self, name: &Bound<'_, PyAny>) -> PyResult<Option<IdAndAccessHash>> {
        let Ok(name) = name.cast::<PyString>() else { return Ok(None) };
        self.find_text(TextField::Name, name, &Wait::default())
    }

    #[pyo3(signature = (id, exact = Truth(true)), text_signature = "($self, id, exact=True)")]
    fn get_entity_rows_by_id(&self, id: &Bound<'_, PyAny>, exact: Truth) -> PyResult<Option<IdAndAccessHash>> {
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
            if let Some((id, access_hash)) = found {
                return make::input_peer(telethon, id, &access_hash);
            }
        }
        let arguments = ("Could not find input entity with key ", key.clone().unbind());
        if wait.is_unanswered.get() && core.session().is_remote() {
            return Err(Unanswered::new_err(arguments));
        }
        Err(PyValueError::new_err(arguments))
    }

    /// Copies the session to a new file. Returns when the file is complete.
    #[pyo3(signature = (target, overwrite, version, needs_login, stop, /))]
    fn _back_up(
        slf: &Bound<'_, Self>,
        target: PathBuf,
        overwrite: bool,
        version: i64,
        needs_login: bool,
        stop: &Bound<'_, BackupStop>,
    ) -> PyResult<()> {
        backup::back_up(slf, target, overwrite, version, needs_login, stop.get())
    }

    /// Returns `True` if the session has a store.
    fn _is_stored(&self) -> bool {
        self.session.get().is_some_and(|session| session.is_stored())
    }

    /// Returns an iterator over the entities, of one kind or of all, as rows of a class.
    #[pyo3(signature = (kind, row, /))]
    fn _scan(&self, kind: Option<&str>, row: Py<PyAny>) -> PyResult<EntityScan> {
        Ok(EntityScan::new(self.session().clone(), wanted_kind(kind)?, row))
    }

    /// Returns what is known of the entity that a key means, as a row of a class; `None` if it is
    /// not known. Raises `Unanswered` in an event loop if the store has to be waited for.
    #[pyo3(signature = (key, class, /))]
    fn _find_entity<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        class: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        known::find(slf, key)?.map(|known| known.to_python(class)).transpose()
    }

    /// How many entities may be in memory; `None` for all.
    #[getter]
    fn get_max_entities(&self) -> Option<usize> {
        self.max_entities().map(NonZeroUsize::get)
    }

    /// Returns how many entities are in memory.
    fn _count_in_memory(&self, py: Python<'_>) -> PyResult<usize> {
        let session = self.session();
        detached(py, || session.entities_in_memory())
    }

    /// Sets how many entities may be in memory; 0 for all. Call once, before anything else.
    #[pyo3(signature = (max_entities, /))]
    fn _set_max_entities(&self, max_entities: usize) {
        if let Some(max_entities) = NonZeroUsize::new(max_entities) {
            let _ = self.max_entities.set(max_entities);
        }
    }

    /// Forgets the entity that a key means. Returns `True` if it was known. Raises `Unanswered` in
    /// an event loop if the store has to be waited for.
    #[pyo3(signature = (key, /))]
    fn _forget<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<bool> {
        let Some(known) = known::find(slf, key)? else { return Ok(false) };
        let (id, session) = (known.id(), slf.get().session());
        detached(slf.py(), || session.forget(id))
    }

    /// Forgets all entities that were last seen before a date. Returns how many.
    #[pyo3(signature = (before, /))]
    fn _forget_older_than(&self, py: Python<'_>, before: u32) -> PyResult<usize> {
        let session = self.session();
        interruptible(py, |keep_waiting| session.forget_older_than(before, keep_waiting))
    }

    /// Counts the entities, of one kind or all, if that can be told at once.
    #[pyo3(signature = (kind, /))]
    fn _try_count(&self, kind: Option<&str>) -> PyResult<Option<usize>> {
        let (kind, session) = (wanted_kind(kind)?, self.session());
        guarded(|| session.try_count(kind))
    }

    /// Counts the entities, of one kind or all.
    #[pyo3(signature = (kind, /))]
    fn _count(&self, py: Python<'_>, kind: Option<&str>) -> PyResult<usize> {
        let (kind, session) = (wanted_kind(kind)?, self.session());
        interruptible(py, |keep_waiting| session.count(kind, session.timeout(), keep_waiting))
    }

    /// Adds typed rows: all of them or, if an error is raised, none.
    #[pyo3(signature = (rows, /))]
    fn _add(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, session) = (rows.py(), self.session());
        let mut batches = Batches::new(py, session);
        for (number, row) in rows.try_iter()?.enumerate() {
            add::read(batches.reader()?, number, &row?)?;
        }
        self.add_batches(py, batches.into_vec()?)
    }

    /// Adds rows of marked ID, access hash, username, phone and name; the date when each was seen and a
    /// tuple of its aliases may follow.
    #[pyo3(signature = (rows, /))]
    fn _put_rows(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        self.add_batches(rows.py(), batches_of(self.session(), rows)?)
    }

    /// Replaces all rows in memory. Detaches a set of rows that was made before.
    #[pyo3(signature = (rows, /))]
    fn _replace_rows(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, session) = (rows.py(), self.session());
        let batches = batches_of(session, rows)?;
        self.replacements.fetch_add(1, Ordering::Relaxed);
        detached(py, || session.clear_entities())?;
        self.add_batches(py, batches)?;
        self.keep_set(py, None);
        Ok(())
    }

    /// Removes the rows in `out` that are known exactly so, and adds those in `put`. Returns the
    /// revisions before and after, or `None` if another thread changed rows in between; the rows as
    /// they were before, and the rows as they are now.
    #[pyo3(signature = (out, put, /))]
    #[allow(clippy::type_complexity)]
    fn _exchange<'py>(
        &self,
        out: &Bound<'py, PyAny>,
        put: &Bound<'py, PyAny>,
    ) -> PyResult<(Option<(u64, u64)>, Vec<Bound<'py, PyTuple>>, Vec<Bound<'py, PyTuple>>)> {
        let (py, session) = (out.py(), self.session());
        let (out, put) = (readable_batches_of(session, out)?, batches_of(session, put)?);
        let nothing = EntityBatch::default();
        let steps = out.iter().map(|out| (out, EntityBatch::default()));
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

    /// Returns a number that changes whenever a row does.
    fn _revision(&self, py: Python<'_>) -> PyResult<u64> {
        let session = self.session();
        detached(py, || session.revision())
    }

    /// Forgets all entities, unless they are stored. Returns the revision after that.
    fn _clear(&self, py: Python<'_>) -> PyResult<u64> {
        let session = self.session();
        detached(py, || session.clear_entities())
    }

    /// Returns how often all rows have been replaced.
    fn _replacements(&self) -> u64 {
        self.replacements.load(Ordering::Relaxed)
    }

    /// Returns the set that was kept last, until the session changes otherwise.
    fn _kept_set<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.set().as_ref().map(|set| set.bind(py).clone())
    }

    /// Keeps a set of all rows, which has a `_revision`.
    #[pyo3(signature = (set, /))]
    fn _keep_set(&self, set: Py<PyAny>, py: Python<'_>) {
        self.keep_set(py, Some(set));
    }

    /// Panics as a bug in the core would.
    #[cfg(feature = "faults")]
    fn _panic(&self, py: Python<'_>, detached_too: bool) -> PyResult<()> {
        let session = self.session();
        if detached_too { detached(py, || session.panic()) } else { guarded(|| session.panic()) }
    }

    /// Returns a future of the running event loop that is done when everything is stored.
    fn _flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        flush::flush(py, self.session())
    }
}

fn rows_to_batch(session: &Session, rows: &Bound<'_, PyAny>) -> PyResult<EntityBatch> {
    let mut reader = Reader::new(rows.py(), session)?;
    for row in rows.try_iter()? {
        reader.read_row(&unpacked(&row?)?)?;
    }
    reader.finish()
}

/// Batches made of Python's rows. After each, other threads and signals are served.
struct Batches<'a, 'py> {
    py: Python<'py>,
    session: &'a Session,
    reader: Option<Reader<'a, 'py>>,
    full: Vec<EntityBatch>,
}

impl<'a, 'py> Batches<'a, 'py> {
    /// Rows in a batch: about a millisecond's work.
    const ROWS: usize = 1000;

    fn new(py: Python<'py>, session: &'a Session) -> Self {
        Self { py, session, reader: None, full: Vec::new() }
    }

    /// Returns the reader for the next row.
    fn reader(&mut self) -> PyResult<&mut Reader<'a, 'py>> {
        if let Some(mut full) = self.reader.take_if(|reader| reader.len() >= Self::ROWS) {
            self.full.push(full.finish()?);
            self.py.check_signals()?;
            self.py.detach(|| ());
        }
        if self.reader.is_none() {
            self.reader = Some(Reader::new(self.py, self.session)?);
        }
        self.reader.as_mut().ok_or_else(|| PyValueError::new_err("no rows can be read"))
    }

    fn into_vec(mut self) -> PyResult<Vec<EntityBatch>> {
        self.full.extend(self.reader.as_mut().map(Reader::finish).transpose()?);
        Ok(self.full)
    }
}

fn batches_of(session: &Session, rows: &Bound<'_, PyAny>) -> PyResult<Vec<EntityBatch>> {
    let mut batches = Batches::new(rows.py(), session);
    for row in rows.try_iter()? {
        batches.reader()?.read_dated_row(&row?)?;
    }
    batches.into_vec()
}

/// Reads only what can be a row of a session.
fn readable_batches_of(session: &Session, rows: &Bound<'_, PyAny>) -> PyResult<Vec<EntityBatch>> {
    let mut batches = Batches::new(rows.py(), session);
    for row in rows.try_iter()? {
        let row = row?;
        if row.is_instance_of::<PyTuple>() {
            // A row that cannot be read is not one of the session's.
            let _ = batches.reader()?.read_dated_row(&row);
        }
    }
    batches.into_vec()
}
