//! Errors of stores: what failed, and where.

use std::error::Error;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of every operation of a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Where a session is stored. Never contains a password or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A store that lives in memory, such as a database without a file.
    Memory,
    /// A file.
    File(PathBuf),
    /// A server, and the session's name there.
    Server(String),
}

impl Place {
    /// Returns the path if the place is a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Memory | Self::Server(_) => None,
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str(":memory:"),
            Self::File(path) => path.display().fmt(f),
            Self::Server(name) => f.write_str(name),
        }
    }
}

/// What kind of failure a [`StoreError`] is. It decides whether the session retries or reopens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Another connection holds a lock that the operation needs.
    Busy,
    /// The server has not answered yet. The store [wakes](super::Waker) the session when it has.
    Pending,
    /// The server cannot be reached.
    Unreachable,
    /// The store was deleted, moved or replaced after it had been opened.
    Gone,
    /// The store holds another login than the session's.
    Replaced,
    /// Another session holds the lease.
    InUse,
    /// The session's own lease has expired or was taken over.
    LeaseLost,
    /// The store may hold no login, and holds one.
    HoldsLogin,
    /// The store is another account's.
    NotOwner,
    /// The store is an account's, and it is not known yet whether the session is that account's.
    Unconfirmed,
    /// The file that is to be made exists already.
    Exists,
    /// What is stored is not a session.
    NotASession,
    /// What is stored is damaged, or a session that cannot be read.
    Corrupt,
    /// The login is encrypted, and not with a key that was given.
    Sealed,
    /// A newer version of the layout than this release knows.
    TooNew,
    /// An older version of the layout that could not be upgraded.
    CannotUpgrade,
    /// The disk or the quota is full.
    Full,
    /// The store cannot be written.
    ReadOnly,
    /// The operating system or the server denies access.
    Denied,
    /// The store cannot be created or opened.
    CannotOpen,
    /// Reading or writing failed.
    Io,
    /// Anything else; [`StoreError::source`](Error::source) tells more.
    Other,
}

impl Kind {
    /// Returns `true` if time alone may clear the failure.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Pending | Self::Unreachable)
    }

    /// Returns `true` if the open store would keep failing and must be opened anew.
    #[must_use]
    pub fn needs_reopening(self) -> bool {
        let is_broken =
            matches!(self, Self::Gone | Self::ReadOnly | Self::Io | Self::Corrupt | Self::CannotOpen | Self::Denied);
        is_broken || self.is_of_others()
    }

    /// Returns `true` if the store must not be used, because it is or may be another account's.
    #[must_use]
    pub fn is_of_others(self) -> bool {
        matches!(self, Self::NotOwner | Self::Unconfirmed)
    }
}

/// An error of a store.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// What kind of failure it is.
    pub kind: Kind,
    /// The store that failed.
    pub place: Place,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// Makes an error. `message` says what failed, where and what to do; it is all that the user
    /// reads.
    #[must_use]
    pub fn new(kind: Kind, place: Place, message: String) -> Self {
        Self { kind, place, message, source: None }
    }

    /// Adds the error of the database or of the operating system that caused this one.
    #[must_use]
    pub fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// Makes the error for a store that another connection holds.
    #[must_use]
    pub fn busy(place: Place) -> Self {
        let message =
            format!("database is locked: {place} (another program, or another session in this one, holds it)");
        Self::new(Kind::Busy, place, message)
    }

    /// Makes the error for a store that is no longer where it was when it was opened.
    #[must_use]
    pub fn gone(place: Place) -> Self {
        let message =
            format!("{place} no longer exists: it was deleted, moved or replaced after the session opened it");
        Self::new(Kind::Gone, place, message)
    }

    /// Makes the error for a store that holds another login.
    #[must_use]
    pub fn replaced(place: Place) -> Self {
        let message = format!(
            "{place} holds another login than this session: it was replaced, or another program has logged in. The \
             session writes nothing to it until it holds the session's own login again; to use the login it holds \
             now, open it in a new session"
        );
        Self::new(Kind::Replaced, place, message)
    }

    /// Makes the error for a copy that its caller has stopped.
    #[must_use]
    pub fn stopped(place: Place) -> Self {
        let message = format!("{place}: the copy was stopped");
        Self::new(Kind::Other, place, message)
    }

    /// Makes the error for a login that cannot be written because the session only reads its store.
    #[must_use]
    pub fn read_only(place: Place) -> Self {
        let message = format!(
            "{place} was opened with read_only=True, so the changed login cannot be saved: it stays in memory; to save \
             it, open the session without read_only, or make a copy with backup()"
        );
        Self::new(Kind::ReadOnly, place, message)
    }

    /// Returns `true` if time alone may clear the failure.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// Returns the cause if it is a `T`.
    #[must_use]
    pub fn cause<T: Error + 'static>(&self) -> Option<&T> {
        self.source.as_ref().and_then(|source| source.downcast_ref())
    }
}

impl Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
