//! The string codec for `RustStringSession`.

use std::net::IpAddr;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use zeroize::Zeroizing;

use crate::value;
use session_core::data_centre as centres;
use session_core::session_string::{self, KEY_LEN, SessionString, StringError, decode, encode};

/// Encodes bytes as URL-safe base64.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn encode_base64<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let bytes = value::bytes_or_none(data, false)?.ok_or_else(|| no_bytes(data))?;
    Ok(PyString::new(data.py(), &encode(&bytes)))
}

/// The exception for a text that is not a valid string session.
fn invalid(error: StringError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn no_bytes(object: &Bound<'_, PyAny>) -> PyErr {
    let class = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("a bytes-like object is required, not '{class}'"))
}

/// Decodes padded base64 of either alphabet. Raises `ValueError` for anything else.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn decode_base64<'py>(text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let decoded = if let Ok(text) = text.cast::<PyString>() {
        decode(utf8(text))
    } else {
        let bytes = value::bytes_or_none(text, true)?.ok_or_else(|| no_bytes(text))?;
        // What is not text is not base64 either; the decoder says so.
        decode(std::str::from_utf8(&bytes).unwrap_or("\u{fffd}"))
    };
    Ok(PyBytes::new(text.py(), &decoded.map_err(invalid)?))
}

/// Returns the base64 characters of any library's string, in the URL-safe alphabet and without
/// padding. Raises `ValueError` for a text with other characters.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn string_letters<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
    let letters = session_string::letters(utf8(text)).map_err(invalid)?;
    Ok(PyString::new(text.py(), &letters))
}

/// Packs data centre, packed address, port and key. Raises `ValueError` if a value does not fit.
#[pyfunction]
#[pyo3(signature = (dc_id, ip, port, key, /))]
pub(crate) fn pack_string<'py>(
    py: Python<'py>,
    dc_id: i64,
    ip: &[u8],
    port: Option<i64>,
    key: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let wrong = |what: String| PyValueError::new_err(format!("a string session cannot hold {what}"));
    let ip: IpAddr = match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
        (Ok(ip), _) => ip.into(),
        (_, Ok(ip)) => ip.into(),
        _ => return Err(wrong(format!("an address of {} bytes", ip.len()))),
    };
    if !key.is_instance_of::<PyBytes>() && !key.is_instance_of::<PyByteArray>() {
        return Err(no_bytes(key));
    }
    let port = port.ok_or_else(|| wrong("a login without a port".to_owned()))?;
    let key = value::bytes(key)?;
    let mut padded = Zeroizing::new([0; KEY_LEN]);
    let room = padded.get_mut(..key.len()).ok_or_else(|| wrong(format!("a key of {} bytes", key.len())))?;
    room.copy_from_slice(&key);
    let string = SessionString {
        dc_id: u8::try_from(dc_id).map_err(|_| wrong(format!("the data centre number {dc_id}")))?,
        ip,
        port: u16::try_from(port).map_err(|_| wrong(format!("the port {port}")))?,
        auth_key: padded,
    };
    Ok(PyBytes::new(py, &string.pack()))
}

/// Returns the text. A lone surrogate becomes a character that no string has, because Python's own
/// error would contain the whole text.
fn utf8<'t>(text: &'t Bound<'_, PyString>) -> &'t str {
    text.to_str().unwrap_or("\u{fffd}")
}

type Unpacked<'py> = (u8, Bound<'py, PyBytes>, u16, Option<Bound<'py, PyBytes>>);

/// Returns data centre, packed address, port and key (`None` if there is none) of a string session,
/// which may have been pasted with white space and quotes. Raises `ValueError` for anything else.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn parse_string<'py>(py: Python<'py>, text: &Bound<'py, PyString>) -> PyResult<Unpacked<'py>> {
    Ok(unpacked(py, &SessionString::parse(utf8(text)).map_err(invalid)?))
}

/// Returns data centre, packed address, port and key (`None` if there is none) in the bytes of a
/// string session. Raises `ValueError` for anything else.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn unpack_string<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Unpacked<'py>> {
    Ok(unpacked(py, &SessionString::unpack(data).map_err(invalid)?))
}

fn unpacked<'py>(py: Python<'py>, string: &SessionString) -> Unpacked<'py> {
    let ip = match string.ip {
        IpAddr::V4(ip) => PyBytes::new(py, &ip.octets()),
        IpAddr::V6(ip) => PyBytes::new(py, &ip.octets()),
    };
    (string.dc_id, ip, string.port, string.has_key().then(|| PyBytes::new(py, &*string.auth_key)))
}

/// Returns address and port of one of Telegram's data centres; `None` for any other ID.
#[pyfunction]
#[pyo3(signature = (dc_id, /))]
pub(crate) fn data_centre(dc_id: i64) -> Option<(&'static str, u16)> {
    centres::address(dc_id).map(|address| (address, centres::PORT))
}
