//! Reading: Telethon's objects become entities.
//!
//! The exact classes `User`, `Channel` and `Chat` make up nearly all of the traffic and are read attribute by attribute. Anything rarer,
//! and any attribute of another type than Telethon's own, goes through Telethon's functions.

use plain_attributes::Plain;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::telethon::Telethon;
use crate::entity::{Entity, PeerKind};
use crate::entity_cache::EntityPage;
use crate::error::Error;
use crate::session::Session;

/// What `_entity_to_row` answers: marked id, access hash, username, phone, name.
pub(super) type Row<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Reads entities into a page.
pub(super) struct Reader<'a, 'py> {
    py: Python<'py>,
    telethon: &'static Telethon,
    session: &'a Session,
    page: EntityPage,
    /// What is read next.
    ahead: Vec<Ahead<'py>>,
    /// Used again and again for usernames in lower case.
    username: String,
}

/// Entities that are looked at together.
const BLOCK: usize = 16;

/// An entity that has been looked at.
enum Ahead<'py> {
    /// Of one of the three exact classes, with its dictionary if that is read.
    Usual(PeerKind, Bound<'py, PyAny>, Option<Bound<'py, PyDict>>),
    Rare(Bound<'py, PyAny>),
}

/// The values of an entity's attributes, in the order of those of its class.
type Values<'py> = [Plain<'py>; 7];

/// Calls `each` with the entities that lie in an object: its items if it is a list, else what it holds as `user`, `chat`, `chats`,
/// `users`.
pub(super) fn for_each_entity<'py>(
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

/// Does so with the items of exactly a list or a tuple; `false` if the object is neither.
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

/// The row that Telethon's functions make of an entity; `None` for what is not stored.
pub(super) fn row_of<'py>(telethon: &Telethon, entity: &Bound<'py, PyAny>) -> PyResult<Option<Row<'py>>> {
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
    let hash = if is_a(&telethon.input_peer_user)? || is_a(&telethon.input_peer_channel)? {
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
    Ok(Some((id, hash, username, phone, name)))
}

impl<'a, 'py> Reader<'a, 'py> {
    pub(super) fn new(py: Python<'py>, session: &'a Session) -> PyResult<Self> {
        Ok(Self {
            py,
            telethon: Telethon::get(py)?,
            session,
            page: Session::new_page(),
            ahead: Vec::with_capacity(BLOCK),
            username: String::new(),
        })
    }

    /// The page of what was read.
    pub(super) fn into_page(mut self) -> PyResult<EntityPage> {
        self.read_block()?;
        Ok(self.page)
    }

    /// Reads an entity, if it is one that is stored. It is looked at now and read with others: objects lie all over the
    /// memory, and so it is waited for together.
    pub(super) fn read(&mut self, entity: &Bound<'py, PyAny>) -> PyResult<()> {
        let ahead = self.look_at(entity)?;
        self.ahead.push(ahead);
        if self.ahead.len() < BLOCK { Ok(()) } else { self.read_block() }
    }

    fn look_at(&self, entity: &Bound<'py, PyAny>) -> PyResult<Ahead<'py>> {
        let Telethon { user, channel, chat, .. } = self.telethon;
        let (kind, dict) = if user.is_class_of(entity) {
            (PeerKind::User, user.dict_of(entity)?)
        } else if channel.is_class_of(entity) {
            (PeerKind::Channel, channel.dict_of(entity)?)
        } else if chat.is_class_of(entity) {
            (PeerKind::Chat, chat.dict_of(entity)?)
        } else {
            return Ok(Ahead::Rare(entity.clone()));
        };
        Ok(Ahead::Usual(kind, entity.clone(), dict))
    }

    fn read_block(&mut self) -> PyResult<()> {
        let mut block = std::mem::take(&mut self.ahead);
        let mut values: [Values<'py>; BLOCK] = Default::default();
        for (ahead, values) in block.iter().zip(&mut values) {
            if let Ahead::Usual(kind, object, dict) = ahead {
                let (object, dict) = (object, dict.as_ref());
                match kind {
                    PeerKind::User => self.telethon.user.read(object, dict, values)?,
                    PeerKind::Channel => self.telethon.channel.read(object, dict, values)?,
                    PeerKind::Chat => self.telethon.chat.read(object, dict, values)?,
                }
            }
        }
        for (ahead, values) in block.drain(..).zip(&values) {
            let (object, read) = match &ahead {
                Ahead::Usual(kind, object, _) => (object, self.read_values(*kind, values)),
                Ahead::Rare(object) => (object, Err(Unread::Foreign)),
            };
            match read {
                Ok(()) => {}
                Err(Unread::Foreign) => self.read_rare(object)?,
                Err(Unread::Failed(error)) => return Err(error),
            }
        }
        self.ahead = block;
        Ok(())
    }

    fn read_values(&mut self, kind: PeerKind, values: &Values<'py>) -> Result<(), Unread> {
        match (kind, values) {
            (PeerKind::User, [id, hash, min, username, phone, first, last]) => {
                let Some(hash) = usable_hash(hash, min)? else { return Ok(()) };
                let id = integer(id)?;
                let (first, last) = (non_empty(first)?, non_empty(last)?);
                let (name, last_name) = if first.is_some() { (first, last) } else { (last, None) };
                let phone = text(phone)?.map(|phone| self.session.phone_form(phone));
                let username = lowered(self.py, non_empty(username)?, &mut self.username)?;
                let user = Entity { id, hash: Some(hash), username, phone: phone.as_deref(), name };
                self.page.push_named(&user, last_name);
            }
            (PeerKind::Channel, [id, hash, min, username, title, ..]) => {
                let Some(hash) = usable_hash(hash, min)? else { return Ok(()) };
                let id = PeerKind::Channel.mark(integer(id)?).ok_or(Unread::Foreign)?;
                let username = lowered(self.py, non_empty(username)?, &mut self.username)?;
                self.page.push(&Entity { id, hash: Some(hash), username, phone: None, name: non_empty(title)? });
            }
            (PeerKind::Chat, [id, title, ..]) => {
                let id = PeerKind::Chat.mark(integer(id)?).ok_or(Unread::Foreign)?;
                self.page.push(&Entity { id, hash: Some(0), name: non_empty(title)?, ..Entity::default() });
            }
        }
        Ok(())
    }

    /// Reads what Telethon's own functions make of it.
    fn read_rare(&mut self, entity: &Bound<'py, PyAny>) -> PyResult<()> {
        let Some(row) = row_of(self.telethon, entity)? else { return Ok(()) };
        let telethon = self.telethon;
        let names_nobody =
            [&telethon.input_peer_user, &telethon.input_peer_channel, &telethon.input_user, &telethon.input_channel];
        if names_nobody.into_iter().any(|class| Telethon::is_exactly(entity, class)) {
            let (id, hash, ..) = row;
            let (id, hash) = self.id_and_hash(&id, &hash)?;
            self.page.push_input_peer(id, hash);
            return Ok(());
        }
        self.read_row(&row.into())
    }

    /// Reads a row as `_entity_to_row`, or an override of it, makes them.
    pub(super) fn read_row(&mut self, values: &[Bound<'py, PyAny>; 5]) -> PyResult<()> {
        self.read_row_seen(values, 0)
    }

    fn read_row_seen(&mut self, values: &[Bound<'py, PyAny>; 5], seen: u32) -> PyResult<()> {
        let [id, hash, username, phone, name] = values;
        let (id, hash) = self.id_and_hash(id, hash)?;
        let username: Option<&str> = username.extract()?;
        let name: Option<&str> = name.extract()?;
        let digits;
        let phone = if phone.is_instance_of::<PyInt>() {
            digits = self::digits(phone)?;
            Some(digits.to_str()?)
        } else {
            phone.extract()?
        };
        let phone = phone.map(|phone| self.session.phone_form(phone));
        self.page.push_seen(&Entity { id, hash, username, phone: phone.as_deref(), name }, seen);
        Ok(())
    }

    /// Reads a row that may have a sixth value, when the entity was seen.
    pub(super) fn read_dated_row(&mut self, row: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut values = row.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let seen = if values.len() == 6 { values.pop() } else { None };
        let values = exactly(values)?;
        let seen = seen.map_or(Ok(0), |seen| seen.extract())?;
        self.read_row_seen(&values, seen)
    }

    /// Adds an entity as it is.
    pub(super) fn push_seen(&mut self, entity: &Entity<'_>, seen: u32) {
        self.page.push_seen(entity, seen);
    }

    pub(super) fn session(&self) -> &'a Session {
        self.session
    }

    /// How many entities have been read.
    pub(super) fn len(&self) -> usize {
        self.page.len()
    }

    fn id_and_hash(&self, id: &Bound<'py, PyAny>, hash: &Bound<'py, PyAny>) -> PyResult<(i64, Option<i64>)> {
        let id = id.extract()?;
        let hash: Option<i64> = hash.extract()?;
        if hash.is_none() && self.session.is_stored() {
            return Err(Error::NoAccessHash { id }.into());
        }
        Ok((id, hash))
    }
}

/// A number as text: of `True` it is 1.
pub(super) fn digits<'py>(number: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let py = number.py();
    let class = if number.is_instance_of::<PyInt>() { py.get_type::<PyInt>() } else { py.get_type::<PyFloat>() };
    // Whatever a class of one's own says of itself.
    Ok(class.call_method1(intern!(py, "__repr__"), (number,))?.cast_into()?)
}

/// Why an entity was not read attribute by attribute.
enum Unread {
    /// An attribute is of another type than Telethon's own: Telethon's functions must say what that means.
    Foreign,
    /// An attribute could not be had.
    Failed(PyErr),
}

impl From<PyErr> for Unread {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}

/// Returns the values of a row, if it has as many as it must.
pub(super) fn exactly<const N: usize>(values: Vec<Bound<'_, PyAny>>) -> PyResult<[Bound<'_, PyAny>; N]> {
    <[_; N]>::try_from(values).map_err(|values| {
        PyValueError::new_err(format!("a row of {N} values is needed, and this one has {}", values.len()))
    })
}

/// The access hash; `None` if there is none, or one that opens nothing.
fn usable_hash(hash: &Plain<'_>, is_min: &Plain<'_>) -> Result<Option<i64>, Unread> {
    match (hash, is_min) {
        (Plain::Missing, _) | (_, Plain::Missing) => Err(Unread::Foreign),
        (Plain::None, _) | (_, Plain::Bool(true)) => Ok(None),
        (Plain::Int(hash), Plain::None | Plain::Bool(false)) => Ok(Some(*hash)),
        _ => Err(Unread::Foreign),
    }
}

fn integer(value: &Plain<'_>) -> Result<i64, Unread> {
    if let Plain::Int(number) = value { Ok(*number) } else { Err(Unread::Foreign) }
}

/// The text, if it is exactly a `str`, or `None`.
fn text<'v>(value: &'v Plain<'_>) -> Result<Option<&'v str>, Unread> {
    match value {
        Plain::None => Ok(None),
        Plain::Object(text) => Ok(Some(text.cast_exact::<PyString>().map_err(|_| Unread::Foreign)?.to_str()?)),
        _ => Err(Unread::Foreign),
    }
}

fn non_empty<'v>(value: &'v Plain<'_>) -> Result<Option<&'v str>, Unread> {
    Ok(text(value)?.filter(|text| !text.is_empty()))
}

/// The username in lower case, as Python has it.
pub(super) fn lowered<'t>(
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
