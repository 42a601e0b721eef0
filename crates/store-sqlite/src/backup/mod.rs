//! Copies a session to a new file while the session is in use: whole, as it was at one moment.
//!
//! Of a session file the pages are copied ([`pages`]), of any other session the rows ([`rows`]).

mod pages;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use session_core::credentials::Credentials;
use session_core::error::Result;
use session_core::session::{Rest, Session, Tracker};
use session_core::store::{FileKey, Place, SentFile, StoreError, UpdateState};
use zeroize::Zeroizing;

use crate::copy::FileCopy;
use crate::error::cannot_open;

pub use pages::copy_file;

/// How long to wait before what would have to wait is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// What only the caller knows of a session.
#[derive(Debug, Default)]
pub struct Parts {
    /// The login.
    pub credentials: Credentials,
    /// The update states of a session that is not stored.
    pub update_states: Vec<(i64, UpdateState)>,
    /// The sent files of a session that is not stored.
    pub sent_files: Vec<(FileKey, SentFile)>,
}

/// What the last step of a copy takes.
#[derive(Debug)]
pub struct LastStep {
    /// What only the caller knows.
    pub parts: Parts,
    /// What the session knows.
    pub rest: Rest,
    /// Whether both are of one moment. Otherwise the parts are older.
    pub is_one_moment: bool,
}

/// The caller of a backup.
pub trait Caller {
    /// Returns what only the caller knows.
    ///
    /// # Errors
    /// What prevents it from being known.
    fn parts(&mut self) -> Result<Parts>;

    /// Takes what only the caller knows, and then the rest of what `tracker` tracks; `None` if that
    /// would have to wait, or more than `limit` entities have changed.
    ///
    /// # Errors
    /// What prevents it from being known.
    fn last_step(&mut self, tracker: &Tracker, limit: usize) -> Result<Option<LastStep>>;

    /// Returns `false` if the backup is to be stopped.
    fn keep_going(&mut self) -> bool;

    /// Returns the form in which the new file is to hold a key; `None` if the system has no random
    /// numbers.
    fn seal(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}

/// Where to copy a session, and how.
#[derive(Clone, Copy, Debug)]
pub struct BackupOptions<'a> {
    /// The new file.
    pub target: &'a Path,
    /// Whether to replace a file that exists.
    pub may_replace: bool,
    /// The database version of the new file if the session has no file.
    pub version: i64,
    /// Whether the session's file lacks the login, which the caller knows.
    pub needs_login: bool,
}

/// Copies a session to a new file. Waits for locks as long as the caller keeps going.
///
/// # Errors
/// [`Kind::Exists`](session_core::store::Kind::Exists) if there is a file that must not be replaced,
/// or what prevents the session from being read or the file from being written. The target is as it
/// was.
pub fn back_up(session: &Arc<Session>, options: BackupOptions<'_>, caller: &mut dyn Caller) -> Result<()> {
    let mut copy = FileCopy::begin(options.target, options.may_replace)?;
    let is_copied = session.is_stored() && pages::copy_session(session, options, caller, &mut copy)?;
    if !is_copied {
        rows::copy_session(session, options, caller, &mut copy)?;
    }
    Ok(copy.finish()?)
}

/// Returns credentials with their keys in the form in which the new file is to hold them.
fn sealed(credentials: &Credentials, target: &Path, caller: &dyn Caller) -> Result<Credentials> {
    let seal = |key: &[u8]| {
        let why = "the system gives no random numbers, and its keys cannot be encrypted without";
        caller.seal(key).ok_or_else(|| cannot_open(target, why))
    };
    let Credentials { auth_key, tmp_auth_key, .. } = credentials;
    Ok(Credentials { auth_key: seal(auth_key)?, tmp_auth_key: seal(tmp_auth_key)?, ..credentials.clone() })
}

/// Calls `attempt` until it returns something else than a retryable error. Returns an error if the
/// caller does not keep going.
fn waiting<T>(
    place: &Place,
    keep_going: &mut dyn FnMut() -> bool,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    loop {
        if !keep_going() {
            return Err(StoreError::stopped(place.clone()).into());
        }
        match attempt() {
            Err(error) if error.is_retryable() => sleep(RETRY_INTERVAL),
            other => return other,
        }
    }
}
