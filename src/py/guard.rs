//! Calls into the core. A panic there is our own mistake; it must not take down whoever calls, so it becomes a `RuntimeError`, and
//! the session can be used as before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::fork;
use crate::session::Patience;

/// Calls the core, with the interpreter's lock held: it must not wait.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| Error::from_panic(panic.as_ref()).into())
}

/// Attaches a thread that is not Python's own to the interpreter; `None` if there is none any more.
///
/// To be attached for the first time it takes a lock of the interpreter's that a fork must not find taken: up to Python 3.11
/// a child would wait for it for ever. So nobody forks in that moment.
pub(super) fn attach_foreign_thread<T>(call: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let working = fork::working();
    Python::try_attach(|py| {
        drop(working);
        call(py)
    })
}

/// Calls the core without the interpreter's lock, where it may wait.
pub(super) fn detached<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> PyResult<T> {
    guarded(|| py.detach(call))
}

/// Calls what may wait for a lock, without the interpreter's. Ctrl-C, or a signal whose handler raises, ends the waiting.
pub(super) fn patiently<T: Send>(py: Python<'_>, call: impl FnOnce(Patience<'_>) -> Result<T> + Send) -> PyResult<T> {
    const ASK_EVERY: Duration = Duration::from_millis(100);
    let mut raised = None;
    let result = detached(py, || {
        let mut asked = Instant::now();
        call(&mut || {
            if asked.elapsed() >= ASK_EVERY {
                let signals = |py: Python<'_>| py.check_signals();
                raised = Python::attach(signals).err();
                asked = Instant::now();
            }
            raised.is_none()
        })
    });
    match raised {
        Some(error) => Err(error),
        None => Ok(result??),
    }
}

/// Whether an event loop runs on this thread, which must not be held up.
pub(super) fn is_in_event_loop(py: Python<'_>) -> PyResult<bool> {
    Ok(!py.import(intern!(py, "asyncio"))?.call_method0(intern!(py, "_get_running_loop"))?.is_none())
}
