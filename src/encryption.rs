//! The option `encryption_key`.

use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySequence, PyString};
use sealed::{KEY_LEN, Keyring, Owner};
use zeroize::Zeroizing;

use crate::value::bytes_or_none;

/// Makes a keyring of one key, of several, or of none.
pub(crate) fn keyring(keys: Option<&Bound<'_, PyAny>>, owner: Owner<'_>) -> PyResult<Keyring> {
    let keys = keys.map_or(Ok(Vec::new()), read)?;
    let mut whole = Vec::with_capacity(keys.len());
    for key in &keys {
        let message = || format!("an encryption_key must have {KEY_LEN} bytes, not {}", key.len());
        whole.push(<&[u8; KEY_LEN]>::try_from(key.as_slice()).map_err(|_| PyValueError::new_err(message()))?);
    }
    Ok(Keyring::new(whole, owner))
}

/// Returns `true` if a key of a session file is stored encrypted.
#[pyfunction]
#[pyo3(signature = (stored, /))]
pub(crate) fn is_encrypted(stored: &[u8]) -> bool {
    sealed::is_sealed(stored)
}

/// Returns the form in which a session file holds a key.
#[pyfunction]
#[pyo3(signature = (key, encryption_key, /))]
pub(crate) fn encrypt_key<'py>(
    py: Python<'py>,
    key: &[u8],
    encryption_key: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let stored = keyring(encryption_key, Owner::File)?.to_stored(key);
    stored
        .map(|stored| PyBytes::new(py, &stored))
        .ok_or_else(|| PyOSError::new_err("the system gives no random numbers"))
}

/// Returns the key that a session file holds in a form, encrypted or not; `None` if it cannot be decrypted.
#[pyfunction]
#[pyo3(signature = (stored, encryption_key, /))]
pub(crate) fn decrypt_key<'py>(
    py: Python<'py>,
    stored: &[u8],
    encryption_key: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    Ok(keyring(encryption_key, Owner::File)?.from_stored(stored).map(|key| PyBytes::new(py, &key)))
}

fn read(keys: &Bound<'_, PyAny>) -> PyResult<Vec<Zeroizing<Vec<u8>>>> {
    if let Some(key) = bytes_or_none(keys, true)? {
        return Ok(vec![key]);
    }
    let sequence = keys.cast::<PySequence>().ok().filter(|_| !keys.is_instance_of::<PyString>());
    let Some(sequence) = sequence else { return Err(wrong_type("", keys)) };
    if sequence.is_empty()? {
        return Err(PyValueError::new_err("encryption_key must not be empty: give a key, or None to encrypt nothing"));
    }
    sequence.try_iter()?.map(|key| read_one(&key?)).collect()
}

fn read_one(key: &Bound<'_, PyAny>) -> PyResult<Zeroizing<Vec<u8>>> {
    bytes_or_none(key, true)?.ok_or_else(|| wrong_type("a sequence with ", key))
}

fn wrong_type(within: &str, object: &Bound<'_, PyAny>) -> PyErr {
    // Never the object itself: it may be a key in another form.
    let class = object.get_type().name().map_or_else(|_| "another object".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("encryption_key must be bytes, a sequence of bytes or None, not {within}{class}"))
}
