//! Commits, lookups and leases on a single server.

use std::sync::Arc;
use std::time::Duration;

use crate::support::sessions::{
    LONG, ask, block_on, commit, credentials, delete, driver, find, find_name, find_username, login, name, people,
};
use crate::support::{Server, shared, shared_client};
use redis::Commands;
use session_core::entity::Entity;
use session_core::entity_table::EntityBatch;
use session_core::store::{Changes, FileKey, FileKind, Kind, UpdateState};
use store_net::driver::Driver;
use store_net::{Acquired, Attempt, Commit, CommitError, Fence, OwnedQuery};
use store_redis::RedisDriver;
use zeroize::Zeroizing;

fn kind(result: &Result<(), CommitError>) -> Option<Kind> {
    match result {
        Err(CommitError::Failed(error)) => Some(error.kind),
        _ => None,
    }
}

const NO_KEYS: [Zeroizing<Vec<u8>>; 0] = [];

fn release(driver: &Arc<RedisDriver>, fence: Fence) {
    let driver = Arc::clone(driver);
    block_on(async move { driver.release(&name("anon"), fence).await }).unwrap();
}

#[test]
fn a_login_is_only_replaced_by_one_that_knows_it() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let mut first = login("anon", 1, None);
    first.changes.entities = people("anon", 1..3000).changes.entities;
    // A write that is repeated because its answer was lost succeeds.
    for _ in 0..2 {
        let again = Commit {
            changes: Changes { credentials: first.changes.credentials.clone(), ..Changes::default() },
            ..login("anon", 1, None)
        };
        assert!(commit(&driver, vec![again])[0].is_ok());
    }
    assert!(commit(&driver, vec![first])[0].is_ok());
    let mut other = login("anon", 2, None);
    other.changes.entities = people("anon", 5000..8000).changes.entities;
    let results = commit(&driver, vec![people("before", 1..5), other, people("after", 1..5)]);
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(&results[1], Err(CommitError::Conflict(key)) if **key == [1; 256]));
    // Nothing of the commit was written, and the others were.
    assert!(find(&driver, "anon", OwnedQuery::Ids(vec![5000, 7999])).is_empty());
    assert_eq!(find_username(&driver, "anon", "user_2999"), [2999]);
    assert_eq!(find_username(&driver, "after", "user_4"), [4]);
    assert!(commit(&driver, vec![login("anon", 2, Some(1))])[0].is_ok());
    assert!(matches!(&commit(&driver, vec![login("anon", 1, Some(1))])[0], Err(CommitError::Conflict(_))));
    let loaded = ask!(driver.load(name("anon"))).unwrap();
    assert!(loaded.credentials == Some(credentials(2)) && !loaded.is_new);
    // Without a login nothing is compared.
    assert!(commit(&driver, vec![people("anon", 1..2)])[0].is_ok());
}

#[test]
fn a_late_holder_of_a_lease_is_refused() {
    const SHORT: Duration = Duration::from_millis(50);
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let acquire = |owner: &'static str| {
        let driver = driver.clone();
        block_on(async move { driver.acquire(&name("anon"), owner, LONG).await }).unwrap()
    };
    let renew = |fence: Fence, time: Duration| {
        let driver = driver.clone();
        block_on(async move { driver.renew(&name("anon"), fence, "a b", time).await }).unwrap()
    };
    let Acquired::Taken(first) = acquire("1 2 a host") else { panic!("not taken") };
    assert_eq!(acquire("x"), Acquired::InUse("1 2 a host".to_owned()));
    assert!(renew(first, SHORT));
    std::thread::sleep(SHORT * 2);
    // It has only expired.
    assert!(renew(first, LONG));
    assert_eq!(acquire("x"), Acquired::InUse("a b".to_owned()));
    release(&driver, first);
    let Acquired::Taken(second) = acquire("other") else { panic!("not taken") };
    assert!(second > first);
    assert!(!renew(first, LONG));
    let with_fence = |fence: Fence, ids: std::ops::Range<i64>| Commit { fence: Some(fence), ..people("anon", ids) };
    let results =
        commit(&driver, vec![with_fence(first, 1..2500), with_fence(second, 10_000..12_500), people("anon", 1..2)]);
    assert!(matches!(results[0], Err(CommitError::Fenced)), "{results:?}");
    assert!(results[1].is_ok() && results[2].is_ok());
    assert!(find(&driver, "anon", OwnedQuery::Ids(vec![2, 2499])).is_empty());
    // The late one does not end the other's lease, and is refused after the session was deleted.
    release(&driver, first);
    assert_eq!(acquire("x"), Acquired::InUse("other".to_owned()));
    assert!(delete(&driver, &name("anon"), &NO_KEYS));
    assert!(matches!(commit(&driver, vec![with_fence(first, 1..2)])[0], Err(CommitError::Fenced)));
}

#[test]
fn numbers_of_leases_rise_although_the_server_forgot_the_last() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let acquire = || {
        let driver = driver.clone();
        let acquired = block_on(async move { driver.acquire(&name("anon"), "x", LONG).await }).unwrap();
        let Acquired::Taken(fence) = acquired else { panic!("{acquired:?}") };
        fence
    };
    let first = acquire();
    let mut client = shared_client();
    for key in ["lease", "fence"] {
        let removed: i64 = client.del(format!("{}:{{anon}}:{key}", options.prefix)).unwrap();
        assert_eq!(removed, 1);
    }
    let second = acquire();
    assert!(second > first);
    let _: () = client.set(format!("{}:{{anon}}:fence", options.prefix), "9000000000000000").unwrap();
    let _: () = client.del(format!("{}:{{anon}}:lease", options.prefix)).unwrap();
    assert_eq!(acquire(), Fence(9_000_000_000_000_001));
}

#[test]
fn indexes_follow_the_texts() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let put = |entities: &[Entity<'_>]| {
        let mut batch = EntityBatch::default();
        for entity in entities {
            batch.push_seen(entity, 7);
        }
        let changes = Changes { entities: batch, ..Changes::default() };
        commit(&driver, vec![Commit { session: name("anon"), changes, ..Commit::default() }]).remove(0).unwrap();
    };
    let long = "x".repeat(70_000);
    let entity = |id, username, text| Entity { id, access_hash: Some(1), username, name: text, ..Entity::default() };
    put(&[entity(1, Some("anna"), Some("Anna")), entity(-1, None, Some("Anna")), entity(11, None, Some("Anna"))]);
    put(&[
        entity(1, Some("berta"), Some("Anna")),
        entity(2, Some("anna"), Some(&long)),
        entity(2, Some("anna"), Some("A\0\n")),
    ]);
    assert_eq!(find_username(&driver, "anon", "anna"), [2]);
    assert_eq!(find_username(&driver, "anon", "berta"), [1]);
    assert_eq!(find_name(&driver, "anon", "Anna"), [-1, 1, 11]);
    assert_eq!(find_name(&driver, "anon", "A\0\n"), [2]);
    put(&[entity(1, None, None), entity(-1, None, Some(&long))]);
    assert_eq!(find_name(&driver, "anon", "Anna"), [11]);
    assert_eq!(find_name(&driver, "anon", &long), [-1]);
    put(&[entity(-1, None, None), entity(11, None, None), entity(2, None, None)]);
    let mut client = shared_client();
    for index in ["usernames", "names"] {
        let left: i64 = client.hlen(format!("{}:{{anon}}:{index}", options.prefix)).unwrap();
        assert_eq!(left, 0, "{index}");
    }
}

#[test]
fn a_name_that_thousands_have_stays_cheap() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let mut entities = EntityBatch::default();
    for id in 1..20_000 {
        entities.push(&Entity { id, access_hash: Some(1), name: Some("Deleted Account"), ..Entity::default() });
    }
    let changes = Changes { entities, ..Changes::default() };
    commit(&driver, vec![Commit { session: name("anon"), changes, ..Commit::default() }]).remove(0).unwrap();
    let key = format!("{}:{{anon}}:names", options.prefix);
    let known: usize = redis::cmd("HSTRLEN").arg(key).arg("Deleted Account").query(&mut shared_client()).unwrap();
    assert!(known < 10_000, "{known} bytes");
    let found = find_name(&driver, "anon", "Deleted Account");
    assert!(found.len() == 100 && found.contains(&1), "{}", found.len());
}

#[test]
fn values_at_the_limits_come_back() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let ids = [i64::MIN, -1, 0, i64::MAX];
    let mut changes = Changes::default();
    for id in ids {
        let entity =
            Entity { id, access_hash: Some(id), username: Some(""), phone: Some("\0"), name: Some("\u{10ffff}") };
        changes.entities.push_seen(&entity, u32::MAX);
        changes.update_states.push((id, UpdateState { pts: Some(id), qts: None, date: Some(f64::MAX), seq: Some(id) }));
        let key = FileKey { md5_digest: vec![0xff; 40], size: id, kind: FileKind::Document };
        changes.sent_files.push((key, (id, id)));
    }
    commit(&driver, vec![Commit { session: name("anon"), changes, ..Commit::default() }]).remove(0).unwrap();
    let found = find(&driver, "anon", OwnedQuery::Ids(ids.to_vec()));
    let texts = || [Some(String::new()), Some("\0".to_owned()), Some("\u{10ffff}".to_owned())];
    assert_eq!(found, ids.map(|id| (id, id, u32::MAX, texts())));
    assert_eq!(find_username(&driver, "anon", ""), ids);
    let mut states = ask!(driver.load(name("anon"))).unwrap().update_states;
    states.sort_by_key(|(id, _)| *id);
    assert!(states.len() == 4 && states[0].1.pts == Some(i64::MIN) && states[3].1.date == Some(f64::MAX));
    let key = FileKey { md5_digest: vec![0xff; 40], size: i64::MIN, kind: FileKind::Document };
    assert_eq!(ask!(driver.sent_file(name("anon"), key)).unwrap(), Some((i64::MIN, i64::MIN)));
    let mut sizes: Vec<_> =
        ask!(driver.sent_files(name("anon"))).unwrap().iter().map(|(key, file)| (key.size, file.0)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, ids.map(|id| (id, id)));
}

#[test]
fn foreign_values_are_skipped_or_refused() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    commit(&driver, vec![people("anon", 1..4)]).remove(0).unwrap();
    let mut client = shared_client();
    let key = |suffix: &str| format!("{}:{{anon}}:{suffix}", options.prefix);
    let mut random = 1_u64;
    for field in 0..2000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = usize::try_from(random >> 59).unwrap();
        let value: Vec<u8> = (0..length).map(|at| (random >> (at % 7 * 8)).to_le_bytes()[0]).collect();
        let _: () = client.hset(key("entities"), field + 10, &value).unwrap();
        let _: () = client.hset(key("states"), &value, &value).unwrap();
        let _: () = client.hset(key("usernames"), &value, &value).unwrap();
        let _: () = client.hset(key("files"), &value, "1 2").unwrap();
        let _: () = client.hset(key("files"), format!("00_{field}_photo"), &value).unwrap();
    }
    assert_eq!(ask!(driver.sent_files(name("anon"))).unwrap(), []);
    let _: () = client.hset(key("usernames"), "liar", "1 2 x 99").unwrap();
    assert_eq!(find_username(&driver, "anon", "liar"), [0_i64; 0]);
    find(&driver, "anon", OwnedQuery::Ids((10..2010).collect()));
    ask!(driver.load(name("anon"))).unwrap();
    // Changes of damaged rows replace or skip them.
    let mut entities = EntityBatch::default();
    (10..2010).for_each(|id| entities.push_input_peer(id, Some(5)));
    entities.append(&people("anon", 10..500).changes.entities);
    let changes = Changes { entities, ..Changes::default() };
    commit(&driver, vec![Commit { session: name("anon"), changes, ..Commit::default() }]).remove(0).unwrap();
    assert_eq!(find_username(&driver, "anon", "user_100"), [100]);
    assert_eq!(find(&driver, "anon", OwnedQuery::Ids((10..2010).collect())).len(), 2000);

    let _: () = client.hset(key("login"), "dc_id", "two").unwrap();
    assert_eq!(ask!(driver.load(name("anon"))).unwrap_err().kind, Kind::Corrupt);
    let _: () = client.hset(key("login"), "layout", "2").unwrap();
    assert_eq!(ask!(driver.load(name("anon"))).unwrap_err().kind, Kind::TooNew);
    assert_eq!(kind(&commit(&driver, vec![people("anon", 1..2)])[0]), Some(Kind::TooNew));
    let _: () = client.set(key("login"), "x").unwrap();
    assert_eq!(ask!(driver.load(name("anon"))).unwrap_err().kind, Kind::NotASession);
    assert_eq!(kind(&commit(&driver, vec![people("anon", 1..2)])[0]), Some(Kind::NotASession));
}

#[test]
fn sessions_are_listed_and_stay_apart() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let mut names = vec!["", "a", "a b", "*", "{x}", "a:login", "[a-z]", "\u{1f600}", "x\0y", "%", "Анна"];
    let commits = names.iter().zip(1..).map(|(name, id)| people(name, id..id + 1)).collect();
    assert!(commit(&driver, commits).iter().all(Result::is_ok));
    let mut client = shared_client();
    let _: () = client.set(format!("{}:{{a b}}:login", options.prefix), "not ours").unwrap();
    names.sort_unstable();
    assert_eq!(ask!(driver.list()).unwrap(), names);
    for (session, id) in names.iter().zip(1..) {
        let ids = find(&driver, session, OwnedQuery::Ids((1..20).collect()));
        assert_eq!(ids.len(), 1, "{session} {id}");
    }
    assert!(delete(&driver, &name("*"), &NO_KEYS));
    assert_eq!(ask!(driver.list()).unwrap().len(), names.len() - 1);
}

/// A server runs one script at a time, so a commit of many entities is several of them.
#[test]
fn others_are_not_kept_waiting() {
    let Some(server) = Server::start(&[]) else { return };
    commit(&driver(&server.options()), vec![people("anon", 1..20_000)]).remove(0).unwrap();
    let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut server.client()).unwrap();
    let scripts =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()).unwrap();
    assert!(scripts.parse::<u32>().unwrap() > 10, "{stats}");
}

/// Makes a commit with a number.
fn numbered(number: u64, commit: Commit) -> Commit {
    Commit { attempt: Attempt { writer: 7, number }, ..commit }
}

#[test]
fn a_late_attempt_changes_nothing() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let attempt = |number, commit_of: Commit| commit(&driver, vec![numbered(number, commit_of)]).remove(0);
    let state = |pts| {
        let state = UpdateState { pts: Some(pts), ..UpdateState::default() };
        let changes = Changes { update_states: vec![(0, state)], ..Changes::default() };
        Commit { session: name("anon"), changes, ..Commit::default() }
    };
    assert!(attempt(1, login("anon", 1, None)).is_ok());
    assert!(attempt(3, state(3)).is_ok());
    // Several calls of one commit have one number.
    assert!(attempt(3, people("anon", 1..3000)).is_ok());
    assert!(matches!(attempt(2, state(2)), Err(CommitError::Failed(error)) if error.kind == Kind::Busy));
    assert_eq!(ask!(driver.load(name("anon"))).unwrap().update_states[0].1.pts, Some(3));
    // Another writer has numbers of its own.
    assert!(commit(&driver, vec![state(1)])[0].is_ok());
    let deletes = |number| {
        let driver = Arc::clone(&driver);
        let own_keys = [credentials(1).auth_key];
        block_on(async move { driver.delete(&name("anon"), &own_keys, Attempt { writer: 7, number }).await.unwrap() })
    };
    assert!(!deletes(2) && deletes(5));
    assert!(attempt(4, state(4)).is_err());
    assert!(ask!(driver.list()).unwrap().is_empty());
    assert!(attempt(6, login("anon", 2, None)).is_ok());
}

#[test]
fn a_lease_whose_answer_was_lost_is_taken_again() {
    let Some(options) = shared() else { return };
    let driver = driver(&options);
    let acquire = |owner: &'static str| {
        let driver = driver.clone();
        block_on(async move { driver.acquire(&name("anon"), owner, LONG).await }).unwrap()
    };
    let (first, second) = (acquire("1 2 3 here"), acquire("1 2 3 here"));
    assert!(matches!((&first, &second), (Acquired::Taken(first), Acquired::Taken(second)) if second > first));
    assert_eq!(acquire("1 2 4 here"), Acquired::InUse("1 2 3 here".to_owned()));
}
