//! A session file for one alone: a lock that ends with its process, and that keeps nobody out who does not ask for it.

use std::path::Path;

use crate::error::{Error, Result};

#[cfg(target_os = "linux")]
use ofd_vfs::{Claim as Held, Claimed};
#[cfg(not(target_os = "linux"))]
use sidecar::{Claim as Held, Claimed};

/// A claim on a session file. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    _held: Held,
}

impl Claim {
    /// Claims a file that is there.
    ///
    /// # Errors
    /// [`Error::InUse`] if it is claimed, or what keeps it from being locked.
    pub(super) fn take(path: &Path) -> Result<Self> {
        match Held::take(path) {
            Ok(Claimed::Ours(held)) => Ok(Self { _held: held }),
            Ok(Claimed::By(pid)) => Err(Error::InUse { path: path.to_owned(), pid }),
            Err(error) => {
                let message = format!("it cannot be locked for exclusive=True: {error}");
                Err(Error::CannotOpen { path: path.to_owned(), message })
            }
        }
    }
}

/// To be called in the child just after a fork: a claim is the parent's.
#[cfg(not(target_os = "linux"))]
pub(super) fn after_fork_in_child() {
    sidecar::after_fork_in_child();
}

/// Where the file itself cannot be locked without being in SQLite's way, a file beside it is: `anon.session.lock`, which holds the
/// process's number and stays when the claim ends.
#[cfg(any(test, not(target_os = "linux")))]
mod sidecar {
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, Write as _};
    use std::path::Path;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

    /// The locked file; `None` in a child, which has closed its copy: with it the claim would outlive the parent.
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
            // By whatever link or other spelling it is opened, it is one file.
            let mut name = fs::canonicalize(path)?.into_os_string();
            name.push(".lock");
            let Some(mut file) = open_alone(name.as_ref())? else {
                // Somebody who has just begun has not written it yet.
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
                // A process that was started meanwhile may have a copy for a moment.
                let _ = file.unlock();
            }
        }
    }

    pub(super) fn after_fork_in_child() {
        for claim in std::mem::take(&mut *locked(&CLAIMS)) {
            if let Some(claim) = claim.upgrade() {
                locked(&claim).take();
            }
        }
    }

    fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, if nobody else has it so.
    #[cfg(unix)]
    fn open_alone(path: &Path) -> io::Result<Option<File>> {
        use std::fs::TryLockError;
        use std::os::unix::fs::OpenOptionsExt as _;

        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The same. On Windows nobody can read what is locked, so it is not: it is opened so that others may only read it.
    #[cfg(windows)]
    fn open_alone(path: &Path) -> io::Result<Option<File>> {
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
            after_fork_in_child();
            assert!(matches!(Claim::take(&path).unwrap(), Claimed::Ours(_)));
            drop(claim);
        }
    }
}
