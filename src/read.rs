//! Reads Telethon's objects into entities.
//!
//! The exact classes `User`, `Channel` and `Chat` make up nearly all of the traffic and are read
//! attribute by attribute. Other classes, and attributes of other types than Telethon's own, go
//! through Telethon's functions.

use arrayvec::ArrayVec;
use attr_cache::Values;
use py_once::intern;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::aliases;
use crate::error::to_python;
use crate::telethon::Telethon;
use crate::username::lowered;
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
    block: Block<'py>,
    /// A buffer for usernames in lower case.
    username: String,
}

/// How many entities are read together.
const BLOCK: usize = 16;

/// Entities to read next, and their values.
struct Block<'py> {
    /// The kind of each if it is of one of the three exact classes, and which one of its kind it is.
    order: ArrayVec<(Option<PeerKind>, usize), BLOCK>,
    users: Objects<'py>,
    channels: Objects<'py>,
    chats: Objects<'py>,
    others: Objects<'py>,
    user_values: Values<'py, 2, 1, 4, BLOCK>,
    channel_values: Values<'py, 2, 1, 2, BLOCK>,
    chat_values: Values<'py, 1, 0, 1, BLOCK>,
}

type Objects<'py> = ArrayVec<Bound<'py, PyAny>, BLOCK>;

/// Calls `each` with the entities in an object: its items if it is a list, otherwise those in its
/// attributes `user`, `chat`, `chats` and `users`.
pub(crate) fn for_each_entity<'py>(
    telethon: &Telethon,
    object: &Bound<'py, PyAny>,
    mut each: impl FnMut(Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let py = object.py();
    if for_each_item(object, &mut each)? {
        return Ok(());
    }
    if !object.is_instance(telethon.tl_object.bind(py))? && is_list_like(telethon, object)? {
        return object.try_iter()?.try_for_each(|entity| each(entity?));
    }
    if !telethon.is_updates(object) {
        for name in [intern!(py, "user"), intern!(py, "chat")] {
            if let Some(entity) = object.getattr_opt(name)? {
                each(entity)?;
            }
        }
    }
    for name in [intern!(py, "chats"), intern!(py, "users")] {
        let Some(several) = object.getattr_opt(name)? else { continue };
        if !for_each_item(&several, &mut each)? && is_list_like(telethon, &several)? {
            several.try_iter()?.try_for_each(|entity| each(entity?))?;
        }
    }
    Ok(())
}

/// Calls `each` with the items of an exact list or tuple. Returns `false` if the object is neither.
fn for_each_item<'py>(
    object: &Bound<'py, PyAny>,
    each: impl FnMut(Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<bool> {
    if let Ok(list) = object.cast_exact::<PyList>() {
        list.iter().try_for_each(each)?;
    } else if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        tuple.iter().try_for_each(each)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Returns the ID of the account that uses the session, if an entity shows it: the account's own
/// `User`, or what the client stores as the user with the ID 0.
pub(crate) fn own_account(telethon: &Telethon, entity: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let py = entity.py();
    if telethon.user.is_class_of(entity) {
        let is_own = entity.getattr(intern!(py, "is_self"))?.is_truthy()?;
        return if is_own { entity.getattr(intern!(py, "id"))?.extract().map(Some) } else { Ok(None) };
    }
    if !Telethon::is_exactly(entity, &telethon.input_peer_user) {
        return Ok(None);
    }
    let user_id: i64 = entity.getattr(intern!(py, "user_id"))?.extract()?;
    if user_id == 0 { entity.getattr(intern!(py, "access_hash"))?.extract() } else { Ok(None) }
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
            block: Block {
                order: ArrayVec::new(),
                users: Objects::new(),
                channels: Objects::new(),
                chats: Objects::new(),
                others: Objects::new(),
                user_values: Values::new(py),
                channel_values: Values::new(py),
                chat_values: Values::new(py),
            },
            username: String::new(),
        })
    }

    /// Returns the batch of what was read.
    pub(crate) fn finish(&mut self) -> PyResult<EntityBatch> {
        self.read_block()?;
        Ok(std::mem::take(&mut self.batch))
    }

    /// Reads an entity, if it is one that is stored, later with others.
    pub(crate) fn read(&mut self, entity: Bound<'py, PyAny>) -> PyResult<()> {
        let Telethon { user, channel, chat, .. } = self.telethon;
        let block = &mut self.block;
        let (kind, objects) = if user.is_class_of(&entity) {
            (Some(PeerKind::User), &mut block.users)
        } else if channel.is_class_of(&entity) {
            (Some(PeerKind::Channel), &mut block.channels)
        } else if chat.is_class_of(&entity) {
            (Some(PeerKind::Chat), &mut block.chats)
        } else {
            (None, &mut block.others)
        };
        block.order.push((kind, objects.len()));
        objects.push(entity);
        if block.order.is_full() { self.read_block() } else { Ok(()) }
    }

    fn read_block(&mut self) -> PyResult<()> {
        let Telethon { user, channel, chat, .. } = self.telethon;
        let block = &mut self.block;
        user.read(&block.users, &mut block.user_values)?;
        channel.read(&block.channels, &mut block.channel_values)?;
        chat.read(&block.chats, &mut block.chat_values)?;
        for at in 0..self.block.order.len() {
            let (kind, number) = self.block.order[at];
            match self.read_values(kind, number) {
                Ok(()) => {}
                Err(Fallback::Foreign) => {
                    let Block { users, channels, chats, others, .. } = &self.block;
                    let objects = match kind {
                        Some(PeerKind::User) => users,
                        Some(PeerKind::Channel) => channels,
                        Some(PeerKind::Chat) => chats,
                        None => others,
                    };
                    let object = objects[number].clone();
                    self.read_rare(&object)?;
                }
                Err(Fallback::Failed(error)) => return Err(error),
            }
        }
        let Block { order, users, channels, chats, others, .. } = &mut self.block;
        order.clear();
        [users, channels, chats, others].into_iter().for_each(ArrayVec::clear);
        Ok(())
    }

    fn read_values(&mut self, kind: Option<PeerKind>, number: usize) -> Result<(), Fallback> {
        let Block { user_values, channel_values, chat_values, .. } = &self.block;
        match kind {
            Some(PeerKind::User) => {
                let user = user_values.row(number).ok_or(Fallback::Foreign)?;
                let ([Some(id), Some(access_hash)], [false]) = (user.integers, user.flags) else {
                    return unusable(user.integers);
                };
                let (has_rare, [username, phone, first, last]) = (user.has_rare, user.texts);
                let (first, last) = (non_empty(first), non_empty(last));
                let (name, last_name) = if first.is_some() { (first, last) } else { (last, None) };
                let phone = phone.map(|phone| self.session.normalize_phone(phone));
                let username = lowered(self.py, non_empty(username), &mut self.username)?;
                let user = Entity { id, access_hash: Some(access_hash), username, phone: phone.as_deref(), name };
                self.batch.push_named(&user, last_name);
                if has_rare {
                    aliases::push(&mut self.batch, &self.block.users[number])?;
                }
            }
            Some(PeerKind::Channel) => {
                let channel = channel_values.row(number).ok_or(Fallback::Foreign)?;
                let ([Some(id), Some(access_hash)], [false]) = (channel.integers, channel.flags) else {
                    return unusable(channel.integers);
                };
                let [username, title] = channel.texts;
                let id = PeerKind::Channel.mark(id).ok_or(Fallback::Foreign)?;
                let username = lowered(self.py, non_empty(username), &mut self.username)?;
                let name = non_empty(title);
                self.batch.push(&Entity { id, access_hash: Some(access_hash), username, phone: None, name });
                if channel.has_rare {
                    aliases::push(&mut self.batch, &self.block.channels[number])?;
                }
            }
            Some(PeerKind::Chat) => {
                let chat = chat_values.row(number).ok_or(Fallback::Foreign)?;
                let ([Some(id)], [title]) = (chat.integers, chat.texts) else { return Err(Fallback::Foreign) };
                let id = PeerKind::Chat.mark(id).ok_or(Fallback::Foreign)?;
                self.batch.push(&Entity { id, access_hash: Some(0), name: non_empty(title), ..Entity::default() });
            }
            None => return Err(Fallback::Foreign),
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
        self.read_row(&row.into())?;
        self.batch.set_knows_aliases(true);
        aliases::push(&mut self.batch, entity)
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

    /// Reads a row that may have a sixth value, the date when the entity was seen, and a seventh, a
    /// tuple of its aliases.
    pub(crate) fn read_dated_row(&mut self, row: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut values = row.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let aliases = if values.len() == 7 { values.pop() } else { None };
        let seen = if values.len() == 6 { values.pop() } else { None };
        let values = exactly(values)?;
        let seen = seen.map_or(Ok(0), |seen| seen.extract())?;
        self.read_row_seen(&values, seen)?;
        let aliases: Option<Vec<String>> = aliases.map(|aliases| aliases.extract()).transpose()?;
        if let Some(aliases) = aliases {
            self.batch.set_knows_aliases(true);
            for alias in &aliases {
                self.batch.push_alias(alias.as_bytes());
            }
        }
        Ok(())
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

/// Skips an entity that has no access hash or a `min` one, which cannot be used.
fn unusable([id, access_hash]: [Option<i64>; 2]) -> Result<(), Fallback> {
    if id.is_none() && access_hash.is_some() { Err(Fallback::Foreign) } else { Ok(()) }
}

fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
