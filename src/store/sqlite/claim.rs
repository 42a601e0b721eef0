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

/// Where the file itself cannot be locked without being in SQLite's way, a file beside it is: `anon.session.lock`, which holds the
/// process's number and stays when the claim ends.
#[cfg(any(test, not(target_os = "linux")))]
mod sidecar {
    use std::fs::{File, OpenOptions, TryLockError};
    use std::io::{self, Read as _, Seek as _, Write as _};
    use std::path::Path;

    #[derive(Debug)]
    pub(super) struct Claim {
        _file: File,
    }

    #[derive(Debug)]
    pub(super) enum Claimed {
        Ours(Claim),
        By(u32),
    }

    impl Claim {
        pub(super) fn take(path: &Path) -> io::Result<Claimed> {
            let mut name = path.as_os_str().to_owned();
            name.push(".lock");
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            #[cfg(unix)]
            {
                use std::os::unix::fs::OpenOptionsExt as _;
                options.mode(0o600);
            }
            let mut file = options.open(name)?;
            match file.try_lock() {
                Ok(()) => {
                    file.set_len(0)?;
                    file.rewind()?;
                    write!(file, "{}", std::process::id())?;
                    Ok(Claimed::Ours(Self { _file: file }))
                }
                Err(TryLockError::WouldBlock) => {
                    let mut process = String::new();
                    // Where a locked file cannot be read, the number is not known.
                    let _ = file.read_to_string(&mut process);
                    Ok(Claimed::By(process.trim().parse().unwrap_or(0)))
                }
                Err(TryLockError::Error(error)) => Err(error),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_claim_tells_whose_it_is() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("anna.session");
            let Claimed::Ours(claim) = Claim::take(&path).unwrap() else { panic!() };
            assert!(matches!(Claim::take(&path).unwrap(), Claimed::By(process) if process == std::process::id()));
            drop(claim);
            assert!(matches!(Claim::take(&path).unwrap(), Claimed::Ours(_)));
        }
    }
}
