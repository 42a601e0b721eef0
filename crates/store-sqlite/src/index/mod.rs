//! The index of usernames, phones and names: a file of ours beside the session file.
//!
//! A session file has no index of texts, and must stay as Telethon writes it. A session whose memory
//! is bounded looks texts up there, so it keeps this file, `NAME.session-index`. It can be deleted at
//! any time and is made again in the background.
//!
//! For each text it holds a hash and the marked ID of the entity. What it says is checked in the
//! session file: entries too many do no harm, and are left when an entity changes. Only a missing
//! entry would: so the index is used only while it is complete, and the session file bears the
//! [`Mark`] that it had then. A session that writes entities and keeps the index adds their entries and
//! sets the new mark, with the index locked before the session file is committed, so that the marks
//! form a chain. A commit of any other program breaks the chain, and the index is made again
//! ([`build`]). So does one that could not lock the index at once.

mod build;
mod mark;
mod parts;

pub(crate) use build::Builder;
pub(crate) use mark::Mark;

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use session_core::entity_table::{EntityBatch, TextField};
use session_core::store::{Kind, Result, StoreError};
use sha2::{Digest as _, Sha256};

use crate::error::{cannot_open, sqlite_error};
use crate::{backend, entities};

/// What marks the file as ours, and the form of its contents.
const APPLICATION: i32 = 0x5453_5269;
const FORMAT: i32 = 1;

const CREATE: &str = "create table index_state (salt blob not null, build integer not null, \
     is_complete integer not null, mark blob); \
     create table texts (hash integer not null, id integer not null, primary key (hash, id)) without rowid";
const HAS_TABLES_ALONE: &str = "select count(*) = 2 and sum(type = 'table' and name in ('index_state', 'texts')) = 2 \
     from sqlite_master";
/// No row if the index must not be used; otherwise one for each candidate, or one without an ID.
const FIND: &str = "select texts.id from index_state left join texts on texts.hash = ?1 \
     where is_complete and mark = ?2";
const PUT: &str = "insert or ignore into texts (hash, id) values (?, ?)";

/// How long to wait for another connection that uses the index. The session file is locked meanwhile.
const TIMEOUT: Duration = Duration::from_millis(250);
const SALT_LEN: usize = 16;
/// Bits of the hashes. SQLite stores numbers of so many in six bytes.
const HASH_BITS: u32 = 47;

/// An entry: the hash of a text, and the marked ID of an entity that has it.
pub(crate) type Entry = (i64, i64);

/// An open index.
#[derive(Debug)]
pub(crate) struct TextIndex {
    connection: Connection,
    path: PathBuf,
    hasher: TextHasher,
    condition: Cell<Condition>,
}

/// What the last use of an index has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Usable,
    /// It is not complete, or that of another state of the session file.
    Behind,
    /// It was deleted.
    Damaged,
}

/// Whose a file in the place of an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Us,
    Another,
}

/// Hashes texts. Salted at random: users choose their names, and must not be able to choose
/// collisions.
#[derive(Clone, Debug)]
pub(crate) struct TextHasher {
    salt: [u8; SALT_LEN],
}

impl TextIndex {
    /// Opens the index of the session file at `path`, or creates an empty one. One of another form, or
    /// that is damaged, is replaced.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = path_of(path);
        for _ in 0..2 {
            let mut connection = backend::connect_beside(&path)?;
            if owner(&connection).map_err(|error| sqlite_error(&path, error))? == Some(Owner::Another) {
                break;
            }
            match prepare(&mut connection).map_err(|error| sqlite_error(&path, error)) {
                Err(error) if !error.is_retryable() => {
                    log::warn!("a damaged index is made again: {error}");
                    drop(connection);
                    remove(&path);
                }
                prepared => {
                    let hasher = TextHasher { salt: prepared? };
                    return Ok(Self { connection, path, hasher, condition: Cell::new(Condition::Usable) });
                }
            }
        }
        Err(cannot_open(&path, "it is not an index of telethon-session-rust"))
    }

    /// Returns the marked IDs of entities that may have a text; `None` if the index is not complete,
    /// or is that of another state of the session file than the one with this mark.
    pub(crate) fn find(&self, mark: &Mark, field: TextField, text: &[u8]) -> Result<Option<Vec<i64>>> {
        if self.condition.get() == Condition::Damaged {
            return Ok(None);
        }
        let hash = self.hasher.hash(field, text);
        let find = || {
            let mut statement = self.connection.prepare_cached(FIND)?;
            let mut rows = statement.query(params![hash, mark])?;
            let mut found = None;
            while let Some(row) = rows.next()? {
                found.get_or_insert_with(Vec::new).extend(row.get::<_, Option<i64>>(0)?);
            }
            Ok(found)
        };
        let found = self.explain(find())?;
        self.condition.set(if found.is_some() { Condition::Usable } else { Condition::Behind });
        Ok(found)
    }

    /// Returns `true` if the index answered when it was asked last.
    pub(crate) fn is_usable(&self) -> bool {
        self.condition.get() == Condition::Usable
    }

    /// Returns `true` if the index is complete for the state of the session file with this mark.
    pub(crate) fn is_complete(&self, mark: &Mark) -> Result<bool> {
        const IS_COMPLETE: &str = "select is_complete and mark = ?1 from index_state";
        if self.condition.get() == Condition::Damaged {
            return Ok(false);
        }
        let asked = self.connection.query_row(IS_COMPLETE, [mark], |row| row.get::<_, Option<bool>>(0));
        let is_complete = self.explain(asked.optional())?.flatten().unwrap_or(false);
        if is_complete {
            self.condition.set(Condition::Usable);
        }
        Ok(is_complete)
    }

    /// Locks the index for the entries of what is being written to the session file, which bears
    /// `mark`. Returns `None` if the chain is broken already.
    pub(crate) fn begin(&self, mark: &Mark, entries: &[Entry]) -> Result<Option<Update<'_>>> {
        let begin = || {
            self.connection.execute_batch("begin immediate")?;
            let update = Update { index: self };
            let is_next = "select mark = ?1 from index_state";
            if self.connection.query_row(is_next, [mark], |row| row.get::<_, Option<bool>>(0))? != Some(true) {
                return Ok(None);
            }
            put(&self.connection, entries)?;
            Ok(Some(update))
        };
        self.explain(begin())
    }

    /// Returns what hashes the texts of this index.
    pub(crate) fn hasher(&self) -> &TextHasher {
        &self.hasher
    }

    /// Frees the memory that is not needed until the index is used again.
    pub(crate) fn trim(&self) {
        self.connection.flush_prepared_statement_cache();
        let _ = self.connection.release_memory();
    }

    /// Takes a transaction back that is still open.
    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // If this fails, SQLite has rolled back itself.
            let _ = self.connection.execute_batch("rollback");
        }
    }

    /// Returns the result of a transaction, after taking it back if it is still open.
    fn ended<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        self.roll_back();
        self.explain(result)
    }

    /// Explains an error. An index that is damaged is deleted, to be made again.
    fn explain<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        let explained = result.map_err(|error| sqlite_error(&self.path, error));
        explained.inspect_err(|error| {
            if is_damage(error) && self.condition.replace(Condition::Damaged) != Condition::Damaged {
                log::warn!("a damaged index is made again: {error}");
                remove(&self.path);
            }
        })
    }
}

/// Entries that go with a commit of the session file. Taken back when dropped.
#[derive(Debug)]
pub(crate) struct Update<'i> {
    index: &'i TextIndex,
}

impl Update<'_> {
    /// Keeps the entries, after the session file was committed and bears another mark.
    pub(crate) fn keep(self, mark: &Mark) -> Result<()> {
        let keep = || {
            self.index.connection.prepare_cached("update index_state set mark = ?1")?.execute([mark])?;
            self.index.connection.execute_batch("commit")
        };
        self.index.explain(keep())
    }
}

impl Drop for Update<'_> {
    fn drop(&mut self) {
        self.index.roll_back();
    }
}

impl TextHasher {
    /// Adds the entries of all texts in a batch.
    pub(crate) fn add(&self, batch: &EntityBatch, entries: &mut Vec<Entry>) {
        for entity in batch.iter() {
            for (field, text) in TextField::ALL.into_iter().zip(entity.texts()) {
                let Some(text) = text else { continue };
                let hash = match (field, std::str::from_utf8(text)) {
                    (TextField::Phone, Ok(phone)) => self.hash(field, entities::normalize_phone(phone).as_bytes()),
                    _ => self.hash(field, text),
                };
                entries.push((hash, entity.id));
            }
        }
    }

    fn hash(&self, field: TextField, text: &[u8]) -> i64 {
        let digest = Sha256::new().chain_update(self.salt).chain_update([field as u8]).chain_update(text).finalize();
        let first = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
        // Fits always.
        i64::try_from(first >> (u64::BITS - HASH_BITS)).unwrap_or_default()
    }
}

/// Deletes the index of the session file at `path`.
pub(crate) fn delete(path: &Path) {
    let path = path_of(path);
    if path.is_file() && backend::connect_beside(&path).is_ok_and(|found| matches!(owner(&found), Ok(Some(Owner::Us))))
    {
        remove(&path);
    }
}

/// Returns `true` if an error says that the index is damaged.
fn is_damage(error: &StoreError) -> bool {
    error.kind == Kind::Corrupt
}

fn path_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-index");
    name.into()
}

fn remove(path: &Path) {
    for suffix in ["", "-journal"] {
        let mut name = OsString::from(path);
        name.push(suffix);
        if let Err(error) = fs::remove_file(&name)
            && error.kind() != ErrorKind::NotFound
        {
            log::warn!("{}: it cannot be deleted: {error}", name.display());
        }
    }
}

/// Returns whose a file is: ours, or another program's; `None` if it is empty.
fn owner(connection: &Connection) -> rusqlite::Result<Option<Owner>> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == APPLICATION {
        return Ok(Some(Owner::Us));
    }
    let is_empty = connection.query_row("select not exists (select 1 from sqlite_master)", [], |row| row.get(0))?;
    Ok(if is_empty { None } else { Some(Owner::Another) })
}

/// Creates what an index consists of, unless it has that already. Returns its salt.
fn prepare(connection: &mut Connection) -> rusqlite::Result<[u8; SALT_LEN]> {
    connection.busy_timeout(TIMEOUT)?;
    // After a power cut, an index that lacks the last commits is behind and made again.
    connection.pragma_update(None, "synchronous", "normal")?;
    let read = |connection: &Connection| -> rusqlite::Result<Option<[u8; SALT_LEN]>> {
        let format: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // A view of a hostile file may have rows without end.
        let has_tables_alone = connection.query_row(HAS_TABLES_ALONE, [], |row| row.get::<_, bool>(0))?;
        if format != FORMAT || !has_tables_alone {
            return Ok(None);
        }
        connection.query_row("select salt from index_state", [], |row| row.get(0)).optional()
    };
    if let Some(salt) = read(connection)? {
        return Ok(salt);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(salt) = read(&transaction)? {
        return Ok(salt);
    }
    let mut salt = [0; SALT_LEN];
    getrandom::fill(&mut salt).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    transaction.execute_batch("drop table if exists index_state; drop table if exists texts")?;
    transaction.execute_batch(CREATE)?;
    transaction.execute("insert into index_state values (?, 0, 0, null)", [salt])?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(salt)
}

fn put(connection: &Connection, entries: &[Entry]) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(PUT)?;
    entries.iter().try_for_each(|entry| put.execute(*entry).map(drop))
}
