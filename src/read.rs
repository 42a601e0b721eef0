//! Reads Telethon's objects into entities.
//!
//! The exact classes `User`, `Channel` and `Chat` make up nearly all of the traffic and are read
//! attribute by attribute. Other classes, and attributes of other types than Telethon's own, go
//! through Telethon's functions.

use attr_cache::AttrValue;
use py_once::intern;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::error::to_python;
use crate::telethon::Telethon;
use session_core::entity::{Entity, PeerKind};
use session_core::entity_table::EntityBatch;
use session_core::error::Error;
use session_core::session::Session;

/// A row as `_entity_to_row` returns it: marked ID, access hash, username, phone, name.
pub(crate) type Row<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Reads entities into a batch.
pub(crate) struct Reader<'a, 'py> {
    py: Python<'py>,
    telethon: &'static Telethon,
    session: &'a Session,
    batch: EntityBatch,
    /// Entities to read next.
    prefetched: Vec<Prefetched<'py>>,
    /// A buffer for usernames in lower case.
    username: String,
}

/// How many entities are prefetched together.
const BLOCK: usize = 16;

/// An entity whose class and dictionary are known.
enum Prefetched<'py> {
    /// One of the three exact classes, with its dictionary if that is read.
    Usual(PeerKind, Bound<'py, PyAny>, Option<Bound<'py, PyDict>>),
    Rare(Bound<'py, PyAny>),
}

/// The values of an entity's attributes, in the order of those of its class.
type Values<'py> = [AttrValue<'py>; 7];

/// Calls `each` with the entities in an object: its items if it is a list, otherwise those in its
/// attributes `user`, `chat`, `chats` and `users`.
pub(crate) fn for_each_entity<'py>(
    telethon: &Telethon,
    object: &Bound<'py, PyAny>,
    mut each: impl FnMut(&Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let py = object.py();
    if for_each_item(object, &mut each)? {
        return Ok(());
    }
    if !object.is_instance(telethon.tl_object.bind(py))? && is_list_like(telethon, object)? {
        return object.try_iter()?.try_for_each(|entity| each(&entity?));
    }
    if !telethon.is_updates(object) {
        for name in [intern!(py, "user"), intern!(py, "chat")] {
            if let Some(entity) = object.getattr_opt(name)? {
                each(&entity)?;
            }
        }
    }
    for name in [intern!(py, "chats"), intern!(py, "users")] {
        let Some(several) = object.getattr_opt(name)? else { continue };
        if !for_each_item(&several, &mut each)? && is_list_like(telethon, &several)? {
            several.try_iter()?.try_for_each(|entity| each(&entity?))?;
        }
    }
    Ok(())
}

/// Calls `each` with the items of an exact list or tuple. Returns `false` if the object is neither.
fn for_each_item<'py>(
    object: &Bound<'py, PyAny>,
    mut each: impl FnMut(&Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<bool> {
    if let Ok(list) = object.cast_exact::<PyList>() {
        list.iter().try_for_each(|entity| each(&entity))?;
    } else if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        tuple.iter().try_for_each(|entity| each(&entity))?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn is_list_like(telethon: &Telethon, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    telethon.util(intern!(object.py(), "is_list_like"), object)?.is_truthy()
}

/// Returns the row that Telethon's functions make of an entity; `None` if it is not stored.
pub(crate) fn row_of<'py>(telethon: &Telethon, entity: &Bound<'py, PyAny>) -> PyResult<Option<Row<'py>>> {
    let py = entity.py();
    if !entity.is_instance(telethon.tl_object.bind(py))? {
        return Ok(None);
    }
    let marked = telethon.input_peer(entity).and_then(|peer| {
        let id = telethon.util(intern!(py, "get_peer_id"), &peer)?;
        Ok((peer, id))
    });
    let (peer, id) = match marked {
        Ok(marked) => marked,
        Err(error) if error.is_instance_of::<PyTypeError>(py) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_a = |class: &Py<pyo3::types::PyType>| peer.is_instance(class.bind(py));
    let access_hash = if is_a(&telethon.input_peer_user)? || is_a(&telethon.input_peer_channel)? {
        peer.getattr(intern!(py, "access_hash"))?
    } else if is_a(&telethon.input_peer_chat)? {
        0_i64.into_pyobject(py)?.into_any()
    } else {
        return Ok(None);
    };
    let none = || py.None().into_bound(py);
    let or_none = |value: Bound<'py, PyAny>| Ok::<_, PyErr>(if value.is_truthy()? { value } else { none() });
    let mut username = or_none(entity.getattr_opt(intern!(py, "username"))?.unwrap_or_else(none))?;
    if !username.is_none() {
        username = username.call_method0(intern!(py, "lower"))?;
    }
    let phone = entity.getattr_opt(intern!(py, "phone"))?.unwrap_or_else(none);
    let name = or_none(telethon.util(intern!(py, "get_display_name"), entity)?)?;
    Ok(Some((id, access_hash, username, phone, name)))
}

impl<'a, 'py> Reader<'a, 'py> {
    pub(crate) fn new(py: Python<'py>, session: &'a Session) -> PyResult<Self> {
        Ok(Self {
            py,
            telethon: Telethon::get(py)?,
            session,
            batch: Session::new_batch(),
            prefetched: Vec::with_capacity(BLOCK),
            username: String::new(),
        })
    }

    /// Returns the batch of what was read.
    pub(crate) fn into_batch(mut self) -> PyResult<EntityBatch> {
        self.read_block()?;
        Ok(self.batch)
    }

    /// Reads an entity, if it is one that is stored. It is prefetched now and read later with
    /// others, because objects are scattered over memory.
    pub(crate) fn read(&mut self, entity: &Bound<'py, PyAny>) -> PyResult<()> {
        let prefetched = self.look_at(entity)?;
        self.prefetched.push(prefetched);
        if self.prefetched.len() < BLOCK { Ok(()) } else { self.read_block() }
    }

    fn look_at(&self, entity: &Bound<'py, PyAny>) -> PyResult<Prefetched<'py>> {
        let Telethon { user, channel, chat, .. } = self.telethon;
        let (kind, dict) = if user.is_class_of(entity) {
            (PeerKind::User, user.dict_of(entity)?)
        } else if channel.is_class_of(entity) {
            (PeerKind::Channel, channel.dict_of(entity)?)
        } else if chat.is_class_of(entity) {
            (PeerKind::Chat, chat.dict_of(entity)?)
        } else {
            return Ok(Prefetched::Rare(entity.clone()));
        };
        Ok(Prefetched::Usual(kind, entity.clone(), dict))
    }

    fn read_block(&mut self) -> PyResult<()> {
        let mut block = std::mem::take(&mut self.prefetched);
        let mut values: [Values<'py>; BLOCK] = Default::default();
        for (prefetched, values) in block.iter().zip(&mut values) {
            if let Prefetched::Usual(kind, object, dict) = prefetched {
                let (object, dict) = (object, dict.as_ref());
                match kind {
                    PeerKind::User => self.telethon.user.read(object, dict, values)?,
                    PeerKind::Channel => self.telethon.channel.read(object, dict, values)?,
                    PeerKind::Chat => self.telethon.chat.read(object, dict, values)?,
                }
            }
        }
        for (prefetched, values) in block.drain(..).zip(&values) {
            let (object, read) = match &prefetched {
                Prefetched::Usual(kind, object, _) => (object, self.read_values(*kind, values)),
                Prefetched::Rare(object) => (object, Err(Fallback::Foreign)),
            };
            match read {
                Ok(()) => {}
                Err(Fallback::Foreign) => self.read_rare(object)?,
                Err(Fallback::Failed(error)) => return Err(error),
            }
        }
        self.prefetched = block;
        Ok(())
    }

    fn read_values(&mut self, kind: PeerKind, values: &Values<'py>) -> Result<(), Fallback> {
        match (kind, values) {
            (PeerKind::User, [id, access_hash, min, username, phone, first, last]) => {
                let Some(access_hash) = usable_hash(access_hash, min)? else { return Ok(()) };
                let id = integer(id)?;
                let (first, last) = (non_empty(first)?, non_empty(last)?);
                let (name, last_name) = if first.is_some() { (first, last) } else { (last, None) };
                let phone = text(phone)?.map(|phone| self.session.normalize_phone(phone));
                let username = lowered(self.py, non_empty(username)?, &mut self.username)?;
                let user = Entity { id, access_hash: Some(access_hash), username, phone: phone.as_deref(), name };
                self.batch.push_named(&user, last_name);
            }
            (PeerKind::Channel, [id, access_hash, min, username, title, ..]) => {
                let Some(access_hash) = usable_hash(access_hash, min)? else { return Ok(()) };
                let id = PeerKind::Channel.mark(integer(id)?).ok_or(Fallback::Foreign)?;
                let username = lowered(self.py, non_empty(username)?, &mut self.username)?;
                self.batch.push(&Entity {
                    id,
                    access_hash: Some(access_hash),
                    username,
                    phone: None,
                    name: non_empty(title)?,
                });
            }
            (PeerKind::Chat, [id, title, ..]) => {
                let id = PeerKind::Chat.mark(integer(id)?).ok_or(Fallback::Foreign)?;
                self.batch.push(&Entity { id, access_hash: Some(0), name: non_empty(title)?, ..Entity::default() });
            }
        }
        Ok(())
    }

    /// Reads an entity through Telethon's functions.
    fn read_rare(&mut self, entity: &Bound<'py, PyAny>) -> PyResult<()> {
        let Some(row) = row_of(self.telethon, entity)? else { return Ok(()) };
        let telethon = self.telethon;
        let has_no_name =
            [&telethon.input_peer_user, &telethon.input_peer_channel, &telethon.input_user, &telethon.input_channel];
        if has_no_name.into_iter().any(|class| Telethon::is_exactly(entity, class)) {
            let (id, access_hash, ..) = row;
            let (id, access_hash) = self.id_and_hash(&id, &access_hash)?;
            self.batch.push_input_peer(id, access_hash);
            return Ok(());
        }
        self.read_row(&row.into())
    }

    /// Reads a row as `_entity_to_row`, or an override of it, returns it.
    pub(crate) fn read_row(&mut self, values: &[Bound<'py, PyAny>; 5]) -> PyResult<()> {
        self.read_row_seen(values, 0)
    }

    fn read_row_seen(&mut self, values: &[Bound<'py, PyAny>; 5], seen: u32) -> PyResult<()> {
        let [id, access_hash, username, phone, name] = values;
        let (id, access_hash) = self.id_and_hash(id, access_hash)?;
        let username: Option<&str> = username.extract()?;
        let name: Option<&str> = name.extract()?;
        let digits;
        let phone = if phone.is_instance_of::<PyInt>() {
            digits = self::digits(phone)?;
            Some(digits.to_str()?)
        } else {
            phone.extract()?
        };
        let phone = phone.map(|phone| self.session.normalize_phone(phone));
        self.batch.push_seen(&Entity { id, access_hash, username, phone: phone.as_deref(), name }, seen);
        Ok(())
    }

    /// Reads a row that may have a sixth value: the date when the entity was seen.
    pub(crate) fn read_dated_row(&mut self, row: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut values = row.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let seen = if values.len() == 6 { values.pop() } else { None };
        let values = exactly(values)?;
        let seen = seen.map_or(Ok(0), |seen| seen.extract())?;
        self.read_row_seen(&values, seen)
    }

    /// Adds an entity as it is.
    pub(crate) fn push_seen(&mut self, entity: &Entity<'_>, seen: u32) {
        self.batch.push_seen(entity, seen);
    }

    pub(crate) fn session(&self) -> &'a Session {
        self.session
    }

    /// Returns how many entities have been read.
    pub(crate) fn len(&self) -> usize {
        self.batch.len()
    }

    fn id_and_hash(&self, id: &Bound<'py, PyAny>, access_hash: &Bound<'py, PyAny>) -> PyResult<(i64, Option<i64>)> {
        let id = id.extract()?;
        let access_hash: Option<i64> = access_hash.extract()?;
        if access_hash.is_none() && self.session.is_stored() {
            let error = Error::NoAccessHash { id };
            // What a file raises is an error of `sqlite3`.
            return Err(if self.session.is_remote() {
                PyValueError::new_err(error.to_string())
            } else {
                to_python(error)
            });
        }
        Ok((id, access_hash))
    }
}

/// Returns a number as text; `True` is 1.
pub(crate) fn digits<'py>(number: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let py = number.py();
    let class = if number.is_instance_of::<PyInt>() { py.get_type::<PyInt>() } else { py.get_type::<PyFloat>() };
    // Whatever a user's own class returns.
    Ok(class.call_method1(intern!(py, "__repr__"), (number,))?.cast_into()?)
}

/// Why an entity was not read attribute by attribute.
enum Fallback {
    /// An attribute has another type than Telethon's own. Use Telethon's functions.
    Foreign,
    /// Reading an attribute raised.
    Failed(PyErr),
}

impl From<PyErr> for Fallback {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}

/// Returns the values of a row if there are exactly `N`.
pub(crate) fn exactly<const N: usize>(values: Vec<Bound<'_, PyAny>>) -> PyResult<[Bound<'_, PyAny>; N]> {
    <[_; N]>::try_from(values).map_err(|values| {
        PyValueError::new_err(format!("a row of {N} values is needed, and this one has {}", values.len()))
    })
}

/// Returns the access hash; `None` if there is none, or a `min` one, which cannot be used.
fn usable_hash(access_hash: &AttrValue<'_>, is_min: &AttrValue<'_>) -> Result<Option<i64>, Fallback> {
    match (access_hash, is_min) {
        (AttrValue::Missing, _) | (_, AttrValue::Missing) => Err(Fallback::Foreign),
        (AttrValue::None, _) | (_, AttrValue::Bool(true)) => Ok(None),
        (AttrValue::Int(access_hash), AttrValue::None | AttrValue::Bool(false)) => Ok(Some(*access_hash)),
        _ => Err(Fallback::Foreign),
    }
}

fn integer(value: &AttrValue<'_>) -> Result<i64, Fallback> {
    if let AttrValue::Int(number) = value { Ok(*number) } else { Err(Fallback::Foreign) }
}

/// Returns the text of an exact `str`, or `None`.
fn text<'v>(value: &'v AttrValue<'_>) -> Result<Option<&'v str>, Fallback> {
    match value {
        AttrValue::None => Ok(None),
        AttrValue::Object(text) => Ok(Some(text.cast_exact::<PyString>().map_err(|_| Fallback::Foreign)?.to_str()?)),
        _ => Err(Fallback::Foreign),
    }
}

fn non_empty<'v>(value: &'v AttrValue<'_>) -> Result<Option<&'v str>, Fallback> {
    Ok(text(value)?.filter(|text| !text.is_empty()))
}

/// Returns the username in lower case, as Python converts it.
pub(crate) fn lowered<'t>(
    py: Python<'_>,
    username: Option<&'t str>,
    buffer: &'t mut String,
) -> PyResult<Option<&'t str>> {
    let Some(username) = username else { return Ok(None) };
    if !username.is_ascii() {
        *buffer = PyString::new(py, username).call_method0(intern!(py, "lower"))?.extract()?;
    } else if username.bytes().any(|byte| byte.is_ascii_uppercase()) {
        buffer.clear();
        buffer.push_str(username);
        buffer.make_ascii_lowercase();
    } else {
        return Ok(Some(username));
    }
    Ok(Some(buffer))
}
