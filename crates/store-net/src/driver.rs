//! What a kind of server must be able to do.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use session_core::credentials::Credentials;
use session_core::entity_table::{EntityBatch, TextField};
use session_core::store::{FileKey, Kind, Query, SentFile, UpdateState};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::attempt::Attempt;
use crate::commit::{Commit, CommitError};

/// The name of a session on a server.
pub type SessionName = Arc<str>;

/// The result of an operation of a driver.
pub type Result<T> = std::result::Result<T, DriverError>;

/// Connections to one server, and what is stored there.
///
/// Every operation may be called again after it failed, and any number may run at once. A lost
/// connection is made again by the next operation. The futures run on the network thread, so they must
/// not block it for longer than some milliseconds.
pub trait Driver: Sized + Send + Sync + 'static {
    /// Which server, and how to use it. Sessions with equal options share connections.
    type Options: Clone + Debug + PartialEq + Send + Sync + 'static;

    /// Prepares connections. They are made when they are first used.
    ///
    /// # Errors
    /// Options that can never work.
    fn new(options: &Self::Options) -> impl Future<Output = Result<Self>> + Send;

    /// Reads everything of a session except entities and sent files. Adopts a session that was written
    /// by another package.
    ///
    /// # Errors
    /// What prevents it from being read.
    fn load(&self, session: &SessionName) -> impl Future<Output = Result<Loaded>> + Send;

    /// Returns all entities that `query` may mean, and perhaps others.
    ///
    /// # Errors
    /// What prevents them from being read.
    fn find(&self, session: &SessionName, query: &OwnedQuery) -> impl Future<Output = Result<EntityBatch>> + Send;

    /// Counts the entities of a session whose marked IDs are in a range.
    ///
    /// # Errors
    /// What prevents them from being counted.
    fn count(&self, session: &SessionName, ids: RangeInclusive<i64>) -> impl Future<Output = Result<usize>> + Send;

    /// Returns how many commits of a session, of any process, had forgotten entities in them.
    ///
    /// # Errors
    /// What prevents it from being read.
    fn forgettings(&self, session: &SessionName) -> impl Future<Output = Result<i64>> + Send;

    /// Sends all entities of a session in pages of a few thousand, in any order. An entity that is
    /// added, changed or removed meanwhile may be missing or sent twice. Ends early if the receiver is
    /// gone.
    ///
    /// # Errors
    /// What prevents them from being read.
    fn scan(&self, session: &SessionName, pages: Pages) -> impl Future<Output = Result<()>> + Send;

    /// Returns a sent file.
    ///
    /// # Errors
    /// What prevents it from being read.
    fn sent_file(&self, session: &SessionName, key: &FileKey) -> impl Future<Output = Result<Option<SentFile>>> + Send;

    /// Returns all sent files of a session, in any order. Leaves out what cannot be used.
    ///
    /// # Errors
    /// What prevents them from being read.
    fn sent_files(&self, session: &SessionName) -> impl Future<Output = Result<Vec<(FileKey, SentFile)>>> + Send;

    /// Writes the changes of several sessions, and counts those with [forgotten
    /// entities](Self::forgettings), each as a whole or not at all where the server can do that, as
    /// durably as it can. Returns one result for each, in order.
    fn commit(&self, commits: &[Commit]) -> impl Future<Output = Vec<std::result::Result<(), CommitError>>> + Send;

    /// Deletes a session if its authorization key is one of `own_keys`, or if it has none. Returns
    /// `true` if something was deleted. What another package wrote stays.
    ///
    /// # Errors
    /// What prevents it from being deleted.
    fn delete(
        &self,
        session: &SessionName,
        own_keys: &[Zeroizing<Vec<u8>>],
        attempt: Attempt,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Returns the names of all sessions, sorted.
    ///
    /// # Errors
    /// What prevents them from being read.
    fn list(&self) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Takes the lease of a session for `time`, or says who has it. `owner` is not only for the
    /// message: who holds the lease with exactly this text, because an answer was lost, gets a new
    /// one.
    ///
    /// # Errors
    /// What prevents it from being taken.
    fn acquire(
        &self,
        session: &SessionName,
        owner: &str,
        time: Duration,
    ) -> impl Future<Output = Result<Acquired>> + Send;

    /// Extends a lease to `time` from now. Returns `false` if it is over and another session has, or
    /// had, it since. Takes it again if it has only expired.
    ///
    /// # Errors
    /// What prevents it from being extended.
    fn renew(
        &self,
        session: &SessionName,
        fence: Fence,
        owner: &str,
        time: Duration,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Ends a lease, if it still stands.
    ///
    /// # Errors
    /// What prevents it from being ended; it then expires.
    fn release(&self, session: &SessionName, fence: Fence) -> impl Future<Output = Result<()>> + Send;
}

/// Everything that is stored of a session except entities and sent files.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The credentials; `None` if there are none.
    pub credentials: Option<Credentials>,
    /// The update states.
    pub update_states: Vec<(i64, UpdateState)>,
    /// Whether nothing at all is stored of the session, so that its entities need not be read.
    pub is_new: bool,
    /// How many commits had [forgotten entities](Driver::forgettings) in them, read before anything
    /// else or with it.
    pub forgettings: i64,
}

/// Like [`Query`], with its own text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OwnedQuery {
    /// The entities with these marked IDs.
    Ids(Vec<i64>),
    /// The entities with this username, phone or name.
    Text(TextField, String),
}

impl From<&Query<'_>> for OwnedQuery {
    fn from(query: &Query<'_>) -> Self {
        match query {
            Query::Id(id) => Self::Ids(vec![*id]),
            Query::AnyId(ids) => Self::Ids(ids.iter().flatten().copied().collect()),
            Query::Ids(ids) => Self::Ids(ids.to_vec()),
            Query::Text(field, text) => Self::Text(*field, (*text).to_owned()),
        }
    }
}

/// Where a scan sends its pages. Sending waits while the session has not taken earlier ones.
#[derive(Clone, Debug)]
pub struct Pages {
    pub(crate) sender: mpsc::Sender<EntityBatch>,
    pub(crate) on_page: PageWaker,
}

/// Called after each page.
#[derive(Clone)]
pub(crate) struct PageWaker(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl Debug for PageWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageWaker")
    }
}

impl Pages {
    /// Sends a page. Returns `false` if the scan is of no use any more.
    pub async fn send(&self, page: EntityBatch) -> bool {
        let is_sent = self.sender.send(page).await.is_ok();
        (self.on_page.0)();
        is_sent
    }
}

/// A number that rises with each lease of a session. The server refuses writes with a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub i64);

/// The outcome of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is taken.
    Taken(Fence),
    /// Another session has it. Says which, in the words with which that session asked for it.
    InUse(String),
}

/// An error of a driver. The session's place is added later.
#[derive(Clone, Debug)]
pub struct DriverError {
    /// What kind of failure it is.
    pub kind: Kind,
    /// What failed and what to do, without the place, a password or a key.
    pub message: String,
    pub(crate) source: Option<Arc<dyn Error + Send + Sync>>,
}

impl DriverError {
    /// Makes an error.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the client library's error.
    #[must_use]
    pub fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }
}

impl Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for DriverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
