//! Telethon's own `Message`, whose `__init__` does more than to keep its arguments.
//!
//! What it does is known: `media` is `None` if it is empty, `out` is a `bool`, and the sender's ID
//! is computed from the peers. Whether the installed one does exactly that is not read from its
//! code but tried: objects of each kind are made by both.

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyType};

use crate::init::InitShape;
use crate::make::{Maker, Values, call, set_item};
use crate::own::is_own;
use crate::plan::{Make, Plan};
use crate::schedule::Bits;
use crate::simple::are_unclaimed;
use crate::watch::{Bases, Watch, dict_of_class};

/// IDs that `utils.get_peer_id` marks as they are.
const USUAL: std::ops::RangeInclusive<i64> = 1..=9_999_999_999;
const CHANNEL_MARK: i64 = -1_000_000_000_000;

/// What `__init__` may use besides attributes of the message.
const NAMES: [&str; 10] = [
    "bool",
    "isinstance",
    "types",
    "MessageMediaEmpty",
    "PeerUser",
    "utils",
    "get_peer_id",
    "ChatGetter",
    "SenderGetter",
    "__init__",
];
const MODULE: &str = "telethon.tl.custom.message";

/// What the attributes besides the arguments depend on.
pub(crate) struct MessageTail {
    // The slots, where the constructor has them.
    peer_id: Option<usize>,
    from_id: Option<usize>,
    out: Option<usize>,
    post: Option<usize>,
    media: Option<usize>,
    // Names of attributes.
    chat_peer: Py<PyString>,
    broadcast: Py<PyString>,
    sender_id: Py<PyString>,
    media_empty: Py<PyType>,
    peers: [PeerClass; 3],
}

/// A class of peers, the name of its ID, and how the ID is marked.
type PeerClass = (Py<PyType>, Py<PyString>, fn(i64) -> i64);

/// The ID of a sender.
pub(crate) type SenderId<'py> = Option<Bound<'py, PyAny>>;

impl MessageTail {
    fn new(py: Python<'_>, names: &[Py<PyString>]) -> PyResult<Self> {
        let types = py.import("telethon.tl.types")?;
        let class = |name: &str| PyResult::Ok(types.getattr(name)?.cast_into::<PyType>()?.unbind());
        let string = |text: &str| PyString::intern(py, text).unbind();
        let slot = |name: &str| names.iter().position(|each| each.bind(py).eq(name));
        Ok(Self {
            peer_id: slot("peer_id"),
            from_id: slot("from_id"),
            out: slot("out"),
            post: slot("post"),
            media: slot("media"),
            chat_peer: string("_chat_peer"),
            broadcast: string("_broadcast"),
            sender_id: string("_sender_id"),
            media_empty: class("MessageMediaEmpty")?,
            peers: [
                (class("PeerUser")?, string("user_id"), |id| id),
                (class("PeerChat")?, string("chat_id"), |id| -id),
                (class("PeerChannel")?, string("channel_id"), |id| CHANNEL_MARK - id),
            ],
        })
    }

    /// Returns the ID of the sender; `None` if only Telethon can tell.
    ///
    /// # Errors
    /// What reading a peer raises.
    pub(crate) fn sender_id<'py>(&self, py: Python<'py>, values: &Values<'py>) -> PyResult<Option<SenderId<'py>>> {
        let value = |slot: Option<usize>| slot.and_then(|slot| values.get(slot)?.as_ref());
        let (peer, is_sender) = match (value(self.from_id), value(self.peer_id)) {
            (Some(from), _) => (from, true),
            (None, None) => return Ok(Some(None)),
            (None, Some(peer)) => {
                let is_private = || peer.get_type().is(&self.peers[0].0);
                (peer, value(self.post).is_some() || (value(self.out).is_none() && is_private()))
            }
        };
        let class = peer.get_type();
        let Some((_, name, mark)) = self.peers.iter().find(|(each, ..)| class.is(each)) else { return Ok(None) };
        if !is_sender {
            return Ok(Some(None));
        }
        let id = peer.getattr(name.bind(py))?;
        if class.is(&self.peers[0].0) {
            return Ok(Some(Some(id)));
        }
        match id.extract() {
            Ok(id) if USUAL.contains(&id) => Ok(Some(Some(mark(id).into_pyobject(py)?.into_any()))),
            _ => Ok(None),
        }
    }

    /// Changes a copy of the template.
    ///
    /// # Errors
    /// What changing it raises: no memory.
    pub(crate) fn fill<'py>(
        &self,
        dict: &Bound<'py, PyDict>,
        names: &[Py<PyString>],
        values: &Values<'py>,
        mut filled: Bits,
        sender_id: &SenderId<'py>,
    ) -> PyResult<()> {
        while let Some(slot) = filled.take_first() {
            let (Some(name), Some(Some(value))) = (names.get(slot), values.get(slot)) else { continue };
            if self.media == Some(slot) && value.get_type().is(&self.media_empty) {
                continue;
            }
            set_item(dict, name, value)?;
            if self.peer_id == Some(slot) {
                set_item(dict, &self.chat_peer, value)?;
            }
            if self.post == Some(slot) {
                set_item(dict, &self.broadcast, value)?;
            }
        }
        if let Some(sender_id) = sender_id {
            set_item(dict, &self.sender_id, sender_id)?;
        }
        Ok(())
    }
}

/// Makes a plan whose class is called one that knows what `__init__` does, if that can be verified.
///
/// # Errors
/// What trying raises.
pub(crate) fn learn<'py>(
    py: Python<'py>,
    shape: &InitShape,
    maker: &Maker,
    plan: &mut Plan,
    bases: &Bases<'py>,
) -> PyResult<()> {
    let init = plan.class.bind(py).getattr(intern!(py, "__init__"))?;
    if !is_known(&init, &plan.names, bases)? {
        return Ok(());
    }
    let tail = MessageTail::new(py, &plan.names)?;
    // Objects of these classes are made for trying, so making them must run no other code.
    for class in tail.peers.iter().map(|(class, ..)| class).chain([&tail.media_empty]) {
        let class = class.bind(py);
        if !shape.is_simple(class, &Bases::of(class)?)? {
            return Ok(());
        }
    }
    let are_flags = [tail.out, tail.post].into_iter().flatten().all(|slot| plan.is_flag[slot]);
    let absent = vec![None; plan.names.len()];
    let template = call(py, plan, &absent)?.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?.copy()?;
    for name in plan.names.iter().chain([&tail.chat_peer, &tail.broadcast, &tail.sender_id]) {
        if !are_flags || !template.contains(name)? {
            return Ok(());
        }
    }
    let cases = cases(py, &tail, plan)?;
    let theirs = cases.iter().map(|values| call(py, plan, values)).collect::<PyResult<Vec<_>>>()?;
    plan.make = Make::Message(template.unbind(), tail);
    for (values, theirs) in cases.iter().zip(theirs) {
        let is_alike = match maker.make(py, plan, values, filled(values))? {
            Some(ours) => are_alike(&ours, &theirs)?,
            None => false,
        };
        if !is_alike {
            plan.make = Make::Call;
            return Ok(());
        }
    }
    watch(py, &mut plan.watch)
}

/// Returns `true` if a function is the `__init__` of Telethon's message, and calls Telethon's own
/// functions only, as far as their names tell.
fn is_known<'py>(init: &Bound<'py, PyAny>, names: &[Py<PyString>], bases: &Bases<'py>) -> PyResult<bool> {
    let py = init.py();
    let custom = py.import(MODULE)?;
    let getter = |name: &str| custom.getattr(name)?.getattr(intern!(py, "__init__"));
    let utils = py.import("telethon.utils")?;
    let functions = [
        (init.clone(), MODULE, "Message.__init__"),
        (getter("ChatGetter")?, "telethon.tl.custom.chatgetter", "ChatGetter.__init__"),
        (getter("SenderGetter")?, "telethon.tl.custom.sendergetter", "SenderGetter.__init__"),
        (utils.getattr("get_peer_id")?, "telethon.utils", "get_peer_id"),
        (utils.getattr("get_peer")?, "telethon.utils", "get_peer"),
    ];
    for (function, module, qualname) in &functions {
        if !is_own(function, module, qualname)? {
            return Ok(false);
        }
    }
    let mut attributes = Vec::new();
    for (function, ..) in &functions[..3] {
        let code = function.getattr(intern!(py, "__code__"))?;
        attributes.extend(code.getattr("co_names")?.extract::<Vec<Bound<'py, PyString>>>()?);
    }
    let parameters: Vec<String> = init.getattr(intern!(py, "__code__"))?.getattr("co_varnames")?.extract()?;
    for name in &attributes {
        let name = name.to_cow()?;
        // Private attributes are the message's own.
        if !NAMES.contains(&&*name) && !name.starts_with('_') && !parameters.iter().any(|each| *each == name) {
            return Ok(false);
        }
    }
    for name in names {
        if !parameters.iter().any(|each| name.bind(py).eq(each.as_str())) {
            return Ok(false);
        }
    }
    are_unclaimed(bases, attributes)
}

/// Returns values for messages of each kind that `sender_id` tells apart.
fn cases<'py>(py: Python<'py>, tail: &MessageTail, plan: &Plan) -> PyResult<Vec<Vec<Option<Bound<'py, PyAny>>>>> {
    let yes = || true.into_pyobject(py).map(|yes| yes.to_owned().into_any());
    let mut peers = vec![None];
    for (number, (class, ..)) in (5_i64..).zip(&tail.peers) {
        peers.push(Some(class.bind(py).call1((number,))?));
    }
    let media = [None, Some(py.get_type::<PyAny>().call0()?), Some(tail.media_empty.bind(py).call0()?)];
    let mut cases = Vec::new();
    for from in &peers {
        for peer in &peers {
            for flags in 0..4 {
                if from.is_some() && (flags != 0 || peer.is_none()) {
                    continue;
                }
                let mut values = Vec::new();
                for (slot, is_flag) in plan.is_flag.iter().enumerate() {
                    let slot = Some(slot);
                    values.push(if slot == tail.from_id {
                        from.clone()
                    } else if slot == tail.peer_id {
                        peer.clone()
                    } else if slot == tail.out {
                        (flags & 1 != 0).then(yes).transpose()?
                    } else if slot == tail.post {
                        (flags & 2 != 0).then(yes).transpose()?
                    } else if slot == tail.media {
                        media[cases.len() % media.len()].clone()
                    } else if *is_flag {
                        (cases.len() % 2 == 0).then(yes).transpose()?
                    } else {
                        Some(py.get_type::<PyAny>().call0()?)
                    });
                }
                cases.push(values);
            }
        }
    }
    Ok(cases)
}

/// Returns the slots with a value.
fn filled(values: &Values<'_>) -> Bits {
    let mut filled = Bits::default();
    for (slot, _) in values.iter().enumerate().filter(|(_, value)| value.is_some()) {
        filled.insert(slot);
    }
    filled
}

/// Returns `true` if two objects have the same attributes in the same order; integers may only be
/// equal.
fn are_alike(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = one.py();
    let items = one.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    let others = other.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    if items.len() != others.len() {
        return Ok(false);
    }
    for ((name, value), (others_name, others_value)) in items.iter().zip(&others) {
        let is_name = name.is(&others_name) || name.eq(&others_name)?;
        let is_value = value.is(&others_value)
            || (value.is_exact_instance_of::<PyInt>()
                && others_value.is_exact_instance_of::<PyInt>()
                && value.eq(&others_value)?);
        if !is_name || !is_value {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Watches everything that `__init__` calls.
fn watch(py: Python<'_>, watch: &mut Watch) -> PyResult<()> {
    let messages = py.import(MODULE)?.dict();
    for name in ["types", "utils", "ChatGetter", "SenderGetter"] {
        watch.entry(&messages, PyString::intern(py, name).as_any())?;
    }
    for name in ["ChatGetter", "SenderGetter"] {
        if let Some(getter) = messages.get_item(name)? {
            watch.entry(&dict_of_class(getter.cast::<PyType>()?)?, intern!(py, "__init__").as_any())?;
        }
    }
    let utils = py.import("telethon.utils")?.dict();
    for name in ["get_peer_id", "get_peer", "types"] {
        watch.entry(&utils, PyString::intern(py, name).as_any())?;
    }
    let types = py.import("telethon.tl.types")?.dict();
    for name in ["MessageMediaEmpty", "PeerUser", "PeerChat", "PeerChannel"] {
        watch.entry(&types, PyString::intern(py, name).as_any())?;
    }
    Ok(())
}
