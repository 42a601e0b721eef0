//! The core's log messages, passed on to Python's `logging`.

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

use crate::notify;

/// The name of Python's logger.
const LOGGER: &str = "telethon_session_rust";
/// The crates whose messages are passed on.
const CRATES: [&str; 8] =
    [LOGGER, "sealed", "session_core", "store_mongodb", "store_net", "store_redis", "store_sql", "store_sqlite"];

struct ToPython;

impl Log for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let name = metadata.target().split("::").next();
        name.is_some_and(|name| CRATES.contains(&name))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug | Level::Trace => "debug",
        };
        let message = record.args().to_string();
        notify::send(Box::new(move |py| emit(py, level, &message)));
    }

    fn flush(&self) {}
}

/// Logs a message now, at the level with this name.
pub(crate) fn emit(py: Python<'_>, level: &str, message: &str) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", (LOGGER,))?;
    logger.call_method1(level, ("%s", message)).map(drop)
}

/// Passes the core's messages on to Python, unless the process has another logger already.
pub(crate) fn set_up() {
    static TO_PYTHON: ToPython = ToPython;
    if log::set_logger(&TO_PYTHON).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
