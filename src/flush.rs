//! `await session.flush()`.

use py_once::intern;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use session_core::error::Result;
use session_core::session::Session;

use crate::error::to_python;
use crate::guard::detached;
use crate::notify;

/// Returns a future of the running event loop that is done when everything the session holds now is
/// stored.
pub(crate) fn flush<'py>(py: Python<'py>, session: &Session) -> PyResult<Bound<'py, PyAny>> {
    let event_loop = py.import(intern!(py, "asyncio"))?.call_method0(intern!(py, "get_running_loop"))?;
    let future = event_loop.call_method0(intern!(py, "create_future"))?;
    let mut promise = Promise(Some((event_loop.unbind(), future.clone().unbind())));
    detached(py, || {
        session.when_saved(Box::new(move |result| promise.resolve(Some(result))));
    })?;
    Ok(future)
}

/// An event loop and a future of it that is not done.
struct Promise(Option<(Py<PyAny>, Py<PyAny>)>);

impl Promise {
    /// Resolves the future, from any thread and without waiting. `None` if there is no result.
    fn resolve(&mut self, result: Option<Result<()>>) {
        if let Some((event_loop, future)) = self.0.take() {
            notify::send(Box::new(move |py| set_done(py, event_loop.bind(py), future, result)));
        }
    }
}

impl Drop for Promise {
    /// A child forgets what its parent's sessions wait for.
    fn drop(&mut self) {
        self.resolve(None);
    }
}

/// Has the event loop set the result of its future.
fn set_done(
    py: Python<'_>,
    event_loop: &Bound<'_, PyAny>,
    future: Py<PyAny>,
    result: Option<Result<()>>,
) -> PyResult<()> {
    let error = match result {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(to_python(error)),
        None => Some(PyRuntimeError::new_err("the process was forked while the session was flushed")),
    };
    let error = error.map(|error| error.into_value(py));
    let set = PyCFunction::new_closure(py, None, None, move |arguments, _| -> PyResult<()> {
        let py = arguments.py();
        let future = future.bind(py);
        // It is done already if the task that awaited it was cancelled.
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        match &error {
            Some(error) => future.call_method1(intern!(py, "set_exception"), (error,)),
            None => future.call_method1(intern!(py, "set_result"), (py.None(),)),
        }
        .map(drop)
    })?;
    match event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (set,)) {
        // The loop is closed, so nothing awaits the future.
        Err(error) if error.is_instance_of::<PyRuntimeError>(py) => Ok(()),
        called => called.map(drop),
    }
}
