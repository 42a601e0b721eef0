//! Calls into the core. A panic there is a bug; it must not end the caller's program, so it becomes
//! a `RuntimeError`, and the session remains usable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use py_once::intern;
use pyo3::prelude::*;
use session_core::error::{Error, Result};
use session_core::fork;
use session_core::session::KeepWaiting;

use crate::error;

/// Calls the core with the GIL held. The call must not wait.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| error::to_python(Error::from_panic(panic.as_ref())))
}

/// Calls the core without the GIL, where it may wait.
pub(crate) fn detached<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> PyResult<T> {
    guarded(|| py.detach(call))
}

/// Calls the core without the GIL, where it may wait for a lock. Ctrl-C, or a signal whose handler
/// raises, ends the wait.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    call: impl FnOnce(KeepWaiting<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    const CHECK_INTERVAL: Duration = Duration::from_millis(100);
    let mut raised = None;
    let result = detached(py, || {
        let mut checked = Instant::now();
        call(&mut || {
            if checked.elapsed() >= CHECK_INTERVAL {
                let signals = |py: Python<'_>| py.check_signals();
                raised = Python::attach(signals).err();
                checked = Instant::now();
            }
            raised.is_none()
        })
    });
    match raised {
        Some(error) => Err(error),
        None => result?.map_err(error::to_python),
    }
}

/// Attaches a thread that Python did not start to the interpreter; `None` if there is none any
/// more.
///
/// Attaching takes a lock of the interpreter. A fork must not find it taken: up to Python 3.11 the
/// child would wait for it forever. The guard delays the fork.
pub(crate) fn attach_foreign_thread<T>(call: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let guard = fork::guard();
    Python::try_attach(|py| {
        drop(guard);
        call(py)
    })
}

/// Returns `true` if an event loop runs on this thread, which must not be blocked.
pub(crate) fn is_in_event_loop(py: Python<'_>) -> PyResult<bool> {
    Ok(!py.import(intern!(py, "asyncio"))?.call_method0(intern!(py, "_get_running_loop"))?.is_none())
}
