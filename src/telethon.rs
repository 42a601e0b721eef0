//! The classes and functions of Telethon that are used, looked up once.

use py_once::{PyOnce, intern};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::entity_class::EntityClass;
use session_core::lookup_key::UsernameRules;

/// Classes and functions of the installed Telethon.
pub(crate) struct Telethon {
    pub(crate) tl_object: Py<PyType>,
    pub(crate) user: EntityClass<2, 1, 4>,
    pub(crate) chat: EntityClass<1, 0, 1>,
    pub(crate) channel: EntityClass<2, 1, 2>,
    pub(crate) peer_user: Py<PyType>,
    pub(crate) peer_channel: Py<PyType>,
    pub(crate) input_peer_user: Py<PyType>,
    pub(crate) input_peer_chat: Py<PyType>,
    pub(crate) input_peer_channel: Py<PyType>,
    pub(crate) input_user: Py<PyType>,
    /// What stands for the account's own user.
    selves: [Py<PyType>; 2],
    pub(crate) input_channel: Py<PyType>,
    pub(crate) input_document: Py<PyType>,
    /// The two kinds of updates that hold entities, as `users` and `chats` only.
    updates: [Py<PyType>; 2],
    pub(crate) input_photo: Py<PyType>,
    pub(crate) update_state: Py<PyType>,
    pub(crate) utils: Py<PyAny>,
    /// How this Telethon parses texts, if that is supported.
    pub(crate) rules: Option<UsernameRules>,
}

impl Telethon {
    /// Returns those of the installed Telethon.
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static TELETHON: PyOnce<Telethon> = PyOnce::new();
        TELETHON.get_or_try_init(py, || Self::import(py))
    }

    fn import(py: Python<'_>) -> PyResult<Self> {
        let types = py.import("telethon.tl.types")?;
        let class = |name: &str| -> PyResult<Py<PyType>> { Ok(types.getattr(name)?.cast_into::<PyType>()?.unbind()) };
        let utils = py.import("telethon.utils")?;
        Ok(Self {
            tl_object: py.import("telethon.tl")?.getattr("TLObject")?.cast_into::<PyType>()?.unbind(),
            user: EntityClass::new(
                class("User")?.bind(py),
                ["id", "access_hash"],
                ["min"],
                ["username", "phone", "first_name", "last_name"],
            )?,
            chat: EntityClass::new(class("Chat")?.bind(py), ["id"], [], ["title"])?,
            channel: EntityClass::new(
                class("Channel")?.bind(py),
                ["id", "access_hash"],
                ["min"],
                ["username", "title"],
            )?,
            peer_user: class("PeerUser")?,
            peer_channel: class("PeerChannel")?,
            input_peer_user: class("InputPeerUser")?,
            input_peer_chat: class("InputPeerChat")?,
            input_peer_channel: class("InputPeerChannel")?,
            input_user: class("InputUser")?,
            selves: [class("InputPeerSelf")?, class("InputUserSelf")?],
            input_channel: class("InputChannel")?,
            input_document: class("InputDocument")?,
            updates: [class("Updates")?, class("UpdatesCombined")?],
            input_photo: class("InputPhoto")?,
            update_state: types.getattr("updates")?.getattr("State")?.cast_into::<PyType>()?.unbind(),
            rules: rules(&utils)?,
            utils: utils.into_any().unbind(),
        })
    }

    /// Calls a function of `telethon.utils`.
    pub(crate) fn util<'py>(
        &self,
        name: &Bound<'py, PyString>,
        argument: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.utils.bind(name.py()).call_method1(name, (argument,))
    }

    /// Calls `utils.get_input_peer(entity, allow_self=False)`.
    pub(crate) fn input_peer<'py>(&self, entity: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = entity.py();
        self.utils.bind(py).call_method1(intern!(py, "get_input_peer"), (entity, false))
    }

    /// Returns `true` if the object is of one of the two kinds of updates that hold entities.
    /// Asking one for the two attributes it lacks costs as much as reading two entities.
    pub(crate) fn is_updates(&self, object: &Bound<'_, PyAny>) -> bool {
        self.updates.iter().any(|class| Self::is_exactly(object, class))
    }

    /// Returns `true` if the object stands for the account's own user.
    pub(crate) fn is_self(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let [peer, user] = &self.selves;
        Ok(object.is_instance(peer.bind(object.py()))? || object.is_instance(user.bind(object.py()))?)
    }

    /// Returns `true` if the object is of exactly this class.
    pub(crate) fn is_exactly(object: &Bound<'_, PyAny>, class: &Py<PyType>) -> bool {
        object.get_type().is(class)
    }
}

/// Returns which usernames and links this Telethon accepts, according to its patterns; `None` for
/// an unsupported Telethon, which is asked about every text.
fn rules(utils: &Bound<'_, PyModule>) -> PyResult<Option<UsernameRules>> {
    let pattern = |name: &str| -> PyResult<String> {
        let Some(regex) = utils.getattr_opt(name)? else { return Ok(String::new()) };
        let flags: u32 = regex.getattr("flags")?.extract()?;
        let pattern: String = regex.getattr("pattern")?.extract()?;
        Ok(format!("{pattern} {flags}"))
    };
    // 32 is `re.UNICODE`, 34 adds `re.IGNORECASE`.
    let plus_invites = match pattern("USERNAME_RE")?.as_str() {
        r"@|(?:https?://)?(?:www\.)?(?:telegram\.(?:me|dog)|t\.me)/(@|\+|joinchat/)? 32" => true,
        r"@|(?:https?://)?(?:www\.)?(?:telegram\.(?:me|dog)|t\.me)/(@|joinchat/)? 32" => false,
        _ => return Ok(None),
    };
    if pattern("TG_JOIN_RE")? != r"tg://(join)\?invite= 32" {
        return Ok(None);
    }
    let usernames = match pattern("VALID_USERNAME_RE")?.as_str() {
        r"^[a-z](?:(?!__)\w){1,30}[a-z\d]$ 34" => UsernameRules::CURRENT,
        r"^([a-z](?:(?!__)\w){3,30}[a-z\d]|gif|vid|pic|bing|wiki|imdb|bold|vote|like|coub)$ 34" => UsernameRules::OLD,
        _ => return Ok(None),
    };
    Ok(Some(UsernameRules { plus_invites, ..usernames }))
}
