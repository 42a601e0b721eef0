//! Functions of `telethon_session_rust.tl_reader`.

use pyo3::prelude::*;
use pyo3::types::PyType;

/// Reads TL natively from now on. Returns why not, if that is not possible.
#[pyfunction]
pub(crate) fn enable_reader(py: Python<'_>) -> PyResult<Option<String>> {
    tl_reader::enable(py)
}

/// Reads TL by Telethon's reader again.
#[pyfunction]
pub(crate) fn disable_reader(py: Python<'_>) -> PyResult<()> {
    tl_reader::disable(py)
}

/// Returns `True` if TL is read natively.
#[pyfunction]
pub(crate) fn is_reader_enabled(py: Python<'_>) -> PyResult<bool> {
    tl_reader::is_enabled(py)
}

/// Returns why objects of a TL class are left to Telethon's reader.
#[pyfunction]
#[pyo3(signature = (cls, /))]
pub(crate) fn explain_reader(cls: &Bound<'_, PyType>) -> PyResult<Option<String>> {
    tl_reader::explain(cls)
}
