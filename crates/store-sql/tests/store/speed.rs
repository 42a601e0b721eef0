//! Prints how long it takes to write, read and find many entities:
//! `cargo test -p store-sql --test store -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::Database;
use crate::support::operations::{commit_one, entities, find, load, person, scan};
use session_core::entity_table::TextField;
use store_net::OwnedQuery;
use store_sql::Dialect;

fn milliseconds(begun: Instant) -> u128 {
    begun.elapsed().as_millis()
}

fn measure(dialect: Dialect) {
    let Some(database) = Database::create(dialect) else { return };
    let driver = Arc::new(database.driver());
    assert!(load(&driver, "anon").is_new);
    let profile = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    for part in 0..5 {
        let texts: Vec<_> = (0..20_000)
            // In no order, as IDs are.
            .map(|at| (part * 20_000 + at) * 7_919 % 100_003)
            .map(|id| (id, format!("user_name_{id}"), format!("7999{id:07}"), format!("Anna Petrova {id}")))
            .collect();
        let people: Vec<_> =
            texts.iter().map(|(id, user, phone, name)| person(*id, [Some(user), Some(phone), Some(name)])).collect();
        let new = entities("anon", &people);
        let begun = Instant::now();
        commit_one(&driver, new).unwrap();
        println!("{dialect:?}: 20,000 new entities, {}th time: {} ms ({profile})", part + 1, milliseconds(begun));
        if part == 4 {
            let again = entities("anon", &people);
            let begun = Instant::now();
            commit_one(&driver, again).unwrap();
            println!("{dialect:?}: 20,000 known entities: {} ms", milliseconds(begun));
        }
    }
    let begun = Instant::now();
    assert_eq!(scan(database.options(), "anon").0.len(), 100_000);
    println!("{dialect:?}: scan of 100,000: {} ms", milliseconds(begun));
    for (what, query) in [
        ("ID", OwnedQuery::Ids(vec![5])),
        ("username", OwnedQuery::Text(TextField::Username, "user_name_5".to_owned())),
        ("phone", OwnedQuery::Text(TextField::Phone, "79990000005".to_owned())),
        ("name", OwnedQuery::Text(TextField::Name, "Anna Petrova 5".to_owned())),
        ("unknown username", OwnedQuery::Text(TextField::Username, "somebody".to_owned())),
    ] {
        const TIMES: u32 = 50;
        let mut longest = Duration::ZERO;
        let begun = Instant::now();
        for _ in 0..TIMES {
            let (begun, query) = (Instant::now(), query.clone());
            find(&driver, "anon", query);
            longest = longest.max(begun.elapsed());
        }
        println!("{dialect:?}: find by {what}: {:?}, at most {longest:?}", begun.elapsed() / TIMES);
    }
}

#[test]
#[ignore = "prints figures"]
fn postgres() {
    measure(Dialect::Postgres);
}

#[test]
#[ignore = "prints figures"]
fn mysql() {
    measure(Dialect::MySql);
}
