//! What `get_input_entity` is asked for: a peer, an ID, or a text that may mean several things.

use std::borrow::Cow;

use py_once::intern;
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use crate::telethon::Telethon;
use session_core::entity::PeerKind;
use session_core::lookup_key::{LookupKey, parse};

/// Something to look up.
pub(crate) enum Lookup<'a, 'py> {
    Phone(Cow<'a, str>),
    Username(Cow<'a, str>),
    Name(&'a Bound<'py, PyString>),
    /// A marked ID or, if not exact, the ID of a user, chat or channel.
    Id {
        id: Bound<'py, PyAny>,
        exact: bool,
    },
}

/// The meaning of a key.
pub(crate) enum Meaning<'a, 'py> {
    /// It is or holds an input peer, which is the result.
    Peer(Bound<'py, PyAny>),
    /// Look these up, in this order.
    Lookups([Option<Lookup<'a, 'py>>; 2]),
}

/// `crc32` of the TL types `InputPeer`, `InputUser` and `InputChannel`.
const INPUTS: [u32; 3] = [0xc91c_90b6, 0xe669_bf46, 0x40f2_02fd];

/// Returns the meaning of a key.
pub(crate) fn meaning<'a, 'py>(telethon: &Telethon, key: &'a Bound<'py, PyAny>) -> PyResult<Meaning<'a, 'py>> {
    let py = key.py();
    if let Ok(text) = key.cast_exact::<PyString>() {
        return Ok(Meaning::Lookups(of_text(telethon, text)?));
    }
    if key.cast_exact::<PyInt>().is_ok() {
        return of_int(key);
    }
    if let Some(id) = marked_id_of_peer(telethon, key)? {
        return Ok(Meaning::Lookups([Some(Lookup::Id { id: id.into_pyobject(py)?.into_any(), exact: true }), None]));
    }
    if let Some(peer) = as_input_peer(telethon, key)? {
        return Ok(Meaning::Peer(peer));
    }
    if key.is_instance(telethon.tl_object.bind(py))? {
        let id = telethon.util(intern!(py, "get_peer_id"), key)?;
        return Ok(Meaning::Lookups([Some(Lookup::Id { id, exact: true }), None]));
    }
    if let Ok(text) = key.cast::<PyString>() {
        return Ok(Meaning::Lookups(of_text(telethon, text)?));
    }
    if key.is_instance_of::<PyInt>() { of_int(key) } else { Ok(Meaning::Lookups([None, None])) }
}

fn of_int<'a, 'py>(key: &'a Bound<'py, PyAny>) -> PyResult<Meaning<'a, 'py>> {
    let exact = key.lt(0)?;
    Ok(Meaning::Lookups([Some(Lookup::Id { id: key.clone(), exact }), None]))
}

/// Returns the marked ID in a `PeerUser` or `PeerChannel`, which handlers ask for all the time. (A
/// `PeerChat` is turned into an input peer without a lookup.)
fn marked_id_of_peer(telethon: &Telethon, key: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let py = key.py();
    let (attribute, kind) = if Telethon::is_exactly(key, &telethon.peer_user) {
        (intern!(py, "user_id"), PeerKind::User)
    } else if Telethon::is_exactly(key, &telethon.peer_channel) {
        (intern!(py, "channel_id"), PeerKind::Channel)
    } else {
        return Ok(None);
    };
    let id: Option<i64> = key.getattr(attribute)?.cast_exact::<PyInt>().ok().and_then(|id| id.extract().ok());
    Ok(id.and_then(|id| kind.mark(id)))
}

fn as_input_peer<'py>(telethon: &Telethon, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = key.py();
    let attempt = || {
        let class_id = key.getattr(intern!(py, "SUBCLASS_OF_ID"))?;
        for input in INPUTS {
            if class_id.eq(input)? {
                return Ok(key.clone());
            }
        }
        telethon.util(intern!(py, "get_input_peer"), key)
    };
    match attempt() {
        Ok(peer) => Ok(Some(peer)),
        Err(error) if error.is_instance_of::<PyAttributeError>(py) || error.is_instance_of::<PyTypeError>(py) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns the text, unless it contains a lone surrogate, as only Python's can: no entity is called
/// that.
pub(crate) fn whole_text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Option<&'a str>> {
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn of_text<'a, 'py>(telethon: &Telethon, text: &'a Bound<'py, PyString>) -> PyResult<[Option<Lookup<'a, 'py>>; 2]> {
    let parsed = telethon.rules.zip(whole_text(text)?).map(|(rules, text)| parse(text, &rules));
    let first = match parsed.unwrap_or(LookupKey::Unsure) {
        LookupKey::Phone(phone) => Some(Lookup::Phone(phone)),
        LookupKey::Username(username) => Some(Lookup::Username(username)),
        LookupKey::Invite(id) => Some(Lookup::Id { id: id.into_pyobject(text.py())?.into_any(), exact: false }),
        LookupKey::Name => None,
        LookupKey::Unsure => ask_telethon(telethon, text)?,
    };
    Ok([first, Some(Lookup::Name(text))])
}

fn ask_telethon<'a, 'py>(telethon: &Telethon, text: &Bound<'py, PyString>) -> PyResult<Option<Lookup<'a, 'py>>> {
    let py = text.py();
    let phone = telethon.util(intern!(py, "parse_phone"), text)?;
    if phone.is_truthy()? {
        return Ok(Some(Lookup::Phone(Cow::Owned(phone.extract()?))));
    }
    // For an invite link it is the hash, which may be any text.
    let (username, is_invite): (Bound<'_, PyAny>, bool) =
        telethon.util(intern!(py, "parse_username"), text)?.extract()?;
    if !is_invite && username.is_truthy()? {
        return Ok(Some(Lookup::Username(Cow::Owned(username.extract()?))));
    }
    let id = telethon.util(intern!(py, "resolve_invite_link"), text)?.get_item(1)?;
    Ok(if id.is_truthy()? { Some(Lookup::Id { id, exact: false }) } else { None })
}
