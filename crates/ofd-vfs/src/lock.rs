//! The locks that SQLite takes on a database file, as locks of the open file description.
//!
//! The bytes and their meaning are those of SQLite's file format
//! (<https://sqlite.org/lockingv3.html>), so that the locks work with every other SQLite.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SEEK_SET, c_int, flock};

/// How much of a file is locked, in the order in which locks are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Not at all.
    #[default]
    None,
    /// For reading, as other connections may too.
    Shared,
    /// By a connection that is about to write; others may still read.
    Reserved,
    /// By a connection that waits for the last readers; no new ones may begin.
    Pending,
    /// For writing: no other connection has a lock.
    Exclusive,
}

/// Bytes of the file, which need not exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes {
    pub(crate) first: i64,
    pub(crate) count: i64,
}

const PENDING: Bytes = Bytes { first: 0x4000_0000, count: 1 };
const RESERVED: Bytes = Bytes { first: PENDING.first + 1, count: 1 };
const PENDING_AND_RESERVED: Bytes = Bytes { first: PENDING.first, count: 2 };
const SHARED: Bytes = Bytes { first: PENDING.first + 2, count: 510 };
/// All bytes that SQLite locks of a database file.
pub(crate) const ALL: Bytes = Bytes { first: PENDING.first, count: 2 + SHARED.count };

/// Where a claim on the file begins, far from what SQLite locks. Its length is the holder's process
/// ID plus one, so one lock tells both that the file is claimed and by which process.
const CLAIM: i64 = 1 << 40;

/// The outcome of an attempt to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It is locked.
    Locked,
    /// Another open file has a conflicting lock.
    Busy,
}

/// The lock that one open file has.
#[derive(Debug, Default)]
pub(crate) struct Lock {
    level: Level,
}

impl Lock {
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Locks more of the file. [`Level::Pending`] must not be requested: it is what an attempt at
    /// [`Level::Exclusive`] leaves behind while there are readers.
    pub(crate) fn raise(&mut self, file: &File, to: Level) -> io::Result<Attempt> {
        if self.level >= to {
            return Ok(Attempt::Locked);
        }
        match to {
            Level::None => {}
            Level::Shared => {
                // A pending connection keeps new readers out.
                if set(file, F_RDLCK, PENDING)? == Attempt::Busy {
                    return Ok(Attempt::Busy);
                }
                let shared = set(file, F_RDLCK, SHARED);
                set(file, F_UNLCK, PENDING)?;
                if shared? == Attempt::Busy {
                    return Ok(Attempt::Busy);
                }
            }
            Level::Reserved => {
                if set(file, F_WRLCK, RESERVED)? == Attempt::Busy {
                    return Ok(Attempt::Busy);
                }
            }
            Level::Pending | Level::Exclusive => {
                if self.level < Level::Pending {
                    if set(file, F_WRLCK, PENDING)? == Attempt::Busy {
                        return Ok(Attempt::Busy);
                    }
                    self.level = Level::Pending;
                }
                if to == Level::Exclusive && set(file, F_WRLCK, SHARED)? == Attempt::Busy {
                    return Ok(Attempt::Busy);
                }
            }
        }
        self.level = to;
        Ok(Attempt::Locked)
    }

    /// Locks less of the file: [`Level::Shared`] or nothing.
    pub(crate) fn lower(&mut self, file: &File, to: Level) -> io::Result<()> {
        if self.level <= to {
            return Ok(());
        }
        if to == Level::Shared {
            // Nothing can have come in between: the lock is changed, not taken anew.
            set(file, F_RDLCK, SHARED)?;
            set(file, F_UNLCK, PENDING_AND_RESERVED)?;
        } else {
            set(file, F_UNLCK, ALL)?;
        }
        self.level = to;
        Ok(())
    }

    /// Returns `true` if any connection is about to write.
    pub(crate) fn is_reserved(&self, file: &File) -> io::Result<bool> {
        Ok(self.level > Level::Shared || has_others(file, RESERVED)?)
    }
}

/// Returns `true` if the kernel and the file system have such locks.
pub(crate) fn are_known(file: &File) -> bool {
    has_others(file, RESERVED).is_ok()
}

/// Locks bytes for reading, as others may too.
pub(crate) fn share(file: &File, bytes: Bytes) -> io::Result<Attempt> {
    set(file, F_RDLCK, bytes)
}

/// Locks bytes for this open file only.
pub(crate) fn exclude(file: &File, bytes: Bytes) -> io::Result<Attempt> {
    set(file, F_WRLCK, bytes)
}

/// Unlocks bytes, however they are locked.
pub(crate) fn release(file: &File, bytes: Bytes) -> io::Result<()> {
    set(file, F_UNLCK, bytes).map(drop)
}

/// How bytes are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockState {
    Unlocked,
    /// For reading.
    Shared,
    /// For one open file alone.
    Exclusive,
}

/// Returns how another open file has these bytes locked.
pub(crate) fn lock_of_others(file: &File, bytes: Bytes) -> io::Result<LockState> {
    Ok(match conflicting_lock(file, bytes)? {
        None => LockState::Unlocked,
        Some(lock) if c_int::from(lock.l_type) == F_RDLCK => LockState::Shared,
        Some(_) => LockState::Exclusive,
    })
}

/// Claims the file for a process.
pub(crate) fn claim(file: &File, process: u32) -> io::Result<Attempt> {
    exclude(file, Bytes { first: CLAIM, count: i64::from(process) + 1 })
}

/// Ends the claim.
pub(crate) fn give_up(file: &File) -> io::Result<()> {
    release(file, Bytes { first: CLAIM, count: i64::from(u32::MAX) + 1 })
}

/// Returns the process that claims the file by another open file, if there is one.
pub(crate) fn claimed_by(file: &File) -> io::Result<Option<u32>> {
    let found = conflicting_lock(file, Bytes { first: CLAIM, count: 1 })?;
    // A program that knows nothing of claims may lock these bytes differently.
    Ok(found.map(|lock| u32::try_from(lock.l_len - 1).unwrap_or(0)))
}

fn set(file: &File, kind: c_int, bytes: Bytes) -> io::Result<Attempt> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&description(kind, bytes)?)) {
        Ok(_) => Ok(Attempt::Locked),
        Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Ok(Attempt::Busy),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns `true` if another open file has any of these bytes locked.
pub(crate) fn has_others(file: &File, bytes: Bytes) -> io::Result<bool> {
    Ok(conflicting_lock(file, bytes)?.is_some())
}

/// Returns a lock that another open file has of these bytes.
fn conflicting_lock(file: &File, bytes: Bytes) -> io::Result<Option<flock>> {
    let mut found = description(F_WRLCK, bytes)?;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(Some(found).filter(|found| c_int::from(found.l_type) != F_UNLCK))
}

// On 32-bit systems these are other types.
#[allow(clippy::useless_conversion)]
fn description(kind: c_int, Bytes { first, count }: Bytes) -> io::Result<flock> {
    let short = |number: c_int| number.try_into().map_err(io::Error::other);
    Ok(flock {
        l_type: short(kind)?,
        l_whence: short(SEEK_SET)?,
        l_start: first.try_into().map_err(io::Error::other)?,
        l_len: count.try_into().map_err(io::Error::other)?,
        // These locks belong to no process.
        l_pid: 0,
    })
}
