//! `await session.flush()`.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_executor::ThreadPool;
use futures_util::FutureExt as _;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{ContextExt, JoinError, Runtime, future_into_py};

use super::guard::{attach_foreign_thread, detached};
use crate::fork;
use crate::session::Session;

/// An awaitable that is done when everything the session holds now is on disk.
pub(super) fn flush<'py>(py: Python<'py>, session: &Session) -> PyResult<Bound<'py, PyAny>> {
    let (tell, told) = oneshot::channel();
    detached(py, || {
        session.when_saved(Box::new(move |result| {
            // Nobody listens any more if the task that awaited was cancelled.
            let _ = tell.send(result);
        }));
    })?;
    future_into_py::<Waiting, _, ()>(py, async move {
        match told.await {
            Ok(result) => Ok(result?),
            Err(oneshot::Canceled) => Err(PyRuntimeError::new_err("the session was forked away while it was flushed")),
        }
    })
}

/// What runs the awaitables: one thread for the process, which only passes on what the writer says.
struct Waiting;

struct Pool {
    /// The number of forks when it was made: a child needs its own.
    generation: u64,
    thread: ThreadPool,
    /// How many futures are not done.
    busy: Arc<AtomicUsize>,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

fn spawn_on_pool(future: impl Future<Output = ()> + Send + 'static) {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = fork::generation();
    if pool.as_ref().is_none_or(|pool| pool.generation != generation) {
        // The parent's is not dropped: its thread is not here to be told.
        std::mem::forget(pool.take());
        let builder = ThreadPool::builder().pool_size(1).name_prefix("telethon-session-flush-").create();
        *pool = builder.ok().map(|thread| Pool { generation, thread, busy: Arc::default() });
    }
    match &*pool {
        Some(Pool { thread, busy, .. }) => {
            let busy = Arc::clone(busy);
            busy.fetch_add(1, Ordering::AcqRel);
            let mut future = Box::pin(future);
            // It attaches to the interpreter when it is done, which the thread must be already then.
            let attached = poll_fn(move |context| {
                let waker = context.waker().clone();
                let mut turn = || future.as_mut().poll(&mut Context::from_waker(&waker));
                attach_foreign_thread(|py| py.detach(&mut turn)).unwrap_or(Poll::Ready(()))
            });
            thread.spawn_ok(async move {
                attached.await;
                busy.fetch_sub(1, Ordering::AcqRel);
            });
        }
        // The system has no thread for us: wait here.
        None => futures_executor::block_on(future),
    }
}

/// At the end of the program: waits until the thread has told all that is done, for it must not be in the interpreter then.
pub(super) fn end(py: Python<'_>) {
    const LIMIT: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(1);
    let begun = Instant::now();
    let is_busy = || {
        let pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = pool.as_ref().filter(|pool| pool.generation == fork::generation());
        ours.is_some_and(|pool| pool.busy.load(Ordering::Acquire) > 0)
    };
    py.detach(|| {
        while is_busy() && begun.elapsed() < LIMIT {
            std::thread::sleep(PAUSE);
        }
    });
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
