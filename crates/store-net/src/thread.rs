//! The network thread: one for all servers, started when it is first needed.
//!
//! It drives a single-threaded runtime all the time, because connections and monitors of client
//! libraries work by themselves. After a fork the child starts its own. It never drops anything of
//! the parent's: that could say goodbye on a connection that the parent uses.

use std::future::{Future, pending};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use session_core::fork;
use tokio::runtime::{Builder, Handle};

/// The runtime of this process, and the fork generation in which it was made.
static RUNTIME: Mutex<Option<(u64, Handle)>> = Mutex::new(None);

/// Returns the runtime on the network thread. Starts the thread if it does not run.
///
/// Call with the GIL or a fork guard held.
///
/// # Errors
/// What prevents the thread from being started.
pub fn handle() -> io::Result<Handle> {
    let mut runtime: MutexGuard<'_, _> = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = fork::generation();
    match &*runtime {
        Some((made_in, handle)) if *made_in == generation => Ok(handle.clone()),
        _ => {
            let handle = start()?;
            // The parent's is not dropped.
            std::mem::forget(runtime.replace((generation, handle.clone())));
            Ok(handle)
        }
    }
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name("telethon-session-net".to_owned()).spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}

/// Drops a value on the network thread: connections must be closed where they live. After a fork it is
/// forgotten, because it belongs to the parent.
pub(crate) fn drop_there<T: Send + 'static>(value: T, handle: &Handle, generation: u64) {
    if generation == fork::generation() {
        handle.spawn(async move { drop(value) });
    } else {
        std::mem::forget(value);
    }
}

/// Runs a future on the network thread. For tests and tools that may block.
///
/// # Errors
/// What prevents the thread from being started.
///
/// # Panics
/// If the future panics.
pub fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    handle()?.spawn(async move {
        let _ = sender.send(future.await);
    });
    receiver.recv().map_err(|_| io::Error::other("the operation panicked"))
}
