//! Whose an entity file is.
//!
//! A table of ours beside Telethon's holds salted fingerprints of the keys that have used the file,
//! and the ID of their account as soon as it is known. No key can be found from a fingerprint, nor
//! which files belong to one key. A session file never has this table.

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use session_core::store::Result;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::{not_the_owner, not_the_owner_yet, sqlite_error};

/// The name of the table.
pub const OWNER_TABLE: &str = "telethon_session_rust_owner";
const CREATE: &str = "create table telethon_session_rust_owner (account integer, salt blob, fingerprint blob)";
/// How many logins of one account a file remembers.
const MAX_LOGINS: usize = 16;
const SALT_LEN: usize = 16;
/// What the hash is for: that of the key alone would be the same in another program.
const PURPOSE: &[u8] = b"telethon-session-rust entity file";

/// Whose session an entity file is to be for.
pub struct FileOwner(Mutex<Claim>);

#[derive(Default)]
struct Claim {
    /// The key of the session; empty if there is none.
    key: Zeroizing<Vec<u8>>,
    /// The keys that the session had before: a login may take several.
    earlier: Vec<Zeroizing<Vec<u8>>>,
    /// The account, if it is known.
    account: Option<i64>,
}

/// What a file says.
#[derive(Debug, Default)]
struct Mark {
    account: Option<i64>,
    logins: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Debug for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOwner").field("account", &self.claim().account).finish_non_exhaustive()
    }
}

impl FileOwner {
    /// Returns the owner with a key, which may be empty.
    #[must_use]
    pub fn new(key: Zeroizing<Vec<u8>>) -> Self {
        Self(Mutex::new(Claim { key, ..Claim::default() }))
    }

    /// Sets the key. The account is unknown then. Returns `true` if the key is another one.
    pub fn set_key(&self, key: Zeroizing<Vec<u8>>) -> bool {
        let mut claim = self.claim();
        if claim.key == key {
            return false;
        }
        let before = std::mem::replace(&mut claim.key, key);
        if !before.is_empty() {
            claim.earlier.push(before);
        }
        claim.account = None;
        true
    }

    /// Sets the account. Returns `true` if it was not known to be this one.
    pub fn set_account(&self, account: i64) -> bool {
        self.claim().account.replace(account) != Some(account)
    }

    fn claim(&self) -> MutexGuard<'_, Claim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that a file is this owner's.
    ///
    /// # Errors
    /// [`Kind::Unconfirmed`](session_core::store::Kind::Unconfirmed) if that shows only when the
    /// account is known, or [`Kind::NotOwner`](session_core::store::Kind::NotOwner).
    pub(crate) fn check(&self, connection: &Connection, path: &Path) -> Result<()> {
        let read = || Ok((read_mark(connection)?, read_account(connection)?));
        let (mark, stored) = read().map_err(|error| sqlite_error(path, error))?;
        let account = mark.as_ref().and_then(|mark| mark.account).or(stored);
        let claim = self.claim();
        if let (Some(account), Some(own)) = (account, claim.account) {
            return if account == own { Ok(()) } else { Err(not_the_owner(path, Some(account))) };
        }
        let Some(mark) = mark.filter(|_| !claim.key.is_empty()) else { return Ok(()) };
        if mark.has(&claim.key) {
            return Ok(());
        }
        match account {
            Some(account) => Err(not_the_owner_yet(path, account)),
            // A login that began here with another key.
            None if claim.earlier.iter().any(|key| mark.has(key)) => Ok(()),
            None => Err(not_the_owner(path, None)),
        }
    }

    /// Has a file remember this owner, which [is](Self::check) the right one. Call in a transaction.
    pub(crate) fn mark(&self, connection: &Connection) -> rusqlite::Result<()> {
        let claim = self.claim();
        if claim.key.is_empty() {
            return Ok(());
        }
        let found = read_mark(connection)?;
        let account = match claim.account {
            None => found
                .as_ref()
                .and_then(|mark| mark.account)
                .map_or_else(|| read_account(connection), |id| Ok(Some(id)))?,
            known => known,
        };
        let is_known = found.as_ref().is_some_and(|mark| mark.has(&claim.key));
        if is_known && found.as_ref().is_some_and(|mark| mark.account == account) {
            return Ok(());
        }
        if found.is_none() {
            remove(connection)?;
            connection.execute(CREATE, [])?;
        }
        if !is_known {
            let mut salt = [0; SALT_LEN];
            // Without random numbers the file stays as it was.
            if getrandom::fill(&mut salt).is_err() {
                return Ok(());
            }
            if account.is_none() {
                // An earlier key of a login that is not complete yet.
                connection.execute(&format!("delete from {OWNER_TABLE}"), [])?;
            }
            let insert = format!("insert into {OWNER_TABLE} (salt, fingerprint) values (?, ?)");
            connection.execute(&insert, params![salt, fingerprint(&salt, &claim.key)])?;
            let newest = format!("select rowid from {OWNER_TABLE} order by rowid desc limit {MAX_LOGINS}");
            connection.execute(&format!("delete from {OWNER_TABLE} where rowid not in ({newest})"), [])?;
        }
        connection.execute(&format!("update {OWNER_TABLE} set account = ?"), [account]).map(drop)
    }

    /// Like [`mark`](Self::mark), in a transaction of its own. Best effort: the next write does it
    /// too.
    pub(crate) fn mark_now(&self, connection: &mut Connection) {
        let mut mark = || {
            let marking = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            self.mark(&marking)?;
            marking.commit()
        };
        if let Err(error) = mark() {
            log::debug!("an entity file does not remember its owner yet: {error}");
        }
    }

    /// Returns `true` if a file remembers this owner, or there is nothing to remember.
    pub(crate) fn is_marked(&self, connection: &Connection) -> bool {
        let claim = self.claim();
        claim.key.is_empty() || read_mark(connection).is_ok_and(|mark| mark.is_some_and(|mark| mark.has(&claim.key)))
    }
}

impl Mark {
    fn has(&self, key: &[u8]) -> bool {
        self.logins.iter().any(|(salt, found)| *found == fingerprint(salt, key))
    }
}

fn fingerprint(salt: &[u8], key: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(PURPOSE).chain_update(salt).chain_update(key).finalize().to_vec()
}

/// Returns what a file says; `None` if it says nothing that can be read.
fn read_mark(connection: &Connection) -> rusqlite::Result<Option<Mark>> {
    if !has_table(connection)? {
        return Ok(None);
    }
    let read = || {
        let mut mark = Mark::default();
        let select =
            format!("select account, salt, fingerprint from {OWNER_TABLE} order by rowid desc limit {MAX_LOGINS}");
        let mut statement = connection.prepare(&select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let (ValueRef::Blob(salt), ValueRef::Blob(fingerprint)) = (row.get_ref(1)?, row.get_ref(2)?) {
                mark.logins.push((salt.to_owned(), fingerprint.to_owned()));
            }
            mark.account = mark.account.or(integer(row.get_ref(0)?));
        }
        Ok::<_, rusqlite::Error>(mark)
    };
    match read() {
        Ok(mark) => Ok(Some(mark).filter(|mark| mark.account.is_some() || !mark.logins.is_empty())),
        // It has other columns.
        Err(rusqlite::Error::SqlInputError { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the account's own ID, which Telethon's client stores as the access hash of entity 0.
fn read_account(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let select = "select hash from entities where id = 0";
    let found = connection.query_row(select, [], |row| Ok(integer(row.get_ref(0)?))).optional()?;
    Ok(found.flatten().filter(|account| *account != 0))
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    if let ValueRef::Integer(number) = value { Some(number) } else { None }
}

fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    // A view might have no end.
    let select = "select exists(select 1 from sqlite_master where type = 'table' and name = ?)";
    connection.query_row(select, [OWNER_TABLE], |row| row.get(0))
}

/// Has a file forget whose it is. Call in a transaction.
pub(crate) fn remove(connection: &Connection) -> rusqlite::Result<()> {
    if has_table(connection)? { connection.execute(&format!("drop table {OWNER_TABLE}"), []).map(drop) } else { Ok(()) }
}
