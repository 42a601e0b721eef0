//! The string codec for `RustStringSession`.

use std::net::IpAddr;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use zeroize::Zeroizing;

use super::value;
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

/// The bytes of url-safe base64. Raises `ValueError` for anything else.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(super) fn decode_base64<'py>(text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let decoded = if let Ok(text) = text.cast::<PyString>() {
        decode(text.to_str()?)
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

type Unpacked<'py> = (u8, Bound<'py, PyBytes>, u16, Option<Bound<'py, PyBytes>>);

/// Data centre, packed address, port and key (`None` where there is none) of a login's bytes. Raises `ValueError` for
/// anything else.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(super) fn unpack_login<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Unpacked<'py>> {
    let login = Login::unpack(data).map_err(Error::from)?;
    let ip = match login.ip {
        IpAddr::V4(ip) => PyBytes::new(py, &ip.octets()),
        IpAddr::V6(ip) => PyBytes::new(py, &ip.octets()),
    };
    let key = login.has_key().then(|| PyBytes::new(py, &*login.key));
    Ok((login.dc_id, ip, login.port, key))
}
