//! An operation on the network thread, and a thread that wants its result but must not wait for long.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use session_core::store::Waker;

use crate::server::Health;

/// An operation that was begun.
#[derive(Debug)]
pub struct Request<T> {
    receiver: Receiver<T>,
    /// Whether a caller has given up waiting, so that the session must be woken at the end.
    is_awaited_later: Arc<AtomicBool>,
    health: Arc<Health>,
}

/// The operation of a [`Request`] panicked, which is a bug, or the network thread is gone.
#[derive(Debug)]
pub(crate) struct Lost;

impl<T: Send + 'static> Request<T> {
    /// Begins an operation. `waker` is called at its end if a caller has given up waiting for it.
    pub(crate) fn begin(
        handle: &tokio::runtime::Handle,
        health: &Arc<Health>,
        waker: Option<Waker>,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::sync_channel(1);
        let is_awaited_later = Arc::new(AtomicBool::new(false));
        let request = Self { receiver, is_awaited_later: Arc::clone(&is_awaited_later), health: Arc::clone(health) };
        let health = Arc::clone(health);
        // Boxed, or all code of the runtime's tasks would be compiled anew for each operation.
        let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let result = operation.await;
            health.note_answer();
            // The session may be gone.
            let _ = sender.send(result);
            if is_awaited_later.load(Ordering::SeqCst)
                && let Some(waker) = waker
            {
                waker();
            }
        });
        handle.spawn(task);
        request
    }

    /// Continues the operation in `begun`, or begins it. If it does not end within `timeout`, the next
    /// call continues it.
    pub(crate) fn resume(
        begun: &mut Option<Self>,
        timeout: Duration,
        start: impl FnOnce() -> Self,
    ) -> Option<Result<T, Lost>> {
        let request = begun.take().unwrap_or_else(start);
        let result = request.wait(timeout);
        if result.is_none() {
            *begun = Some(request);
        }
        result
    }

    /// Returns the result, waiting at most `timeout` for it; not at all if the server has left another
    /// caller waiting and has not answered since.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Result<T, Lost>> {
        self.wait_for(if self.health.is_silent() { Duration::ZERO } else { timeout })
    }

    /// Returns the result, waiting at most `timeout` for it, also for a server that is slow.
    pub(crate) fn wait_for(&self, timeout: Duration) -> Option<Result<T, Lost>> {
        match self.receiver.recv_timeout(timeout) {
            Ok(result) => return Some(Ok(result)),
            Err(RecvTimeoutError::Disconnected) => return Some(Err(Lost)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !timeout.is_zero() {
            self.health.note_silence();
        }
        self.is_awaited_later.store(true, Ordering::SeqCst);
        // It may have ended just before.
        self.receiver.try_recv().ok().map(Ok)
    }
}
