//! The core's log messages, given to Python's `logging`.

use std::thread;

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

/// The name of the logger.
const LOGGER: &str = "telethon_session_rust";

struct ToPython;

impl Log for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(LOGGER)
    }

    /// From a thread of its own: whoever logs must not wait for the interpreter, nor for what a handler does.
    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let method = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug | Level::Trace => "debug",
        };
        let message = record.args().to_string();
        // If there is no thread to be had, or no interpreter any more, nobody is left to be told.
        let _ = thread::Builder::new().name("telethon-session-log".to_owned()).spawn(move || {
            Python::try_attach(|py| {
                if let Err(error) = say(py, method, &message) {
                    error.print(py);
                }
            })
        });
    }

    fn flush(&self) {}
}

/// Logs a message now.
pub(super) fn say(py: Python<'_>, method: &str, message: &str) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", (LOGGER,))?;
    logger.call_method1(method, ("%s", message)).map(drop)
}

/// Has the core's messages go to Python. Another logger that is there already stays.
pub(super) fn set_up() {
    static TO_PYTHON: ToPython = ToPython;
    if log::set_logger(&TO_PYTHON).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
