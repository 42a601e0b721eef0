//! A session file as a backend: creating, opening and deleting it.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use session_core::fork;
use session_core::store::{Backend, Identity, Lease, OpenOptions, Place, Result, Snapshot, Store, StoreError};

use zeroize::Zeroizing;

use crate::error::{SqliteFailure, cannot_open, in_memory, sqlite_error};
use crate::lease::FileLease;
use crate::schema::{VERSION_7, VERSION_8};
use crate::store::SqliteStore;
use crate::watch::Watch;
use crate::{entities, prepare};

/// A session file, or a database in memory.
#[derive(Debug)]
pub struct SqliteFile {
    /// `None` for a database in memory.
    paths: Option<Mutex<Paths>>,
    /// The database version of new and of upgraded files.
    version: i64,
    /// Whether the file may hold a login.
    may_hold_login: bool,
}

#[derive(Debug)]
struct Paths {
    current: PathBuf,
    /// The file to open after the current one is closed.
    next: Option<PathBuf>,
}

impl SqliteFile {
    /// Returns the backend for the file at `path` or, without one, for a database in memory. New
    /// and older files get the database version `version`, or the newest supported one if that is
    /// lower.
    #[must_use]
    pub fn new(path: Option<PathBuf>, version: i64) -> Self {
        let paths = path.map(|current| Mutex::new(Paths { current, next: None }));
        Self { paths, version: version.clamp(VERSION_7, VERSION_8), may_hold_login: true }
    }

    /// Returns the same backend for entities alone: a file with a login is refused with
    /// [`Kind::HoldsLogin`](session_core::store::Kind::HoldsLogin).
    #[must_use]
    pub fn without_login(self) -> Self {
        Self { may_hold_login: false, ..self }
    }

    /// Returns the path; `None` for a database in memory.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.paths().map(|paths| paths.current.clone())
    }

    /// Sets the file to open once the current one is closed. Has no effect on a database in memory.
    pub fn set_next_path(&self, path: PathBuf) {
        if let Some(mut paths) = self.paths() {
            paths.next = Some(path);
        }
    }

    fn paths(&self) -> Option<MutexGuard<'_, Paths>> {
        self.paths.as_ref().map(|paths| paths.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Backend for SqliteFile {
    fn open(&self, options: OpenOptions) -> Result<(Box<dyn Store>, Snapshot)> {
        fork::register_child_hook(reset_after_fork);
        let path = self.path();
        if let Some(path) = &path {
            ensure_file(path, options.may_create)?;
        }
        let (mut connection, watch) = connect(path.as_deref(), OPEN | OpenFlags::SQLITE_OPEN_CREATE, options.timeout)?;
        let place = path.clone().unwrap_or_else(in_memory);
        let (version, snapshot) = prepare::prepare(&mut connection, &place, self.version, self.may_hold_login)?;
        let identity = path.as_deref().and_then(identity);
        let snapshot = Snapshot { identity: identity.clone(), ..snapshot };
        let file = path.map(|path| OpenFile { path, identity });
        Ok((Box::new(SqliteStore::new((connection, watch), file, version, self.may_hold_login)), snapshot))
    }

    fn lease(&self, options: OpenOptions) -> Result<Box<dyn Lease>> {
        fork::register_child_hook(reset_after_fork);
        let Some(path) = self.path() else { return Ok(Box::new(MemoryLease)) };
        ensure_file(&path, options.may_create)?;
        Ok(Box::new(FileLease::take(&path)?))
    }

    fn delete(&self, _own_keys: &[Zeroizing<Vec<u8>>], _timeout: Duration) -> Result<bool> {
        let Some(path) = self.path() else { return Ok(false) };
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot_open(&path, &format!("it cannot be deleted: {error}"))),
        }
    }

    fn place(&self) -> Place {
        self.path().map_or(Place::Memory, Place::File)
    }

    fn is_ephemeral(&self) -> bool {
        self.paths.is_none()
    }

    fn switch_place(&self) -> bool {
        let Some(mut paths) = self.paths() else { return false };
        let Some(next) = paths.next.take() else { return false };
        let is_another = next != paths.current;
        paths.current = next;
        is_another
    }

    fn normalize_phone<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        entities::normalize_phone(phone)
    }
}

/// The lease of a database in memory, which no other session can open.
#[derive(Debug)]
struct MemoryLease;

impl Lease for MemoryLease {}

/// A file that is open.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    pub(crate) path: PathBuf,
    /// What it was when it was opened.
    identity: Option<Identity>,
}

const OPEN: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens another connection to a file that is open and watched by `watch`. Returns `None` if that
/// fails, or if another file may have taken its place.
pub(crate) fn connect_again(file: &OpenFile, watch: &Watch) -> Option<(Connection, Watch)> {
    // Under Windows an open file keeps its name.
    let is_in_place = || !cfg!(unix) || (file.identity.is_some() && identity(&file.path) == file.identity);
    let was_in_place = is_in_place();
    let opened = connect(Some(&file.path), OPEN, Duration::ZERO).inspect_err(|error| log::debug!("{error}")).ok()?;
    let is_same = opened.1.is_same_file(watch).unwrap_or_else(|| was_in_place && is_in_place());
    is_same.then_some(opened)
}

fn connect(path: Option<&Path>, flags: OpenFlags, timeout: Duration) -> Result<(Connection, Watch)> {
    let place = path.map_or_else(in_memory, Path::to_owned);
    let (connection, watch) = match path {
        None => {
            let opened = Connection::open_in_memory_with_flags(flags).map_err(|error| sqlite_error(&place, error));
            (opened?, Watch::default())
        }
        Some(path) => connect_to(path, flags).map_err(|error| explain_open(path, sqlite_error(path, error)))?,
    };
    let set_up = || {
        connection.busy_timeout(timeout)?;
        // As in Python's sqlite3: a user's own table that references a row must not lose its rows
        // when that row is replaced.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
        // The file may come from anyone.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
    };
    set_up().map_err(|error| sqlite_error(&place, error))?;
    Ok((connection, watch))
}

/// Connects with the VFS that does not interfere with any other SQLite in the process, if there is
/// one.
fn connect_to(path: &Path, flags: OpenFlags) -> rusqlite::Result<(Connection, Watch)> {
    #[cfg(target_os = "linux")]
    if let Ok(vfs) = ofd_vfs::name() {
        return Ok((Connection::open_with_flags_and_vfs(path, flags, vfs)?, Watch::of_opened()));
    }
    Ok((Connection::open_with_flags(path, flags)?, Watch::default()))
}

/// Closes the child's copies of the files that the parent has open.
fn reset_after_fork() {
    #[cfg(target_os = "linux")]
    ofd_vfs::after_fork_in_child();
    #[cfg(not(target_os = "linux"))]
    crate::lease::reset_after_fork();
}

/// Adds the system's reason to an error of SQLite that says only that a file cannot be opened.
fn explain_open(path: &Path, error: StoreError) -> StoreError {
    if error.cause::<SqliteFailure>().is_none_or(|failure| failure.code != ffi::SQLITE_CANTOPEN) {
        return error;
    }
    #[cfg(target_os = "linux")]
    let reason = ofd_vfs::take_opening_error();
    #[cfg(not(target_os = "linux"))]
    let reason = fs::File::open(path).err();
    reason.map_or(error, |reason| cannot_open(path, &reason.to_string()))
}

/// Checks that there is a file at `path`, or creates it.
fn ensure_file(path: &Path, may_create: bool) -> Result<()> {
    // Before it is created: SQLite could not open it.
    if cfg!(not(unix)) && path.to_str().is_none() {
        return Err(cannot_open(path, "its name is not Unicode"));
    }
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) if found.is_dir() => Err(cannot_open(path, "it is a folder")),
        Ok(_) => Err(cannot_open(path, "it is not a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound && may_create => {
            create_private(path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => cannot_open(path, "its folder does not exist"),
                _ => cannot_open(path, &error.to_string()),
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::gone(Place::File(path.to_owned()))),
        Err(error) => Err(cannot_open(path, &error.to_string())),
    }
}

/// Creates a file that only its owner may read, whatever the umask is: SQLite would create it
/// readable to all, and a session gives access to an account. An existing file keeps its mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    // Not `create_new`: a link to a file that does not exist is followed, as SQLite would.
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        const OWNER_ONLY: u32 = 0o600;
        options.mode(OWNER_ONLY).open(path)?.set_permissions(fs::Permissions::from_mode(OWNER_ONLY))
    }
    #[cfg(not(unix))]
    options.open(path).map(drop)
}

/// Returns device, inode and creation time of a file: an inode is reused when a file is gone.
#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;

    let found = fs::metadata(path).ok()?;
    let created = found.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Identity(format!("{}:{}:{}", found.dev(), found.ino(), created.as_nanos())))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
}
