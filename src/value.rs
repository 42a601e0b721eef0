//! Python's values in SQLite's statements.

use py_once::intern;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyMemoryView, PyString};
use zeroize::Zeroizing;

use crate::error::sqlite3_exception;
use store_sqlite::Value;

/// The truth value of any object.
#[derive(Clone, Copy)]
pub(crate) struct Truth(pub(crate) bool);

impl<'py> FromPyObject<'_, 'py> for Truth {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.is_truthy().map(Self)
    }
}

/// Converts a value to bind.
pub(crate) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
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

/// Returns the bytes of an object with a contiguous buffer. Python's own `sqlite3` accepts and
/// refuses the same objects.
pub(crate) fn bytes(object: &Bound<'_, PyAny>) -> PyResult<Zeroizing<Vec<u8>>> {
    let Some(bytes) = bytes_or_none(object, false)? else {
        let class = object.get_type();
        let message = format!("Error binding parameter: type '{}' is not supported", class.name()?);
        return Err(sqlite3_exception("ProgrammingError", message));
    };
    Ok(bytes)
}

/// Returns the bytes of an object with a buffer, which may have to be contiguous; `None` if it has
/// none.
pub(crate) fn bytes_or_none(object: &Bound<'_, PyAny>, with_gaps: bool) -> PyResult<Option<Zeroizing<Vec<u8>>>> {
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

/// Converts a value for an integer column, which accepts digits too.
pub(crate) fn number(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    match object.cast::<PyString>() {
        Ok(digits) => match digits.to_str()?.trim().parse() {
            Ok(number) => Ok(number),
            Err(_) => Err(PyTypeError::new_err(format!("{} is not a number", digits.repr()?))),
        },
        Err(_) => object.extract(),
    }
}

/// Converts a value of a row.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Integer(number) => number.into_pyobject(py)?.into_any(),
        Value::Real(number) => number.into_pyobject(py)?.into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Blob(bytes) => PyBytes::new(py, bytes).into_any(),
    })
}
