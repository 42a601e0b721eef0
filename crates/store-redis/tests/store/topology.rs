//! Clusters, Sentinels and TLS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::sessions::{
    LONG, ask, block_on, commit, credentials, driver, find, find_username, login, name, open, people,
};
use crate::support::{Server, wait_until};
use free_port::free_port;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use session_core::store::Kind;
use store_net::driver::Driver;
use store_net::{Acquired, CommitError, OwnedQuery};
use store_redis::RedisOptions;

fn cli(port: u16, args: &[&str]) -> String {
    let output =
        Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Starts a cluster of three.
fn cluster() -> Option<Vec<Server>> {
    let args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--appendonly", "yes"];
    let nodes: Vec<_> = (0..3).map_while(|_| Server::start(&args)).collect();
    if nodes.len() < 3 {
        return None;
    }
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(|address| &**address));
    create.extend(["--cluster-replicas", "0", "--cluster-yes"]);
    cli(nodes[0].port, &create);
    for node in &nodes {
        wait_until("the cluster works", LONG, || cli(node.port, &["cluster", "info"]).contains("cluster_state:ok"));
    }
    Some(nodes)
}

fn cluster_options(nodes: &[Server]) -> RedisOptions {
    RedisOptions::parse(&format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}/", nodes[0].port, nodes[1].port)).unwrap()
}

#[test]
fn a_cluster_holds_sessions() {
    let Some(nodes) = cluster() else { return };
    let options = cluster_options(&nodes);
    let driver = driver(&options);
    let mut names: Vec<String> = (0..40).map(|number| format!("bot {number}")).collect();
    let mut commits: Vec<_> = names.iter().map(|name| people(name, 1..4)).collect();
    commits.push(people("many", 1..5000));
    commits.push(login("anon", 1, None));
    commits.push(login("anon", 2, None));
    names.extend(["many".to_owned(), "anon".to_owned()]);
    let results = commit(&driver, commits);
    assert!(matches!(results[42], Err(CommitError::Conflict(_))), "{:?}", results[42]);
    assert!(results[..42].iter().all(Result::is_ok));
    names.sort_unstable();
    assert_eq!(ask!(driver.list()).unwrap(), names);
    let sizes: Vec<String> = nodes.iter().map(|node| cli(node.port, &["dbsize"])).collect();
    assert!(sizes.iter().all(|size| size.trim() != "0"), "{sizes:?}");
    assert_eq!(find_username(&driver, "many", "user_4999"), [4999]);
    assert_eq!(find(&driver, "bot 7", OwnedQuery::Ids(vec![1, 2, 3, 4])).len(), 3);
    assert!(ask!(driver.load(name("anon"))).unwrap().credentials == Some(credentials(1)));
    let acquiring = driver.clone();
    let acquired = block_on(async move { acquiring.acquire(&name("anon"), "x", LONG).await });
    assert!(matches!(acquired, Ok(Acquired::Taken(_))));

    let session = open(&options, "many", false);
    wait_until("all entities are read", LONG, || session.is_loaded());
    session.close(LONG, &mut || true).unwrap();
}

#[test]
fn a_moved_slot_and_a_dead_node_of_a_cluster() {
    let Some(mut nodes) = cluster() else { return };
    let options = cluster_options(&nodes);
    let driver = driver(&options);
    let names: Vec<String> = (0..30).map(|number| format!("bot{number}")).collect();
    let write = |from: i64| commit(&driver, names.iter().map(|name| people(name, from..from + 3)).collect());
    assert!(write(1).iter().all(Result::is_ok));
    let first = cli(nodes[0].port, &["cluster", "myid"]).trim().to_owned();
    let last = cli(nodes[2].port, &["cluster", "myid"]).trim().to_owned();
    let address = format!("127.0.0.1:{}", nodes[0].port);
    let reshard = [
        "--cluster",
        "reshard",
        &address,
        "--cluster-from",
        &first,
        "--cluster-to",
        &last,
        "--cluster-slots",
        "3000",
        "--cluster-yes",
    ];
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| cli(nodes[0].port, &reshard));
        let mut from = 10;
        while !moving.is_finished() {
            for result in write(from) {
                match result {
                    Ok(()) => {}
                    Err(CommitError::Failed(error)) if error.kind == Kind::Unreachable => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            from += 3;
        }
    });
    wait_until("all writes succeed again", LONG, || write(1000).iter().all(Result::is_ok));
    for name in &names {
        assert_eq!(find_username(&driver, name, "user_3"), [3], "{name}");
        assert_eq!(find_username(&driver, name, "user_1000"), [1000], "{name}");
    }

    nodes[2].stop();
    let results = write(2000);
    assert!(
        results
            .iter()
            .any(|result| matches!(result, Err(CommitError::Failed(error)) if error.kind == Kind::Unreachable)),
        "{results:?}"
    );
    assert!(results.iter().all(|result| match result {
        Ok(()) => true,
        Err(CommitError::Failed(error)) => error.kind == Kind::Unreachable,
        Err(_) => false,
    }));
    nodes[2].start_again();
    wait_until("the node is back", LONG, || write(2000).iter().all(Result::is_ok));
}

fn sentinel_config(dir: &Path, port: u16, primary: u16) -> String {
    let config = format!(
        "port {port}\nsentinel monitor mymaster 127.0.0.1 {primary} 1\nsentinel down-after-milliseconds mymaster 500\n\
         sentinel failover-timeout mymaster 3000\n"
    );
    let path = dir.join("sentinel.conf");
    std::fs::write(&path, config).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_primary_that_sentinels_choose_is_followed() {
    let Some(mut primary) = Server::start(&[]) else { return };
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = sentinel_config(dir.path(), free_port().unwrap(), primary.port);
    let sentinel = Server::start(&[&config, "--sentinel"]).unwrap();
    wait_until("the Sentinel knows the replica", LONG, || {
        cli(sentinel.port, &["sentinel", "replicas", "mymaster"]).contains(&replica.port.to_string())
    });
    let closed = free_port().unwrap();
    let url = format!("redis+sentinel://127.0.0.1:{closed},127.0.0.1:{}/mymaster/0", sentinel.port);
    let options = RedisOptions::parse(&url).unwrap();
    let driver = driver(&options);
    commit(&driver, vec![people("anon", 1..3), login("anon", 1, None)]).into_iter().for_each(Result::unwrap);
    wait_until("the replica has it", LONG, || cli(replica.port, &["dbsize"]).trim() != "0");
    primary.stop();
    let mut failures = 0;
    wait_until("the new primary takes writes", LONG, || {
        match commit(&driver, vec![people("anon", 5..8)]).remove(0) {
            Ok(()) => return true,
            Err(CommitError::Failed(error)) if error.kind == Kind::Unreachable => failures += 1,
            Err(error) => panic!("{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
        false
    });
    assert!(failures > 0);
    assert_eq!(find_username(&driver, "anon", "user_1"), [1]);
    assert!(ask!(driver.load(name("anon"))).unwrap().credentials == Some(credentials(1)));
    // The old primary comes back as a replica.
    primary.start_again();
    commit(&driver, vec![people("anon", 8..9)]).remove(0).unwrap();

    let unknown = RedisOptions::parse(&format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port)).unwrap();
    let driver = crate::support::sessions::driver(&unknown);
    assert_eq!(ask!(driver.list()).unwrap_err().kind, Kind::Unreachable);
}

/// Writes a CA, and certificates for a server and a client.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &ca).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn tls_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let args = ["--tls-port", "{port}", "--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let Some(server) = Server::start(&args) else { return };
    let client = format!("&tls_cert_file={}&tls_key_file={}", file("client.pem"), file("client.key"));
    let load = |host: &str, ca: &str, rest: &str| {
        let options =
            RedisOptions::parse(&format!("rediss://:s3cret@{host}:{}/0?tls_ca_file={ca}{rest}", server.port)).unwrap();
        let mut options = options;
        options.login = store_redis::options::Login::default();
        let driver = driver(&options);
        ask!(driver.load(name("anon"))).map(|loaded| loaded.is_new)
    };
    assert!(load("localhost", &ca, &client).unwrap());
    let other_ca = other.path().join("ca.pem").to_str().unwrap().to_owned();
    for (host, ca, rest, expected) in [
        ("localhost", &*other_ca, &*client, Kind::Denied),
        ("127.0.0.1", &ca, &client, Kind::Denied),
        ("localhost", "/nowhere.pem", &client, Kind::CannotOpen),
        ("localhost", &cert.replace("server.pem", "server.key"), &client, Kind::Denied),
    ] {
        let error = load(host, ca, rest).unwrap_err();
        assert_eq!(error.kind, expected, "{host} {ca}: {error}");
    }
    // The server asks for a certificate.
    load("localhost", &ca, "").unwrap_err();
    // And a server without TLS is not mistaken for one with it.
    let Some(plain) = Server::start(&[]) else { return };
    let options = RedisOptions::parse(&format!("rediss://localhost:{}/0?tls_ca_file={ca}", plain.port)).unwrap();
    let driver = driver(&options);
    ask!(driver.load(name("anon"))).unwrap_err();
}
