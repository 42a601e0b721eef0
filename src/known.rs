//! `find_entity` and `forget`: which entity a key means, and what is known of it.

use std::time::{Duration, Instant};

use py_once::intern;
use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};
use session_core::entity::{SELF, candidates, unmark};
use session_core::entity_table::{EntityBatch, TextField};
use session_core::session::CacheLookup;
use session_core::store::Query;

use crate::guard::{detached, guarded, interruptible, is_in_event_loop};
use crate::lookup::{Lookup, Meaning, meaning, whole_text};
use crate::memory::{MemoryCore, Unanswered, find_by_override};
use crate::scan::{name_of, typed_row};
use crate::telethon::Telethon;

/// What is known of an entity.
pub(crate) enum Known<'py> {
    /// The one entity of a batch.
    Row(EntityBatch),
    /// What an override has found: marked ID and access hash.
    Elsewhere(i64, Bound<'py, PyAny>),
}

impl<'py> Known<'py> {
    /// Returns the marked ID.
    pub(crate) fn id(&self) -> i64 {
        match self {
            Self::Row(batch) => batch.get(0).map_or(SELF, |entity| entity.id),
            Self::Elsewhere(id, _) => *id,
        }
    }

    /// Makes a row of a class that takes the values of `Entity`.
    pub(crate) fn to_python(&self, class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Row(batch) => typed_row(class, &batch.get(0).unwrap_or_default()),
            Self::Elsewhere(id, access_hash) => {
                let (id, kind) = unmark(*id);
                class.call1((id, name_of(class.py(), kind), access_hash))
            }
        }
    }
}

/// What a key asks for.
enum Wanted<'a, 'py> {
    /// The account's own user.
    Own,
    /// Whatever is found first.
    Lookups([Option<Lookup<'a, 'py>>; 2]),
}

/// Returns what is known of the entity that a key means.
pub(crate) fn find<'py>(slf: &Bound<'py, MemoryCore>, key: &Bound<'py, PyAny>) -> PyResult<Option<Known<'py>>> {
    let (py, core) = (slf.py(), slf.get());
    let search = Search::new(py, core)?;
    let found = match wanted(Telethon::get(py)?, key)? {
        Wanted::Own => match search.own(slf)? {
            Some(id) => {
                let id = id.into_pyobject(py)?.into_any();
                search.first(slf, &Lookup::Id { id, exact: true })?
            }
            None => None,
        },
        Wanted::Lookups(lookups) => {
            let mut found = None;
            for lookup in lookups.iter().flatten() {
                found = search.first(slf, lookup)?;
                if found.is_some() {
                    break;
                }
            }
            found
        }
    };
    Ok(found.filter(|known| known.id() != SELF))
}

/// Returns what a key asks for. Whatever is not a key asks for nothing.
fn wanted<'a, 'py>(telethon: &Telethon, key: &'a Bound<'py, PyAny>) -> PyResult<Wanted<'a, 'py>> {
    let py = key.py();
    let exactly = |id| Wanted::Lookups([Some(Lookup::Id { id, exact: true }), None]);
    let by_meaning = || {
        Ok(match meaning(telethon, key)? {
            Meaning::Lookups(lookups) => Wanted::Lookups(lookups),
            Meaning::Peer(peer) if telethon.is_self(&peer)? => Wanted::Own,
            Meaning::Peer(peer) => exactly(telethon.util(intern!(py, "get_peer_id"), &peer)?),
        })
    };
    let of_any = || {
        if let Ok(text) = key.cast::<PyString>() {
            let is_own = whole_text(text)?.is_some_and(|text| text == "me" || text == "self");
            return if is_own { Ok(Wanted::Own) } else { by_meaning() };
        }
        if key.is_instance_of::<PyInt>() {
            return if key.eq(SELF)? { Ok(Wanted::Own) } else { by_meaning() };
        }
        if key.is_instance_of::<PyTuple>() && key.is_instance(&entity_class(py)?)? {
            return Ok(exactly(key.getattr(intern!(py, "marked_id"))?));
        }
        if telethon.is_self(key)? {
            return Ok(Wanted::Own);
        }
        // Before it is made an input peer: an account's own user would become one without an ID.
        telethon.util(intern!(py, "get_peer_id"), key).map(exactly).or_else(|_| by_meaning())
    };
    match of_any() {
        Err(error) if is_about_the_key(py, &error) => Ok(Wanted::Lookups([None, None])),
        wanted => wanted,
    }
}

/// The class `Entity` of the package.
fn entity_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "telethon_session_rust.entity"))?.getattr(intern!(py, "Entity"))
}

/// Returns `true` for the errors that Telethon raises for what is not a key.
fn is_about_the_key(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyAttributeError>(py)
        || error.is_instance_of::<PyValueError>(py)
        || error.is_instance_of::<PyOverflowError>(py)
}

/// One call, and how long it may wait.
struct Search<'a, 'py> {
    py: Python<'py>,
    core: &'a MemoryCore,
    may_wait: bool,
    deadline: Instant,
}

impl<'a, 'py> Search<'a, 'py> {
    fn new(py: Python<'py>, core: &'a MemoryCore) -> PyResult<Self> {
        let may_wait = !is_in_event_loop(py)?;
        let limit = if may_wait { core.session().timeout() } else { Duration::ZERO };
        Ok(Self { py, core, may_wait, deadline: Instant::now() + limit })
    }

    /// Returns the first entity that a lookup finds and that was not forgotten elsewhere.
    fn first(&self, session: &Bound<'py, MemoryCore>, lookup: &Lookup<'_, 'py>) -> PyResult<Option<Known<'py>>> {
        if !self.core.finds_rows() {
            let Some((id, access_hash)) = find_by_override(session, lookup)? else { return Ok(None) };
            return Ok(Some(self.of_id(id)?.unwrap_or(Known::Elsewhere(id, access_hash))));
        }
        // If one was forgotten elsewhere, another one may have its text.
        for _ in 0..2 {
            let Some(id) = self.marked_id(lookup)? else { return Ok(None) };
            if let Some(known) = self.of_id(id)? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// Returns the account's own ID.
    fn own(&self, session: &Bound<'py, MemoryCore>) -> PyResult<Option<i64>> {
        if self.core.finds_rows() {
            return Ok(self.find(&Query::Id(SELF))?.and_then(|(_, own_id)| own_id));
        }
        let row = Lookup::Id { id: SELF.into_pyobject(self.py)?.into_any(), exact: true };
        Ok(find_by_override(session, &row)?.and_then(|(_, own_id)| own_id.extract().ok()))
    }

    fn of_id(&self, id: i64) -> PyResult<Option<Known<'py>>> {
        let (session, may_wait) = (self.core.session(), self.may_wait);
        let batch = interruptible(self.py, |keep_waiting| Ok(session.known(id, may_wait, keep_waiting)))?;
        Ok(Some(batch).filter(|batch| !batch.is_empty()).map(Known::Row))
    }

    fn marked_id(&self, lookup: &Lookup<'_, 'py>) -> PyResult<Option<i64>> {
        let session = self.core.session();
        let found = match lookup {
            Lookup::Phone(phone) => self.find(&Query::Text(TextField::Phone, &session.normalize_phone(phone)))?,
            Lookup::Username(username) => self.find(&Query::Text(TextField::Username, username))?,
            Lookup::Name(name) => match whole_text(name)? {
                Some(name) => self.find(&Query::Text(TextField::Name, name))?,
                None => None,
            },
            Lookup::Id { id, exact } => match self.core.id_of(id) {
                Ok(Some(id)) if *exact => self.find(&Query::Id(id))?,
                Ok(Some(id)) => self.find(&Query::AnyId(candidates(id)))?,
                Ok(None) => None,
                Err(error) if error.is_instance_of::<PyOverflowError>(self.py) => None,
                Err(error) => return Err(error),
            },
        };
        Ok(found.map(|(id, _)| id))
    }

    fn find(&self, query: &Query<'_>) -> PyResult<Option<(i64, Option<i64>)>> {
        let session = self.core.session();
        match guarded(|| session.try_find(query))? {
            CacheLookup::Found(found) => Ok(Some(found)),
            CacheLookup::NotFound => Ok(None),
            CacheLookup::Unknown if self.may_wait => {
                let limit = self.deadline.saturating_duration_since(Instant::now());
                interruptible(self.py, |keep_waiting| session.find_certainly(query, limit, false, keep_waiting))
            }
            CacheLookup::Unknown => {
                detached(self.py, || session.find_certainly(query, Duration::ZERO, true, &mut || true))?
                    .map_err(|error| Unanswered::new_err(error.to_string()))
            }
        }
    }
}
