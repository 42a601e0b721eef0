//! The string codec for `RustStringSession`.

use std::net::IpAddr;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use zeroize::Zeroizing;

use super::value;
use crate::data_centre as centres;
use crate::error::Error;
use crate::session_string::{KEY_LEN, Login, decode, encode};

/// Url-safe base64 of the bytes.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(super) fn encode_base64<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let bytes = value::bytes_or_none(data, false)?.ok_or_else(|| no_bytes(data))?;
    Ok(PyString::new(data.py(), &encode(&bytes)))
}

fn no_bytes(object: &Bound<'_, PyAny>) -> PyErr {
    let class = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("a bytes-like object is required, not '{class}'"))
}

/// Decodes base64 of either alphabet, padded. Raises `ValueError` for anything else.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(super) fn decode_base64<'py>(text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let decoded = if let Ok(text) = text.cast::<PyString>() {
        decode(utf8(text))
    } else {
        let bytes = value::bytes_or_none(text, true)?.ok_or_else(|| no_bytes(text))?;
        // What is no text is no base64 either; it is said so below.
        decode(std::str::from_utf8(&bytes).unwrap_or("\u{fffd}"))
    };
    Ok(PyBytes::new(text.py(), &decoded.map_err(Error::from)?))
}

/// The bytes of a login: data centre, packed address, port and key. Raises `ValueError` for what does not fit them.
#[pyfunction]
#[pyo3(signature = (dc_id, ip, port, key, /))]
pub(super) fn pack_login<'py>(
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
    let login = Login {
        dc_id: u8::try_from(dc_id).map_err(|_| wrong(format!("the data centre number {dc_id}")))?,
        ip,
        port: u16::try_from(port).map_err(|_| wrong(format!("the port {port}")))?,
        key: padded,
    };
    Ok(PyBytes::new(py, &login.pack()))
}

/// The text; half a character, which no string has, becomes another that no string has. Python's own error would hold
/// the whole text.
fn utf8<'t>(text: &'t Bound<'_, PyString>) -> &'t str {
    text.to_str().unwrap_or("\u{fffd}")
}

type Unpacked<'py> = (u8, Bound<'py, PyBytes>, u16, Option<Bound<'py, PyBytes>>);

/// Returns data centre, packed address, port and key (`None` if there is none) of a string session, which may have been
/// pasted with white space and quotes. Raises `ValueError` for anything else.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(super) fn parse_string<'py>(py: Python<'py>, text: &Bound<'py, PyString>) -> PyResult<Unpacked<'py>> {
    Ok(unpacked(py, &Login::parse(utf8(text)).map_err(Error::from)?))
}

/// Returns data centre, packed address, port and key (`None` if there is none) of a login's bytes. Raises `ValueError`
/// for anything else.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(super) fn unpack_login<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Unpacked<'py>> {
    Ok(unpacked(py, &Login::unpack(data).map_err(Error::from)?))
}

fn unpacked<'py>(py: Python<'py>, login: &Login) -> Unpacked<'py> {
    let ip = match login.ip {
        IpAddr::V4(ip) => PyBytes::new(py, &ip.octets()),
        IpAddr::V6(ip) => PyBytes::new(py, &ip.octets()),
    };
    (login.dc_id, ip, login.port, login.has_key().then(|| PyBytes::new(py, &*login.key)))
}

/// Returns address and port of one of Telegram's data centres; `None` for any other.
#[pyfunction]
#[pyo3(signature = (dc_id, /))]
pub(super) fn data_centre(dc_id: i64) -> Option<(&'static str, u16)> {
    centres::address(dc_id).map(|address| (address, centres::PORT))
}
