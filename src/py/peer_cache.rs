//! `PeerCacheCore`, what `RustEntityCache` is made of: the client's own cache of users and channels.
//!
//! Reads what `telethon._updates.EntityCache` reads, of the exact classes `User` and `Channel` natively.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use plain_attributes::{Attribute, Plain};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyList, PyTuple, PyType};

use super::entity_class::{EntityClass, read_each};
use super::guard::guarded;
use crate::peer_cache::{Peer, PeerCache};

const USER_ATTRIBUTES: [&str; 4] = ["access_hash", "min", "id", "bot"];
const CHANNEL_ATTRIBUTES: [&str; 5] = ["access_hash", "min", "id", "megagroup", "gigagroup"];

// The letters of `EntityType`.
const USER: u8 = b'U';
const BOT: u8 = b'B';
const CHANNEL: u8 = b'C';
const MEGAGROUP: u8 = b'M';
const GIGAGROUP: u8 = b'E';
const COMMUNITY: u8 = b'N';

/// What is used of Telethon's `_updates`, which only its client knows otherwise.
struct Updates {
    user: PeerClass<4>,
    channel: PeerClass<5>,
    /// A basic group, which has no access hash.
    chat: Py<PyType>,
    /// From Telethon 1.45 on.
    community: Option<Py<PyType>>,
    entity: Py<PyAny>,
    /// The members of `EntityType`, by their values.
    kinds: Vec<(u8, Py<PyAny>)>,
}

impl Updates {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static UPDATES: PyOnceLock<Updates> = PyOnceLock::new();
        UPDATES.get_or_try_init(py, || Self::import(py))
    }

    fn import(py: Python<'_>) -> PyResult<Self> {
        let types = py.import("telethon.tl.types")?;
        let class = |name| -> PyResult<Bound<'_, PyType>> { Ok(types.getattr(name)?.cast_into()?) };
        let updates = py.import("telethon._updates")?;
        let members = updates.getattr("EntityType")?.try_iter()?;
        Ok(Self {
            user: PeerClass { class: EntityClass::new(&class("User")?, USER_ATTRIBUTES)?, kind: kind_in_user },
            channel: PeerClass {
                class: EntityClass::new(&class("Channel")?, CHANNEL_ATTRIBUTES)?,
                kind: kind_in_channel,
            },
            chat: class("Chat")?.unbind(),
            community: types.getattr_opt("Community")?.map(Bound::cast_into).transpose()?.map(Bound::unbind),
            entity: updates.getattr("Entity")?.unbind(),
            kinds: members
                .map(|member| {
                    let member = member?;
                    Ok((member.getattr("value")?.extract()?, member.unbind()))
                })
                .collect::<PyResult<_>>()?,
        })
    }

    fn kind<'py>(&self, py: Python<'py>, kind: u8) -> PyResult<&Bound<'py, PyAny>> {
        let found = self.kinds.iter().find(|(letter, _)| *letter == kind);
        found
            .map(|(_, member)| member.bind(py))
            .ok_or_else(|| PyValueError::new_err(format!("this Telethon has no EntityType {:?}", char::from(kind))))
    }

    /// The user, of whatever class, if there is anything to be kept.
    fn read_user(&self, user: &Bound<'_, PyAny>) -> PyResult<Option<Peer>> {
        let mut values = [const { Plain::Missing }; 4];
        read_each(&self.user.class.attributes, user, None, &mut values)?;
        let [hash, min, id, bot] = &values;
        if !hash.is_truthy()? || min.is_truthy()? {
            return Ok(None);
        }
        Ok(Some(Peer { id: id.number()?, hash: Some(hash.number()?), kind: kind_of_user(bot.is_truthy()?) }))
    }

    /// The channel or whatever else is among the chats, if there is anything to be kept.
    fn read_chat(&self, chat: &Bound<'_, PyAny>) -> PyResult<Option<Peer>> {
        if chat.get_type().is(&self.chat) {
            return Ok(None);
        }
        let mut values = [const { Plain::Missing }; 5];
        read_each(&self.channel.class.attributes, chat, None, &mut values)?;
        let [hash, min, id, megagroup, gigagroup] = &values;
        if !hash.is_truthy()? || min.is_truthy()? {
            return Ok(None);
        }
        let kind = match &self.community {
            Some(community) if chat.is_instance(community.bind(chat.py()))? => COMMUNITY,
            _ => kind_of_channel(megagroup.is_truthy()?, gigagroup.is_truthy()?),
        };
        Ok(Some(Peer { id: id.number()?, hash: Some(hash.number()?), kind }))
    }
}

/// The class of nearly all users, or of nearly all chats.
struct PeerClass<const N: usize> {
    /// Its first attributes are `access_hash`, `min` and `id`.
    class: EntityClass<N>,
    /// The kind, by the other attributes, if they are flags.
    kind: fn(&[Attribute; N], &Bound<'_, PyDict>) -> Option<u8>,
}

impl<const N: usize> PeerClass<N> {
    /// The peer that an object with this dictionary would be if it is not `min`, as far as that can be read without running Python's code.
    fn peer(&self, dict: &Bound<'_, PyDict>) -> Option<Peer> {
        let [access_hash, _, id, ..] = &self.class.attributes[..] else { return None };
        let hash = access_hash.read_integer(dict);
        Some(Peer { id: id.read_integer(dict)?, hash: Some(hash?), kind: (self.kind)(&self.class.attributes, dict)? })
    }

    fn is_min(&self, dict: &Bound<'_, PyDict>) -> Option<bool> {
        self.class.attributes.get(1)?.read_flag(dict)
    }
}

fn kind_in_user([.., bot]: &[Attribute; 4], dict: &Bound<'_, PyDict>) -> Option<u8> {
    bot.read_flag(dict).map(kind_of_user)
}

fn kind_in_channel([.., megagroup, gigagroup]: &[Attribute; 5], dict: &Bound<'_, PyDict>) -> Option<u8> {
    Some(kind_of_channel(megagroup.read_flag(dict)?, gigagroup.read_flag(dict)?))
}

fn kind_of_user(is_bot: bool) -> u8 {
    if is_bot { BOT } else { USER }
}

fn kind_of_channel(is_megagroup: bool, is_gigagroup: bool) -> u8 {
    match (is_megagroup, is_gigagroup) {
        (true, _) => MEGAGROUP,
        (false, true) => GIGAGROUP,
        (false, false) => CHANNEL,
    }
}

/// How many objects are looked at together.
const TOGETHER: usize = 8;

/// An object that has been looked at.
struct Ahead<'py> {
    object: Bound<'py, PyAny>,
    /// Its dictionary, if it is of the usual class.
    dict: Option<Bound<'py, PyDict>>,
    /// The peer that it is unless it is `min`, if it could be read.
    peer: Option<Peer>,
    /// Whether just that peer is in the cache.
    is_known: bool,
}

/// The users and channels that a client has met. `RustEntityCache` is made of it; see its documentation.
#[pyclass(frozen, subclass, module = "telethon_session_rust._core")]
pub(super) struct PeerCacheCore {
    /// Locked with the interpreter's lock held, for moments, and never while Python's code runs.
    cache: Mutex<PeerCache>,
}

impl PeerCacheCore {
    fn cache(&self) -> MutexGuard<'_, PeerCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the peers among the objects that are to be kept and are not known just so. Objects lie all over the memory, so some are
    /// looked at together, and it is waited for once.
    fn read<'py, const N: usize>(
        &self,
        class: &PeerClass<N>,
        objects: &Bound<'py, PyAny>,
        peers: &mut Vec<Peer>,
        read_slowly: impl Fn(&Bound<'py, PyAny>) -> PyResult<Option<Peer>>,
    ) -> PyResult<()> {
        let mut ahead: ArrayVec<Ahead<'py>, TOGETHER> = ArrayVec::new();
        let mut read = |ahead: &mut ArrayVec<Ahead<'py>, TOGETHER>| {
            for Ahead { dict, peer, .. } in &mut *ahead {
                *peer = dict.as_ref().and_then(|dict| class.peer(dict));
            }
            // Whoever is known just so stays so, `min` or not; until somebody comes who is not, for he may come again as he was.
            if peers.is_empty() {
                guarded(|| {
                    let cache = self.cache();
                    let is_known = |peer: Option<Peer>| peer.is_some_and(|peer| cache.get(peer.id) == Some(peer));
                    let known = ahead.iter_mut().take_while(|ahead| is_known(ahead.peer));
                    known.for_each(|ahead| ahead.is_known = true);
                })?;
            }
            ahead.drain(..).filter(|ahead| !ahead.is_known).try_for_each(|Ahead { object, dict, peer, .. }| {
                match peer.zip(dict.and_then(|dict| class.is_min(&dict))) {
                    Some((peer, is_min)) => peers.extend(Some(peer).filter(|peer| !is_min && peer.hash != Some(0))),
                    None => peers.extend(read_slowly(&object)?),
                }
                Ok(())
            })
        };
        let mut look_at = |object: Bound<'py, PyAny>| {
            let dict = class.class.dict_of(&object)?;
            ahead.push(Ahead { object, dict, peer: None, is_known: false });
            if ahead.is_full() { read(&mut ahead) } else { Ok(()) }
        };
        if let Ok(list) = objects.cast_exact::<PyList>() {
            list.iter().try_for_each(&mut look_at)?;
        } else {
            objects.try_iter()?.try_for_each(|object| look_at(object?))?;
        }
        read(&mut ahead)
    }

    fn find(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<Peer>> {
        let Some(id) = key(id)? else { return Ok(None) };
        guarded(|| self.cache().get(id))
    }
}

#[pymethods]
impl PeerCacheCore {
    /// Takes whatever the subclass's `__init__` takes.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { cache: Mutex::default() }
    }

    fn extend(&self, users: &Bound<'_, PyAny>, chats: &Bound<'_, PyAny>) -> PyResult<()> {
        let updates = Updates::get(users.py())?;
        let mut peers = Vec::new();
        self.read(&updates.user, users, &mut peers, |user| updates.read_user(user))?;
        self.read(&updates.channel, chats, &mut peers, |chat| updates.read_chat(chat))?;
        guarded(|| {
            let mut cache = self.cache();
            for peer in peers {
                cache.put(peer);
            }
        })
    }

    fn put(&self, entity: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = entity.py();
        let (id, hash) = (entity.getattr(intern!(py, "id"))?, entity.getattr(intern!(py, "hash"))?);
        let peer =
            Peer { id: id.extract()?, hash: hash.extract()?, kind: entity.getattr(intern!(py, "ty"))?.extract()? };
        guarded(|| self.cache().put(peer))
    }

    fn get<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = id.py();
        let Some(Peer { id, hash, kind }) = self.find(id)? else { return Ok(None) };
        let updates = Updates::get(py)?;
        updates.entity.bind(py).call1((updates.kind(py, kind)?, id, hash)).map(Some)
    }

    fn retain(&self, filter: &Bound<'_, PyAny>) -> PyResult<()> {
        let ids = guarded(|| self.cache().iter().map(|peer| peer.id).collect::<Vec<_>>())?;
        let mut unwanted = std::collections::HashSet::new();
        for id in ids {
            if !filter.call1((id,))?.is_truthy()? {
                unwanted.insert(id);
            }
        }
        guarded(|| self.cache().retain(|id| !unwanted.contains(&id)))
    }

    fn __len__(&self) -> PyResult<usize> {
        guarded(|| self.cache().len())
    }

    /// Access hash and `EntityType` of an id.
    #[pyo3(signature = (id, /))]
    fn _find<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<(Option<i64>, Bound<'py, PyAny>)>> {
        let Some(Peer { hash, kind, .. }) = self.find(id)? else { return Ok(None) };
        Ok(Some((hash, Updates::get(id.py())?.kind(id.py(), kind)?.clone())))
    }

    /// Puts one in.
    #[pyo3(signature = (id, hash, ty, /))]
    fn _set(&self, id: i64, hash: Option<i64>, ty: u8) -> PyResult<()> {
        guarded(|| self.cache().put(Peer { id, hash, kind: ty }))
    }

    /// All ids, in the order in which they came.
    fn _ids(&self) -> PyResult<Vec<i64>> {
        guarded(|| self.cache().iter().map(|peer| peer.id).collect())
    }
}

/// The number that a dictionary of numbers would look for: of `7.0` and `True` too.
fn key(id: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if let Ok(float) = id.cast::<PyFloat>() {
        let whole = float.call_method0("is_integer")?.is_truthy()?;
        return Ok(if whole { float.call_method0("__int__")?.extract().ok() } else { None });
    }
    if id.is_instance_of::<pyo3::types::PyInt>() {
        return Ok(id.extract().ok());
    }
    // What cannot be a key at all is an error there.
    id.hash().map(|_| None)
}
