//! What SQLite calls for WAL mode: shared memory, and its locks.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{Ordering, fence};

use libsqlite3_sys as ffi;

use super::with_file;
use crate::lock::{Attempt, LockState};
use crate::shm::{Failure, Mapped, SLOTS};

pub(super) unsafe extern "C" fn map(
    place: *mut ffi::sqlite3_file,
    index: c_int,
    size: c_int,
    may_extend: c_int,
    memory: *mut *mut c_void,
) -> c_int {
    let (Ok(index), Ok(size)) = (usize::try_from(index), usize::try_from(size)) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    let mut found = ptr::null_mut();
    // SAFETY: the file was opened here and is open.
    let code = unsafe {
        with_file(place, |file| {
            // SQLite must know a read-only memory as such, even when mapping works.
            let usable = |is_writable| if is_writable { ffi::SQLITE_OK } else { ffi::SQLITE_READONLY };
            match file.map_shared(index, size, may_extend != 0) {
                Ok(Some(Mapped::At(address, is_writable))) => {
                    found = address.cast();
                    usable(is_writable)
                }
                Ok(Some(Mapped::NotThere(is_writable))) => usable(is_writable),
                Ok(Some(Mapped::Busy)) => ffi::SQLITE_BUSY,
                Ok(Some(Mapped::Unreliable)) => ffi::SQLITE_READONLY_CANTINIT,
                Ok(None) => ffi::SQLITE_READONLY_DBMOVED,
                Err(Failure::Open(_)) => ffi::SQLITE_CANTOPEN,
                Err(Failure::Size(_)) => ffi::SQLITE_IOERR_SHMSIZE,
                Err(Failure::Lock(_)) => ffi::SQLITE_IOERR_LOCK,
                Err(Failure::Map(_)) => ffi::SQLITE_IOERR_SHMMAP,
            }
        })
    };
    // SAFETY: SQLite wants the answer there. The region stays mapped until `unmap`.
    unsafe { *memory = found };
    code
}

pub(super) unsafe extern "C" fn lock(place: *mut ffi::sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    let (Ok(first), Ok(count)) = (u8::try_from(first), u8::try_from(count)) else { return ffi::SQLITE_IOERR_SHMLOCK };
    if first.checked_add(count).is_none_or(|end| end > SLOTS) {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    let how = if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        LockState::Unlocked
    } else if flags & ffi::SQLITE_SHM_SHARED != 0 {
        LockState::Shared
    } else {
        LockState::Exclusive
    };
    // SAFETY: the file was opened here and is open.
    unsafe {
        with_file(place, |file| match file.lock_shared(first, count, how) {
            Ok(Some(Attempt::Locked)) => ffi::SQLITE_OK,
            Ok(Some(Attempt::Busy)) => ffi::SQLITE_BUSY,
            Ok(None) => ffi::SQLITE_READONLY_DBMOVED,
            Err(_) => ffi::SQLITE_IOERR_SHMLOCK,
        })
    }
}

/// Orders all earlier reads and writes before all later ones.
pub(super) unsafe extern "C" fn barrier(_place: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

pub(super) unsafe extern "C" fn unmap(place: *mut ffi::sqlite3_file, remove: c_int) -> c_int {
    // SAFETY: the file was opened here and is open. SQLite does not use any of the addresses any
    // more.
    unsafe {
        with_file(place, |file| {
            file.unmap_shared(remove != 0);
            ffi::SQLITE_OK
        })
    }
}
