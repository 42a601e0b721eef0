//! What tests write and read through a driver.

use std::sync::Arc;
use std::time::Duration;

use session_core::entity::Entity;
use session_core::entity_table::{EntityBatch, TextField};
pub use session_core::store::conformance::with_key;
use session_core::store::{Backend, Changes, FileKey, Kind, OpenOptions, SentFile};
use store_net::{Acquired, Attempt, Commit, CommitError, Driver, DriverError, Fence, Loaded, NetBackend, OwnedQuery};
use store_sql::{SqlDriver, SqlOptions};
use zeroize::Zeroizing;

pub const LONG: Duration = Duration::from_mins(1);
/// When all entities were last seen.
pub const SEEN: u32 = 1_700_000_000;

pub type Shared = Arc<SqlDriver>;

/// Runs an operation of a driver on the network thread.
macro_rules! on {
    ($driver:expr, $it:ident => $operation:expr) => {{
        let $it = Arc::clone($driver);
        super::run(async move { $operation.await })
    }};
}

pub fn commit(driver: &Shared, commits: Vec<Commit>) -> Vec<Result<(), CommitError>> {
    on!(driver, it => async { it.commit(&commits).await })
}

pub fn commit_one(driver: &Shared, one: Commit) -> Result<(), CommitError> {
    commit(driver, vec![one]).remove(0)
}

pub fn try_load(driver: &Shared, session: &str) -> Result<Loaded, DriverError> {
    let session = session.into();
    on!(driver, it => async { it.load(&session).await })
}

pub fn load(driver: &Shared, session: &str) -> Loaded {
    try_load(driver, session).unwrap()
}

/// Returns the first byte of a session's key.
pub fn key_of(driver: &Shared, session: &str) -> Option<u8> {
    load(driver, session).credentials.and_then(|found| found.auth_key.first().copied())
}

pub fn list(driver: &Shared) -> Vec<String> {
    on!(driver, it => it.list()).unwrap()
}

pub fn delete(driver: &Shared, session: &str, key: u8) -> bool {
    let (session, keys) = (session.into(), [Zeroizing::new(vec![key; 256])]);
    on!(driver, it => async { it.delete(&session, &keys, Attempt::default()).await }).unwrap()
}

pub fn find(driver: &Shared, session: &str, query: OwnedQuery) -> Vec<Row> {
    let session = session.into();
    rows(&on!(driver, it => async { it.find(&session, &query).await }).unwrap())
}

pub fn find_text(driver: &Shared, session: &str, field: TextField, text: &str) -> Vec<i64> {
    let found = find(driver, session, OwnedQuery::Text(field, text.to_owned()));
    found.into_iter().map(|(id, ..)| id).collect()
}

pub fn by_id(driver: &Shared, session: &str, id: i64) -> Option<Row> {
    find(driver, session, OwnedQuery::Ids(vec![id])).pop()
}

pub fn sent_file(driver: &Shared, session: &str, key: FileKey) -> Option<SentFile> {
    let session = session.into();
    on!(driver, it => async { it.sent_file(&session, &key).await }).unwrap()
}

pub fn sent_files(driver: &Shared, session: &str) -> Vec<(FileKey, SentFile)> {
    let session = session.into();
    on!(driver, it => async { it.sent_files(&session).await }).unwrap()
}

pub fn try_acquire(driver: &Shared, session: &str, owner: &str, time: Duration) -> Result<Acquired, DriverError> {
    let (session, owner) = (session.into(), owner.to_owned());
    on!(driver, it => async { it.acquire(&session, &owner, time).await })
}

pub fn acquire(driver: &Shared, session: &str, owner: &str, time: Duration) -> Acquired {
    try_acquire(driver, session, owner, time).unwrap()
}

pub fn renew(driver: &Shared, session: &str, fence: Fence, owner: &str, time: Duration) -> bool {
    let (session, owner) = (session.into(), owner.to_owned());
    on!(driver, it => async { it.renew(&session, fence, &owner, time).await }).unwrap()
}

pub fn release(driver: &Shared, session: &str, fence: Fence) {
    let session = session.into();
    on!(driver, it => async { it.release(&session, fence).await }).unwrap();
}

pub fn login(session: &str, key: u8, expected: Option<u8>) -> Commit {
    Commit {
        session: session.into(),
        changes: Changes { credentials: Some(with_key(key)), ..Changes::default() },
        expected_key: Zeroizing::new(expected.map_or(Vec::new(), |key| vec![key; 256])),
        ..Commit::default()
    }
}

pub fn entities(session: &str, entities: &[Entity<'_>]) -> Commit {
    let mut batch = EntityBatch::default();
    for entity in entities {
        batch.push_seen(entity, SEEN);
    }
    Commit { session: session.into(), changes: Changes { entities: batch, ..Changes::default() }, ..Commit::default() }
}

/// An entity as a driver returns it: ID, access hash, date and texts.
pub type Row = (i64, i64, u32, [Option<String>; 3]);

pub fn rows(batch: &EntityBatch) -> Vec<Row> {
    let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
    batch
        .iter()
        .map(|entity| (entity.id, entity.access_hash.unwrap(), entity.seen, entity.texts().map(|it| it.map(text))))
        .collect()
}

pub fn person(id: i64, texts: [Option<&str>; 3]) -> Entity<'_> {
    let [username, phone, name] = texts;
    Entity { id, access_hash: Some(id * 7), username, phone, name }
}

/// Reads all entities of a session, and how many there are in each page.
pub fn scan(options: SqlOptions, session: &str) -> (Vec<Row>, Vec<usize>) {
    let backend = NetBackend::<SqlDriver>::new(options, session, "test".to_owned());
    let options = OpenOptions { may_create: true, timeout: LONG };
    let (mut store, _) = backend.open(options).unwrap();
    let (mut after, mut all, mut pages) = (None, Vec::new(), Vec::new());
    loop {
        match store.scan(after, 0) {
            Err(error) if error.kind == Kind::Pending => std::thread::sleep(Duration::from_millis(1)),
            result => {
                let batch = result.unwrap();
                all.extend(rows(&batch.entities));
                pages.push(batch.entities.len());
                after = batch.next;
                if after.is_none() {
                    return (all, pages);
                }
            }
        }
    }
}
