//! The connections to one database, and the operations on it.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Debug};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::{DateTime, RawDocumentBuf, doc};
use mongodb::{Client, Collection, Database};
use session_core::entity_table::EntityBatch;
use session_core::store::{FileKey, Kind, SentFile};
use store_net::driver::{Acquired, Driver, DriverError, Fence, Loaded, OwnedQuery, Pages, Result, SessionName};
use store_net::{Attempt, Commit, CommitError};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::adopt::Adoptions;
use crate::error::failed;
use crate::layout::{Names, create_indexes};
use crate::login::{self, StoredSession};
use crate::options::{MongoOptions, write_concern};
use crate::{adopt, commit, delete, entities, lease, records};

/// The connections to one database.
#[derive(Debug)]
pub struct MongoDriver {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) database: Database,
    pub(crate) names: Names,
    pub(crate) sessions: Collection<RawDocumentBuf>,
    pub(crate) entities: Collection<RawDocumentBuf>,
    pub(crate) update_states: Collection<RawDocumentBuf>,
    pub(crate) sent_files: Collection<RawDocumentBuf>,
    /// The write concern of commands that are not in a transaction.
    pub(crate) concern: RawDocumentBuf,
    prepared: OnceCell<()>,
    has_transactions: AtomicBool,
    /// Sessions that have a document.
    known: Mutex<Known>,
    /// Leases of this process: the fence, and until when.
    pub(crate) leases: Mutex<HashMap<SessionName, (Fence, DateTime, Duration)>>,
    /// Leases that were asked for without an answer yet: session and owner, and the token.
    pub(crate) adoptions: Adoptions,
}

/// Sessions that have a document, and since when that is remembered.
#[derive(Default)]
struct Known {
    sessions: HashSet<SessionName>,
    since: Option<Instant>,
}

/// For how long it is remembered that a session has a document. Another process may delete it.
const KNOWN_TIME: Duration = Duration::from_mins(1);

impl Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's options may hold a password.
        f.debug_struct("Inner").field("database", &self.database.name()).finish_non_exhaustive()
    }
}

/// Locks a mutex that a panicking thread may have held.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn new(client: Client, options: &MongoOptions) -> Self {
        let database = client.database(options.database());
        let names = Names::new(options.prefix());
        let concern = write_concern(database.write_concern());
        Self {
            sessions: database.collection(&names.sessions),
            entities: database.collection(&names.entities),
            update_states: database.collection(&names.update_states),
            sent_files: database.collection(&names.sent_files),
            client,
            database,
            names,
            concern,
            prepared: OnceCell::new(),
            has_transactions: AtomicBool::new(false),
            known: Mutex::default(),
            leases: Mutex::default(),
            adoptions: Adoptions::default(),
        }
    }

    /// Makes the indexes and asks what the server can do, before the first write.
    pub(crate) async fn prepare(&self) -> Result<()> {
        let prepare = async || {
            let failed = |error| failed("the collections cannot be prepared", &error);
            let hello = self.database.run_command(doc! { "hello": 1 }).await.map_err(failed)?;
            let is_router = hello.get_str("msg").is_ok_and(|message| message == "isdbgrid");
            self.has_transactions.store(is_router || hello.contains_key("setName"), Ordering::Relaxed);
            // A collection cannot be made within a transaction by older servers.
            for name in [&self.names.sessions, &self.names.update_states, &self.names.sent_files] {
                // It exists already, or the account may not make it: then writing tells.
                let _ = self.database.run_command(doc! { "create": name }).await;
            }
            let made = self.database.run_command(create_indexes(&self.names)).await;
            match made.map_err(failed) {
                Err(error) if error.kind.is_retryable() => return Err(error),
                Err(error) => log::debug!("MongoDB: {error}"),
                Ok(_) => {}
            }
            Ok(())
        };
        self.prepared.get_or_try_init(prepare).await.copied()
    }

    /// Returns `true` if the server has transactions, as far as is known.
    pub(crate) fn has_transactions(&self) -> bool {
        self.has_transactions.load(Ordering::Relaxed)
    }

    /// Notes that the server has no transactions although it seemed so.
    pub(crate) fn note_no_transactions(&self) {
        self.has_transactions.store(false, Ordering::Relaxed);
    }

    /// Returns which of these sessions may have no document yet.
    pub(crate) fn unknown<'a>(&self, sessions: impl Iterator<Item = &'a SessionName>) -> Vec<SessionName> {
        let mut known = locked(&self.known);
        if known.since.is_none_or(|since| since.elapsed() > KNOWN_TIME) {
            *known = Known { since: Some(Instant::now()), ..Known::default() };
        }
        sessions.filter(|session| !known.sessions.contains(*session)).cloned().collect()
    }

    /// Notes that sessions have a document.
    pub(crate) fn note_known(&self, sessions: impl IntoIterator<Item = SessionName>) {
        locked(&self.known).sessions.extend(sessions);
    }

    /// Notes that a session may have no document.
    pub(crate) fn forget(&self, session: &SessionName) {
        locked(&self.known).sessions.remove(session);
    }

    /// Reads a session's document.
    pub(crate) async fn session(&self, session: &str) -> Result<Option<RawDocumentBuf>> {
        let found = self.sessions.find_one(doc! { "_id": session }).await;
        found.map_err(|error| failed("the session cannot be read", &error))
    }

    /// Reads the documents of sessions at once.
    pub(crate) async fn stored_sessions(&self, names: Vec<&str>) -> Result<HashMap<String, StoredSession>> {
        let failed = |error| failed("the sessions cannot be read", &error);
        let mut rows = self.sessions.find(doc! { "_id": { "$in": names } }).await.map_err(failed)?;
        let mut stored = HashMap::new();
        while rows.advance().await.map_err(failed)? {
            if let Ok(name) = rows.current().get_str("_id") {
                stored.insert(name.to_owned(), StoredSession::read(rows.current()));
            }
        }
        Ok(stored)
    }

    async fn load(self: &Arc<Self>, session: &SessionName) -> Result<Loaded> {
        let mut document = self.session(session).await?;
        let stored = document.as_ref().map(|document| StoredSession::read(document)).unwrap_or_default();
        if stored.is_being_deleted {
            delete::finish(self, session).await?;
        }
        if stored.layout.is_none() && !stored.is_adopted && adopt::adopt(self, session).await? {
            document = self.session(session).await?;
        }
        let mut loaded = Loaded::default();
        if let Some(document) = &document {
            loaded.credentials = login::read_credentials(document)?;
            loaded.is_new = StoredSession::read(document).layout.is_none();
        } else {
            loaded.is_new = true;
        }
        if loaded.is_new {
            return Ok(loaded);
        }
        self.note_known([Arc::clone(session)]);
        loaded.forgettings = document.as_ref().map_or(0, |document| login::forgettings(document));
        loaded.update_states = records::update_states(&self.update_states, session).await?;
        Ok(loaded)
    }

    async fn list(&self) -> Result<Vec<String>> {
        let failed = |error| failed("the sessions cannot be listed", &error);
        let mut names = Vec::new();
        let written = doc! { "layout": { "$type": "number" } };
        let mut rows = self.sessions.find(written).projection(doc! { "_id": 1 }).await.map_err(failed)?;
        while rows.advance().await.map_err(failed)? {
            names.extend(rows.current().get_str("_id").map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Driver for MongoDriver {
    type Options = MongoOptions;

    async fn new(options: &MongoOptions) -> Result<Self> {
        let client = Client::with_options(options.client_options().await?);
        let client = client.map_err(|error| failed("the URL's parameters cannot be used", &error))?;
        Ok(Self { inner: Arc::new(Inner::new(client, options)) })
    }

    async fn load(&self, session: &SessionName) -> Result<Loaded> {
        self.inner.load(session).await
    }

    async fn find(&self, session: &SessionName, query: &OwnedQuery) -> Result<EntityBatch> {
        entities::find(&self.inner.entities, session, query).await
    }

    async fn count(&self, session: &SessionName, ids: RangeInclusive<i64>) -> Result<usize> {
        entities::count(&self.inner.database, &self.inner.names.entities, session, &ids).await
    }

    async fn forgettings(&self, session: &SessionName) -> Result<i64> {
        Ok(self.inner.session(session).await?.map_or(0, |document| login::forgettings(&document)))
    }

    async fn scan(&self, session: &SessionName, pages: Pages) -> Result<()> {
        entities::scan(&self.inner.entities, session, &pages).await
    }

    async fn sent_file(&self, session: &SessionName, key: &FileKey) -> Result<Option<SentFile>> {
        records::find_sent_file(&self.inner.sent_files, session, key).await
    }

    async fn sent_files(&self, session: &SessionName) -> Result<Vec<(FileKey, SentFile)>> {
        records::sent_files(&self.inner.sent_files, session).await
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<std::result::Result<(), CommitError>> {
        commit::commit(&self.inner, commits).await
    }

    async fn delete(&self, session: &SessionName, own_keys: &[Zeroizing<Vec<u8>>], _: Attempt) -> Result<bool> {
        delete::delete(&self.inner, session, own_keys).await
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.inner.list().await
    }

    async fn acquire(&self, session: &SessionName, owner: &str, time: Duration) -> Result<Acquired> {
        lease::acquire(&self.inner, session, owner, time).await
    }

    async fn renew(&self, session: &SessionName, fence: Fence, owner: &str, time: Duration) -> Result<bool> {
        lease::renew(&self.inner, session, fence, owner, time).await
    }

    async fn release(&self, session: &SessionName, fence: Fence) -> Result<()> {
        lease::release(&self.inner, session, fence).await
    }
}

/// Makes the error for an operation that another process has interfered with.
pub(crate) fn interfered(message: &str) -> DriverError {
    DriverError::new(Kind::Unreachable, message)
}
