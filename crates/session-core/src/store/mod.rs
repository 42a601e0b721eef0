//! Where a session is kept while the program does not run: the traits of every store.
//!
//! A [`Backend`] names a place, such as a file. It can be opened as often as needed and returns a
//! [`Store`]. Every implementation must pass the tests in `conformance`.

pub mod change;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "conformance")]
pub mod fake;

pub use change::{Base, ChangeSource, Changes, DATES, FileKey, FileKind, SentFile, UpdateState};
pub use error::{Kind, Place, Result, StoreError};

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::credentials::Credentials;
use crate::entity_table::{EntityBatch, TextField};

/// A number that changes whenever another connection changes the store; on a server, whenever
/// another connection is found to have changed what cannot be noticed otherwise. Only equality has
/// a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision(pub i64);

/// Tells a store from another one that has taken its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub String);

/// Wakes a session, so that it looks at what its store has done meanwhile. Never waits.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Whether to create a store that does not exist. One that existed before was taken away by
    /// someone else, and is not created again.
    pub may_create: bool,
    /// How long to wait for the locks of other connections.
    pub timeout: Duration,
}

/// What a lookup asks for.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// The entity with a marked ID.
    Id(i64),
    /// The entity with the first known of these marked IDs.
    AnyId([Option<i64>; 3]),
    /// The entities with these marked IDs.
    Ids(&'a [i64]),
    /// The entity with this username, phone or name.
    Text(TextField, &'a str),
}

/// The answer to a lookup.
#[derive(Debug)]
pub enum Lookup {
    /// The store is at the revision that the caller knows.
    Unchanged,
    /// All entities that the query may mean.
    Found(EntityBatch),
}

/// Everything that is stored of a session except its entities and sent files.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The credentials; `None` if there are none, as in a new store.
    pub credentials: Option<Credentials>,
    /// The update states.
    pub update_states: Vec<(i64, UpdateState)>,
    /// Whether the store has just been created, so that it has no entities.
    pub is_new: bool,
    /// The revision before anything else of this was read.
    pub revision: Revision,
    /// The identity, if the system can tell.
    pub identity: Option<Identity>,
}

impl Snapshot {
    /// Returns the authorization key; empty if there is none.
    #[must_use]
    pub fn auth_key(&self) -> Zeroizing<Vec<u8>> {
        self.credentials.as_ref().map(|credentials| credentials.auth_key.clone()).unwrap_or_default()
    }
}

/// Some of the entities of a store.
#[derive(Debug, Default)]
pub struct ScanBatch {
    /// The usable entities among those read. There may be fewer than asked for although more
    /// follow.
    pub entities: EntityBatch,
    /// The marked ID to continue after; `None` at the end.
    pub next: Option<i64>,
}

/// Some of the entities of a store, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many there are.
    pub entities: usize,
    /// The marked ID to continue after; `None` at the end.
    pub next: Option<i64>,
}

/// The result of a successful write.
#[derive(Debug)]
pub struct Written {
    /// The revision at which the store is if no other connection has changed it since
    /// [`Base::revision`].
    pub revision: Revision,
}

/// How far an [`Indexer`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// There is more to do.
    HasMore,
    /// The index is complete.
    Complete,
    /// Another connection has changed the store meanwhile. It has to be done again.
    Outdated,
}

/// Completes the index of a store, with a connection of its own.
pub trait Indexer: Debug + Send {
    /// Does some milliseconds' work.
    ///
    /// # Errors
    /// What prevents the store from being read or the index from being written.
    fn step(&mut self) -> Result<Indexing>;
}

/// Keeps other sessions that ask for it, too, from using a store. Ends when dropped.
pub trait Lease: Debug + Send {
    /// Checks that the lease still stands. Called before each write.
    ///
    /// # Errors
    /// [`Kind::LeaseLost`] if it does not.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A place where a session is stored: a file, or a server and a name there.
pub trait Backend: Debug + Send + Sync {
    /// Opens the store, creating or upgrading it if necessary and allowed. Leaves a store that it
    /// refuses unchanged.
    ///
    /// # Errors
    /// Any [`Kind`].
    fn open(&self, options: OpenOptions) -> Result<(Box<dyn Store>, Snapshot)>;

    /// Takes the lease of the store, so that no other session that asks for it gets it.
    ///
    /// # Errors
    /// [`Kind::InUse`], saying which session holds it, or what prevents the lease from being taken.
    fn lease(&self, options: OpenOptions) -> Result<Box<dyn Lease>>;

    /// Deletes what is stored. Returns `true` if something was deleted. A server does so only if it
    /// has one of `own_keys` or none, and goes on after `timeout` by itself.
    ///
    /// # Errors
    /// What prevents the store from being deleted.
    fn delete(&self, own_keys: &[Zeroizing<Vec<u8>>], timeout: Duration) -> Result<bool>;

    /// Returns the place, for messages.
    fn place(&self) -> Place;

    /// Returns `true` if the store is on a server. Its operations may return [`Kind::Pending`], and
    /// are repeated until they return something else.
    fn is_remote(&self) -> bool {
        false
    }

    /// Returns `true` if closing the store loses its contents.
    fn is_ephemeral(&self) -> bool {
        false
    }

    /// Returns `true` if the store is only read. What is learned stays in memory.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Switches to another place if one has been set since the last call. Returns `true` if so.
    ///
    /// Called only while the store is closed.
    fn switch_place(&self) -> bool {
        false
    }

    /// Returns `true` if the store holds the login with this key in a form that is out of date, so
    /// that it is to be written again although it has not changed.
    fn is_outdated(&self, _auth_key: &[u8]) -> bool {
        false
    }

    /// Returns a phone number in the form in which the store returns it.
    fn normalize_phone<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        phone.into()
    }
}

/// An open store. Used by one thread at a time.
///
/// A store on a server never waits longer for an answer than it is told. If there is none yet, it
/// returns [`Kind::Pending`]; the same call continues the operation later.
///
/// It is [`Any`] so that its owner can use what only this kind of store has.
pub trait Store: Any + Debug + Send {
    /// Returns all entities that `query` may mean, waiting at most `timeout` for a lock; or
    /// [`Lookup::Unchanged`] if the store is at the revision `since`.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn find(&mut self, query: &Query<'_>, since: Option<Revision>, timeout: Duration) -> Result<Lookup>;

    /// Reads at most `limit` entities whose marked IDs come after `after`, in ascending order.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn scan(&mut self, after: Option<i64>, limit: usize) -> Result<ScanBatch>;

    /// Counts at most about `limit` of the usable entities whose marked IDs are in a range, from
    /// its beginning; a server counts all of them. Waits at most `timeout` for a lock.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn count(&mut self, ids: RangeInclusive<i64>, limit: usize, timeout: Duration) -> Result<Counted>;

    /// Opens another connection to what this store has open, to be scanned by another thread while
    /// this one is used. Returns `None` if there is no such thing, or if that would not be the same.
    fn open_reader(&mut self) -> Option<Box<dyn Store>> {
        None
    }

    /// Returns a store for one scan of its own, where scans of this one by several callers would
    /// disturb each other.
    fn open_scan(&mut self) -> Option<Box<dyn Store>> {
        None
    }

    /// Has entities found by their texts without reading all of them, from now on or as soon as
    /// what is returned has been completed. Returns `None` if there is nothing to complete.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn index(&mut self) -> Result<Option<Box<dyn Indexer>>> {
        Ok(None)
    }

    /// Returns `true` if the last text was looked for in all of the store, because the
    /// [index](Self::index) is not complete any more.
    fn lacks_index(&self) -> bool {
        false
    }

    /// Reads everything except entities and sent files.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn snapshot(&mut self) -> Result<Snapshot>;

    /// Returns the revision.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn revision(&mut self) -> Result<Revision>;

    /// Like [`revision`](Self::revision), but asks a server, waiting at most `timeout`.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn fresh_revision(&mut self, _timeout: Duration) -> Result<Revision> {
        self.revision()
    }

    /// Returns `true` if the store is certainly at this revision, as far as that can be told at once:
    /// without waiting, and without a lock that another connection would notice.
    fn is_at(&mut self, _revision: Revision) -> bool {
        false
    }

    /// Returns a sent file, waiting at most `timeout` for a server.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn sent_file(&mut self, key: &FileKey, timeout: Duration) -> Result<Option<SentFile>>;

    /// Returns all sent files, in any order, waiting at most `timeout` for a server. Leaves out rows
    /// that cannot be used.
    ///
    /// # Errors
    /// What prevents the store from being read.
    fn sent_files(&mut self, timeout: Duration) -> Result<Vec<(FileKey, SentFile)>>;

    /// Writes what `source` hands out, all of it or nothing, without waiting for other connections
    /// to finish their writes. From [`ChangeSource::next`]'s first call to the commit, no other
    /// connection's write comes in between.
    ///
    /// # Errors
    /// [`Kind::Busy`] if another connection holds the store, [`Kind::Pending`] if the write was
    /// posted, the refusal of `source`, or what prevents the store from being written.
    fn write(&mut self, source: &mut dyn ChangeSource) -> Result<Written>;

    /// Returns the outcome of the write that was posted, waiting at most `timeout` for it; `None` if
    /// there is none.
    ///
    /// # Errors
    /// [`Kind::Pending`] if the write has not ended yet, or what prevented it.
    fn poll_write(&mut self, _timeout: Duration) -> Option<Result<Written>> {
        None
    }

    /// Sets what wakes the session.
    fn set_waker(&mut self, _waker: Waker) {}

    /// Checks that the session may use the store.
    ///
    /// # Errors
    /// [`Kind::NotOwner`] or [`Kind::Unconfirmed`] if it may not, or not yet.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// Frees the memory that is not needed until the store is used again.
    fn trim(&mut self) {}
}
