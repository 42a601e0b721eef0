//! An SQLite VFS whose locks belong to the open file, not to the process.
//!
//! POSIX locks, which SQLite uses on Unix, belong to the process: two copies of SQLite in one
//! process (Python's own and a bundled one) do not see each other's locks, and whichever closes a
//! file first drops the other's (<https://sqlite.org/howtocorrupt.html>, 2.2.1). Both can corrupt a
//! file. Linux has locks that belong to the open file description (`F_OFD_SETLK`): they conflict
//! with the process's own POSIX locks as with those of other processes, and end only with their own
//! open file. This VFS uses them, on the same bytes, so it does not interfere with any other
//! SQLite, in this process or another.
//!
//! Only the database file ([`file`], [`lock`]) and, in WAL mode, its shared memory ([`shm`]), which
//! holds the locks then, are handled here. Journals and the WAL, which are never locked, stay with
//! SQLite's own VFS. A file can also be claimed as a whole ([`Claim`]), watched for commits
//! ([`Watch`]), and looked at without a connection ([`Peek`]). All unsafe code that SQLite's
//! callbacks take is in `glue`.
#![cfg(target_os = "linux")]

mod claim;
mod file;
mod file_system;
mod glue;
mod lock;
mod open_files;
mod peek;
mod shm;
mod watch;

use std::ffi::CStr;
use std::io;
use std::sync::OnceLock;

pub use claim::{Claim, Claimed};
pub use peek::Peek;
pub use watch::{Mark, Watch};

/// Returns the name of the VFS for `sqlite3_open_v2`. Registers it on the first call.
///
/// # Errors
/// SQLite's result code if it cannot be registered.
pub fn name() -> Result<&'static CStr, i32> {
    const NAME: &CStr = c"unix-ofd";
    static REGISTERED: OnceLock<i32> = OnceLock::new();
    match *REGISTERED.get_or_init(|| glue::register(NAME)) {
        libsqlite3_sys::SQLITE_OK => Ok(NAME),
        code => Err(code),
    }
}

/// Returns why the last database file that this thread failed to open could not be opened. SQLite
/// does not pass on the system's error.
#[must_use]
pub fn take_opening_error() -> Option<io::Error> {
    file::take_opening_error()
}

/// Returns a watch of the database file that this thread opened last; `None` if SQLite's own VFS
/// has opened the file. Call after each opening.
#[must_use]
pub fn take_watch() -> Option<Watch> {
    watch::take_opened()
}

/// Closes the child's copies of all database files and their shared memory. Parent and child would
/// share each other's locks. Call in the child just after a fork, with no call to SQLite under way
/// at the fork.
///
/// The child must not use or close the connections that it inherits; it must forget them.
pub fn after_fork_in_child() {
    open_files::close_all();
}
