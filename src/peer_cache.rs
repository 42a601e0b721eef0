//! `PeerCacheCore`, what `RustEntityCache` is made of: the client's own cache of users and
//! channels.
//!
//! Reads what `telethon._updates.EntityCache` reads, natively for the exact classes `User` and
//! `Channel`.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use attr_cache::{Attributes, Row, Values};
use py_once::{PyOnce, intern};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyTuple, PyType};

use crate::entity_class::EntityClass;
use crate::guard::guarded;
use session_core::peer_cache::{Peer, PeerCache};

// The letters of `EntityType`.
const USER: u8 = b'U';
const BOT: u8 = b'B';
const CHANNEL: u8 = b'C';
const MEGAGROUP: u8 = b'M';
const GIGAGROUP: u8 = b'E';
const COMMUNITY: u8 = b'N';

/// The parts of Telethon's private `_updates` that are used.
struct Updates {
    user: PeerClass<1>,
    channel: PeerClass<2>,
    entity: Py<PyAny>,
    /// The members of `EntityType`, by their values.
    kinds: Vec<(u8, Py<PyAny>)>,
}

impl Updates {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static UPDATES: PyOnce<Updates> = PyOnce::new();
        UPDATES.get_or_try_init(py, || Self::import(py))
    }

    fn import(py: Python<'_>) -> PyResult<Self> {
        let types = py.import("telethon.tl.types")?;
        let class = |name| -> PyResult<Bound<'_, PyType>> { Ok(types.getattr(name)?.cast_into()?) };
        let updates = py.import("telethon._updates")?;
        let members = updates.getattr("EntityType")?.try_iter()?;
        Ok(Self {
            user: PeerClass {
                class: EntityClass::new(&class("User")?, ["access_hash", "id"], ["bot"], [])?,
                min: Attributes::new(py, [], ["min"], [])?,
                kind: kind_of_user,
                never_kept: None,
                of_another_kind: None,
            },
            channel: PeerClass {
                class: EntityClass::new(&class("Channel")?, ["access_hash", "id"], ["megagroup", "gigagroup"], [])?,
                min: Attributes::new(py, [], ["min"], [])?,
                kind: kind_of_channel,
                // A basic group, which has no access hash.
                never_kept: Some(class("Chat")?.unbind()),
                // Since Telethon 1.45.
                of_another_kind: types
                    .getattr_opt("Community")?
                    .map(|community| PyResult::Ok((community.cast_into()?.unbind(), COMMUNITY)))
                    .transpose()?,
            },
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
}

/// The class of nearly all users, or of nearly all chats.
struct PeerClass<const F: usize> {
    /// With access hash, ID, and the flags that tell the kind.
    class: EntityClass<2, F, 0>,
    min: Attributes<0, 1, 0>,
    kind: fn([bool; F]) -> u8,
    /// Another class, none of whose objects is kept.
    never_kept: Option<Py<PyType>>,
    /// Another class, and the kind of its objects.
    of_another_kind: Option<(Py<PyType>, u8)>,
}

/// Objects are read together, because they are scattered over memory.
type Run<'py> = ArrayVec<Bound<'py, PyAny>, TOGETHER>;
const TOGETHER: usize = 32;

impl<const F: usize> PeerClass<F> {
    /// Returns the peer with these values unless it is `min`.
    fn peer(&self, values: Option<Row<'_, 2, F, 0>>) -> Option<Peer> {
        let Row { integers: [access_hash, id], flags, .. } = values?;
        Some(Peer { id: id?, access_hash: Some(access_hash?), kind: (self.kind)(flags) })
    }

    /// Reads an object of any class, if it is to be kept.
    fn read_generic(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<Peer>> {
        if self.is_never_kept(object) {
            return Ok(None);
        }
        let Attributes { integers: [access_hash, id], flags, .. } = &self.class.attributes;
        let [min] = &self.min.flags;
        let (access_hash, min, id) = (access_hash.read(object)?, min.read(object)?, id.read(object)?);
        let flags = flags.iter().map(|flag| flag.read(object)).collect::<PyResult<ArrayVec<_, F>>>()?;
        if !access_hash.is_truthy()? || min.is_truthy()? {
            return Ok(None);
        }
        let kind = match &self.of_another_kind {
            Some((class, kind)) if object.is_instance(class.bind(object.py()))? => *kind,
            _ => {
                let mut are = [false; F];
                for (are, flag) in are.iter_mut().zip(&flags) {
                    *are = flag.is_truthy()?;
                }
                (self.kind)(are)
            }
        };
        Ok(Some(Peer { id: id.number()?, access_hash: Some(access_hash.number()?), kind }))
    }

    fn is_never_kept(&self, object: &Bound<'_, PyAny>) -> bool {
        self.never_kept.as_ref().is_some_and(|class| object.get_type().is(class))
    }
}

fn kind_of_user([is_bot]: [bool; 1]) -> u8 {
    if is_bot { BOT } else { USER }
}

fn kind_of_channel([is_megagroup, is_gigagroup]: [bool; 2]) -> u8 {
    match (is_megagroup, is_gigagroup) {
        (true, _) => MEGAGROUP,
        (false, true) => GIGAGROUP,
        (false, false) => CHANNEL,
    }
}

thread_local! {
    /// Memory that was used before, so that calls need no allocation.
    static SPARE: Cell<Vec<Peer>> = const { Cell::new(Vec::new()) };
}

/// The most peers for which memory is kept.
const MOST_KEPT: usize = 1024;

/// The users and channels that a client has met. `RustEntityCache` is made of it; see its
/// documentation.
#[pyclass(frozen, subclass, module = "telethon_session_rust._core")]
pub(crate) struct PeerCacheCore {
    /// Locked with the GIL held, for moments, and never while Python code runs.
    cache: Mutex<PeerCache>,
}

impl PeerCacheCore {
    fn cache(&self) -> MutexGuard<'_, PeerCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the peers among the objects that are to be kept and are not known exactly so.
    fn read<const F: usize>(
        &self,
        class: &PeerClass<F>,
        objects: &Bound<'_, PyAny>,
        peers: &mut Vec<Peer>,
    ) -> PyResult<()> {
        let Ok(list) = objects.cast_exact::<PyList>() else {
            // A generator may change what it yielded.
            return objects.try_iter()?.try_for_each(|object| {
                peers.extend(class.read_generic(&object?)?);
                Ok(())
            });
        };
        let mut run = Run::new();
        for object in list.iter() {
            if class.class.is_class_of(&object) {
                run.push(object);
                if run.is_full() {
                    self.read_run(class, &run, peers)?;
                    run.clear();
                }
            } else if !class.is_never_kept(&object) {
                self.read_run(class, &run, peers)?;
                run.clear();
                peers.extend(class.read_generic(&object)?);
            }
        }
        self.read_run(class, &run, peers)
    }

    /// Reads objects of exactly this class.
    fn read_run<const F: usize>(
        &self,
        class: &PeerClass<F>,
        run: &[Bound<'_, PyAny>],
        peers: &mut Vec<Peer>,
    ) -> PyResult<()> {
        let Some(py) = run.first().map(Bound::py) else { return Ok(()) };
        let objects = class.class.objects(run)?;
        let mut values = Values::<2, F, 0, TOGETHER>::new(py);
        values.read(&class.class.attributes, &objects)?;
        let found: ArrayVec<_, TOGETHER> = (0..run.len()).map(|number| class.peer(values.row(number))).collect();
        // A peer that is known exactly so needs no change, `min` or not; but only up to the first
        // one that does, because that one may occur again.
        let known = if peers.is_empty() { self.count_known(&found)? } else { 0 };
        if known == run.len() {
            return Ok(());
        }
        let mut are_min = Values::<0, 1, 0, TOGETHER>::new(py);
        are_min.read(&class.min, &objects)?;
        for (number, peer) in found.into_iter().enumerate().skip(known) {
            match peer.zip(are_min.row(number)) {
                Some((peer, Row { flags: [is_min], .. })) => {
                    peers.extend(Some(peer).filter(|peer| !is_min && peer.access_hash != Some(0)));
                }
                None => peers.extend(class.read_generic(&run[number])?),
            }
        }
        Ok(())
    }

    /// Returns how many are known exactly so, up to the first of which that is not certain.
    fn count_known(&self, peers: &[Option<Peer>]) -> PyResult<usize> {
        guarded(|| {
            let cache = self.cache();
            let is_known = |peer: &Option<Peer>| peer.is_some_and(|peer| cache.get(peer.id) == Some(peer));
            peers.iter().take_while(|peer| is_known(peer)).count()
        })
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
        let mut peers = SPARE.take();
        self.read(&updates.user, users, &mut peers)?;
        self.read(&updates.channel, chats, &mut peers)?;
        guarded(|| {
            let mut cache = self.cache();
            for peer in peers.drain(..) {
                cache.put(peer);
            }
        })?;
        if peers.capacity() <= MOST_KEPT {
            SPARE.set(peers);
        }
        Ok(())
    }

    fn put(&self, entity: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = entity.py();
        let (id, hash) = (entity.getattr(intern!(py, "id"))?, entity.getattr(intern!(py, "hash"))?);
        let peer = Peer {
            id: id.extract()?,
            access_hash: hash.extract()?,
            kind: entity.getattr(intern!(py, "ty"))?.extract()?,
        };
        guarded(|| self.cache().put(peer))
    }

    fn get<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = id.py();
        let Some(Peer { id, access_hash, kind }) = self.find(id)? else { return Ok(None) };
        let updates = Updates::get(py)?;
        updates.entity.bind(py).call1((updates.kind(py, kind)?, id, access_hash)).map(Some)
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

    /// Removes all.
    fn _clear(&self) -> PyResult<()> {
        guarded(|| self.cache().clear())
    }

    /// Removes the one with an ID. Returns its access hash and `EntityType`.
    #[pyo3(signature = (id, /))]
    fn _remove<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<HashAndKind<'py>>> {
        let Some(number) = key(id)? else { return Ok(None) };
        let removed = guarded(|| self.cache().remove(number))?;
        removed.map(|peer| hash_and_kind(id.py(), peer)).transpose()
    }

    /// Removes the one added last. Returns its ID, access hash and `EntityType`.
    fn _pop<'py>(&self, py: Python<'py>) -> PyResult<Option<(i64, HashAndKind<'py>)>> {
        let popped = guarded(|| self.cache().pop())?;
        popped.map(|peer| Ok((peer.id, hash_and_kind(py, peer)?))).transpose()
    }

    fn __len__(&self) -> PyResult<usize> {
        guarded(|| self.cache().len())
    }

    /// Returns access hash and `EntityType` of an ID.
    #[pyo3(signature = (id, /))]
    fn _find<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<HashAndKind<'py>>> {
        self.find(id)?.map(|peer| hash_and_kind(id.py(), peer)).transpose()
    }

    /// Adds one.
    #[pyo3(signature = (id, hash, ty, /))]
    fn _set(&self, id: i64, hash: Option<i64>, ty: u8) -> PyResult<()> {
        guarded(|| self.cache().put(Peer { id, access_hash: hash, kind: ty }))
    }

    /// Returns all IDs, in the order in which they were added.
    fn _ids(&self) -> PyResult<Vec<i64>> {
        guarded(|| self.cache().iter().map(|peer| peer.id).collect())
    }
}

/// Access hash and `EntityType`, the values of Telethon's `hash_map`.
type HashAndKind<'py> = (Option<i64>, Bound<'py, PyAny>);

fn hash_and_kind(py: Python<'_>, peer: Peer) -> PyResult<HashAndKind<'_>> {
    Ok((peer.access_hash, Updates::get(py)?.kind(py, peer.kind)?.clone()))
}

/// Returns the integer that a dictionary with integer keys would look up: for `7.0` and `True` too.
fn key(id: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if let Ok(float) = id.cast::<PyFloat>() {
        let whole = float.call_method0("is_integer")?.is_truthy()?;
        return Ok(if whole { float.call_method0("__int__")?.extract().ok() } else { None });
    }
    if id.is_instance_of::<pyo3::types::PyInt>() {
        return Ok(id.extract().ok());
    }
    // An object that cannot be a key raises there too.
    id.hash().map(|_| None)
}
