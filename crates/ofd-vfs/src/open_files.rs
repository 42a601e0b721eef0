//! The files that are open, and those that are to be closed but cannot be yet.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use crate::lock::{self, Attempt, Bytes};

/// An open file; `None` in a child, which has closed its copy.
pub(crate) type Shared = Arc<Mutex<Option<File>>>;

/// A file that is not used any more.
struct Unused {
    file: File,
    is_writable: bool,
    /// The bytes that SQLite locks of such a file.
    bytes: Bytes,
}

static OPEN: Mutex<Vec<Weak<Mutex<Option<File>>>>> = Mutex::new(Vec::new());
static TO_BE_CLOSED: Mutex<Vec<Unused>> = Mutex::new(Vec::new());

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers an open file.
pub(crate) fn add(file: File) -> Shared {
    let shared = Arc::new(Mutex::new(Some(file)));
    let mut open = locked(&OPEN);
    if open.len() == open.capacity() {
        open.retain(|file| file.strong_count() > 0);
    }
    open.push(Arc::downgrade(&shared));
    shared
}

/// Closes a file that has no locks any more, and earlier ones that could not be closed.
///
/// Closing any descriptor of a file drops the process's POSIX locks of it, such as those of
/// Python's own SQLite. So a file is closed only while no other open file has any of `bytes`
/// locked, and is kept until then.
pub(crate) fn close(file: File, is_writable: bool, bytes: Bytes) {
    let mut waiting = locked(&TO_BE_CLOSED);
    waiting.push(Unused { file, is_writable, bytes });
    waiting.retain(|unused| !unused.can_be_closed());
}

/// Closes files that could not be closed before.
pub(crate) fn close_waiting() {
    locked(&TO_BE_CLOSED).retain(|unused| !unused.can_be_closed());
}

/// Returns a file that could not be closed before, if it is the one at `path` and the process may
/// still open it in this mode. A file in WAL mode stays locked as long as any connection has it
/// open: without this, each opening would cost another descriptor.
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
    /// Returns `true` if the file can be closed. It is locked until then, so that no other file of
    /// this process can lock it in between.
    fn can_be_closed(&self) -> bool {
        match lock::exclude(&self.file, self.bytes) {
            Ok(attempt) => attempt == Attempt::Locked,
            // OpenOutcome for reading only: such a file cannot be locked for writing.
            Err(_) => !lock::has_others(&self.file, self.bytes).unwrap_or(false),
        }
    }
}

/// Closes all files, in a child. This unlocks nothing, because the parent has the files open too.
pub(crate) fn close_all() {
    for file in std::mem::take(&mut *locked(&OPEN)) {
        if let Some(file) = file.upgrade() {
            locked(&file).take();
        }
    }
    locked(&TO_BE_CLOSED).clear();
}
