//! Sessions, and drivers used without one.

use std::sync::Arc;
use std::time::Duration;

use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::{BatchEntity, EntityBatch, TextField};
use session_core::session::{Session, SessionOptions};
use session_core::store::{Backend, Changes};
use store_net::driver::Driver;
use store_net::{Attempt, Commit, NetBackend, OwnedQuery, SessionName, thread};
use store_redis::{RedisDriver, RedisOptions};
use zeroize::Zeroizing;

pub const LONG: Duration = Duration::from_mins(1);

/// Runs a future on the network thread.
pub fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    thread::block_on(future).unwrap()
}

/// Makes a driver.
pub fn driver(options: &RedisOptions) -> Arc<RedisDriver> {
    let options = options.clone();
    Arc::new(block_on(async move { RedisDriver::new(&options).await }).unwrap())
}

/// Calls an operation of a driver: `ask!(driver.list())`.
macro_rules! ask {
    ($driver:ident . $operation:ident ( $($arg:expr),* )) => {{
        let driver = ::std::sync::Arc::clone(&$driver);
        #[allow(unused_variables)]
        let args = ($($arg.clone(),)*);
        $crate::support::sessions::ask!(@call driver $operation args $($arg),*)
    }};
    (@call $driver:ident $operation:ident $args:ident) => {
        $crate::support::sessions::block_on(async move { $driver.$operation().await })
    };
    (@call $driver:ident $operation:ident $args:ident $a:expr) => {
        $crate::support::sessions::block_on(async move { $driver.$operation(&$args.0).await })
    };
    (@call $driver:ident $operation:ident $args:ident $a:expr, $b:expr) => {
        $crate::support::sessions::block_on(async move { $driver.$operation(&$args.0, &$args.1).await })
    };
}

pub(crate) use ask;

/// Deletes a session with one of these keys.
pub fn delete(driver: &Arc<RedisDriver>, session: &SessionName, own_keys: &[Zeroizing<Vec<u8>>]) -> bool {
    let (driver, session, own_keys) = (Arc::clone(driver), Arc::clone(session), own_keys.to_vec());
    block_on(async move { driver.delete(&session, &own_keys, Attempt::default()).await }).unwrap()
}

pub fn backend(options: &RedisOptions, name: &str) -> Arc<dyn Backend> {
    let place = format!("{}#{name}", options.public_url());
    Arc::new(NetBackend::<RedisDriver>::new(options.clone(), name, place))
}

pub fn open(options: &RedisOptions, name: &str, exclusive: bool) -> Arc<Session> {
    let options = (backend(options, name), SessionOptions { exclusive, timeout: LONG, ..SessionOptions::default() });
    Session::open(options.0, options.1, &mut || true).unwrap().0
}

pub fn name(name: &str) -> SessionName {
    name.into()
}

pub fn credentials(key: u8) -> Credentials {
    Credentials {
        dc_id: 2,
        server_address: Some("149.154.167.51".to_owned()),
        port: Some(443),
        auth_key: Zeroizing::new(vec![key; 256]),
        ..Credentials::default()
    }
}

/// Makes a commit of entities with usernames and names.
pub fn people(session: &str, ids: std::ops::Range<i64>) -> Commit {
    let mut entities = EntityBatch::default();
    for id in ids {
        let (username, name) = (format!("user_{id}"), format!("Name {id}"));
        let entity = Entity {
            id,
            access_hash: Some(id.wrapping_mul(-7)),
            username: Some(&username),
            name: Some(&name),
            ..Entity::default()
        };
        entities.push_seen(&entity, 1_700_000_000);
    }
    Commit { session: session.into(), changes: Changes { entities, ..Changes::default() }, ..Commit::default() }
}

/// Makes a commit of a login.
pub fn login(session: &str, key: u8, expected: Option<u8>) -> Commit {
    Commit {
        session: session.into(),
        changes: Changes { credentials: Some(credentials(key)), ..Changes::default() },
        expected_key: Zeroizing::new(expected.map_or_else(Vec::new, |key| vec![key; 256])),
        ..Commit::default()
    }
}

/// Commits, and returns one result for each.
pub fn commit(driver: &Arc<RedisDriver>, commits: Vec<Commit>) -> Vec<Result<(), store_net::CommitError>> {
    let driver = Arc::clone(driver);
    block_on(async move { driver.commit(&commits).await })
}

/// An entity with its own texts.
pub type Row = (i64, i64, u32, [Option<String>; 3]);

pub fn row(entity: &BatchEntity<'_>) -> Row {
    let texts = entity.texts().map(|text| text.map(|text| String::from_utf8(text.to_vec()).unwrap()));
    (entity.id, entity.access_hash.unwrap(), entity.seen, texts)
}

pub fn find(driver: &Arc<RedisDriver>, session: &str, query: OwnedQuery) -> Vec<Row> {
    let (driver, session) = (Arc::clone(driver), name(session));
    let batch = block_on(async move { driver.find(&session, &query).await }).unwrap();
    let mut rows: Vec<Row> = batch.iter().map(|entity| row(&entity)).collect();
    rows.sort();
    rows
}

pub fn find_username(driver: &Arc<RedisDriver>, session: &str, username: &str) -> Vec<i64> {
    let query = OwnedQuery::Text(TextField::Username, username.to_owned());
    find(driver, session, query).into_iter().map(|(id, ..)| id).collect()
}

pub fn find_name(driver: &Arc<RedisDriver>, session: &str, text: &str) -> Vec<i64> {
    let query = OwnedQuery::Text(TextField::Name, text.to_owned());
    find(driver, session, query).into_iter().map(|(id, ..)| id).collect()
}
