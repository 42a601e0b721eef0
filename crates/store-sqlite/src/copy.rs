//! A new file that takes its name only when it is complete.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use session_core::credentials::Credentials;
use session_core::entity_table::EntityBatch;
use session_core::fork;
use session_core::store::{Changes, FileKey, Kind, Place, Result, SentFile, StoreError, UpdateState};
use tempfile::NamedTempFile;

use crate::backend;
use crate::error::{cannot_open, sqlite_error};
use crate::store::SqliteStore;
use crate::{entities, login, owner, schema, store};

/// Pages copied at a time: a megabyte, so some tenths of a millisecond's work if they are in memory.
const PAGES: i32 = 256;
/// How long to wait before a locked file is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(10);

/// A session file in the making. It has another name, in the folder of its target, until it is
/// [finished](Self::finish); if it never is, it is removed.
#[derive(Debug)]
pub(crate) struct FileCopy {
    connection: Connection,
    file: NamedTempFile,
    target: PathBuf,
    may_replace: bool,
}

impl FileCopy {
    /// Creates the file.
    ///
    /// # Errors
    /// [`Kind::Exists`] if there is a file at `target` that must not be replaced, or what prevents
    /// the file from being created.
    pub(crate) fn begin(target: &Path, may_replace: bool) -> Result<Self> {
        let _guard = fork::guard();
        check_target(target, may_replace)?;
        // A link stays, and what it leads to is replaced.
        let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
        require_nothing_beside(&target)?;
        let file = create(&target).map_err(|error| {
            let why =
                if error.kind() == ErrorKind::NotFound { "its folder does not exist" } else { &error.to_string() };
            cannot_open(&target, why)
        })?;
        let connection = backend::connect_to_new(file.path())?;
        let copy = Self { connection, file, target, may_replace };
        copy.explain(copy.connection.execute_batch(
            // Nothing else knows the file, and if it is not finished it is removed.
            "pragma locking_mode = exclusive; pragma journal_mode = off; pragma synchronous = off; \
             pragma secure_delete = on; pragma cache_size = -65536",
        ))?;
        Ok(copy)
    }

    /// Copies all pages of another file, which may be in use. Returns `false` once it has changed
    /// between two steps: SQLite begins again then, and would never end while others keep writing.
    pub(crate) fn copy_pages(&mut self, from: &SqliteStore, keep_going: &mut dyn FnMut() -> bool) -> Result<bool> {
        let Self { connection, target, .. } = self;
        let explain = |error| sqlite_error(target, error);
        let backup = Backup::new(from.connection(), connection).map_err(explain)?;
        let mut remaining = i32::MAX;
        loop {
            if !keep_going() {
                return Err(StoreError::stopped(Place::File(target.clone())));
            }
            let guard = fork::guard();
            let step = backup.step(PAGES).map_err(explain)?;
            drop(guard);
            match step {
                StepResult::Done => return Ok(true),
                StepResult::Busy | StepResult::Locked => sleep(BUSY_RETRY),
                _ => {
                    let before = std::mem::replace(&mut remaining, backup.progress().remaining);
                    if remaining >= before {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Makes it one file, although the one that it was copied from may have a WAL beside it.
    pub(crate) fn make_single(&mut self) -> Result<()> {
        let _guard = fork::guard();
        self.explain(self.connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(())))
    }

    /// Adds what a session holds that the pages lack. A login replaces theirs.
    pub(crate) fn amend(&mut self, changes: &Changes, login: Option<&Credentials>, version: i64) -> Result<()> {
        self.make_single()?;
        let _guard = fork::guard();
        let amend = || {
            self.connection.execute_batch("begin immediate")?;
            owner::remove(&self.connection)?;
            store::write_changes(&self.connection, changes, version)?;
            login.map_or(Ok(()), |login| login::write_credentials(&self.connection, login, version))?;
            self.connection.execute_batch("commit")
        };
        self.explain(amend())
    }

    /// Creates the tables, and begins to fill them.
    pub(crate) fn create_tables(&mut self, version: i64) -> Result<()> {
        let _guard = fork::guard();
        let create = || {
            self.connection.execute_batch("begin immediate")?;
            schema::create(&self.connection, version)
        };
        self.explain(create())
    }

    /// Inserts entities, or replaces them.
    pub(crate) fn put(&mut self, entities: &EntityBatch) -> Result<()> {
        let _guard = fork::guard();
        self.explain(entities::put_all(&self.connection, entities))
    }

    /// Removes entities by their marked IDs.
    pub(crate) fn remove(&mut self, ids: &[i64]) -> Result<()> {
        let _guard = fork::guard();
        self.explain(entities::remove(&self.connection, ids))
    }

    /// Removes all entities.
    pub(crate) fn remove_all(&mut self) -> Result<()> {
        let _guard = fork::guard();
        self.explain(entities::remove_all(&self.connection))
    }

    /// Writes everything that is not an entity, and ends what [`create_tables`](Self::create_tables)
    /// began.
    pub(crate) fn fill(
        &mut self,
        login: &Credentials,
        update_states: Vec<(i64, UpdateState)>,
        sent_files: Vec<(FileKey, SentFile)>,
        version: i64,
    ) -> Result<()> {
        let _guard = fork::guard();
        let changes = Changes { update_states, sent_files, ..Changes::default() };
        let fill = || {
            store::write_changes(&self.connection, &changes, version)?;
            login::write_credentials(&self.connection, login, version)?;
            self.connection.execute_batch("commit")
        };
        self.explain(fill())
    }

    /// Gives the file its name, when it is on the disk.
    pub(crate) fn finish(self) -> Result<()> {
        let _guard = fork::guard();
        let Self { connection, file, target, may_replace } = self;
        connection.close().map_err(|(_, error)| sqlite_error(&target, error))?;
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::AlreadyExists => exists(&target),
            _ => cannot_open(&target, &error.to_string()),
        };
        file.as_file().sync_all().map_err(failed)?;
        require_nothing_beside(&target)?;
        let path = file.into_temp_path();
        let named = if may_replace { path.persist(&target) } else { path.persist_noclobber(&target) };
        named.map_err(|error| failed(error.error))?;
        // The name too, best effort: not every file system can do that.
        #[cfg(unix)]
        let _ = folder_of(&target).and_then(|folder| fs::File::open(folder)?.sync_all());
        Ok(())
    }

    fn explain<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| sqlite_error(&self.target, error))
    }
}

fn exists(path: &Path) -> StoreError {
    let message = format!("{} already exists: choose another name, or replace it with overwrite=True", path.display());
    StoreError::new(Kind::Exists, Place::File(path.to_owned()), message)
}

fn check_target(path: &Path, may_replace: bool) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(_) if !may_replace => Err(exists(path)),
        Ok(_) if path.is_file() => Ok(()),
        Ok(_) => Err(cannot_open(path, "it is not a regular file, and is not replaced")),
    }
}

/// Refuses a name beside which a journal or a WAL lies: SQLite would apply it to the new file.
fn require_nothing_beside(path: &Path) -> Result<()> {
    for suffix in ["-journal", "-wal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let mut first = [0];
        let has_contents = fs::File::open(&name).and_then(|mut file| file.read(&mut first));
        // A journal that begins with zeros has been used up.
        if has_contents.is_ok_and(|count| count > 0) && first != [0] {
            let name = Path::new(&name).file_name().unwrap_or_default().display().to_string();
            let why = format!(
                "{name} lies beside it, which SQLite would apply to the copy: it is in use, or a program ended during \
                 a write; choose another name"
            );
            return Err(cannot_open(path, &why));
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    Ok(if folder == OsStr::new("") { Path::new(".") } else { folder })
}

/// Creates a file beside `target` that only its owner may read.
fn create(target: &Path) -> io::Result<NamedTempFile> {
    let name = target.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
    let mut prefix = OsStr::new(".").to_owned();
    prefix.push(name);
    prefix.push(".");
    let file = tempfile::Builder::new().prefix(&prefix).suffix(".tmp").tempfile_in(folder_of(target)?)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Whatever the umask is.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
