//! Python's hooks around a fork.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use session_core::fork;

/// Registers the hooks, where the system can fork.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? else { return Ok(()) };
    let hooks = PyDict::new(py);
    hooks.set_item("before", wrap_pyfunction!(before_fork, module)?)?;
    hooks.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, module)?)?;
    hooks.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, module)?)?;
    register.call((), Some(&hooks)).map(drop)
}

#[pyfunction]
fn before_fork(py: Python<'_>) {
    py.detach(fork::before);
}

#[pyfunction]
fn after_fork_in_parent() {
    fork::after_in_parent();
}

#[pyfunction]
fn after_fork_in_child() {
    fork::after_in_child();
}

/// Keeps an object from ever being freed: a connection of the parent's, which the child must not
/// close.
#[pyfunction]
#[pyo3(signature = (object, /))]
pub(crate) fn leak(object: Py<PyAny>) {
    std::mem::forget(object);
}
