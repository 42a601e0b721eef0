//! What is used of Telethon: its classes and functions, looked up once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use super::entity_class::EntityClass;
use crate::lookup_key::Dialect;

// What is read of each of them.
const USER: [&str; 7] = ["id", "access_hash", "min", "username", "phone", "first_name", "last_name"];
const CHANNEL: [&str; 5] = ["id", "access_hash", "min", "username", "title"];
const CHAT: [&str; 2] = ["id", "title"];

/// Classes and functions of the Telethon that is installed.
pub(super) struct Telethon {
    pub(super) tl_object: Py<PyType>,
    pub(super) user: EntityClass<7>,
    pub(super) chat: EntityClass<2>,
    pub(super) channel: EntityClass<5>,
    pub(super) peer_user: Py<PyType>,
    pub(super) peer_channel: Py<PyType>,
    pub(super) input_peer_user: Py<PyType>,
    pub(super) input_peer_chat: Py<PyType>,
    pub(super) input_peer_channel: Py<PyType>,
    pub(super) input_user: Py<PyType>,
    pub(super) input_channel: Py<PyType>,
    pub(super) input_document: Py<PyType>,
    /// The two kinds of updates that hold people, as `users` and `chats` and not otherwise.
    updates: [Py<PyType>; 2],
    pub(super) input_photo: Py<PyType>,
    pub(super) update_state: Py<PyType>,
    pub(super) utils: Py<PyAny>,
    /// What a text means, if this Telethon reads it in a way that we know.
    pub(super) dialect: Option<Dialect>,
}

impl Telethon {
    /// The one that is installed.
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static TELETHON: PyOnceLock<Telethon> = PyOnceLock::new();
        TELETHON.get_or_try_init(py, || Self::import(py))
    }

    fn import(py: Python<'_>) -> PyResult<Self> {
        let types = py.import("telethon.tl.types")?;
        let class = |name: &str| -> PyResult<Py<PyType>> { Ok(types.getattr(name)?.cast_into::<PyType>()?.unbind()) };
        let utils = py.import("telethon.utils")?;
        Ok(Self {
            tl_object: py.import("telethon.tl")?.getattr("TLObject")?.cast_into::<PyType>()?.unbind(),
            user: EntityClass::new(class("User")?.bind(py), USER)?,
            chat: EntityClass::new(class("Chat")?.bind(py), CHAT)?,
            channel: EntityClass::new(class("Channel")?.bind(py), CHANNEL)?,
            peer_user: class("PeerUser")?,
            peer_channel: class("PeerChannel")?,
            input_peer_user: class("InputPeerUser")?,
            input_peer_chat: class("InputPeerChat")?,
            input_peer_channel: class("InputPeerChannel")?,
            input_user: class("InputUser")?,
            input_channel: class("InputChannel")?,
            input_document: class("InputDocument")?,
            updates: [class("Updates")?, class("UpdatesCombined")?],
            input_photo: class("InputPhoto")?,
            update_state: types.getattr("updates")?.getattr("State")?.cast_into::<PyType>()?.unbind(),
            dialect: dialect(&utils)?,
            utils: utils.into_any().unbind(),
        })
    }

    /// Calls a function of `telethon.utils`.
    pub(super) fn util<'py>(
        &self,
        name: &Bound<'py, PyString>,
        argument: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.utils.bind(name.py()).call_method1(name, (argument,))
    }

    /// `utils.get_input_peer(entity, allow_self=False)`.
    pub(super) fn input_peer<'py>(&self, entity: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = entity.py();
        self.utils.bind(py).call_method1(intern!(py, "get_input_peer"), (entity, false))
    }

    /// Whether the object is of one of the two kinds of updates that hold people. To ask one for the two attributes that it has not
    /// costs as much as to read two people.
    pub(super) fn is_updates(&self, object: &Bound<'_, PyAny>) -> bool {
        self.updates.iter().any(|class| Self::is_exactly(object, class))
    }

    /// Whether the object is of exactly this class, no subclass.
    pub(super) fn is_exactly(object: &Bound<'_, PyAny>, class: &Py<PyType>) -> bool {
        object.get_type().is(class)
    }
}

/// Which usernames and links this Telethon knows, told by its own patterns. `None` is a Telethon that we do not know: it
/// is asked about every text.
fn dialect(utils: &Bound<'_, PyModule>) -> PyResult<Option<Dialect>> {
    let pattern = |name: &str| -> PyResult<String> {
        let Some(regex) = utils.getattr_opt(name)? else { return Ok(String::new()) };
        let flags: u32 = regex.getattr("flags")?.extract()?;
        let pattern: String = regex.getattr("pattern")?.extract()?;
        Ok(format!("{pattern} {flags}"))
    };
    // 32 is re.UNICODE, 34 that and re.IGNORECASE.
    let plus_invites = match pattern("USERNAME_RE")?.as_str() {
        r"@|(?:https?://)?(?:www\.)?(?:telegram\.(?:me|dog)|t\.me)/(@|\+|joinchat/)? 32" => true,
        r"@|(?:https?://)?(?:www\.)?(?:telegram\.(?:me|dog)|t\.me)/(@|joinchat/)? 32" => false,
        _ => return Ok(None),
    };
    if pattern("TG_JOIN_RE")? != r"tg://(join)\?invite= 32" {
        return Ok(None);
    }
    let usernames = match pattern("VALID_USERNAME_RE")?.as_str() {
        r"^[a-z](?:(?!__)\w){1,30}[a-z\d]$ 34" => Dialect::CURRENT,
        r"^([a-z](?:(?!__)\w){3,30}[a-z\d]|gif|vid|pic|bing|wiki|imdb|bold|vote|like|coub)$ 34" => Dialect::OLD,
        _ => return Ok(None),
    };
    Ok(Some(Dialect { plus_invites, ..usernames }))
}
