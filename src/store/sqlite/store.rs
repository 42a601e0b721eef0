//! An open session file: reading, and writing in transactions.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use zeroize::Zeroizing;

use super::claim::Claim;
use super::{entities, login, sqlite_error};
use crate::entity_cache::EntityPage;
use crate::error::{Error, Result};
use crate::store::{Changes, FileKey, Loaded, Query, SentFile, Store, UpdateState, Value};

/// How long a transaction waits, when it is done, for those who still read.
const COMMIT_WAIT: Duration = Duration::from_millis(250);

/// An open session file.
#[derive(Debug)]
pub(super) struct SqliteStore {
    connection: Connection,
    /// For error texts.
    path: PathBuf,
    version: i64,
    /// Whether there may be a login in it.
    may_hold_login: bool,
    /// Whether what only a write needs has been set up.
    may_write: bool,
    /// That the file is ours alone, if it is. It ends with the connection.
    _claim: Option<Claim>,
}

/// How much of the file a transaction may hold in memory, in KiB and negative as SQLite has it. Ids come in no order, so each entity
/// that is written touches another page; the usual 2 MiB would have pages written and read again and again.
const CACHE_SIZE: i64 = -65_536;

impl SqliteStore {
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        version: i64,
        may_hold_login: bool,
        claim: Option<Claim>,
    ) -> Self {
        Self { connection, path, version, may_hold_login, may_write: false, _claim: claim }
    }

    fn prepare_for_writing(&mut self) -> Result<()> {
        if !self.may_write {
            self.explain(set_up_for_writing(&self.connection))?;
            self.explain(self.connection.pragma_update(None, "cache_size", CACHE_SIZE))?;
            self.may_write = true;
        }
        Ok(())
    }

    fn explain<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| sqlite_error(&self.path, error))
    }

    fn wait_at_most(&self, wait: Duration) -> Result<()> {
        self.explain(self.connection.busy_timeout(wait))
    }
}

impl Store for SqliteStore {
    fn find(&mut self, query: &Query<'_>, wait: Duration) -> Result<EntityPage> {
        self.wait_at_most(wait)?;
        self.explain(entities::find(&self.connection, query))
    }

    fn load(&mut self, after: Option<i64>, most: usize) -> Result<Loaded> {
        self.wait_at_most(Duration::ZERO)?;
        self.explain(entities::load(&self.connection, after, most))
    }

    fn update_states(&mut self) -> Result<Vec<(i64, UpdateState)>> {
        self.wait_at_most(Duration::ZERO)?;
        self.explain(login::read_update_states(&self.connection))
    }

    fn sent_file(&mut self, key: &FileKey) -> Result<Option<SentFile>> {
        const SELECT: &str = "select id, hash from sent_files where md5_digest = ? and file_size = ? and type = ?";
        self.wait_at_most(Duration::ZERO)?;
        let find = || {
            let key = params![key.md5_digest, key.size, key.kind as i64];
            let mut statement = self.connection.prepare_cached(SELECT)?;
            statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        self.explain(find())
    }

    fn begin(&mut self) -> Result<()> {
        self.wait_at_most(Duration::ZERO)?;
        self.prepare_for_writing()?;
        self.explain(self.connection.execute_batch("begin immediate"))
    }

    fn apply(&mut self, changes: &Changes) -> Result<()> {
        self.explain(write_changes(&self.connection, changes, self.version))
    }

    fn commit(&mut self) -> Result<()> {
        self.wait_at_most(COMMIT_WAIT)?;
        self.explain(self.connection.execute_batch("commit"))
    }

    fn roll_back(&mut self) {
        if !self.connection.is_autocommit() {
            // What fails here has been rolled back by SQLite itself.
            let _ = self.connection.execute_batch("rollback");
        }
    }

    fn rest(&mut self) {
        // A thousand sessions must not each keep their statements and pages until the next write.
        self.connection.flush_prepared_statement_cache();
        if let Err(error) = self.connection.release_memory() {
            log::debug!("{}: the memory of its pages is kept: {error}", self.path.display());
        }
    }

    fn others_commits(&mut self) -> Result<i64> {
        self.wait_at_most(Duration::ZERO)?;
        self.explain(others_commits(&self.connection))
    }

    fn auth_key(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        let key = self.explain(login::read_auth_key(&self.connection))?;
        if self.may_hold_login || key.is_empty() { Ok(key) } else { Err(Error::HoldsLogin { path: self.path.clone() }) }
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<(Option<Vec<Value>>, bool)> {
        self.wait_at_most(Duration::ZERO)?;
        self.prepare_for_writing()?;
        let run = || {
            let mut statement = match self.connection.prepare(statement) {
                Err(rusqlite::Error::Empty) => return Ok((None, false)),
                prepared => prepared?,
            };
            let changes = !statement.readonly();
            let columns = statement.column_count();
            let mut rows = statement.query(params_from_iter(values.iter().map(to_sql)))?;
            let first = match rows.next()? {
                Some(row) => {
                    Some((0..columns).map(|at| row.get_ref(at).map(from_sql)).collect::<rusqlite::Result<_>>()?)
                }
                None => None,
            };
            // To its end, or a change that answers rows would not be made.
            while rows.next()?.is_some() {}
            Ok((first, changes))
        };
        let done = self.explain(run())?;
        if !self.connection.is_autocommit() {
            // No transaction of the user's own stays open: it would keep everybody else from writing.
            self.explain(self.connection.execute_batch("commit"))?;
        }
        Ok(done)
    }
}

/// What every transaction keeps to that writes.
pub(super) fn set_up_for_writing(connection: &Connection) -> rusqlite::Result<()> {
    // A replaced key is nowhere in the file then.
    connection.pragma_update(None, "secure_delete", true)?;
    #[cfg(target_os = "macos")]
    // Otherwise what was synced may still be in the disk's own memory.
    connection.pragma_update(None, "fullfsync", true)?;
    // A journal whose end is not on the disk yet would come back after a power cut, and undo what was saved.
    connection.pragma_update(None, "synchronous", "extra")
}

/// A number that changes whenever another connection has changed the file.
pub(super) fn others_commits(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("pragma data_version")?.query_row([], |row| row.get(0))
}

fn to_sql(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(number) => SqlValue::Integer(*number),
        Value::Real(number) => SqlValue::Real(*number),
        Value::Text(text) => SqlValue::Text(text.clone()),
        Value::Blob(bytes) => SqlValue::Blob(bytes.clone()),
    }
}

fn from_sql(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
    }
}

const PUT_UPDATE_STATE: &str = "insert or replace into update_state (id, pts, qts, date, seq) values (?,?,?,?,?)";
const PUT_SENT_FILE: &str =
    "insert or replace into sent_files (md5_digest, file_size, type, id, hash) values (?,?,?,?,?)";

fn write_changes(connection: &Connection, changes: &Changes, version: i64) -> rusqlite::Result<()> {
    if let Some(credentials) = &changes.credentials {
        login::write_credentials(connection, credentials, version)?;
    }
    entities::write(connection, &changes.entities)?;
    for (id, state) in &changes.update_states {
        let mut put = connection.prepare_cached(PUT_UPDATE_STATE)?;
        put.execute(params![id, state.pts, state.qts, state.date, state.seq])?;
    }
    for (key, (id, hash)) in &changes.sent_files {
        let mut put = connection.prepare_cached(PUT_SENT_FILE)?;
        put.execute(params![key.md5_digest, key.size, key.kind as i64, id, hash])?;
    }
    Ok(())
}
