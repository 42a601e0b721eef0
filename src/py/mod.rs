//! The Python extension `telethon_session_rust._core`: thin, and the only code that knows Python.

mod add;
mod entity_class;
mod error;
mod file;
mod flush;
mod guard;
mod log;
mod lookup;
mod make;
mod memory;
mod peer_cache;
mod read;
mod scan;
mod sqlite;
mod string;
mod telethon;
mod value;

use std::time::Duration;

use pyo3::prelude::*;

use crate::{fork, writer};

/// How long the end of the program waits for files that somebody else holds.
const EXIT_LIMIT: Duration = Duration::from_secs(30);

/// The core of telethon-session-rust. Use the classes of the package instead.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::file::FileCore;
    #[pymodule_export]
    use super::keep_for_ever;
    #[pymodule_export]
    use super::memory::MemoryCore;
    #[pymodule_export]
    use super::peer_cache::PeerCacheCore;
    #[pymodule_export]
    use super::scan::EntityScan;
    #[pymodule_export]
    use super::sqlite::SQLiteCore;
    #[pymodule_export]
    use super::string::{data_centre, decode_base64, encode_base64, pack_login, parse_string, unpack_login};

    use super::{Bound, PyModule, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::set_up(module)
    }
}

fn set_up(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    log::set_up();
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(save_everything, module)?,))?;
    let os = py.import("os")?;
    if let Some(register) = os.getattr_opt("register_at_fork")? {
        let hooks = pyo3::types::PyDict::new(py);
        hooks.set_item("before", wrap_pyfunction!(before_fork, module)?)?;
        hooks.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, module)?)?;
        hooks.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, module)?)?;
        register.call((), Some(&hooks))?;
    }
    Ok(())
}

/// At the end of the program: what any session has not saved is written.
#[pyfunction]
fn save_everything(py: Python<'_>) -> PyResult<()> {
    let lost = py.detach(|| writer::save_everything(EXIT_LIMIT));
    flush::end(py);
    log::end(py);
    for what in lost {
        log::say(py, "error", &format!("the program ends and a session could not be saved: {what}"))?;
    }
    Ok(())
}

/// Keeps an object from ever being freed: a connection of the parent's, which the child must not close.
#[pyfunction]
#[pyo3(signature = (object, /))]
fn keep_for_ever(object: Py<PyAny>) {
    std::mem::forget(object);
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
    writer::after_fork_in_child();
}
