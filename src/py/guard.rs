//! Calls into the core. A panic there is our own mistake; it must not take down whoever calls, so it becomes a `RuntimeError`, and
//! the session can be used as before.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

use crate::error::Error;

/// Calls the core, with the interpreter's lock held: it must not wait.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| Error::from_panic(panic.as_ref()).into())
}

/// Calls the core without the interpreter's lock, where it may wait.
pub(super) fn detached<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> PyResult<T> {
    guarded(|| py.detach(call))
}
