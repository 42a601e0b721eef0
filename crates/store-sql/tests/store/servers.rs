//! Servers that are reached in many ways, or not at all.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::operations::{commit_one, entities, login, person, scan, try_load, with_key};
use crate::support::{Database, driver, start_postgres};
use free_port::free_port;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use session_core::store::Kind;
use store_net::{Commit, CommitError, DriverError, Loaded};
use store_sql::{Dialect, Host, SqlOptions, Tls, TlsMode};

const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::MySql];

fn each(test: impl Fn(&Database)) {
    BOTH.iter().filter_map(|dialect| Database::create(*dialect)).for_each(|database| test(&database));
}

fn load(options: SqlOptions) -> Result<Loaded, DriverError> {
    try_load(&Arc::new(driver(options)), "anon")
}

fn parse(url: &str) -> SqlOptions {
    url.parse().unwrap()
}

/// Writes a certificate for a host, its key, and its authority's certificate.
fn certificate(directory: &Path, name: &str, host: &str) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, name);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    for (kind, text) in [("ca", authority.pem()), ("crt", server.pem()), ("key", key.serialize_pem())] {
        std::fs::write(directory.join(format!("{name}.{kind}")), text).unwrap();
    }
}

#[test]
fn certificates_are_verified() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    for (name, host) in [("good", "localhost"), ("bad", "localhost")] {
        certificate(directory.path(), name, host);
    }
    let Some(server) = start_postgres(&[&file("good.crt"), &file("good.key")]) else { return };
    let connect = |host: &str, mode, ca: Option<&str>| {
        let tls = Tls { mode: Some(mode), ca: ca.map(file), ..Tls::default() };
        let hosts = vec![Host::Tcp(host.to_owned(), server.port)];
        load(SqlOptions { tls, hosts, ..parse(&server.url) })
    };
    assert!(connect("localhost", TlsMode::VerifyFull, Some("good.ca")).unwrap().is_new);
    for (host, mode, ca) in [
        ("localhost", TlsMode::VerifyFull, Some("bad.ca")),
        ("localhost", TlsMode::VerifyFull, None),
        ("localhost", TlsMode::VerifyCa, Some("bad.ca")),
        // It is another host's.
        ("127.0.0.1", TlsMode::VerifyFull, Some("good.ca")),
        ("localhost", TlsMode::VerifyFull, Some("missing.ca")),
    ] {
        let error = connect(host, mode, ca).unwrap_err();
        assert!(!error.kind.is_retryable(), "{error}");
        assert_eq!(error.kind, Kind::CannotOpen, "{error}");
    }
    assert!(connect("127.0.0.1", TlsMode::VerifyCa, Some("good.ca")).is_ok());
    assert!(connect("127.0.0.1", TlsMode::Require, None).is_ok());
    let by_url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url, file("good.ca").display());
    assert!(load(parse(&by_url.replace("127.0.0.1", "localhost"))).is_ok());
    assert!(load(parse(&by_url)).is_err());
}

#[test]
fn encryption_that_a_server_does_not_have_is_an_error() {
    each(|database| {
        let tls = Tls { mode: Some(TlsMode::Require), ..Tls::default() };
        let error = load(SqlOptions { tls, ..database.options() }).unwrap_err();
        assert_eq!(error.kind, Kind::CannotOpen, "{error}");
    });
}

#[test]
fn errors_say_what_is_wrong() {
    each(|database| {
        let options = || database.options();
        let wrong = Some("a wrong password".to_owned().into());
        let denied = load(SqlOptions { password: wrong, ..options() }).unwrap_err();
        assert_eq!(denied.kind, Kind::Denied, "{denied}");
        let missing = load(SqlOptions { database: Some("missing".to_owned()), ..options() }).unwrap_err();
        assert_eq!(missing.kind, Kind::CannotOpen, "{missing}");
        let nowhere = vec![Host::Tcp("127.0.0.1".to_owned(), free_port().unwrap())];
        let refused = load(SqlOptions { hosts: nowhere, ..options() }).unwrap_err();
        assert_eq!(refused.kind, Kind::Unreachable, "{refused}");
        let unknown = vec![Host::Tcp("missing.invalid".to_owned(), 1)];
        let unknown = load(SqlOptions { hosts: unknown, ..options() }).unwrap_err();
        assert_eq!(unknown.kind, Kind::Unreachable, "{unknown}");
        let socket = vec![Host::Socket("/missing/socket".into(), 1)];
        let no_socket = load(SqlOptions { hosts: socket, ..options() }).unwrap_err();
        assert_eq!(no_socket.kind, Kind::Unreachable, "{no_socket}");
        for error in [denied, missing, refused, unknown, no_socket] {
            assert!(!format!("{error} {error:?}").contains("secret") && !error.message.contains("wrong password"));
        }
    });
}

#[test]
fn missing_rights_are_denied() {
    each(|database| {
        let name = format!("weak_{}", database.name);
        if database.dialect == Dialect::Postgres {
            database.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'weak'"));
        } else {
            database.execute(&format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'weak'"));
            database.execute(&format!("GRANT SELECT ON {}.* TO '{name}'@'%'", database.name));
        }
        let options =
            SqlOptions { user: Some(name.clone()), password: Some("weak".to_owned().into()), ..database.options() };
        let error = load(options).unwrap_err();
        assert!(error.kind == Kind::Denied && error.message.contains("cannot be created"), "{error}");
        let role = if database.dialect == Dialect::Postgres { "ROLE" } else { "USER" };
        database.execute(&format!("DROP {role} {name}"));
    });
}

#[test]
fn hosts_are_tried_in_order() {
    each(|database| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        silent.set_nonblocking(true).unwrap();
        let is_tried = || silent.accept().is_ok();
        let mut hosts = vec![
            Host::Tcp("127.0.0.1".to_owned(), free_port().unwrap()),
            Host::Tcp("127.0.0.1".to_owned(), silent.local_addr().unwrap().port()),
        ];
        hosts.extend(database.options().hosts);
        let connect_timeout = Duration::from_secs(2);
        let options = SqlOptions { hosts, connect_timeout, needs_primary: true, ..database.options() };
        let driver = Arc::new(driver(options));
        let begun = Instant::now();
        assert!(try_load(&driver, "anon").unwrap().is_new);
        assert!(begun.elapsed() >= connect_timeout && is_tried());
        // The one that answered is asked first from now on.
        while is_tried() {}
        commit_one(&driver, login("anon", 1, None)).unwrap();
        assert!(!is_tried());
    });
}

#[test]
fn sockets_are_used() {
    each(|database| {
        let Some(directory) = &crate::support::server(database.dialect).unwrap().directory else { return };
        let port = crate::support::server(database.dialect).unwrap().port;
        let encoded = directory.replace('/', "%2F");
        let url = match database.dialect {
            Dialect::Postgres => format!("postgresql://telethon:secret@{encoded}:{port}/{}", database.name),
            Dialect::MySql => {
                format!("mysql+pymysql://telethon:secret@localhost/{}?unix_socket={encoded}%2Fsocket", database.name)
            }
        };
        assert!(load(parse(&url)).unwrap().is_new);
    });
}

#[test]
fn a_replica_takes_no_writes_until_it_does() {
    let Some(database) = Database::create(Dialect::Postgres) else { return };
    let driver = Arc::new(database.driver());
    assert!(try_load(&driver, "anon").unwrap().is_new);
    let set = |value: &str| {
        database.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = {value}", database.name));
    };
    set("on");
    // Its connection was made before.
    commit_one(&driver, login("anon", 1, None)).unwrap();
    let replica = Arc::new(crate::support::driver(SqlOptions { manage_tables: false, ..database.options() }));
    let Err(CommitError::Failed(error)) = commit_one(&replica, login("anon", 3, Some(1))) else { panic!() };
    assert!(error.kind == Kind::Unreachable && error.message.contains("no writes"), "{error}");
    assert!(try_load(&replica, "anon").is_ok());
    let primary = SqlOptions { needs_primary: true, ..database.options() };
    let error = load(primary).unwrap_err();
    assert!(error.kind == Kind::Unreachable && error.message.contains("no writes"), "{error}");
    let off = format!("ALTER DATABASE {} SET default_transaction_read_only = off", database.name);
    database.execute(&format!("BEGIN READ WRITE; {off}; COMMIT"));
    assert!(commit_one(&replica, login("anon", 3, Some(1))).is_err());
    commit_one(&replica, login("anon", 3, Some(1))).unwrap();
}

/// Passes bytes to a server until there were so many from the client; then it cuts the connection.
struct Proxy {
    port: u16,
    left: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let shared = Arc::clone(&left);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let left = Arc::clone(&shared);
                thread::spawn(move || pass(client, server, Some(&left)));
                thread::spawn(move || pass(from_server, to_client, None));
            }
        });
        Self { port, left }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: Option<&AtomicUsize>) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let allowed = left.map_or(length, |left| {
            let before = left.load(Ordering::SeqCst);
            left.store(before.saturating_sub(length), Ordering::SeqCst);
            before.min(length)
        });
        if to.write_all(&bytes[..allowed]).is_err() || allowed < length {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_connection_that_is_cut_anywhere_loses_nothing() {
    each(|database| {
        let Host::Tcp(_, port) = database.options().hosts.remove(0) else { return };
        let proxy = Proxy::start(port);
        let hosts = vec![Host::Tcp("127.0.0.1".to_owned(), proxy.port)];
        let driver = Arc::new(driver(SqlOptions { hosts, ..database.options() }));
        assert!(try_load(&driver, "anon").unwrap().is_new);
        let (mut failures, mut key) = (0, None);
        for (round, limit) in (0..8000_usize).step_by(190).enumerate() {
            let next = u8::try_from(round).unwrap();
            let mut both = login("anon", next, key);
            let id = i64::from(next);
            let people: Vec<_> = (id * 10..id * 10 + 10).map(|id| person(id, [Some("anna"), None, None])).collect();
            both.changes.entities = entities("anon", &people).changes.entities;
            let repeat = || Commit {
                session: both.session.clone(),
                expected_key: both.expected_key.clone(),
                changes: session_core::store::Changes {
                    credentials: both.changes.credentials.clone(),
                    entities: entities("anon", &people).changes.entities,
                    ..Default::default()
                },
                ..Commit::default()
            };
            proxy.left.store(limit, Ordering::SeqCst);
            if let Err(error) = commit_one(&driver, repeat()) {
                let CommitError::Failed(error) = error else { panic!("{error:?}") };
                assert_eq!(error.kind, Kind::Unreachable, "{error}");
                failures += 1;
            }
            proxy.left.store(usize::MAX, Ordering::SeqCst);
            // As the session repeats it. The first may find connections that were cut while they were idle.
            if commit_one(&driver, repeat()).is_err() {
                commit_one(&driver, repeat()).unwrap();
            }
            key = Some(next);
        }
        assert!(failures > 5, "{failures}");
        let found = scan(database.options(), "anon").0.len();
        assert_eq!(found, usize::from(key.unwrap() + 1) * 10);
        assert!(try_load(&driver, "anon").unwrap().credentials == Some(with_key(key.unwrap())));
    });
}
