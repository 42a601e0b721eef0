//! Whether a function is Telethon's own.

use py_once::intern;
use pyo3::prelude::*;

/// Returns `true` if an object is a function written in Python.
///
/// # Errors
/// If Python has no such type.
pub(crate) fn is_function(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    Ok(object.get_type().is(py.import(intern!(py, "types"))?.getattr(intern!(py, "FunctionType"))?))
}

/// Returns `true` if an object is the function that a module of Telethon defines under this
/// qualified name. A wrapper is not, even if it has the name and the module of what it wraps.
///
/// # Errors
/// What reading the function's attributes raises.
pub(crate) fn is_own(function: &Bound<'_, PyAny>, module: &str, qualname: &str) -> PyResult<bool> {
    let py = function.py();
    if !is_function(function)? {
        return Ok(false);
    }
    let name = qualname.rsplit('.').next().unwrap_or(qualname);
    Ok(function.getattr(intern!(py, "__module__"))?.eq(module)?
        && function.getattr(intern!(py, "__qualname__"))?.eq(qualname)?
        && function.getattr(intern!(py, "__globals__"))?.is(py.import(module)?.dict())
        && function.getattr(intern!(py, "__closure__"))?.is_none()
        && function.getattr(intern!(py, "__code__"))?.getattr(intern!(py, "co_name"))?.eq(name)?)
}
