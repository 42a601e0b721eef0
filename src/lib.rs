//! The Python extension `telethon_session_rust._core`: Telethon's objects to entities and back.
//!
//! Together with `attr-cache` and `tl-reader` the only code that knows Python. Everything else is done by
//! `session-core` and the stores.

mod add;
mod aliases;
mod backup;
mod bounds;
mod encryption;
mod entity_class;
mod entity_file;
mod error;
mod flush;
mod fork_hooks;
mod guard;
mod key_lock;
mod known;
mod log;
mod lookup;
mod make;
mod memory;
mod notify;
mod peer_cache;
mod read;
mod remote;
mod scan;
mod sqlite;
mod stored;
mod string;
mod telethon;
mod tl_reader;
mod username;
mod value;

use std::time::Duration;

use pyo3::prelude::*;
use session_core::writer;

/// How long the end of the program waits for files that another program holds.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The core of telethon-session-rust. Use the classes of the package instead.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::backup::{BackupStop, copy_file};
    #[pymodule_export]
    use super::bounds::set_max_entities;
    #[pymodule_export]
    use super::encryption::{decrypt_key, encrypt_key, is_encrypted};
    #[pymodule_export]
    use super::entity_file::EntityFileCore;
    #[pymodule_export]
    use super::flush_all;
    #[pymodule_export]
    use super::fork_hooks::leak;
    #[pymodule_export]
    use super::key_lock::KeyLock;
    #[pymodule_export]
    use super::memory::MemoryCore;
    #[pymodule_export]
    use super::memory::Unanswered;
    #[pymodule_export]
    use super::peer_cache::PeerCacheCore;
    #[pymodule_export]
    use super::remote::{RemoteCore, list_sessions, public_url};
    #[pymodule_export]
    use super::scan::EntityScan;
    #[pymodule_export]
    use super::sqlite::{SQLiteCore, usernames_table};
    #[pymodule_export]
    use super::stored::StoredCore;
    #[pymodule_export]
    use super::string::string_letters;
    #[pymodule_export]
    use super::string::{data_centre, decode_base64, encode_base64, pack_string, parse_string, unpack_string};
    #[pymodule_export]
    use super::tl_reader::{disable_reader, enable_reader, explain_reader, is_reader_enabled};

    use super::{Bound, PyModule, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::set_up(module)
    }
}

fn set_up(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    log::set_up();
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(flush_all, module)?,))?;
    fork_hooks::register(module)
}

/// Writes, at the end of the process, what any session has not saved.
#[pyfunction]
fn flush_all(py: Python<'_>) -> PyResult<()> {
    let lost = py.detach(|| writer::flush_all(EXIT_TIMEOUT));
    notify::end(py);
    for what in lost {
        log::emit(py, "error", &format!("the program ends and a session could not be saved: {what}"))?;
    }
    Ok(())
}
