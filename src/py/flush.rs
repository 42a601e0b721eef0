//! `await session.flush()`.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_channel::oneshot;
use futures_executor::ThreadPool;
use futures_util::FutureExt as _;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{ContextExt, JoinError, Runtime, future_into_py};

use crate::fork;
use crate::session::Session;

/// An awaitable that is done when everything the session holds now is on disk.
pub(super) fn flush<'py>(py: Python<'py>, session: &Session) -> PyResult<Bound<'py, PyAny>> {
    let (tell, told) = oneshot::channel();
    py.detach(|| {
        session.when_saved(Box::new(move |result| {
            // Nobody listens any more if the task that awaited was cancelled.
            let _ = tell.send(result);
        }));
    });
    future_into_py::<Waiting, _, ()>(py, async move {
        match told.await {
            Ok(result) => Ok(result?),
            Err(oneshot::Canceled) => Err(PyRuntimeError::new_err("the session was forked away while it was flushed")),
        }
    })
}

/// What runs the awaitables: one thread for the process, which only passes on what the writer says.
struct Waiting;

/// The pool, and the number of forks when it was made: a child needs its own.
static POOL: Mutex<Option<(u64, ThreadPool)>> = Mutex::new(None);

fn spawn_on_pool(future: impl Future<Output = ()> + Send + 'static) {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if pool.as_ref().is_none_or(|(generation, _)| *generation != fork::generation()) {
        // The parent's is not dropped: its thread is not here to be told.
        std::mem::forget(pool.take());
        *pool = ThreadPool::builder()
            .pool_size(1)
            .name_prefix("telethon-session-flush-")
            .create()
            .ok()
            .map(|pool| (fork::generation(), pool));
    }
    match &*pool {
        Some((_, pool)) => pool.spawn_ok(future),
        // The system has no thread for us: wait here.
        None => futures_executor::block_on(future),
    }
}

/// A panic in a task.
struct Panic(Box<dyn std::any::Any + Send>);

impl JoinError for Panic {
    fn is_panic(&self) -> bool {
        true
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send> {
        self.0
    }
}

impl Runtime for Waiting {
    type JoinError = Panic;
    type JoinHandle = Pin<Box<dyn Future<Output = Result<(), Panic>> + Send>>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Self::JoinHandle {
        let (tell, told) = oneshot::channel();
        spawn_on_pool(async move {
            let result = AssertUnwindSafe(future).catch_unwind().await;
            let _ = tell.send(result.map_err(Panic));
        });
        Box::pin(async { told.await.unwrap_or_else(|gone| Err(Panic(Box::new(gone)))) })
    }

    fn spawn_blocking<F: FnOnce() + Send + 'static>(call: F) -> Self::JoinHandle {
        Self::spawn(async move { call() })
    }
}

impl ContextExt for Waiting {
    /// Our futures call no Python, so nothing asks for the locals.
    fn scope<F, R>(_locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(future)
    }

    fn get_task_locals() -> Option<TaskLocals> {
        None
    }
}
