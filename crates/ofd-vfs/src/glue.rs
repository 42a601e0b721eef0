//! What SQLite calls: a table of functions, each of which finds its [`DatabaseFile`] and calls it.
//!
//! The code relies on SQLite's promises (<https://sqlite.org/c3ref/vfs.html>, `io_methods.html`):
//! the memory for a file is `szOsFile` bytes, the file's own until after `xClose`; a file is used
//! by one thread at a time; pointers to results and buffers are valid and of the given length;
//! nothing is called for a file whose `pMethods` is null.

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{ptr, slice};

use libsqlite3_sys as ffi;
use nix::errno::Errno;

use crate::file::{DatabaseFile, Mode, OpenOutcome};
use crate::lock::{Attempt, Level};

mod wal;

/// The memory of an open file: SQLite's part first.
#[repr(C)]
struct Place {
    base: ffi::sqlite3_file,
    file: *mut DatabaseFile,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(wal::map),
    xShmLock: Some(wal::lock),
    xShmBarrier: Some(wal::barrier),
    xShmUnmap: Some(wal::unmap),
    // From version 3 on, for reading through mapped memory.
    xFetch: None,
    xUnfetch: None,
};

/// Registers the VFS, which is SQLite's own except for opening database files. Returns SQLite's
/// result code.
pub(crate) fn register(name: &'static CStr) -> c_int {
    // SAFETY: null asks for the default VFS, which is never freed.
    let Some(own) = (unsafe { ffi::sqlite3_vfs_find(ptr::null()).as_ref() }) else { return ffi::SQLITE_ERROR };
    let Ok(size) = c_int::try_from(size_of::<Place>()) else { return ffi::SQLITE_ERROR };
    // Leaked: SQLite keeps it as long as the program runs.
    let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
        pNext: ptr::null_mut(),
        zName: name.as_ptr(),
        szOsFile: size.max(own.szOsFile),
        xOpen: Some(open),
        ..*own
    }));
    // SAFETY: the table and the name live as long as the program, and the functions have the types
    // that SQLite expects.
    unsafe { ffi::sqlite3_vfs_register(vfs, 0) }
}

/// Keeps a panic from unwinding into SQLite.
fn guarded(call: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(ffi::SQLITE_INTERNAL)
}

/// Returns the result code of an operation on a file.
fn code(result: io::Result<()>, otherwise: c_int) -> c_int {
    result.map_or(otherwise, |()| ffi::SQLITE_OK)
}

/// Calls `call` with the file at `place`.
///
/// # Safety
/// `place` must be that of a file that [`open`] opened here and that is not closed.
unsafe fn with_file(place: *mut ffi::sqlite3_file, call: impl FnOnce(&mut DatabaseFile) -> c_int) -> c_int {
    guarded(|| {
        // SAFETY: `open` has put a box there, and SQLite uses a file from one thread at a time.
        match unsafe { place.cast::<Place>().as_ref().and_then(|place| place.file.as_mut()) } {
            Some(file) => call(file),
            None => ffi::SQLITE_MISUSE,
        }
    })
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    place: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite has made room for a file at `place`; without methods it counts as not open.
    unsafe { (*place).pMethods = ptr::null() };
    if flags & ffi::SQLITE_OPEN_MAIN_DB == 0 || name.is_null() {
        // SAFETY: these are the arguments that SQLite passed.
        return unsafe { open_with_sqlites_own(name, place, flags, out_flags) };
    }
    let mut opened = Err(io::Error::other("not tried"));
    // SAFETY: a name that is not null is a C string.
    let path = unsafe { CStr::from_ptr(name) }.to_bytes();
    let mode = Mode {
        writable: flags & ffi::SQLITE_OPEN_READWRITE != 0,
        create: flags & ffi::SQLITE_OPEN_CREATE != 0,
        new: flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0,
    };
    let panicked = guarded(|| {
        opened = DatabaseFile::open(path, mode);
        ffi::SQLITE_OK
    });
    match opened {
        _ if panicked != ffi::SQLITE_OK => panicked,
        Ok(OpenOutcome::Opened(file, is_writable)) => {
            if !out_flags.is_null() {
                let read_only =
                    flags & !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE) | ffi::SQLITE_OPEN_READONLY;
                // SAFETY: it is not null.
                unsafe { *out_flags = if is_writable { flags } else { read_only } };
            }
            let file = Box::into_raw(file);
            let base = ffi::sqlite3_file { pMethods: &raw const METHODS };
            // SAFETY: there is room for `szOsFile` bytes, which is at least a `Place`, aligned as
            // SQLite's own files are.
            unsafe { place.cast::<Place>().write(Place { base, file }) };
            ffi::SQLITE_OK
        }
        // SAFETY: these are the arguments that SQLite passed.
        Ok(OpenOutcome::Unsupported) => unsafe { open_with_sqlites_own(name, place, flags, out_flags) },
        Err(_) => ffi::SQLITE_CANTOPEN,
    }
}

/// # Safety
/// As for `xOpen`.
unsafe fn open_with_sqlites_own(
    name: ffi::sqlite3_filename,
    place: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: null asks for the default VFS; `place` has room for its files too.
    unsafe {
        let own = ffi::sqlite3_vfs_find(ptr::null());
        match own.as_ref().and_then(|own| own.xOpen) {
            Some(open) => open(own, name, place, flags, out_flags),
            None => ffi::SQLITE_CANTOPEN,
        }
    }
}

unsafe extern "C" fn close(place: *mut ffi::sqlite3_file) -> c_int {
    guarded(|| {
        // SAFETY: the file is open, and this is the last call for it.
        let file = unsafe {
            let place = &mut *place.cast::<Place>();
            place.base.pMethods = ptr::null();
            Box::from_raw(std::mem::replace(&mut place.file, ptr::null_mut()))
        };
        file.close();
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn read(
    place: *mut ffi::sqlite3_file,
    into: *mut c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(count), Ok(offset)) = (usize::try_from(count), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: the buffer is `count` bytes long, and exclusive until this function returns; its
    // contents are not read.
    let into = unsafe { slice::from_raw_parts_mut(into.cast::<u8>(), count) };
    // SAFETY: the file was opened here and is open.
    unsafe {
        with_file(place, |file| match file.read(into, offset) {
            Ok(read) if read == into.len() => ffi::SQLITE_OK,
            Ok(read) => {
                into.get_mut(read..).unwrap_or_default().fill(0);
                ffi::SQLITE_IOERR_SHORT_READ
            }
            Err(_) => ffi::SQLITE_IOERR_READ,
        })
    }
}

unsafe extern "C" fn write(
    place: *mut ffi::sqlite3_file,
    data: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(count), Ok(offset)) = (usize::try_from(count), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: there are `count` bytes, which do not change until this function returns.
    let data = unsafe { slice::from_raw_parts(data.cast::<u8>(), count) };
    // SAFETY: the file was opened here and is open.
    unsafe {
        with_file(place, |file| match file.write(data, offset) {
            Ok(()) => ffi::SQLITE_OK,
            Err(error) if is_full(&error) => ffi::SQLITE_FULL,
            Err(_) => ffi::SQLITE_IOERR_WRITE,
        })
    }
}

/// Returns `true` if there is no room on the disk, for this user, or in a file.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::WriteZero)
        || [Errno::EDQUOT, Errno::EFBIG].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

unsafe extern "C" fn truncate(place: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    let Ok(size) = u64::try_from(size) else { return ffi::SQLITE_IOERR_TRUNCATE };
    // SAFETY: the file was opened here and is open.
    unsafe { with_file(place, |file| code(file.truncate(size), ffi::SQLITE_IOERR_TRUNCATE)) }
}

unsafe extern "C" fn sync(place: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: the file was opened here and is open.
    unsafe { with_file(place, |file| code(file.sync(), ffi::SQLITE_IOERR_FSYNC)) }
}

unsafe extern "C" fn file_size(place: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: the file was opened here and is open.
    unsafe {
        with_file(place, |file| match file.size().map(i64::try_from) {
            Ok(Ok(found)) => {
                // SQLite wants the answer there.
                *size = found;
                ffi::SQLITE_OK
            }
            _ => ffi::SQLITE_IOERR_FSTAT,
        })
    }
}

unsafe extern "C" fn lock(place: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let level = match level {
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        ffi::SQLITE_LOCK_EXCLUSIVE => Level::Exclusive,
        _ => Level::None,
    };
    // SAFETY: the file was opened here and is open.
    unsafe {
        with_file(place, |file| match file.lock(level) {
            Ok(Attempt::Locked) => ffi::SQLITE_OK,
            Ok(Attempt::Busy) => ffi::SQLITE_BUSY,
            Err(_) => ffi::SQLITE_IOERR_LOCK,
        })
    }
}

unsafe extern "C" fn unlock(place: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let level = if level == ffi::SQLITE_LOCK_SHARED { Level::Shared } else { Level::None };
    // SAFETY: the file was opened here and is open.
    unsafe { with_file(place, |file| code(file.unlock(level), ffi::SQLITE_IOERR_UNLOCK)) }
}

unsafe extern "C" fn check_reserved_lock(place: *mut ffi::sqlite3_file, is_reserved: *mut c_int) -> c_int {
    // SAFETY: the file was opened here and is open; SQLite wants the answer in `is_reserved`.
    unsafe {
        with_file(place, |file| match file.is_reserved() {
            Ok(found) => {
                *is_reserved = c_int::from(found);
                ffi::SQLITE_OK
            }
            Err(_) => ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        })
    }
}

unsafe extern "C" fn file_control(place: *mut ffi::sqlite3_file, what: c_int, answer: *mut c_void) -> c_int {
    // SAFETY: the file was opened here and is open; for each of these the answer is an `int`.
    unsafe {
        with_file(place, |file| {
            let found = match what {
                ffi::SQLITE_FCNTL_HAS_MOVED => c_int::from(file.has_moved()),
                ffi::SQLITE_FCNTL_EXTERNAL_READER => match file.has_readers() {
                    Ok(found) => c_int::from(found),
                    Err(_) => return ffi::SQLITE_IOERR_LOCK,
                },
                ffi::SQLITE_FCNTL_LAST_ERRNO => file.last_errno(),
                ffi::SQLITE_FCNTL_LOCKSTATE => match file.lock_level() {
                    Level::None => ffi::SQLITE_LOCK_NONE,
                    Level::Shared => ffi::SQLITE_LOCK_SHARED,
                    Level::Reserved => ffi::SQLITE_LOCK_RESERVED,
                    Level::Pending => ffi::SQLITE_LOCK_PENDING,
                    Level::Exclusive => ffi::SQLITE_LOCK_EXCLUSIVE,
                },
                _ => return ffi::SQLITE_NOTFOUND,
            };
            *answer.cast::<c_int>() = found;
            ffi::SQLITE_OK
        })
    }
}

/// As SQLite's own VFS has it.
unsafe extern "C" fn sector_size(_place: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As SQLite's own VFS has it.
unsafe extern "C" fn device_characteristics(_place: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}
