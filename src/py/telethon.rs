//! What is used of Telethon: its classes and functions, looked up once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

use crate::lookup_key::Dialect;

/// Classes and functions of the Telethon that is installed.
pub(super) struct Telethon {
    pub(super) tl_object: Py<PyType>,
    pub(super) user: EntityClass,
    pub(super) chat: EntityClass,
    pub(super) channel: EntityClass,
    pub(super) peer_user: Py<PyType>,
    pub(super) peer_channel: Py<PyType>,
    pub(super) input_peer_user: Py<PyType>,
    pub(super) input_peer_chat: Py<PyType>,
    pub(super) input_peer_channel: Py<PyType>,
    pub(super) input_user: Py<PyType>,
    pub(super) input_channel: Py<PyType>,
    pub(super) input_document: Py<PyType>,
    pub(super) input_photo: Py<PyType>,
    pub(super) update_state: Py<PyType>,
    pub(super) utils: Py<PyAny>,
    /// What a text means, if this Telethon reads it in a way that we know.
    pub(super) dialect: Option<Dialect>,
}

/// A class whose objects are read all the time.
pub(super) struct EntityClass {
    class: Py<PyType>,
    /// Whether each of its objects has a dictionary, which is read twice as fast as attributes are. Since Python 3.11 only those with more
    /// than 30 attributes have; for others it would be made when it is asked for, and kept.
    has_dict: bool,
}

impl EntityClass {
    fn new(class: Bound<'_, PyType>) -> PyResult<Self> {
        const MOST_WITHOUT_DICT: usize = 30;
        let py = class.py();
        let code = class.getattr("__init__")?.getattr_opt("__code__")?;
        let arguments: usize = code.map_or(Ok(0), |code| code.getattr("co_argcount")?.extract())?;
        // Telethon makes an attribute of each argument, `self` apart.
        let has_dict = py.version_info() < (3, 11) || arguments > MOST_WITHOUT_DICT + 1;
        Ok(Self { class: class.unbind(), has_dict })
    }

    /// Whether the object is of exactly this class, no subclass.
    pub(super) fn is_class_of(&self, object: &Bound<'_, PyAny>) -> bool {
        Telethon::is_exactly(object, &self.class)
    }

    /// The attributes of an object of this class.
    pub(super) fn attributes<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Attributes<'py>> {
        let dict = if self.has_dict { Some(object.getattr(intern!(object.py(), "__dict__"))?) } else { None };
        Ok(Attributes { object: object.clone(), dict: dict.and_then(|dict| dict.cast_into_exact().ok()) })
    }
}

/// An object's attributes, by the fastest way there is.
pub(super) struct Attributes<'py> {
    object: Bound<'py, PyAny>,
    dict: Option<Bound<'py, PyDict>>,
}

impl<'py> Attributes<'py> {
    pub(super) fn object(&self) -> &Bound<'py, PyAny> {
        &self.object
    }

    pub(super) fn get(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(dict) = &self.dict
            && let Some(value) = dict.get_item(name)?
        {
            return Ok(value);
        }
        self.object.getattr(name)
    }
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
            user: EntityClass::new(class("User")?.into_bound(py))?,
            chat: EntityClass::new(class("Chat")?.into_bound(py))?,
            channel: EntityClass::new(class("Channel")?.into_bound(py))?,
            peer_user: class("PeerUser")?,
            peer_channel: class("PeerChannel")?,
            input_peer_user: class("InputPeerUser")?,
            input_peer_chat: class("InputPeerChat")?,
            input_peer_channel: class("InputPeerChannel")?,
            input_user: class("InputUser")?,
            input_channel: class("InputChannel")?,
            input_document: class("InputDocument")?,
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
