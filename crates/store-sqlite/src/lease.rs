//! The lease of a session file: a lock that ends with its process, and that excludes only sessions
//! that ask for it too.

use std::path::Path;

use session_core::store::{Lease, Result};

use crate::error::{cannot_open, in_use};

#[cfg(target_os = "linux")]
use ofd_vfs::{Claim as Held, Claimed};
#[cfg(not(target_os = "linux"))]
use sidecar::{Claim as Held, Claimed};

/// The lease of a session file. Ends when dropped.
#[derive(Debug)]
pub(crate) struct FileLease {
    _held: Held,
}

impl FileLease {
    /// Takes the lease of an existing file.
    ///
    /// # Errors
    /// [`Kind::InUse`](session_core::store::Kind::InUse) if another session holds it, or what
    /// prevents the file from being locked.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        match Held::take(path) {
            Ok(Claimed::Ours(held)) => Ok(Self { _held: held }),
            Ok(Claimed::By(pid)) => Err(in_use(path, pid)),
            Err(error) => Err(cannot_open(path, &format!("it cannot be locked for exclusive=True: {error}"))),
        }
    }
}

impl Lease for FileLease {}

/// Closes the child's copies of the parent's leases.
#[cfg(not(target_os = "linux"))]
pub(crate) fn reset_after_fork() {
    sidecar::reset_after_fork();
}

/// Where locking the file itself would interfere with SQLite, a file beside it is locked:
/// `anon.session.lock`, which holds the process ID and remains when the lease ends.
#[cfg(any(test, not(target_os = "linux")))]
mod sidecar {
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, Write as _};
    use std::path::Path;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

    /// The locked file; `None` in a child, which closes its copy so that the claim ends with the
    /// parent.
    type Shared = Mutex<Option<File>>;

    static CLAIMS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

    #[derive(Debug)]
    pub(super) struct Claim {
        file: Arc<Shared>,
    }

    #[derive(Debug)]
    pub(super) enum Claimed {
        Ours(Claim),
        By(u32),
    }

    impl Claim {
        pub(super) fn take(path: &Path) -> io::Result<Claimed> {
            // One file, by whatever link or spelling it is opened.
            let mut name = fs::canonicalize(path)?.into_os_string();
            name.push(".lock");
            let Some(mut file) = open_exclusively(name.as_ref())? else {
                // A process that has just created the file may not have written it yet.
                let process = fs::read_to_string(name).unwrap_or_default();
                return Ok(Claimed::By(process.trim().parse().unwrap_or(0)));
            };
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            let file = Arc::new(Mutex::new(Some(file)));
            let mut claims = locked(&CLAIMS);
            claims.retain(|claim| claim.strong_count() > 0);
            claims.push(Arc::downgrade(&file));
            Ok(Claimed::Ours(Self { file }))
        }
    }

    impl Drop for Claim {
        fn drop(&mut self) {
            if let Some(file) = locked(&self.file).take() {
                // A process that is being started may have a copy for a moment.
                let _ = file.unlock();
            }
        }
    }

    pub(super) fn reset_after_fork() {
        for claim in std::mem::take(&mut *locked(&CLAIMS)) {
            if let Some(claim) = claim.upgrade() {
                locked(&claim).take();
            }
        }
    }

    fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens and locks the file; `None` if it is locked.
    #[cfg(unix)]
    fn open_exclusively(path: &Path) -> io::Result<Option<File>> {
        use std::fs::TryLockError;
        use std::os::unix::fs::OpenOptionsExt as _;

        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Opens the file so that others can only read it; `None` if it is open. A file that is locked
    /// on Windows cannot be read.
    #[cfg(windows)]
    fn open_exclusively(path: &Path) -> io::Result<Option<File>> {
        use std::os::windows::fs::OpenOptionsExt as _;

        const FILE_SHARE_READ: u32 = 1;
        const ERROR_SHARING_VIOLATION: i32 = 32;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).share_mode(FILE_SHARE_READ);
        match options.open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_claim_tells_whose_it_is() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("anna.session");
            fs::write(&path, "").unwrap();
            let Claimed::Ours(claim) = Claim::take(&path).unwrap() else { panic!() };
            assert!(matches!(Claim::take(&path).unwrap(), Claimed::By(process) if process == std::process::id()));
            drop(claim);
            let Claimed::Ours(claim) = Claim::take(&path).unwrap() else { panic!() };
            reset_after_fork();
            assert!(matches!(Claim::take(&path).unwrap(), Claimed::Ours(_)));
            drop(claim);
        }
    }
}
