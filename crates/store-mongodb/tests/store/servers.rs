//! Passwords, TLS, and servers that go away.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    LONG, Mongod, acquire, admin, client, commit, driver, initiate, login, open, people, run, taken, wait, write,
};
use free_port::free_port;
use mongodb::bson::doc;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use session_core::store::{Kind, Query};
use store_net::driver::{Driver as _, DriverError, OwnedQuery};
use store_net::{Commit, CommitError};

fn load(url: &str) -> Result<(), DriverError> {
    let driver = driver(url);
    run(async move { driver.load(&"anon".into()).await.map(|_| ()) })
}

fn write_one(url: &str, commit: Commit) -> Result<(), CommitError> {
    write(&driver(url), vec![commit]).remove(0)
}

fn failure(result: Result<(), CommitError>) -> DriverError {
    match result {
        Err(CommitError::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn passwords() {
    let server = Mongod::start(&["--auth"]);
    let port = server.port;
    let users = client(&server.url());
    run(async move {
        let database = users.database("admin");
        let create = |name: &str, role: &str| doc! { "createUser": name, "pwd": "s3cr@t", "roles": [{ "role": role, "db": "admin" }] };
        database.run_command(create("anna", "root")).await.unwrap();
    });
    let as_user = |user: &str| format!("mongodb://{user}@127.0.0.1:{port}/people?authSource=admin");
    let users = client(&as_user("anna:s3cr%40t"));
    run(async move {
        let roles = vec![doc! { "role": "read", "db": "people" }];
        let create = doc! { "createUser": "reader", "pwd": "s3cr@t", "roles": roles };
        users.database("admin").run_command(create).await.unwrap();
        let create =
            doc! { "createUser": "writer", "pwd": "s3cr@t", "roles": [{ "role": "readWrite", "db": "people" }] };
        users.database("admin").run_command(create).await.unwrap();
    });
    let url = as_user("writer:s3cr%40t");
    load(&url).unwrap();
    write_one(&url, login("anon", None, 1)).unwrap();
    let url = as_user("reader:s3cr%40t");
    load(&url).unwrap();
    let errors = [
        failure(write_one(&url, login("anon", Some(1), 2))),
        load(&as_user("anna:s3cr-t")).unwrap_err(),
        load(&as_user("nobody:s3cr-t")).unwrap_err(),
        load(&format!("mongodb://127.0.0.1:{port}/people")).unwrap_err(),
        failure(write_one(&as_user("anna:s3cr-t"), commit("anon", people(1..3)))),
    ];
    for error in errors {
        assert_eq!(error.kind, Kind::Denied, "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cr"), "{error:?}");
        assert!(error.message.contains("authSource"), "{error}");
    }
    // The password is changed while a session is open.
    let driver = driver(&as_user("writer:s3cr%40t"));
    assert!(write(&driver, vec![login("anon", Some(1), 1)])[0].is_ok());
    let users = client(&as_user("anna:s3cr%40t"));
    run(
        async move { users.database("admin").run_command(doc! { "updateUser": "writer", "pwd": "other" }).await.unwrap() },
    );
    let written = write(&driver, vec![login("anon", Some(1), 1)]).remove(0);
    if let Err(error) = written {
        assert_eq!(failure(Err(error)).kind, Kind::Denied);
    }
}

/// An authority, and the files of a server and of a client that it has signed.
fn certificates(folder: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Authority");
    fs::write(folder.join("ca.pem"), authority.clone().self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    for (name, host) in [("server", "127.0.0.1"), ("client", "a client"), ("other", "localhost.example")] {
        let key = KeyPair::generate().unwrap();
        let names = if name == "client" { Vec::new() } else { vec![host.to_owned()] };
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, host);
        parameters.distinguished_name.push(DnType::OrganizationName, name);
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(format!("{name}.pem")), format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
    }
}

#[test]
fn tls() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, own, client, other) = (file("ca.pem"), file("server.pem"), file("client.pem"), file("other.pem"));
    let arguments = ["--tlsMode", "requireTLS", "--tlsCAFile", &ca, "--tlsCertificateKeyFile"];
    let server =
        Mongod::start_in(Arc::clone(&folder), free_port().unwrap(), &[&arguments[..], &[own.as_str()]].concat());
    let url = |server: &Mongod, query: &str| {
        format!("mongodb://127.0.0.1:{}/people?serverSelectionTimeoutMS=2000&{query}", server.port)
    };
    let right = url(&server, &format!("tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={client}"));
    write_one(&right, login("anon", None, 1)).unwrap();
    load(&right).unwrap();
    // Without a certificate of its own, without TLS, and without the authority.
    assert!(load(&url(&server, &format!("tls=true&tlsCAFile={ca}"))).unwrap_err().kind.is_retryable());
    assert!(load(&url(&server, "")).unwrap_err().kind.is_retryable());
    let error = load(&url(&server, &format!("tls=true&tlsCertificateKeyFile={client}"))).unwrap_err();
    assert_eq!(error.kind, Kind::CannotOpen, "{error}");
    assert!(error.message.contains("certificate"), "{error}");
    drop(server);
    let missing = url_error(&format!("mongodb://127.0.0.1/?tls=true&tlsCAFile={}", file("missing.pem")));
    assert_eq!(missing.kind, Kind::CannotOpen, "{missing}");
    // A certificate for another host.
    let server =
        Mongod::start_in(Arc::clone(&folder), free_port().unwrap(), &[&arguments[..], &[other.as_str()]].concat());
    let error = load(&url(&server, &format!("tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={client}"))).unwrap_err();
    assert_eq!(error.kind, Kind::CannotOpen, "{error}");
}

fn url_error(url: &str) -> DriverError {
    let options = crate::support::options(url);
    run(async move {
        match store_mongodb::MongoDriver::new(&options).await {
            Err(error) => error,
            Ok(driver) => driver.load(&"anon".into()).await.unwrap_err(),
        }
    })
}

#[test]
fn a_server_that_does_not_run() {
    let url = format!("mongodb://anna:s3cr@127.0.0.1:{}/?serverSelectionTimeoutMS=300", free_port().unwrap());
    let begun = Instant::now();
    let error = load(&url).unwrap_err();
    // Without the option it would be 30 s.
    assert!(error.kind == Kind::Unreachable && begun.elapsed() < Duration::from_secs(20), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cr"), "{error:?}");
    let error = failure(write_one(&url, commit("anon", people(1..3))));
    assert_eq!(error.kind, Kind::Unreachable);
}

/// Kills a server while a session writes, starts it again, and looks for everything that was
/// confirmed.
fn is_killed(options: &[&str]) {
    let mut server = Mongod::start(options);
    let url = server.url();
    if !options.is_empty() {
        initiate(&format!("{url}?directConnection=true"), &[server.port]);
    }
    let session = open(&url, "anon", false);
    let writer = driver(&url);
    // Dropped by a panic, too. It counts what was confirmed.
    let running = Arc::new(AtomicUsize::new(0));
    let is_running = Arc::downgrade(&running);
    let writing = thread::spawn(move || {
        let (mut confirmed, mut failures, mut next) = (Vec::new(), 0, 1_000_000);
        while let Some(count) = is_running.upgrade() {
            match write(&writer, vec![commit("berta", people(next..next + 20))]).remove(0) {
                Ok(()) => {
                    confirmed.push(next);
                    count.store(confirmed.len(), Ordering::SeqCst);
                }
                Err(CommitError::Failed(error)) if error.kind == Kind::Unreachable => failures += 1,
                Err(error) => panic!("{error:?}"),
            }
            next += 20;
        }
        (confirmed, failures)
    });
    let more = || {
        let before = running.load(Ordering::SeqCst);
        wait(|| running.load(Ordering::SeqCst) > before + 5);
    };
    for round in 0..3 {
        session.put(people(round * 1000..round * 1000 + 500));
        more();
        let port = server.port;
        let folder = server.kill();
        session.put(people(round * 1000 + 500..round * 1000 + 1000));
        assert_eq!(session.find(&Query::Id(round * 1000 + 1)), Some((round * 1000 + 1, Some((round * 1000 + 1) * 7))));
        thread::sleep(Duration::from_millis(200));
        server = Mongod::start_in(folder, port, options);
    }
    session.set_credentials(crate::support::credentials(1));
    session.close(LONG, &mut || true).unwrap();
    more();
    drop(running);
    let (confirmed, failures) = writing.join().unwrap();
    // One that was not under way when the server was killed waits for it.
    println!("{} confirmed, {failures} failed", confirmed.len());
    assert!(confirmed.len() > 10);
    let reader = driver(&url);
    let ids: Vec<i64> = confirmed.iter().flat_map(|first| *first..*first + 20).collect();
    let (found, loaded, all) = run(async move {
        let found = reader.find(&"berta".into(), &OwnedQuery::Ids(ids.clone())).await.unwrap();
        let all = reader.find(&"anon".into(), &OwnedQuery::Ids((0..3000).collect())).await.unwrap();
        (found.len() == ids.len(), reader.load(&"anon".into()).await.unwrap(), all.len())
    });
    assert!(found, "what was confirmed is lost");
    assert_eq!(all, 3000);
    assert!(loaded.credentials.unwrap().auth_key == crate::support::key(1));
}

#[test]
fn a_killed_server_loses_nothing() {
    is_killed(&[]);
}

#[test]
fn a_killed_replica_set_loses_nothing() {
    is_killed(&["--replSet", "rs"]);
}

/// A set of three whose primary steps down, and is killed, while a session writes.
#[test]
fn a_failover_loses_nothing() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let ports = [(); 3].map(|()| free_port().unwrap());
    let mut servers: Vec<Mongod> =
        ports.iter().map(|port| Mongod::start_in(Arc::clone(&folder), *port, &["--replSet", "rs"])).collect();
    let direct = |port: u16| format!("mongodb://127.0.0.1:{port}/?directConnection=true");
    initiate(&direct(ports[0]), &ports);
    let url = format!("mongodb://127.0.0.1:{},127.0.0.1:{},127.0.0.1:{}/?replicaSet=rs", ports[0], ports[1], ports[2]);
    let writer = driver(&url);
    let fence = taken(&writer, "anon", "one", LONG);
    let mut written = 0;
    let mut put = |count: usize| {
        for _ in 0..count {
            let changed = || Commit { fence: Some(fence), ..commit("anon", people(written..written + 100)) };
            wait(|| match write(&writer, vec![changed()]).remove(0) {
                Ok(()) => true,
                Err(CommitError::Failed(error)) => {
                    assert_eq!(error.kind, Kind::Unreachable, "{error}");
                    false
                }
                Err(error) => panic!("{error:?}"),
            });
            written += 100;
        }
    };
    put(5);
    admin(&direct(ports[0]), doc! { "replSetStepDown": 30, "secondaryCatchUpPeriodSecs": 10 });
    let begun = Instant::now();
    put(5);
    let stepped_down = begun.elapsed();
    let primary = ports
        .iter()
        .position(|port| admin(&direct(*port), doc! { "hello": 1 }).get_bool("isWritablePrimary").unwrap())
        .unwrap();
    drop(servers.remove(primary));
    let begun = Instant::now();
    put(5);
    println!("written again {stepped_down:?} after a step-down, {:?} after a kill", begun.elapsed());
    let reader = driver(&url);
    assert!(matches!(acquire(&reader, "anon", "other", LONG), store_net::driver::Acquired::InUse(_)));
    let found = run(async move { reader.find(&"anon".into(), &OwnedQuery::Ids((0..2000).collect())).await.unwrap() });
    assert_eq!(found.len(), 1500);
}
