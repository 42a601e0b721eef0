//! What can go wrong in the core, said so that a person knows which file it is about and what to do.

use std::any::Any;
use std::path::{Path, PathBuf};

use crate::session_string::StringError;

/// The result of everything in the core that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the core. It knows no Python; `py/error.rs` says which exception each of these becomes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another connection holds the file longer than we may wait.
    #[error("database is locked: {} (another program, or another session in this one, holds it)", .path.display())]
    Locked {
        /// The session file.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("{message}: {}", .path.display())]
    Sqlite {
        /// The session file.
        path: PathBuf,
        /// SQLite's result code, the basic one (`SQLITE_FULL`, `SQLITE_CORRUPT`, ...).
        code: i32,
        /// SQLite's own words.
        message: String,
    },
    /// The file is no longer where it was when it was opened.
    #[error("{} is not there any more: it was deleted, moved or replaced after the session had opened it", .path.display())]
    Gone {
        /// The session file.
        path: PathBuf,
    },
    /// The file holds another key than the session's, or none: it was replaced, or another program has logged in.
    #[error(
        "{} holds another login than this session: it was replaced, or another program has logged in; this session does \
         not write to it before its own login is back. To use the login that is there, open the file in a new session", .path.display()
    )]
    Replaced {
        /// The session file.
        path: PathBuf,
    },
    /// The session was to be ours alone, and somebody else has it so already.
    #[error("{} is in use by process {pid}, which has opened it with exclusive=True", .path.display())]
    InUse {
        /// The session file.
        path: PathBuf,
        /// The number of the process.
        pid: u32,
    },
    /// The file is a database, but no session that we can use.
    #[error("{} is no session file: {reason}", .path.display())]
    NotASession {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is a session, but in a state that nothing can be read from or written to.
    #[error(
        "{} is a session file that cannot be used: {reason}; `telethon-session repair {}` saves what can be read",
        .path.display(), for_shell(.path)
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tables of an older file could not be brought up to date.
    #[error(
        "{} cannot be upgraded from database version {from} to {to}: {message}; `telethon-session repair {}` saves what \
         can be read", .path.display(), for_shell(.path)
    )]
    CannotUpgrade {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        from: i64,
        /// The version it was to get.
        to: i64,
        /// SQLite's result code, the basic one.
        code: i32,
        /// SQLite's own words.
        message: String,
    },
    /// The file was to hold entities alone.
    #[error(
        "{} holds a login, and an entity file holds none: give a file of its own, which is made if it is not there",
        .path.display()
    )]
    HoldsLogin {
        /// The session file.
        path: PathBuf,
    },
    /// The file was written by a Telethon that is newer than anything we know.
    #[error(
        "{} has database version {version}, and the newest this release of telethon-session-rust knows is \
         {newest}; install a newer release", .path.display()
    )]
    TooNew {
        /// The session file.
        path: PathBuf,
        /// The version in the file.
        version: i64,
        /// The newest version we know.
        newest: i64,
    },
    /// The file could not be made or opened.
    #[error("unable to open database file {}: {message}", .path.display())]
    CannotOpen {
        /// The session file.
        path: PathBuf,
        /// The system's own words.
        message: String,
    },
    /// `close()` waited as long as it may, and some changes are still only in memory.
    #[error("{cause}; unsaved after {waited} s: {what}; they are kept in memory, and close() can be called again")]
    Unsaved {
        /// Why they could not be written.
        cause: Box<Error>,
        /// Whole seconds waited.
        waited: u64,
        /// The changes, counted.
        what: String,
    },
    /// No row stands for an entity whose access hash is not known.
    #[error("entity {id} has no access hash, and a session file keeps none without")]
    NoAccessHash {
        /// The marked id.
        id: i64,
    },
    /// A text that is no string session.
    #[error(transparent)]
    SessionString(#[from] StringError),
    /// A panic: our own mistake. The session can be used as before.
    #[error("a defect of telethon-session-rust, please report it: {what}")]
    Defect {
        /// What the panic said.
        what: String,
    },
}

impl Error {
    /// The error that stands for a panic.
    #[must_use]
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let what = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Defect { what: what.unwrap_or_else(|| "it did not say what".to_owned()) }
    }

    /// Whether the store must be opened anew: with the connection there is, it would stay so.
    #[must_use]
    pub fn needs_reopening(&self) -> bool {
        use rusqlite::ffi;

        match self {
            Self::Gone { .. } => true,
            Self::Sqlite { code, .. } => matches!(
                *code,
                ffi::SQLITE_READONLY
                    | ffi::SQLITE_IOERR
                    | ffi::SQLITE_CORRUPT
                    | ffi::SQLITE_CANTOPEN
                    | ffi::SQLITE_PERM
                    | ffi::SQLITE_NOTADB
            ),
            _ => false,
        }
    }
}

/// Quotes a path for a POSIX shell where it needs that, and keeps it from being taken for an option.
fn for_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let path = if path.starts_with('-') { format!("./{path}") } else { path };
    if cfg!(windows) {
        return if path.contains(' ') { format!("\"{path}\"") } else { path };
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "@%+=:,./-_".contains(letter);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r#"'"'"'"#)) }
}
