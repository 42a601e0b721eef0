//! The files that are open, and those that should be closed but cannot be yet.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use crate::lock::{self, Attempt, Bytes};

/// An open file; `None` in a child, which has closed its copy.
pub(crate) type Shared = Arc<Mutex<Option<File>>>;

/// A file that is open for nothing any more.
struct Unused {
    file: File,
    is_writable: bool,
    /// What SQLite locks of such a file.
    bytes: Bytes,
}

static OPEN: Mutex<Vec<Weak<Mutex<Option<File>>>>> = Mutex::new(Vec::new());
static TO_BE_CLOSED: Mutex<Vec<Unused>> = Mutex::new(Vec::new());

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

/// Closes a file that has no locks any more, and those that could not be closed before.
///
/// With any descriptor of a file the process loses its POSIX locks of it, such as Python's own
/// SQLite may have. So a file is closed while no other open file has any of `bytes` locked, and
/// until then it is kept.
pub(crate) fn close(file: File, is_writable: bool, bytes: Bytes) {
    let mut waiting = locked(&TO_BE_CLOSED);
    waiting.push(Unused { file, is_writable, bytes });
    waiting.retain(|unused| !unused.can_be_closed());
}

/// Closes those that could not be closed before.
pub(crate) fn close_waiting() {
    locked(&TO_BE_CLOSED).retain(|unused| !unused.can_be_closed());
}

/// Returns a file that could not be closed before, if it is the one at `path` and the process may
/// still open it so. A file in WAL mode stays locked as long as anyone has it open: without this,
/// each opening would cost another descriptor.
pub(crate) fn take_waiting(path: &Path, is_writable: bool) -> Option<File> {
    let mut waiting = locked(&TO_BE_CLOSED);
    if waiting.is_empty() {
        return None;
    }
    let wanted = fs::symlink_metadata(path).ok()?;
    let at = waiting.iter().position(|unused| {
        let found = unused.file.metadata();
        unused.is_writable == is_writable
            && found.is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
    })?;
    let access = if is_writable { AccessFlags::R_OK | AccessFlags::W_OK } else { AccessFlags::R_OK };
    faccessat(AT_FDCWD, path, access, AtFlags::AT_EACCESS).ok()?;
    Some(waiting.swap_remove(at).file)
}

impl Unused {
    /// If so, it is locked until it is closed, so that no other file of this process can be in
    /// between.
    fn can_be_closed(&self) -> bool {
        match lock::exclude(&self.file, self.bytes) {
            Ok(attempt) => attempt == Attempt::Locked,
            // Opened for reading only: such a file cannot be locked for writing.
            Err(_) => !lock::has_others(&self.file, self.bytes).unwrap_or(false),
        }
    }
}

/// In a child: closes all. Nothing is unlocked by it, because the parent has the files open too.
pub(crate) fn close_all() {
    for file in std::mem::take(&mut *locked(&OPEN)) {
        if let Some(file) = file.upgrade() {
            locked(&file).take();
        }
    }
    locked(&TO_BE_CLOSED).clear();
}
