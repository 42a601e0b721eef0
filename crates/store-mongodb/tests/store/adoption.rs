//! Sessions of telemongo, written as its releases write them.

use crate::support::{client, commit, driver, key, login, own, people, run, shared, write};
use mongodb::Database;
use mongodb::bson::{Binary, Bson, Document, doc, oid::ObjectId, spec::BinarySubtype};
use session_core::entity_table::TextField;
use session_core::store::{FileKey, FileKind, Kind, UpdateState};
use store_net::Attempt;
use store_net::driver::{Driver as _, Loaded, OwnedQuery, SessionName};

fn bytes(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

/// A database with a name of its own, which is the session's.
fn database() -> (String, Database) {
    let name = format!("account_{}_{}", std::process::id(), crate::support::unique());
    (name.clone(), client(shared()).database(&name))
}

fn insert(database: &Database, collection: &str, documents: Vec<Document>) {
    let collection = database.collection::<Document>(collection);
    run(async move { collection.insert_many(documents).await.unwrap() });
}

fn load(url: &str, session: &str) -> store_net::driver::Result<Loaded> {
    let (driver, session) = (driver(url), SessionName::from(session));
    run(async move { driver.load(&session).await })
}

fn find(url: &str, session: &str, query: OwnedQuery) -> Vec<(i64, Option<i64>, [Option<String>; 3])> {
    let (driver, session) = (driver(url), SessionName::from(session));
    let found = run(async move { driver.find(&session, &query).await.unwrap() });
    let texts = |text: Option<&[u8]>| text.map(|text| String::from_utf8(text.to_vec()).unwrap());
    found.iter().map(|entity| (entity.id, entity.access_hash, entity.texts().map(texts))).collect()
}

fn their_login(byte: Option<u8>) -> Document {
    let auth_key = byte.map_or(bytes(&[]), |byte| bytes(&[byte; 256]));
    doc! { "_id": ObjectId::new(), "dc_id": 2, "server_address": "149.154.167.51", "port": 443, "auth_key": auth_key }
}

fn write_theirs(database: &Database, names: [&str; 4]) {
    let [sessions, entities, sent_files, update_states] = names;
    let mut login = their_login(Some(7));
    login.insert("takeout_id", 5_i64);
    insert(database, sessions, vec![their_login(None), login, their_login(None)]);
    insert(
        database,
        entities,
        vec![
            doc! { "_id": 5, "hash": i64::MAX, "username": "anna", "phone": "79991234567", "name": "Anna" },
            doc! { "_id": -1_000_000_000_007_i64, "hash": -7, "name": "Channel" },
            doc! { "_id": 6.0, "hash": 8.0, "phone": 7_i64, "username": Bson::Null },
            doc! { "_id": "damaged", "hash": 8 },
            doc! { "_id": 9, "hash": "damaged" },
            doc! { "_id": 10 },
            doc! { "_id": 0, "hash": 777 },
        ],
    );
    insert(
        database,
        sent_files,
        vec![
            doc! { "_id": 12_i64, "md5_digest": bytes(&[1, 0, 2]), "file_size": 1 << 20, "type": 1, "hash": -3_i64 },
            doc! { "_id": 13_i64, "md5_digest": 5, "file_size": 1 << 20, "type": 1, "hash": -3_i64 },
            doc! { "_id": 14_i64, "md5_digest": bytes(&[1]), "file_size": 1 << 20, "type": 7, "hash": -3_i64 },
        ],
    );
    insert(
        database,
        update_states,
        vec![
            doc! { "_id": 0, "pts": 5, "qts": 6, "date": 1_700_000_000, "seq": 7.0 },
            doc! { "_id": 8, "pts": 9, "qts": "damaged", "date": mongodb::bson::DateTime::from_millis(1_700_000_000_500) },
        ],
    );
    insert(database, "version", vec![doc! { "version": 1 }]);
}

fn contents(database: &Database) -> Vec<Document> {
    let database = database.clone();
    run(async move {
        let mut names = database.list_collection_names().await.unwrap();
        names.sort();
        let mut all = Vec::new();
        for name in names {
            let mut rows = database.collection::<Document>(&name).find(doc! {}).await.unwrap();
            while rows.advance().await.unwrap() {
                all.push(rows.deserialize_current().unwrap());
            }
        }
        all
    })
}

fn adopts(names: [&str; 4]) {
    let (name, database) = database();
    write_theirs(&database, names);
    let before = contents(&database);
    let url = own(shared());
    let loaded = load(&url, &name).unwrap();
    assert!(!loaded.is_new);
    let credentials = loaded.credentials.unwrap();
    assert!(credentials.auth_key == key(7) && credentials.takeout_id == Some(5) && credentials.port == Some(443));
    assert_eq!(
        loaded.update_states,
        [
            (0, UpdateState { pts: Some(5), qts: Some(6), date: Some(1.7e9), seq: Some(7) }),
            (8, UpdateState { pts: Some(9), qts: None, date: Some(1_700_000_000.5), seq: None }),
        ]
    );
    let found = find(&url, &name, OwnedQuery::Ids(vec![0, 5, 6, 9, 10, -1_000_000_000_007]));
    let mut ids: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [-1_000_000_000_007, 0, 5, 6]);
    let anna = [Some("anna"), Some("79991234567"), Some("Anna")].map(|text| text.map(str::to_owned));
    assert_eq!(
        find(&url, &name, OwnedQuery::Text(TextField::Username, "anna".to_owned())),
        [(5, Some(i64::MAX), anna)]
    );
    assert_eq!(find(&url, &name, OwnedQuery::Text(TextField::Phone, "7".to_owned())).len(), 1);
    let (files, session) = (driver(&url), SessionName::from(name.as_str()));
    let file = FileKey { md5_digest: vec![1, 0, 2], size: 1 << 20, kind: FileKind::Photo };
    run(async move {
        assert_eq!(files.sent_file(&session, &file).await.unwrap(), Some((12, -3)));
        assert_eq!(files.sent_files(&session).await.unwrap(), [(file, (12, -3))]);
    });
    assert_eq!(contents(&database), before, "theirs was changed");

    // What is changed then stays, and what is deleted is not adopted again.
    assert!(write(&driver(&url), vec![login(&name, Some(7), 8)])[0].is_ok());
    assert!(load(&url, &name).unwrap().credentials.unwrap().auth_key == key(8));
    let (deleting, session) = (driver(&url), SessionName::from(name.as_str()));
    assert!(run(async move { deleting.delete(&session, &[key(8)], Attempt::default()).await.unwrap() }));
    let loaded = load(&url, &name).unwrap();
    assert!(loaded.is_new && loaded.credentials.is_none());
    assert!(find(&url, &name, OwnedQuery::Ids(vec![5])).is_empty());
    assert!(write(&driver(&url), vec![login(&name, None, 9)])[0].is_ok());
    assert!(load(&url, &name).unwrap().credentials.unwrap().auth_key == key(9));
    assert_eq!(contents(&database), before, "theirs was changed");
}

#[test]
fn release_0_2() {
    adopts(["session", "entity", "sent_file", "update_state"]);
}

#[test]
fn the_master_branch() {
    adopts(["telethon_sessions", "telethon_entities", "telethon_sent_files", "telethon_update_states"]);
}

/// The URL's database is telemongo's, and the prefix gives our collections its names.
#[test]
fn in_the_database_of_the_url() {
    let (name, database) = database();
    write_theirs(
        &database,
        ["telethon_sessions", "telethon_entities", "telethon_sent_files", "telethon_update_states"],
    );
    let url = crate::support::at(shared(), &name, "prefix=telethon_");
    assert!(load(&url, &name).unwrap().credentials.unwrap().auth_key == key(7));
    assert_eq!(find(&url, &name, OwnedQuery::Ids(vec![5])).len(), 1);
    assert!(load(&url, "another").unwrap().is_new);
}

#[test]
fn a_copy_that_was_cut_short_is_made_again() {
    let (name, database) = database();
    write_theirs(&database, ["session", "entity", "sent_file", "update_state"]);
    let url = own(shared());
    let options = crate::support::options(&url);
    let ours = client(shared()).database(options.database());
    let entities = format!("{}entities", options.prefix());
    insert(&ours, &entities, vec![doc! { "_id": { "s": &name, "i": 5_i64 }, "hash": 1_i64, "date": 9_i64 }]);
    assert!(load(&url, &name).unwrap().credentials.is_some());
    assert_eq!(find(&url, &name, OwnedQuery::Ids(vec![5])), [(5, Some(1), [const { None }; 3])]);
    assert_eq!(find(&url, &name, OwnedQuery::Ids(vec![0, 6])).len(), 2);
}

#[test]
fn several_processes_adopt_at_once() {
    let (name, database) = database();
    write_theirs(&database, ["session", "entity", "sent_file", "update_state"]);
    insert(&database, "entity", (100..20_000_i64).map(|id| doc! { "_id": id, "hash": id }).collect());
    let url = own(shared());
    let drivers = [driver(&url), driver(&url)];
    let session = SessionName::from(name.as_str());
    let loading: Vec<_> = [0, 0, 1, 1]
        .map(|at| (drivers[at].clone(), session.clone()))
        .map(|(driver, session)| async move { driver.load(&session).await.unwrap() })
        .into();
    let loaded = run(futures_util::future::join_all(loading));
    assert!(loaded.iter().all(|loaded| loaded.credentials.as_ref().unwrap().auth_key == key(7)));
    assert_eq!(find(&url, &name, OwnedQuery::Ids(vec![19_999, 100])).len(), 2);
}

/// What looks like telemongo's must be readable; what does not belongs to another program.
#[test]
fn foreign_values() {
    let url = own(shared());
    for damaged in [
        doc! { "dc_id": 2, "auth_key": "text" },
        doc! { "dc_id": "two", "auth_key": bytes(&[1; 256]) },
        doc! { "dc_id": 2, "auth_key": bytes(&[1; 256]), "port": [1] },
    ] {
        let (name, database) = database();
        insert(&database, "session", vec![damaged.clone()]);
        let error = load(&url, &name).unwrap_err();
        assert_eq!(error.kind, Kind::NotASession, "{damaged}");
        assert!(error.message.contains("telemongo"), "{}", error.message);
    }
    for other in [doc! { "user": 5 }, doc! { "_id": "text", "dc_id": 2 }, doc! {}] {
        let (name, database) = database();
        insert(&database, "session", vec![other]);
        assert!(load(&url, &name).unwrap().is_new);
    }
    for name in ["admin", "local", "config", "", "a/b", "a.b", "x\0y", "$cmd", &"x".repeat(200)] {
        assert!(load(&url, name).unwrap().is_new);
        let written = write(&driver(&url), vec![commit(name, people(1..3))]);
        assert!(written[0].is_ok(), "{written:?}");
        assert_eq!(find(&url, name, OwnedQuery::Ids(vec![1, 2, 3])).len(), 2);
    }
}
