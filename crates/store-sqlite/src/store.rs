//! An open session file.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use session_core::entity_table::{EntityBatch, TextField};
use session_core::store::{
    Base, ChangeSource, Changes, Counted, FileKey, FileKind, Indexer, Lookup, Query, Result, Revision, ScanBatch,
    SentFile, Snapshot, Store, Written,
};

use crate::backend::{self, OpenFile};
use crate::error::{holds_login, in_memory, sqlite_error};
use crate::index::{Builder, Entry, Mark, TextIndex, Update};
use crate::owner::FileOwner;
use crate::watch::Watch;
use crate::{entities, login};

/// How long a commit waits for connections that still read.
const COMMIT_TIMEOUT: Duration = Duration::from_millis(250);

/// How much of the file a transaction may keep in memory, in KiB and negative as SQLite has it. IDs
/// come in no order, so each entity touches another page; SQLite's default of 2 MiB would have
/// pages written and read again and again.
const CACHE_SIZE: i64 = -65_536;

/// A value in a row of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `NULL`.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// An open session file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    /// The file that is open; `None` for a database in memory.
    file: Option<OpenFile>,
    /// For messages.
    path: PathBuf,
    version: i64,
    /// Whether the file may hold a login.
    may_hold_login: bool,
    /// Whose the file is, if it may not.
    owner: Option<Arc<FileOwner>>,
    /// Whether the connection has been set up for writing.
    can_write: bool,
    /// Sees commits without a lock, where that is possible.
    watch: Watch,
    /// Whether the connection takes no locks.
    is_without_locks: bool,
    /// The index of texts, if the session wants one.
    index: Option<TextIndex>,
}

impl SqliteStore {
    pub(crate) fn new(
        (connection, watch): (Connection, Watch),
        file: Option<OpenFile>,
        version: i64,
        may_hold_login: bool,
    ) -> Self {
        let path = file.as_ref().map_or_else(in_memory, |file| file.path.clone());
        let (owner, can_write, is_without_locks, index) = (None, false, false, None);
        Self { connection, file, path, version, may_hold_login, owner, can_write, watch, is_without_locks, index }
    }

    /// Returns the same store, of which it is known whose it is.
    pub(crate) fn owned_by(self, owner: Option<Arc<FileOwner>>) -> Self {
        Self { owner, ..self }
    }

    /// Returns the same store, of which it is known that its connection takes no locks.
    pub(crate) fn without_locks(self) -> Self {
        Self { is_without_locks: true, ..self }
    }

    /// Returns `true` unless the connection reads without locks.
    pub(crate) fn takes_locks(&self) -> bool {
        !self.is_without_locks
    }

    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    pub(crate) fn is_in_wal_mode(&self) -> Result<bool> {
        let mode = self.connection.query_row("pragma journal_mode", [], |row| row.get::<_, String>(0));
        Ok(self.explain(mode)? == "wal")
    }

    /// Keeps the file, for this connection, as it is now.
    pub(crate) fn pin(&self) -> Result<()> {
        // Locked by the first read.
        let read = self.connection.execute_batch("begin; select exists(select 1 from sqlite_master)");
        if read.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("rollback");
        }
        self.explain(read)
    }

    /// Returns the revision as only this connection sees it.
    pub(crate) fn own_revision(&self) -> Result<Revision> {
        self.explain(revision(&self.connection))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Executes one SQL statement. Returns its first row, and whether it may have changed the file.
    ///
    /// # Errors
    /// What is wrong with the statement, or prevents it from being executed.
    pub fn execute(&mut self, statement: &str, values: &[Value]) -> Result<(Option<Vec<Value>>, bool)> {
        self.set_timeout(Duration::ZERO)?;
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
            // To the end, or a change that returns rows would not be made.
            while rows.next()?.is_some() {}
            Ok((first, changes))
        };
        let done = self.explain(run())?;
        if !self.connection.is_autocommit() {
            // A transaction that the statement began must not stay open: no other connection could
            // write.
            self.explain(self.connection.execute_batch("commit"))?;
        }
        Ok(done)
    }

    fn prepare_for_writing(&mut self) -> Result<()> {
        if !self.can_write {
            self.explain(set_up_for_writing(&self.connection))?;
            self.explain(self.connection.pragma_update(None, "cache_size", CACHE_SIZE))?;
            self.can_write = true;
        }
        Ok(())
    }

    fn explain<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| sqlite_error(&self.path, error))
    }

    fn set_timeout(&self, timeout: Duration) -> Result<()> {
        self.explain(self.connection.busy_timeout(timeout))
    }

    fn read_base(&self) -> Result<Base> {
        let revision = self.explain(revision(&self.connection))?;
        let auth_key = self.explain(login::read_auth_key(&self.connection))?;
        if !self.may_hold_login && !auth_key.is_empty() {
            return Err(holds_login(&self.path));
        }
        Ok(Base { revision, auth_key })
    }

    fn check_owner(&self) -> Result<()> {
        self.owner.as_ref().map_or(Ok(()), |owner| owner.check(&self.connection, &self.path))
    }

    fn write_in_transaction(&self, source: &mut dyn ChangeSource) -> Result<Written> {
        let base = self.read_base()?;
        self.check_owner()?;
        // Writing changes the header in memory, before the commit.
        let before = if self.index.is_some() { self.explain(self.mark())? } else { None };
        let unchanged = self.connection.total_changes();
        let mut entries = Vec::new();
        while let Some(changes) = source.next(&base)? {
            self.explain(write_changes(&self.connection, &changes, self.version))?;
            if let Some(index) = &self.index {
                index.hasher().add(&changes.entities, &mut entries);
            }
        }
        if let Some(owner) = &self.owner {
            self.explain(owner.mark(&self.connection))?;
        }
        // Without a change, the commit leaves the mark as it is.
        let has_changed = self.connection.total_changes() != unchanged;
        let before = before.filter(|_| has_changed);
        let update = before.as_ref().and_then(|before| self.begin_index_update(before, &entries));
        self.set_timeout(COMMIT_TIMEOUT)?;
        self.explain(self.connection.execute_batch("commit"))?;
        if let (Some(before), Some(update)) = (before, update) {
            self.end_index_update(&before, update);
        }
        // It does not change by a connection's own commits.
        Ok(Written { revision: base.revision })
    }
}

impl SqliteStore {
    /// Returns the mark of the file; `None` if it has none.
    fn mark(&self) -> rusqlite::Result<Option<Mark>> {
        self.file.as_ref().map_or(Ok(None), |file| Mark::read(&self.connection, file))
    }

    /// Adds entries to the index, to be kept if the commit succeeds. Without an update, the index lacks
    /// the commit, and is made again.
    fn begin_index_update(&self, before: &Mark, entries: &[Entry]) -> Option<Update<'_>> {
        let update = self.index.as_ref()?.begin(before, entries);
        update.inspect_err(|error| log::debug!("{error}")).unwrap_or_default()
    }

    fn end_index_update(&self, before: &Mark, update: Update<'_>) {
        // Another commit may have followed already.
        if let Ok(Some(now)) = self.mark()
            && now.follows(before)
            && let Err(error) = update.keep(&now)
        {
            log::debug!("{error}");
        }
    }

    /// Returns the entities with a text, found by the index; `None` if it cannot tell.
    fn find_by_index(&self, index: &TextIndex, field: TextField, text: &str) -> Result<Option<EntityBatch>> {
        // One state of the file, to which the index belongs or not.
        let reading = self.explain(self.connection.unchecked_transaction())?;
        let Some(mark) = self.explain(self.mark())? else { return Ok(None) };
        let ids = match index.find(&mark, field, text.as_bytes()) {
            Ok(Some(ids)) => ids,
            Ok(None) => return Ok(None),
            Err(error) => {
                log::debug!("{error}");
                return Ok(None);
            }
        };
        let found = self.explain(entities::find_among(&self.connection, field, text, &ids))?;
        self.explain(reading.commit())?;
        Ok(Some(found))
    }
}

impl Store for SqliteStore {
    fn find(&mut self, query: &Query<'_>, since: Option<Revision>, timeout: Duration) -> Result<Lookup> {
        if since.is_some() && since == Some(self.revision()?) {
            return Ok(Lookup::Unchanged);
        }
        self.set_timeout(timeout)?;
        if let (Query::Text(field, text), Some(index)) = (query, &self.index) {
            let text = if *field == TextField::Phone { entities::normalize_phone(text) } else { (*text).into() };
            if let Some(found) = self.find_by_index(index, *field, &text)? {
                return Ok(Lookup::Found(found));
            }
        }
        self.explain(entities::find(&self.connection, query)).map(Lookup::Found)
    }

    fn scan(&mut self, after: Option<i64>, limit: usize) -> Result<ScanBatch> {
        self.set_timeout(Duration::ZERO)?;
        self.explain(entities::scan(&self.connection, after, limit))
    }

    fn count(&mut self, ids: RangeInclusive<i64>, limit: usize, timeout: Duration) -> Result<Counted> {
        self.set_timeout(timeout)?;
        self.explain(entities::count(&self.connection, &ids, limit))
    }

    fn open_reader(&mut self) -> Option<Box<dyn Store>> {
        let (connection, watch) = backend::connect_again(self.file.as_ref()?, &self.watch)?;
        let Self { file, version, may_hold_login, .. } = self;
        Some(Box::new(Self::new((connection, watch), file.clone(), *version, *may_hold_login)))
    }

    fn index(&mut self) -> Result<Option<Box<dyn Indexer>>> {
        let Some(file) = &self.file else { return Ok(None) };
        self.set_timeout(Duration::ZERO)?;
        let Some(mark) = self.explain(self.mark())? else {
            self.index = None;
            return Ok(None);
        };
        if self.index.as_ref().is_some_and(|index| index.is_complete(&mark).unwrap_or(false)) {
            return Ok(None);
        }
        // The open one may have been deleted or replaced.
        let index = TextIndex::open(&file.path)?;
        let is_complete = index.is_complete(&mark).unwrap_or(false);
        self.index = Some(index);
        if is_complete {
            return Ok(None);
        }
        let Some((session, _)) = backend::connect_again(file, &self.watch) else { return Ok(None) };
        let builder = Builder::begin(TextIndex::open(&file.path)?, session, file.clone())?;
        Ok(builder.map(|builder| Box::new(builder) as _))
    }

    fn lacks_index(&self) -> bool {
        self.index.as_ref().is_some_and(|index| !index.is_usable())
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let revision = self.revision()?;
        read_snapshot(&self.connection, &self.path, self.version, revision)
    }

    fn revision(&mut self) -> Result<Revision> {
        let before = self.watch.look();
        if let Some(revision) = self.watch.revision_at(before) {
            return Ok(revision);
        }
        self.set_timeout(Duration::ZERO)?;
        let revision = self.explain(revision(&self.connection))?;
        self.watch.note(revision, before);
        Ok(revision)
    }

    fn is_at(&mut self, revision: Revision) -> bool {
        self.watch.revision_at(self.watch.look()) == Some(revision)
    }

    fn sent_file(&mut self, key: &FileKey, _timeout: Duration) -> Result<Option<SentFile>> {
        const SELECT: &str = "select id, hash from sent_files where md5_digest = ? and file_size = ? and type = ?";
        self.set_timeout(Duration::ZERO)?;
        let find = || {
            let key = params![key.md5_digest, key.size, key.kind as i64];
            let mut statement = self.connection.prepare_cached(SELECT)?;
            statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        self.explain(find())
    }

    fn sent_files(&mut self, _timeout: Duration) -> Result<Vec<(FileKey, SentFile)>> {
        self.set_timeout(Duration::ZERO)?;
        let read = || {
            let mut statement =
                self.connection.prepare("select md5_digest, file_size, type, id, hash from sent_files")?;
            let mut rows = statement.query([])?;
            let mut files = Vec::new();
            while let Some(row) = rows.next()? {
                files.extend(sent_file(row));
            }
            Ok(files)
        };
        self.explain(read())
    }

    fn write(&mut self, source: &mut dyn ChangeSource) -> Result<Written> {
        self.set_timeout(Duration::ZERO)?;
        self.prepare_for_writing()?;
        self.explain(self.connection.execute_batch("begin immediate"))?;
        let written = self.write_in_transaction(source);
        if written.is_err() && !self.connection.is_autocommit() {
            // If this fails, SQLite has rolled back itself.
            let _ = self.connection.execute_batch("rollback");
        }
        written
    }

    fn check(&mut self) -> Result<()> {
        self.set_timeout(Duration::ZERO)?;
        self.check_owner()
    }

    fn trim(&mut self) {
        // A thousand sessions must not each keep their statements and pages until the next write.
        self.connection.flush_prepared_statement_cache();
        if let Some(index) = &self.index {
            index.trim();
        }
        if let Err(error) = self.connection.release_memory() {
            log::debug!("{}: its page cache is not freed: {error}", self.path.display());
        }
    }
}

/// Sets up a connection for transactions that write.
pub(crate) fn set_up_for_writing(connection: &Connection) -> rusqlite::Result<()> {
    // So that a replaced key is nowhere in the file.
    connection.pragma_update(None, "secure_delete", true)?;
    #[cfg(target_os = "macos")]
    // Otherwise synced data may still be in the disk's own cache.
    connection.pragma_update(None, "fullfsync", true)?;
    // A journal whose deletion is not on disk yet would come back after a power cut, and undo what
    // was saved.
    connection.pragma_update(None, "synchronous", "extra")
}

/// Returns a number that changes whenever another connection changes the file.
pub(crate) fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    connection.prepare_cached("pragma data_version")?.query_row([], |row| row.get(0)).map(Revision)
}

/// Reads everything except entities and sent files.
pub(crate) fn read_snapshot(
    connection: &Connection,
    path: &Path,
    version: i64,
    revision: Revision,
) -> Result<Snapshot> {
    let credentials = login::read_credentials(connection, path, version)?;
    let update_states = login::read_update_states(connection).map_err(|error| sqlite_error(path, error))?;
    Ok(Snapshot { credentials, update_states, is_new: false, revision, identity: None })
}

/// Returns a sent file, unless a value has an unusable type.
fn sent_file(row: &Row<'_>) -> Option<(FileKey, SentFile)> {
    let kind = FileKind::from_number(row.get(2).ok()?)?;
    let key = FileKey { md5_digest: row.get(0).ok()?, size: row.get(1).ok()?, kind };
    Some((key, (row.get(3).ok()?, row.get(4).ok()?)))
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

pub(crate) fn write_changes(connection: &Connection, changes: &Changes, version: i64) -> rusqlite::Result<()> {
    if let Some(credentials) = &changes.credentials {
        login::write_credentials(connection, credentials, version)?;
    }
    entities::write(connection, &changes.entities)?;
    for (id, state) in &changes.update_states {
        let mut put = connection.prepare_cached(PUT_UPDATE_STATE)?;
        put.execute(params![id, state.pts, state.qts, state.date, state.seq])?;
    }
    for (key, (id, access_hash)) in &changes.sent_files {
        let mut put = connection.prepare_cached(PUT_SENT_FILE)?;
        put.execute(params![key.md5_digest, key.size, key.kind as i64, id, access_hash])?;
    }
    Ok(())
}
