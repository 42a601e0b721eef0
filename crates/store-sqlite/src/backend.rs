//! A session file as a backend: creating, opening and deleting it.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use session_core::fork;
use session_core::store::{Backend, Identity, Kind, Lease, OpenOptions, Place, Result, Snapshot, Store, StoreError};

use zeroize::Zeroizing;

use crate::error::{SqliteFailure, cannot_open, in_memory, sqlite_error};
use crate::lease::FileLease;
use crate::owner::FileOwner;
use crate::read_only::ReadOnlyStore;
use crate::schema::{VERSION_7, VERSION_8};
use crate::store::SqliteStore;
use crate::watch::Watch;
use crate::{entities, index, prepare};

/// A session file, or a database in memory.
#[derive(Debug)]
pub struct SqliteFile {
    /// `None` for a database in memory.
    paths: Option<Mutex<Paths>>,
    /// The database version of new and of upgraded files.
    version: i64,
    /// Whether the file may hold a login.
    may_hold_login: bool,
    /// Whose the file is, if it may not.
    owner: Option<Arc<FileOwner>>,
    is_read_only: bool,
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
        Self {
            paths,
            version: version.clamp(VERSION_7, VERSION_8),
            may_hold_login: true,
            owner: None,
            is_read_only: false,
        }
    }

    /// Returns the same backend for reading only. A file that does not exist is not created.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { is_read_only: true, ..self }
    }

    /// Returns the same backend for entities alone: a file with a login is refused with
    /// [`Kind::HoldsLogin`](session_core::store::Kind::HoldsLogin).
    #[must_use]
    pub fn without_login(self) -> Self {
        Self { may_hold_login: false, ..self }
    }

    /// Returns the same backend for the entities of one account: a file of another account is refused
    /// with [`Kind::NotOwner`], and one of which it is not known yet whose it is with
    /// [`Kind::Unconfirmed`].
    #[must_use]
    pub fn owned_by(self, owner: Arc<FileOwner>) -> Self {
        Self { owner: Some(owner), ..self.without_login() }
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
        register_fork_hook();
        let path = self.path();
        if let Some(path) = path.as_deref().filter(|_| self.is_read_only) {
            require_file(path, options.may_create)?;
            let (store, snapshot) = ReadOnlyStore::open(path, self.version, options.timeout)?;
            return Ok((Box::new(store), snapshot));
        }
        if let Some(path) = &path {
            ensure_file(path, options.may_create)?;
        }
        let (mut connection, watch) = connect(path.as_deref(), OPEN | OpenFlags::SQLITE_OPEN_CREATE, options.timeout)?;
        let place = path.clone().unwrap_or_else(in_memory);
        let check = |reading: &Connection| self.owner.as_ref().map_or(Ok(()), |owner| owner.check(reading, &place));
        let (version, snapshot) = prepare::prepare(&mut connection, &place, self.version, self.may_hold_login, &check)?;
        if let Some(owner) = self.owner.as_ref().filter(|owner| !owner.is_marked(&connection)) {
            owner.mark_now(&mut connection);
        }
        let identity = path.as_deref().and_then(identity);
        let snapshot = Snapshot { identity: identity.clone(), ..snapshot };
        let file = path.map(|path| OpenFile { path, identity });
        let store = SqliteStore::new((connection, watch), file, version, self.may_hold_login);
        Ok((Box::new(store.owned_by(self.owner.clone())), snapshot))
    }

    fn lease(&self, options: OpenOptions) -> Result<Box<dyn Lease>> {
        register_fork_hook();
        let Some(path) = self.path() else { return Ok(Box::new(MemoryLease)) };
        ensure_file(&path, options.may_create)?;
        Ok(Box::new(FileLease::take(&path)?))
    }

    fn delete(&self, _own_keys: &[Zeroizing<Vec<u8>>], _timeout: Duration) -> Result<bool> {
        let Some(path) = self.path() else { return Ok(false) };
        index::delete(&path);
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

    fn is_read_only(&self) -> bool {
        self.is_read_only
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
    pub(crate) identity: Option<Identity>,
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
    set_up(&connection, timeout).map_err(|error| sqlite_error(&place, error))?;
    Ok((connection, watch))
}

/// Connects to a file for reading only. `name` is its path, or a URI.
pub(crate) fn connect_read_only(path: &Path, name: &Path, timeout: Duration) -> Result<Connection> {
    const FLAGS: OpenFlags =
        OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_URI);
    let (connection, _) = connect_to(name, FLAGS).map_err(|error| explain_open(path, sqlite_error(path, error)))?;
    let set_up = || {
        set_up(&connection, timeout)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
    };
    set_up().map_err(|error| sqlite_error(path, error))?;
    Ok(connection)
}

/// Connects to a file that nothing else knows yet.
pub(crate) fn connect_to_new(path: &Path) -> Result<Connection> {
    register_fork_hook();
    Ok(connect(Some(path), OPEN, Duration::ZERO)?.0)
}

/// Connects to a file of ours that is beside a session file, and is created if it does not exist.
pub(crate) fn connect_beside(path: &Path) -> Result<Connection> {
    ensure_file(path, true)?;
    Ok(connect(Some(path), OPEN, Duration::ZERO)?.0)
}

fn set_up(connection: &Connection, timeout: Duration) -> rusqlite::Result<bool> {
    connection.busy_timeout(timeout)?;
    // As in Python's sqlite3: a user's own table that references a row must not lose its rows when
    // that row is replaced.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    // The file may come from anyone.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
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

/// Has a child forget the parent's files.
pub(crate) fn register_fork_hook() {
    fork::register_child_hook(reset_after_fork);
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

/// Checks that there is a file at `path`. It is gone if it was opened before.
fn require_file(path: &Path, is_first: bool) -> Result<()> {
    match ensure_file(path, false) {
        Err(error) if error.kind == Kind::Gone && is_first => {
            Err(cannot_open(path, "it does not exist, and read_only=True creates none"))
        }
        found => found,
    }
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
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;

    let found = fs::metadata(path).ok()?;
    let created = found.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Identity(format!("{}:{}:{}", found.dev(), found.ino(), created.as_nanos())))
}

#[cfg(not(unix))]
pub(crate) fn identity(_: &Path) -> Option<Identity> {
    None
}
