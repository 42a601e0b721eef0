//! Python's values in SQLite's statements.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyString};

use crate::store::Value;

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
    } else if let Ok(bytes) = object.extract::<Vec<u8>>() {
        Ok(Value::Blob(bytes))
    } else {
        let class = object.get_type();
        Err(PyTypeError::new_err(format!("a statement takes no value of type {}", class.name()?)))
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
