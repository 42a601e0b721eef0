//! Prints how long things take on a server on this host. Run with `--ignored --nocapture`; without
//! `--release` it is a debug build that is measured.

use std::sync::Arc;
use std::time::Instant;

use crate::support::sessions::{LONG, block_on, commit, delete, driver, name, open, people};
use crate::support::{Server, wait_until};
use session_core::entity_table::TextField;
use session_core::store::Query;
use store_net::driver::Driver;
use store_net::{Commit, OwnedQuery};

#[test]
#[ignore = "measures"]
fn speed() {
    let Some(server) = Server::start(&[]) else { return };
    let options = server.options();
    let driver = driver(&options);
    commit(&driver, vec![people("warm", 1..10)]).remove(0).unwrap();

    let measure = |what: &str, commits: Vec<Commit>| {
        let begun = Instant::now();
        assert!(commit(&driver, commits).iter().all(Result::is_ok));
        println!("{what}: {:?}", begun.elapsed());
    };
    for _ in 0..3 {
        measure("20,000 new entities in one commit", vec![people("anon", 1..20_001)]);
        measure("the same again, unchanged", vec![people("anon", 1..20_001)]);
        assert!(delete(&driver, &name("anon"), &[]));
    }
    let accounts: Vec<String> = (0..500).map(|number| format!("bot{number}")).collect();
    for from in [1, 1, 6] {
        measure("500 accounts, 5 entities each", accounts.iter().map(|name| people(name, from..from + 5)).collect());
    }
    for first in (1..100_001).step_by(10_000) {
        commit(&driver, vec![people("many", first..first + 10_000)]).remove(0).unwrap();
    }
    let finding = Arc::clone(&driver);
    let elapsed = block_on(async move {
        let begun = Instant::now();
        for number in 0..1000 {
            let query = OwnedQuery::Text(TextField::Username, format!("user_{}", number * 97 + 1));
            assert_eq!(finding.find(&name("many"), &query).await.unwrap().len(), 1);
        }
        begun.elapsed()
    });
    println!("one of 100,000 by username: {:?}", elapsed / 1000);
    for _ in 0..3 {
        let begun = Instant::now();
        let session = open(&options, "many", false);
        let opened = begun.elapsed();
        let found = session.find_retrying(&Query::Text(TextField::Username, "user_99999"), begun + LONG, &mut || true);
        assert!(found.is_some());
        let first = begun.elapsed();
        wait_until("all are in memory", LONG, || session.is_loaded());
        println!("open 100,000: {opened:?}, first username: {first:?}, all in memory: {:?}", begun.elapsed());
        session.close(LONG, &mut || true).unwrap();
    }
    let memory: String = redis::cmd("INFO").arg("memory").query(&mut server.client()).unwrap();
    println!("the server's memory: {}", memory.lines().find(|line| line.starts_with("used_memory_human")).unwrap());
}
