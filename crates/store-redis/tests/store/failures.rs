//! Servers that restart, are full, refuse, hang, or know no scripts.

use std::time::{Duration, Instant};

use crate::support::sessions::{LONG, ask, commit, credentials, driver, find_username, login, name, open, people};
use crate::support::{Server, wait_until};
use redis::Commands;
use session_core::store::{Kind, Query};
use store_net::CommitError;
use store_net::driver::Driver;
use store_redis::RedisOptions;

fn kind(result: &Result<(), CommitError>) -> Option<Kind> {
    match result {
        Err(CommitError::Failed(error)) => Some(error.kind),
        _ => None,
    }
}

#[test]
fn a_restarted_server_is_found_again() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let options = server.options();
    let session = open(&options, "anon", false);
    session.put(people("anon", 1..3000).changes.entities);
    session.set_credentials(credentials(1));
    session.save(true, &mut || true).unwrap();
    server.stop();
    session.put(people("anon", 3000..6000).changes.entities);
    let driver = driver(&options);
    assert_eq!(kind(&commit(&driver, vec![people("anon", 1..2)])[0]), Some(Kind::Unreachable));
    assert_eq!(ask!(driver.list()).unwrap_err().kind, Kind::Unreachable);
    server.start_again();
    session.close(LONG, &mut || true).unwrap();
    assert!(commit(&driver, vec![people("anon", 1..2)])[0].is_ok());
    assert_eq!(find_username(&driver, "anon", "user_1"), [1]);
    assert_eq!(find_username(&driver, "anon", "user_5999"), [5999]);
    let again = open(&options, "anon", false);
    assert_eq!(
        again.find_retrying(&Query::Id(2999), Instant::now() + LONG, &mut || true),
        Some((2999, Some(2999 * -7)))
    );
}

#[test]
fn a_server_whose_memory_is_full_says_so_and_goes_on_later() {
    let Some(server) = Server::start(&[]) else { return };
    let driver = driver(&server.options());
    commit(&driver, vec![people("anon", 1..100), login("anon", 1, None)]).into_iter().for_each(Result::unwrap);
    let mut client = server.client();
    let limit = |client: &mut redis::Connection, bytes: &str| {
        let _: () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query(client).unwrap();
    };
    limit(&mut client, "1");
    let mut both = login("anon", 2, Some(1));
    both.changes.entities = people("anon", 1..5000).changes.entities;
    let results = commit(&driver, vec![people("anon", 100..5000), both]);
    assert_eq!(results.iter().map(kind).collect::<Vec<_>>(), [Some(Kind::Full), Some(Kind::Full)]);
    // Reading goes on.
    assert_eq!(find_username(&driver, "anon", "user_99"), [99]);
    assert!(ask!(driver.load(name("anon"))).unwrap().credentials == Some(credentials(1)));
    // A login alone is still taken.
    assert!(commit(&driver, vec![login("anon", 3, Some(1))])[0].is_ok());
    limit(&mut client, "0");
    let results = commit(&driver, vec![people("anon", 100..5000), login("anon", 2, Some(3))]);
    assert!(results.iter().all(Result::is_ok));
}

#[test]
fn passwords_and_permissions() {
    let Some(server) = Server::start(&["--requirepass", "s3cret"]) else { return };
    let with = |login: &str| {
        let options = RedisOptions::parse(&format!("redis://{login}127.0.0.1:{}", server.port)).unwrap();
        driver(&options)
    };
    let driver = with(":s3cret@");
    commit(&driver, vec![people("anon", 1..3)]).remove(0).unwrap();
    for login in ["", ":s3creT@", "bot:s3cret@"] {
        let driver = with(login);
        let error = ask!(driver.load(name("anon"))).unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{error}");
        assert!(!format!("{error} {error:?}").to_lowercase().contains("s3cret"), "{error:?}");
    }
    let mut client =
        redis::Client::open(format!("redis://:s3cret@127.0.0.1:{}", server.port)).unwrap().get_connection().unwrap();
    let acl = |client: &mut redis::Connection, rules: &[&str]| {
        let _: () =
            redis::cmd("ACL").arg("SETUSER").arg("bot").arg("on").arg(">s3cret").arg(rules).query(client).unwrap();
    };
    acl(&mut client, &["~telethon-session:*", "+@all", "-@dangerous"]);
    let bot = with("bot:s3cret@");
    commit(&bot, vec![people("anon", 1..3)]).remove(0).unwrap();
    acl(&mut client, &["resetkeys"]);
    assert_eq!(kind(&commit(&bot, vec![people("anon", 1..3)])[0]), Some(Kind::Denied));
    let _: () = redis::cmd("ACL").arg("DELUSER").arg("bot").query(&mut client).unwrap();
    let error = ask!(bot.load(name("anon"))).unwrap_err();
    assert!(matches!(error.kind, Kind::Denied | Kind::Unreachable), "{error}");
    // The password is set again: the next operation connects anew.
    acl(&mut client, &["~*", "+@all"]);
    ask!(bot.load(name("anon"))).unwrap();
    // A write has its own connection, which fails once.
    commit(&bot, vec![people("anon", 1..3)]);
    commit(&bot, vec![people("anon", 1..3)]).remove(0).unwrap();
}

#[test]
fn a_socket_and_a_database() {
    let Some(server) = Server::start(&["--unixsocket", "{dir}/redis.sock"]) else { return };
    let path = server.dir.path().join("redis.sock");
    let options = RedisOptions::parse(&format!("redis+unix://{}?db=3", path.display())).unwrap();
    let driver = driver(&options);
    commit(&driver, vec![people("anon", 1..3)]).remove(0).unwrap();
    let mut client =
        redis::Client::open(format!("redis://127.0.0.1:{}/3", server.port)).unwrap().get_connection().unwrap();
    let keys: Vec<String> = client.keys("*").unwrap();
    assert!(keys.contains(&"telethon-session:{anon}:login".to_owned()), "{keys:?}");
    let options = RedisOptions::parse(&format!("redis://127.0.0.1:{}/99", server.port)).unwrap();
    let driver = crate::support::sessions::driver(&options);
    assert_eq!(ask!(driver.list()).unwrap_err().kind, Kind::CannotOpen);
}

#[test]
fn a_server_that_knows_no_script_gets_it() {
    let Some(server) = Server::start(&[]) else { return };
    let driver = driver(&server.options());
    let mut client = server.client();
    for _ in 0..3 {
        let results = commit(&driver, vec![people("a", 1..3500), people("b", 1..2)]);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(find_username(&driver, "a", "user_3499"), [3499]);
        let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut client).unwrap();
    }
}

#[test]
fn only_reachable_primaries_are_used() {
    let Some(primary) = Server::start(&[]) else { return };
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).unwrap();
    let alone = driver(&replica.options());
    wait_until("the replica follows", LONG, || {
        kind(&commit(&alone, vec![people("anon", 1..2)])[0]) == Some(Kind::ReadOnly)
    });
    let closed = free_port::free_port().unwrap();
    let url = format!("redis://127.0.0.1:{closed},127.0.0.1:{},127.0.0.1:{}", replica.port, primary.port);
    let all = driver(&RedisOptions::parse(&url).unwrap());
    commit(&all, vec![people("anon", 1..3)]).remove(0).unwrap();
    assert_eq!(find_username(&all, "anon", "user_2"), [2]);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    // It accepts connections, and that is all.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = RedisOptions::parse(&format!("redis://{}", listener.local_addr().unwrap())).unwrap();
    let driver = driver(&options);
    let begun = Instant::now();
    let error = ask!(driver.load(name("anon"))).unwrap_err();
    assert!(error.kind == Kind::Unreachable && begun.elapsed() < Duration::from_secs(20), "{error}");
}
