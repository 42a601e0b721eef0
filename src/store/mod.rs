//! Where a session is kept when the program does not run.
//!
//! A [`Location`] can be opened, as often as needed, and gives a [`Store`]. The one kind there is so far is [`sqlite`].

pub mod sqlite;

pub(crate) use sqlite::after_fork_in_child;

use std::borrow::Cow;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::data_centre;
use crate::entity_cache::{EntityPage, TextKey};
use crate::error::Result;

/// Where to connect, and the keys that open the account. They are wiped from memory when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The data centre's number; 0 before there was one.
    pub dc_id: i64,
    /// Its address.
    pub server_address: Option<String>,
    /// Its port.
    pub port: Option<i64>,
    /// The authorization key; empty where there is none.
    pub auth_key: Zeroizing<Vec<u8>>,
    /// The takeout that is not finished.
    pub takeout_id: Option<i64>,
    /// The temporary key; empty where there is none or it is not to be stored.
    pub tmp_auth_key: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// Whether somebody could log in with them.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !(self.auth_key.is_empty() && self.tmp_auth_key.is_empty())
    }

    /// Fills in the address of the data centre if it is missing beside a key, as some converters leave it. Telethon
    /// would connect to data centre 2 with that key, whatever the number.
    ///
    /// Returns `false` if the address stays missing because the number is not one of Telegram's.
    pub fn fill_in_address(&mut self) -> bool {
        let has_address = self.server_address.as_ref().is_some_and(|address| !address.is_empty());
        if self.auth_key.is_empty() || has_address {
            return true;
        }
        let Some(address) = data_centre::address(self.dc_id) else { return false };
        self.server_address = Some(address.to_owned());
        if self.port.is_none_or(|port| port == 0) {
            self.port = Some(data_centre::PORT.into());
        }
        true
    }
}

impl Debug for Credentials {
    /// Says nothing of the keys but whether there are any.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("dc_id", &self.dc_id)
            .field("has_auth_key", &!self.auth_key.is_empty())
            .finish_non_exhaustive()
    }
}

/// How far updates have been received, for one channel or (id 0) for the account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateState {
    /// The number of the last update.
    pub pts: Option<i64>,
    /// The number of the last secret update.
    pub qts: Option<i64>,
    /// When, in seconds since 1970.
    pub date: Option<f64>,
    /// The number of the last sequence.
    pub seq: Option<i64>,
}

/// What kind of file was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// An `InputDocument`.
    Document = 0,
    /// An `InputPhoto`.
    Photo = 1,
}

/// What a sent file is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// The MD5 digest of its contents.
    pub md5_digest: Vec<u8>,
    /// Its size in bytes.
    pub size: i64,
    /// Its kind.
    pub kind: FileKind,
}

/// What the server calls a sent file: id and access hash.
pub type SentFile = (i64, i64);

/// A value of a statement's row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `NULL`, `None`.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Some changes, to be written together.
#[derive(Debug, Default)]
pub struct Changes {
    /// The credentials, if they have changed.
    pub credentials: Option<Credentials>,
    /// Entities, in the order of their first change.
    pub entities: EntityPage,
    /// Update states, likewise.
    pub update_states: Vec<(i64, UpdateState)>,
    /// Sent files, likewise.
    pub sent_files: Vec<(FileKey, SentFile)>,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// The entity with a marked id.
    Id(i64),
    /// The entity with the first of these marked ids that is known.
    AnyId([Option<i64>; 3]),
    /// The entity with this username, phone or name.
    Text(TextKey, &'a str),
}

/// What is read when a store is opened: all but the entities.
#[derive(Debug, Default)]
pub struct Opened {
    /// The credentials, if the store has any; a new one has none.
    pub credentials: Option<Credentials>,
    /// The update states.
    pub update_states: Vec<(i64, UpdateState)>,
    /// Whether the store has just been made, so that there are no entities to read.
    pub is_new: bool,
    /// [`Store::others_commits`] before all this was read.
    pub others_commits: i64,
}

impl Opened {
    /// The key in the store; empty where there is none.
    #[must_use]
    pub fn auth_key(&self) -> Zeroizing<Vec<u8>> {
        self.credentials.as_ref().map(|credentials| credentials.auth_key.clone()).unwrap_or_default()
    }
}

/// How a store is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Whether a store that is not there is made. One that was there before and is not any more was taken away by somebody.
    pub may_create: bool,
    /// How long to wait for others' locks.
    pub wait: Duration,
}

/// Some of the entities of a store.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What can be used of what was read. That may be less than was asked for though there is more to read.
    pub entities: EntityPage,
    /// The marked id after which to go on; `None` if there is nothing more to read.
    pub next: Option<i64>,
}

/// Device and number of a file, and when it was made: a number is given again when a file is gone.
pub type Identity = (u64, u64, SystemTime);

/// A place where a session is kept.
pub trait Location: Debug + Send + Sync {
    /// Opens the store, making it if it may and upgrading it if need be. One that is refused is left as it was.
    ///
    /// # Errors
    /// Whatever keeps it from being opened, with its place in words.
    fn open(&self, opening: Opening) -> Result<(Box<dyn Store>, Opened)>;

    /// What a person calls it.
    fn name(&self) -> String;

    /// The file, if the store is one.
    fn path(&self) -> Option<PathBuf> {
        None
    }

    /// What tells the file from one that took its place, where the system tells.
    fn identity(&self) -> Option<Identity> {
        None
    }

    /// Opens another file from the next time on. What is no file stays where it is.
    fn move_to(&self, _path: PathBuf) {}

    /// Whether closing the store would lose what is in it.
    fn is_lost_when_closed(&self) -> bool;

    /// Removes what is stored; `true` if there was something and it is gone.
    fn delete(&self) -> bool;

    /// The form in which a phone number comes back from the store.
    fn phone_form<'p>(&self, phone: &'p str) -> Cow<'p, str>;
}

/// An open store. It is used by one thread at a time.
pub trait Store: Debug + Send {
    /// All entities that the query may mean, waiting at most `wait` for a lock.
    ///
    /// # Errors
    /// Whatever keeps the store from being read.
    fn find(&mut self, query: &Query<'_>, wait: Duration) -> Result<EntityPage>;

    /// Reads the next entities in the order of their marked ids, `most` at the most.
    ///
    /// # Errors
    /// Whatever keeps the store from being read.
    fn load(&mut self, after: Option<i64>, most: usize) -> Result<Loaded>;

    /// All update states.
    ///
    /// # Errors
    /// Whatever keeps the store from being read.
    fn update_states(&mut self) -> Result<Vec<(i64, UpdateState)>>;

    /// A sent file.
    ///
    /// # Errors
    /// Whatever keeps the store from being read.
    fn sent_file(&mut self, key: &FileKey) -> Result<Option<SentFile>>;

    /// Begins a transaction, without waiting for others to end theirs. Until it ends, nobody else can write.
    ///
    /// # Errors
    /// [`Error::Locked`](crate::error::Error::Locked) if another program holds the store, or what keeps it from being written.
    fn begin(&mut self) -> Result<()>;

    /// Writes changes, within a transaction.
    ///
    /// # Errors
    /// Whatever keeps the store from being written. The transaction is to be rolled back then.
    fn apply(&mut self, changes: &Changes) -> Result<()>;

    /// Ends a transaction, after some waiting for others to end their reading.
    ///
    /// # Errors
    /// Whatever keeps the store from being written. The transaction is to be rolled back then.
    fn commit(&mut self) -> Result<()>;

    /// Undoes a transaction, if there is one.
    fn roll_back(&mut self);

    /// Gives back the memory that is not needed before the store is used again.
    fn rest(&mut self);

    /// A number that changes whenever somebody else has changed the store.
    ///
    /// # Errors
    /// Whatever keeps the store from being read.
    fn others_commits(&mut self) -> Result<i64>;

    /// Reads the key that the store holds now; empty where there is none.
    ///
    /// # Errors
    /// Whatever keeps the store from being read.
    fn auth_key(&mut self) -> Result<Zeroizing<Vec<u8>>>;

    /// Executes one statement of the store's own language and answers its first row, and whether it may have changed anything.
    ///
    /// # Errors
    /// Whatever is wrong with the statement or the store.
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<(Option<Vec<Value>>, bool)>;
}
