//! The core's log messages, given to Python's `logging`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

use super::guard::attach_foreign_thread;
use crate::fork;

/// The name of the logger.
const LOGGER: &str = "telethon_session_rust";

struct ToPython;

/// The threads that are giving messages to Python.
struct Speakers {
    /// The number of forks when they began: a child has none of its parent's threads.
    generation: u64,
    threads: Vec<JoinHandle<()>>,
    /// Whether the program ends. No thread may be in the interpreter then: it would be torn out of our code.
    is_over: bool,
}

static SPEAKERS: Mutex<Speakers> = Mutex::new(Speakers { generation: 0, threads: Vec::new(), is_over: false });

fn speakers() -> MutexGuard<'static, Speakers> {
    let mut speakers = SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner);
    if speakers.generation != fork::generation() {
        std::mem::forget(std::mem::take(&mut speakers.threads));
        speakers.generation = fork::generation();
    }
    speakers
}

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
        let mut speakers = speakers();
        if speakers.is_over {
            return;
        }
        speakers.threads.retain(|thread| !thread.is_finished());
        let speak = move || {
            // If there is no interpreter any more, nobody is left to be told.
            let _ = attach_foreign_thread(|py| {
                if let Err(error) = say(py, method, &message) {
                    error.print(py);
                }
            });
        };
        let thread = thread::Builder::new().name("telethon-session-log".to_owned());
        speakers.threads.extend(thread.spawn(speak));
    }

    fn flush(&self) {}
}

/// Logs a message now.
pub(super) fn say(py: Python<'_>, method: &str, message: &str) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", (LOGGER,))?;
    logger.call_method1(method, ("%s", message)).map(drop)
}

/// Waits until what was said has been heard, and says no more from other threads.
pub(super) fn end(py: Python<'_>) {
    let threads = {
        let mut speakers = speakers();
        speakers.is_over = true;
        std::mem::take(&mut speakers.threads)
    };
    py.detach(|| threads.into_iter().for_each(|thread| drop(thread.join())));
}

/// Has the core's messages go to Python. Another logger that is there already stays.
pub(super) fn set_up() {
    static TO_PYTHON: ToPython = ToPython;
    if log::set_logger(&TO_PYTHON).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
