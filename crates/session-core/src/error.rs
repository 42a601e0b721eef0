//! Errors of a session.

use std::any::Any;

use crate::session_string::StringError;
use crate::store::{Kind, StoreError};

/// The result of every operation of a session that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a session. The extension maps each to a Python exception.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `close()` waited as long as allowed, and some changes are still only in memory.
    #[error("{cause}; unsaved after {waited} s: {what}; kept in memory, and close() can be called again")]
    Unsaved {
        /// Why they could not be written.
        cause: Box<Error>,
        /// Whole seconds waited.
        waited: u64,
        /// The changes, counted.
        what: String,
    },
    /// An entity without an access hash cannot be stored.
    #[error("entity {id} has no access hash, and no entity is stored without one")]
    NoAccessHash {
        /// The marked ID.
        id: i64,
    },
    /// A text is not a valid string session.
    #[error(transparent)]
    SessionString(#[from] StringError),
    /// A panic, which is a bug in this library. The session remains usable.
    #[error("a bug in telethon-session-rust, please report it: {what}")]
    Bug {
        /// The message of the panic.
        what: String,
    },
}

impl Error {
    /// Makes the error that stands for a panic.
    #[must_use]
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let what = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Bug { what: what.unwrap_or_else(|| "a panic without a message".to_owned()) }
    }

    /// Returns the kind of the store's failure, if it is one.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Store(error) => Some(error.kind),
            _ => None,
        }
    }

    /// Returns `true` if time alone may clear the failure.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_some_and(Kind::is_retryable)
    }

    /// Returns `true` if the open store would keep failing and must be opened anew.
    #[must_use]
    pub fn needs_reopening(&self) -> bool {
        self.kind().is_some_and(Kind::needs_reopening)
    }
}
