//! Python's values in SQLite's statements.

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyMemoryView, PyString};
use zeroize::Zeroizing;

use super::error::sqlite3_exception;
use crate::store::Value;

/// Whether an object, of whatever class, is true.
#[derive(Clone, Copy)]
pub(super) struct Truth(pub(super) bool);

impl<'py> FromPyObject<'_, 'py> for Truth {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.is_truthy().map(Self)
    }
}

/// A value to be bound.
pub(super) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        Ok(Value::Null)
    } else if object.is_instance_of::<PyInt>() {
        object.extract().map(Value::Integer)
    } else if object.is_instance_of::<PyFloat>() {
        object.extract().map(Value::Real)
    } else if object.is_instance_of::<PyString>() {
        object.extract().map(Value::Text)
    } else {
        Ok(Value::Blob(std::mem::take(&mut *bytes(object)?)))
    }
}

/// The bytes of whatever has a buffer in one piece. Python's own `sqlite3` takes, and refuses, the same.
pub(super) fn bytes(object: &Bound<'_, PyAny>) -> PyResult<Zeroizing<Vec<u8>>> {
    let Some(bytes) = bytes_or_none(object, false)? else {
        let class = object.get_type();
        let message = format!("Error binding parameter: type '{}' is not supported", class.name()?);
        return Err(sqlite3_exception("ProgrammingError", message));
    };
    Ok(bytes)
}

/// The bytes of whatever has a buffer, which may have to be in one piece; `None` if it has none.
pub(super) fn bytes_or_none(object: &Bound<'_, PyAny>, with_gaps: bool) -> PyResult<Option<Zeroizing<Vec<u8>>>> {
    let py = object.py();
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Some(Zeroizing::new(bytes.as_bytes().to_vec())));
    }
    if let Ok(bytes) = object.cast::<PyByteArray>() {
        return Ok(Some(Zeroizing::new(bytes.to_vec())));
    }
    let Ok(view) = PyMemoryView::from(object) else { return Ok(None) };
    if !with_gaps && !view.getattr(intern!(py, "c_contiguous"))?.is_truthy()? {
        return Err(PyBufferError::new_err("underlying buffer is not C-contiguous"));
    }
    bytes_or_none(&view.call_method0(intern!(py, "tobytes"))?, with_gaps)
}

/// A number in a column of integers, of which digits are one too.
pub(super) fn number(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    match object.cast::<PyString>() {
        Ok(digits) => match digits.to_str()?.trim().parse() {
            Ok(number) => Ok(number),
            Err(_) => Err(PyTypeError::new_err(format!("{} is no number", digits.repr()?))),
        },
        Err(_) => object.extract(),
    }
}

/// A value of a row.
pub(super) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Integer(number) => number.into_pyobject(py)?.into_any(),
        Value::Real(number) => number.into_pyobject(py)?.into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Blob(bytes) => PyBytes::new(py, bytes).into_any(),
    })
}
