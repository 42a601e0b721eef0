//! An SQLite VFS whose locks belong to the open file, not to the process.
//!
//! POSIX locks, which SQLite uses on Unix, belong to the process: two copies of SQLite in one
//! process (Python's own and a bundled one) do not see each other's, and whichever closes a file
//! first drops the other's (<https://sqlite.org/howtocorrupt.html>, 2.2.1). Both make whole files
//! malformed ones. Linux has locks that belong to the open file description (`F_OFD_SETLK`): they
//! stand against the process's own POSIX locks as against anybody's, and only their own file's end
//! ends them. This VFS takes those, on the same bytes, so it keeps out of the way of any other
//! SQLite, in this process or another, and any other of its.
//!
//! Only the database file is handled here ([`file`], [`lock`]), and the shared memory that goes
//! with it in WAL mode ([`shm`]), in which its locks are then. Journals, the WAL and all else,
//! which are never locked, stay with SQLite's own VFS. A file can also be claimed as a whole
//! ([`Claim`]). All unsafe code is in `glue`, which SQLite calls.
#![cfg(target_os = "linux")]

mod claim;
mod file;
mod glue;
mod lock;
mod open_files;
mod shm;

use std::ffi::CStr;
use std::io;
use std::sync::OnceLock;

pub use claim::{Claim, Claimed};

/// The name of the VFS, for `sqlite3_open_v2`. It is registered on the first call.
///
/// # Errors
/// SQLite's result code where it does not take it.
pub fn name() -> Result<&'static CStr, i32> {
    const NAME: &CStr = c"unix-ofd";
    static REGISTERED: OnceLock<i32> = OnceLock::new();
    match *REGISTERED.get_or_init(|| glue::register(NAME)) {
        libsqlite3_sys::SQLITE_OK => Ok(NAME),
        code => Err(code),
    }
}

/// Why the last database file that this thread could not open could not be opened, in the system's words. SQLite keeps it to itself.
#[must_use]
pub fn take_opening_error() -> Option<io::Error> {
    file::take_opening_error()
}

/// To be called in the child just after a fork, with no call to SQLite under way at the fork: closes the child's copies of all
/// database files and their shared memory. Parent and child would share each other's locks.
///
/// The child must not use, and may not close but may forget, the connections that it inherits.
pub fn after_fork_in_child() {
    open_files::close_all();
}
