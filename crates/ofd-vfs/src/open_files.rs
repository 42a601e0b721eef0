//! The database files that are open, and those that should be closed but cannot be yet.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::lock::{self, Attempt, Level, Lock};

/// An open file; `None` in a child, which has closed its copy.
pub(crate) type Shared = Arc<Mutex<Option<File>>>;

static OPEN: Mutex<Vec<Weak<Mutex<Option<File>>>>> = Mutex::new(Vec::new());
static TO_BE_CLOSED: Mutex<Vec<File>> = Mutex::new(Vec::new());

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps an open file.
pub(crate) fn add(file: File) -> Shared {
    let shared = Arc::new(Mutex::new(Some(file)));
    let mut open = locked(&OPEN);
    if open.len() == open.capacity() {
        open.retain(|file| file.strong_count() > 0);
    }
    open.push(Arc::downgrade(&shared));
    shared
}

/// Closes a file, and those that could not be closed before.
///
/// With any descriptor of a file the process loses its POSIX locks of it, such as Python's own SQLite may have. So a file is
/// closed while we alone have it locked, and until then it is kept.
pub(crate) fn close(file: File) {
    let mut waiting = locked(&TO_BE_CLOSED);
    waiting.push(file);
    waiting.retain(|file| !is_free_to_be_closed(file));
}

/// Closes those that could not be closed before.
pub(crate) fn close_waiting() {
    locked(&TO_BE_CLOSED).retain(|file| !is_free_to_be_closed(file));
}

/// If so, it stays locked until it is closed.
fn is_free_to_be_closed(file: &File) -> bool {
    let mut lock = Lock::default();
    match lock.raise(file, Level::Exclusive) {
        Ok(Attempt::Locked) => true,
        Ok(Attempt::Busy) => lock.lower(file, Level::None).is_err(),
        // Opened for reading only: such a file cannot be locked for writing.
        Err(_) => !lock::has_others(file).unwrap_or(false),
    }
}

/// In a child: closes all. Nothing is unlocked by it, for the parent has the same open files.
pub(crate) fn close_all() {
    for file in std::mem::take(&mut *locked(&OPEN)) {
        if let Some(file) = file.upgrade() {
            locked(&file).take();
        }
    }
    locked(&TO_BE_CLOSED).clear();
}
