//! The lease of a key: a lock in a folder of the user, named by a fingerprint of the key.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use session_core::fork;
use session_core::store::{Kind, Place, Result, StoreError};
use sha2::{Digest as _, Sha256};

use crate::backend;
use crate::error::HeldBy;
use crate::lease::FileLease;

/// The name of our folder.
const FOLDER: &str = "telethon-session-rust";
/// What the hash is for: that of the key alone would be the same in another program.
const PURPOSE: &[u8] = b"telethon-session-rust exclusive";
/// How much of the hash is the name.
const NAME_LEN: usize = 16;

/// The lease of a key. Ends when dropped, and with the process, however that ends. A child does not
/// inherit it.
#[derive(Debug)]
pub struct KeyLease {
    _held: Vec<FileLease>,
}

impl KeyLease {
    /// Takes the lease of a key.
    ///
    /// Programs of one user may have different environments, such as a service and a shell. So the
    /// lock is taken in each folder that there is: in the user's runtime folder, and in one of the
    /// folder for temporary files.
    ///
    /// # Errors
    /// [`Kind::InUse`] if it is held, or what prevents it from being taken.
    pub fn take(key: &[u8]) -> Result<Self> {
        let _guard = fork::guard();
        backend::register_fork_hook();
        let hash = Sha256::new().chain_update(PURPOSE).chain_update(key).finalize();
        let mut name = String::new();
        for byte in hash.iter().take(NAME_LEN) {
            // Writing to a text does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        let mut held = Vec::new();
        let mut failure = None;
        for folder in runtime_folder().into_iter().chain([temporary_folder()]) {
            match folder.and_then(|folder| create(&folder.join(&name))) {
                Ok(path) => match FileLease::take(&path) {
                    Ok(lease) => held.push(lease),
                    Err(error) if error.kind == Kind::InUse => return Err(in_use(&error)),
                    Err(error) => failure = Some(error.to_string()),
                },
                Err(error) => failure = Some(error.to_string()),
            }
        }
        if held.is_empty() {
            let why = failure.unwrap_or_else(|| "the system has none".to_owned());
            let message = format!(
                "exclusive=True needs a folder of this user's own for its lock, in XDG_RUNTIME_DIR or in the folder \
                 for temporary files: {why}"
            );
            return Err(StoreError::new(Kind::CannotOpen, Place::Memory, message));
        }
        Ok(Self { _held: held })
    }
}

fn in_use(error: &StoreError) -> StoreError {
    let pid = error.cause::<HeldBy>().map_or(0, |by| by.pid);
    let message = format!("this login is in use by process {pid}, which opened it with exclusive=True");
    StoreError::new(Kind::InUse, Place::Memory, message).caused_by(HeldBy { pid })
}

/// Creates a file for a lock. It stays: removing it would let two programs lock one file each.
fn create(path: &Path) -> io::Result<PathBuf> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
            return Ok(path.to_owned());
        }
        let file = options.mode(0o600).open(path)?;
        // The sticky bit keeps it when old files are removed, by the specification of XDG_RUNTIME_DIR.
        let _ = file.set_permissions(fs::Permissions::from_mode(0o1600));
    }
    #[cfg(not(unix))]
    drop(options.open(path)?);
    Ok(path.to_owned())
}

/// Returns our folder in the user's runtime folder; `None` if there is none.
fn runtime_folder() -> Option<io::Result<PathBuf>> {
    let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").filter(|_| cfg!(unix))?);
    (folder.is_absolute() && folder.is_dir()).then(|| private(folder.join(FOLDER)))
}

/// Returns our folder in the folder for temporary files, which is the user's own on Windows and macOS.
fn temporary_folder() -> io::Result<PathBuf> {
    let folder = std::env::temp_dir();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let user = tempfile::tempfile_in(&folder).and_then(|file| Ok(file.metadata()?.uid()));
        user.and_then(|user| private(folder.join(format!("{FOLDER}-{user}"))))
    }
    #[cfg(not(unix))]
    private(folder.join(FOLDER))
}

/// Creates a folder that only this user may use, or checks that it is one.
fn private(folder: PathBuf) -> io::Result<PathBuf> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    match builder.create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let refused = |why: &str| io::Error::other(format!("{} {why}", folder.display()));
        let found = fs::symlink_metadata(&folder)?;
        if !found.is_dir() {
            return Err(refused("is not a folder"));
        }
        if found.mode() & 0o077 != 0 {
            return Err(refused("is open to other users"));
        }
        // Created by this user, as a new file shows.
        if tempfile::tempfile_in(&folder)?.metadata()?.uid() != found.uid() {
            return Err(refused("belongs to another user"));
        }
    }
    Ok(folder)
}
