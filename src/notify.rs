//! The thread that tells Python what happened in the core: log messages, and flushes that are done.
//!
//! The core's threads never wait for the interpreter, nor for what a log handler does.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use pyo3::prelude::*;
use session_core::fork;

use crate::guard::attach_foreign_thread;

/// A notification, made with the GIL held.
pub(crate) type Job = Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>;

#[derive(Default)]
struct Notifier {
    thread: Option<(Sender<Job>, JoinHandle<()>)>,
    /// The fork generation in which the thread was started.
    generation: u64,
    /// Whether the program ends. Then no thread may be in the interpreter: it would be stopped
    /// there.
    is_over: bool,
}

static NOTIFIER: Mutex<Option<Notifier>> = Mutex::new(None);

/// Has the thread run a job, after those before it. Starts the thread if it does not run.
pub(crate) fn send(job: Job) {
    let jobs = with_notifier(|notifier| {
        if notifier.is_over {
            return None;
        }
        if notifier.thread.is_none() {
            notifier.thread = start();
        }
        notifier.thread.as_ref().map(|(jobs, _)| jobs.clone())
    });
    // A job that is not sent is dropped without the lock: that may run Python code.
    if let Some(jobs) = jobs {
        // The thread ends with its channel only.
        let _ = jobs.send(job);
    }
}

/// Runs the jobs so far, and no more after them. Call at the end of the program.
pub(crate) fn end(py: Python<'_>) {
    let thread = with_notifier(|notifier| {
        notifier.is_over = true;
        notifier.thread.take()
    });
    if let Some((jobs, thread)) = thread {
        drop(jobs);
        // A job that panicked has printed why.
        let _ = py.detach(|| thread.join());
    }
}

/// Locks the notifier, for moments only and with the GIL or a fork guard held, so that it is free
/// at a fork.
fn with_notifier<T>(call: impl FnOnce(&mut Notifier) -> T) -> T {
    let mut notifier = NOTIFIER.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = fork::generation();
    if notifier.as_ref().is_some_and(|notifier| notifier.generation != generation) {
        // Not dropped: the thread is the parent's, and so are the jobs.
        std::mem::forget(notifier.take());
    }
    call(notifier.get_or_insert_with(|| Notifier { generation, ..Notifier::default() }))
}

fn start() -> Option<(Sender<Job>, JoinHandle<()>)> {
    let (jobs, received) = channel();
    let thread = thread::Builder::new().name("telethon-session-notify".to_owned());
    // Best effort: if the system has no thread left, Python is not notified.
    thread.spawn(move || run(&received)).ok().map(|thread| (jobs, thread))
}

fn run(jobs: &Receiver<Job>) {
    for job in jobs {
        // Without an interpreter there is nothing to notify.
        let _ = attach_foreign_thread(|py| {
            if let Err(error) = job(py) {
                error.print(py);
            }
        });
    }
}
