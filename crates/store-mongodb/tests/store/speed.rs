//! Prints how long things take, beside the server's own bulk loader: `cargo test -p store-mongodb
//! --test store -- --ignored --nocapture`. The client is a debug build, whose dependencies are
//! optimized.

use std::time::{Duration, Instant};

use crate::support::{
    LONG, client, commit, driver, open, options, own, people, run, shared, shared_set, taken, wait, write,
};
use mongodb::bson::{Document, doc};
use session_core::entity_table::TextField;
use session_core::store::Query;
use store_net::Commit;
use store_net::driver::{Driver as _, OwnedQuery};

const COUNT: i64 = 20_000;

fn timed(what: &str, repeat: u32, mut action: impl FnMut()) {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..repeat {
        let begun = Instant::now();
        action();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!("{what:55} {:8.2} ms (median of {repeat})", times[times.len() / 2].as_secs_f64() * 1e3);
}

fn written(driver: &std::sync::Arc<store_mongodb::MongoDriver>, commits: Vec<Commit>) {
    let results = write(driver, commits);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[test]
#[ignore = "prints times"]
fn times() {
    for (kind, url) in [("standalone", own(shared())), ("replica set", own(shared_set()))] {
        println!("{kind}");
        let driver = driver(&url);
        written(&driver, vec![commit("warm", people(0..3000))]);
        let mut round = 0;
        let fresh: Vec<Commit> = (0..5).map(|round| commit(&format!("s{round}"), people(0..COUNT))).collect();
        let mut rest = fresh.into_iter();
        timed("commit of 20,000 new entities", 5, || written(&driver, vec![rest.next().unwrap()]));
        let again: Vec<Commit> = (0..5).map(|_| commit("s0", people(0..COUNT))).collect();
        let mut rest = again.into_iter();
        timed("commit of 20,000 unchanged entities", 5, || written(&driver, vec![rest.next().unwrap()]));
        timed("commit of 20,000 new entities with a lease", 3, || {
            round += 1;
            let name = format!("leased{round}");
            let fence = taken(&driver, &name, "one", LONG);
            written(&driver, vec![Commit { fence: Some(fence), ..commit(&name, people(0..COUNT)) }]);
        });
        timed("commit of 5 entities of each of 500 sessions", 3, || {
            round += 1;
            written(&driver, (0..500).map(|at| commit(&format!("m{round}_{at}"), people(0..5))).collect());
        });
        timed("commit of 5 entities", 20, || written(&driver, vec![commit("s1", people(0..5))]));
        written(&driver, (0..5).map(|part| commit("large", people(part * COUNT..(part + 1) * COUNT))).collect());
        timed("opening 100,000 until all are in memory", 3, || {
            let session = open(&url, "large", false);
            wait(|| session.is_loaded());
        });
        timed("opening 100,000 until the first username", 3, || {
            let session = open(&url, "large", false);
            wait(|| session.find(&Query::Text(TextField::Username, "user_77777")).is_some());
        });
        for (what, query) in [
            ("find by ID", OwnedQuery::Ids(vec![77_777])),
            ("find by username", OwnedQuery::Text(TextField::Username, "user_77777".to_owned())),
            ("find by phone that none has", OwnedQuery::Text(TextField::Phone, "7".to_owned())),
        ] {
            timed(what, 50, || {
                let (driver, query) = (driver.clone(), query.clone());
                run(async move { driver.find(&"large".into(), &query).await.unwrap() });
            });
        }
        let database =
            client(if kind == "standalone" { shared() } else { shared_set() }).database(options(&url).database());
        let rows: Vec<Document> = (0..COUNT)
            .map(|id| doc! { "_id": { "s": "anon", "i": id }, "hash": id * 7, "username": format!("user_{id}"), "name": format!("Name {id} Surname"), "date": 1_700_000_000_i64 })
            .collect();
        let mut round = 0;
        for with_indexes in [false, true] {
            let what = if with_indexes {
                "insert_many of 20,000 with the indexes"
            } else {
                "insert_many of 20,000 without indexes"
            };
            let collections: Vec<_> = (0..3)
                .map(|_| {
                    round += 1;
                    database.collection::<Document>(&format!("raw{round}_{}", crate::support::unique()))
                })
                .collect();
            for collection in collections.clone() {
                run(async move {
                    collection.insert_one(doc! { "_id": 1 }).await.unwrap();
                    if with_indexes {
                        for text in ["username", "phone", "name"] {
                            let filter = mongodb::options::IndexOptions::builder()
                                .partial_filter_expression(doc! { text: { "$exists": true } })
                                .build();
                            collection
                                .create_index(
                                    mongodb::IndexModel::builder()
                                        .keys(doc! { "_id.s": 1, text: 1 })
                                        .options(filter)
                                        .build(),
                                )
                                .await
                                .unwrap();
                        }
                    }
                });
            }
            let mut rest = collections.into_iter();
            timed(what, 3, || {
                let (collection, rows) = (rest.next().unwrap(), rows.clone());
                run(async move {
                    collection
                        .insert_many(rows)
                        .write_concern(
                            mongodb::options::WriteConcern::builder()
                                .w(mongodb::options::Acknowledgment::Majority)
                                .journal(true)
                                .build(),
                        )
                        .await
                        .unwrap()
                });
            });
        }
    }
}
