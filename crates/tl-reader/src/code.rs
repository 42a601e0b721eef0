//! Compiles source, and compares code.

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Compiles a source of one function and returns its code.
///
/// # Errors
/// What compiling raises.
pub(crate) fn compile<'py>(py: Python<'py>, source: &str) -> PyResult<Bound<'py, PyAny>> {
    let compile = py.import(intern!(py, "builtins"))?.getattr(intern!(py, "compile"))?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "dont_inherit"), true)?;
    let module = compile.call((source, "<plan>", "exec"), Some(&options))?;
    module.getattr(intern!(py, "co_consts"))?.get_item(0)
}

/// Returns `true` if two code objects do the same.
///
/// # Errors
/// What reading and comparing their attributes raises.
pub(crate) fn are_alike(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    const WHAT: [&str; 9] = [
        "co_code",
        "co_names",
        "co_varnames",
        "co_flags",
        "co_argcount",
        "co_kwonlyargcount",
        "co_posonlyargcount",
        "co_cellvars",
        "co_freevars",
    ];
    for name in WHAT {
        if !one.getattr(name)?.eq(other.getattr(name)?)? {
            return Ok(false);
        }
    }
    // Since Python 3.11.
    let (table, others_table) = (one.getattr_opt("co_exceptiontable")?, other.getattr_opt("co_exceptiontable")?);
    if let (Some(table), Some(others_table)) = (table, others_table)
        && !table.eq(others_table)?
    {
        return Ok(false);
    }
    have_same_constants(one, other)
}

/// Compares constants with their types, because `1 == True`.
fn have_same_constants(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    let (constants, others) = (one.getattr("co_consts")?, other.getattr("co_consts")?);
    if !constants.eq(&others)? {
        return Ok(false);
    }
    for (value, others_value) in constants.try_iter()?.zip(others.try_iter()?) {
        if !value?.get_type().is(others_value?.get_type()) {
            return Ok(false);
        }
    }
    Ok(true)
}
