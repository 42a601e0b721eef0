//! Values at the limits, damaged values, and many rows.

use crate::support::{
    client, commit, driver, key, login, open, options, own, people, run, shared, shared_set, wait, write,
};
use mongodb::bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::{EntityBatch, TextField};
use session_core::store::{Changes, FileKey, FileKind, Kind, Query, UpdateState};
use store_net::driver::{Driver as _, OwnedQuery, SessionName};
use store_net::{Attempt, Commit};

#[test]
fn limits() {
    for url in [own(shared()), own(shared_set())] {
        let driver = driver(&url);
        let long = "я".repeat(40_000);
        let huge = "x".repeat(20 << 20);
        let mut entities = EntityBatch::default();
        let entity = |id, name: &'static str| Entity {
            id,
            access_hash: Some(i64::MIN),
            name: Some(name),
            username: Some("$a.b"),
            phone: Some("\0"),
        };
        entities.push_seen(&entity(i64::MIN, "$name"), u32::MAX);
        entities.push_seen(&entity(i64::MAX, ""), 0);
        entities.push_seen(&entity(0, "\0 \u{10ffff}"), 1);
        entities.push_seen(&Entity { id: 1, access_hash: None, name: Some(&long), ..Entity::default() }, 1);
        entities.push_seen(&Entity { id: 2, access_hash: Some(3), name: Some(&huge), ..Entity::default() }, 1);
        let mut changes = commit("an $odd.name\0 \u{1f600} 'x'", entities);
        let state = UpdateState { pts: Some(i64::MAX), qts: Some(i64::MIN), date: Some(-1.5), seq: None };
        changes.changes.update_states = vec![(i64::MIN, state), (0, UpdateState::default())];
        let file = FileKey { md5_digest: Vec::new(), size: i64::MIN, kind: FileKind::Document };
        changes.changes.sent_files = vec![(file.clone(), (i64::MAX, i64::MIN))];
        changes.changes.credentials =
            Some(Credentials { dc_id: i64::MIN, port: Some(i64::MAX), auth_key: key(1), ..Credentials::default() });
        let session = SessionName::clone(&changes.session);
        let written = write(&driver, vec![changes]);
        assert!(written[0].is_ok(), "{written:?}");
        run(async move {
            let loaded = driver.load(&session).await.unwrap();
            assert_eq!(loaded.update_states, [(i64::MIN, state), (0, UpdateState::default())]);
            assert_eq!(loaded.credentials.unwrap().port, Some(i64::MAX));
            assert_eq!(driver.sent_file(&session, &file).await.unwrap(), Some((i64::MAX, i64::MIN)));
            assert_eq!(driver.sent_files(&session).await.unwrap(), [(file, (i64::MAX, i64::MIN))]);
            let text = |text: &str| OwnedQuery::Text(TextField::Username, text.to_owned());
            assert_eq!(driver.find(&session, &text("$a.b")).await.unwrap().len(), 3);
            let found = driver.find(&session, &OwnedQuery::Ids(vec![i64::MIN, 0, 1, 2])).await.unwrap();
            assert_eq!(found.len(), 4);
            let first = found.get(0).unwrap();
            assert_eq!((first.id, first.access_hash, first.seen), (i64::MIN, Some(i64::MIN), u32::MAX));
            assert_eq!(first.texts(), [Some(&b"$a.b"[..]), Some(&b"\0"[..]), Some(&b"$name"[..])]);
            assert_eq!(found.iter().find(|entity| entity.id == 1).unwrap().texts()[2], Some(long.as_bytes()));
            // A text that no server would take is left out.
            assert_eq!(found.iter().find(|entity| entity.id == 2).unwrap().texts()[2], None);
            assert_eq!(driver.list().await.unwrap(), [session.to_string()]);
        });
    }
}

#[test]
fn damaged_rows_are_skipped_and_a_damaged_login_is_refused() {
    let url = own(shared());
    let driver = driver(&url);
    assert!(write(&driver, vec![commit("anon", people(1..3)), login("berta", None, 1)]).iter().all(Result::is_ok));
    let parsed = options(&url);
    let database = client(shared()).database(parsed.database());
    let name = |of: &str| format!("{}{of}", parsed.prefix());
    let binary = Bson::Binary(Binary { subtype: BinarySubtype::UserDefined(0x80), bytes: vec![255; 5] });
    let odd = [
        Bson::Null,
        Bson::String("x".into()),
        Bson::Int32(5),
        Bson::Double(f64::NAN),
        Bson::Boolean(true),
        Bson::MinKey,
        Bson::MaxKey,
        Bson::Array(vec![Bson::Int32(1)]),
        Bson::Document(doc! { "i": { "i": 1 } }),
        binary,
        Bson::Undefined,
        Bson::Int64(i64::MIN),
        Bson::Double(1e300),
        Bson::Double(7.0),
        Bson::DateTime(mongodb::bson::DateTime::MAX),
    ];
    let mut rows = Vec::new();
    for (at, value) in odd.iter().enumerate() {
        let row = doc! { "_id": { "s": "anon", "i": i64::try_from(1000 + at).unwrap() }, "hash": 1_i64, "username": "x", "date": 5_i64 };
        for field in ["hash", "username", "phone", "name", "date", "pts", "qts", "seq"] {
            let mut row = row.clone();
            row.insert("_id", doc! { "s": "anon", "i": format!("{field}{at}") });
            row.insert(field, value.clone());
            rows.push(row.clone());
            row.insert("_id", doc! { "s": "anon", "i": i64::try_from(rows.len()).unwrap() + 5000 });
            rows.push(row);
        }
        rows.push(doc! { "_id": { "s": "anon", "i": value.clone(), "x": "extra" }, "hash": 1 });
    }
    let entities = database.collection::<Document>(&name("entities"));
    let states = database.collection::<Document>(&name("update_states"));
    let both = rows.clone();
    run(async move {
        entities.insert_many(rows).await.unwrap();
        states.insert_many(both).await.unwrap();
    });
    let session = open(&url, "anon", false);
    wait(|| session.is_loaded());
    assert_eq!(session.find(&Query::Id(1)), Some((1, Some(7))));
    assert!(session.update_states().len() > 50);
    let sessions = database.collection::<Document>(&name("sessions"));
    let reading = driver.clone();
    for (field, value, kind) in [
        ("auth_key", Bson::String("key".into()), Kind::Corrupt),
        ("dc_id", Bson::String("key".into()), Kind::Corrupt),
        ("port", Bson::Boolean(true), Kind::Corrupt),
        ("server_address", Bson::Int32(5), Kind::Corrupt),
        ("layout", Bson::Int32(2), Kind::TooNew),
    ] {
        let (sessions, reading) = (sessions.clone(), reading.clone());
        let error = run(async move {
            let before = sessions.find_one(doc! { "_id": "berta" }).await.unwrap().unwrap();
            sessions.update_one(doc! { "_id": "berta" }, doc! { "$set": { field: value } }).await.unwrap();
            let error = reading.load(&"berta".into()).await.unwrap_err();
            sessions.replace_one(doc! { "_id": "berta" }, before).await.unwrap();
            error
        });
        assert_eq!(error.kind, kind, "{field}: {error}");
    }
    assert!(run(async move { reading.load(&"berta".into()).await.unwrap() }).credentials.unwrap().auth_key == key(1));
}

/// An update that fails for one session does not fail the others.
#[test]
fn one_commit_of_a_group_fails() {
    for server in [shared(), shared_set()] {
        let url = own(server);
        let driver = driver(&url);
        assert!(write(&driver, vec![commit("x", people(1..2))])[0].is_ok());
        let parsed = options(&url);
        let database = client(server).database(parsed.database());
        let entities = format!("{}entities", parsed.prefix());
        // The server refuses entities of one session.
        run(async move {
            let rule = doc! { "_id.s": { "$ne": "refused" } };
            database.run_command(doc! { "collMod": entities, "validator": rule }).await.unwrap();
        });
        let commits = vec![
            commit("anon", people(1..500)),
            commit("refused", people(1..500)),
            commit("clara", people(1..4)),
            commit("refused", people(1..4)),
            login("dora", None, 1),
        ];
        let written = write(&driver, commits);
        assert!(matches!(written[..], [Ok(()), Err(_), Ok(()), Err(_), Ok(())]), "{written:?}");
        let text = format!("{:?}", written[1]);
        assert!(text.contains("validation"), "{text}");
        let found = run(async move { driver.find(&"anon".into(), &OwnedQuery::Ids(vec![1, 499])).await.unwrap() });
        assert_eq!(found.len(), 2);
    }
}

/// Rows that seemed new but are not, and rows that come twice.
#[test]
fn rows_that_are_not_new_are_updated() {
    for url in [own(shared()), own(shared_set())] {
        let driver = driver(&url);
        assert!(write(&driver, vec![commit("anon", people(995..1000))])[0].is_ok());
        let mut entities = people(1..2000);
        let again = Entity { id: 7, access_hash: Some(5), name: Some("Again"), ..Entity::default() };
        entities.push_seen(&again, 9);
        entities.push_seen(&Entity { id: 997, ..again }, 9);
        let written = write(&driver, vec![commit("anon", entities)]);
        assert!(written[0].is_ok(), "{written:?}");
        let found =
            run(async move { driver.find(&"anon".into(), &OwnedQuery::Ids(vec![7, 997, 996, 1999])).await.unwrap() });
        assert_eq!(
            found.iter().map(|entity| entity.access_hash.unwrap()).collect::<Vec<_>>(),
            [5, 996 * 7, 5, 1999 * 7]
        );
        assert_eq!(found.get(0).unwrap().texts(), [None, None, Some(&b"Again"[..])]);
    }
}

#[test]
fn many_rows() {
    for url in [own(shared()), own(shared_set())] {
        let written = write(
            &driver(&url),
            (0..5).map(|part| commit("anon", people(part * 20_000..(part + 1) * 20_000))).collect(),
        );
        assert!(written.iter().all(Result::is_ok), "{written:?}");
        let mut state: Vec<(i64, UpdateState)> = Vec::new();
        state
            .extend((0..6000).map(|id| (id, UpdateState { pts: Some(id), date: Some(1e9), ..UpdateState::default() })));
        let states = Commit {
            session: "anon".into(),
            changes: Changes { update_states: state, ..Changes::default() },
            ..Commit::default()
        };
        assert!(write(&driver(&url), vec![states])[0].is_ok());
        let session = open(&url, "anon", false);
        assert_eq!(session.update_states().len(), 6000);
        wait(|| session.is_loaded());
        for id in [0, 99_999, 50_000] {
            let username = format!("user_{id}");
            assert_eq!(session.find(&Query::Text(TextField::Username, &username)), Some((id, Some(id * 7))));
        }
        assert_eq!(session.find(&Query::Id(100_000)), None);
    }
}

/// Rows of an account must not be found by the next one, although its deletion was cut short.
#[test]
fn a_deletion_that_was_cut_short_is_finished() {
    let url = own(shared());
    let parsed = options(&url);
    let database = client(shared()).database(parsed.database());
    let sessions = database.collection::<Document>(&format!("{}sessions", parsed.prefix()));
    let load = |session: &'static str| {
        let driver = driver(&url);
        run(async move { driver.load(&session.into()).await.unwrap() })
    };
    let count = || {
        let driver = driver(&url);
        run(async move { driver.find(&"anon".into(), &OwnedQuery::Ids((1..200).collect())).await.unwrap() }).len()
    };
    let cut_short = || {
        assert!(write(&driver(&url), vec![login("anon", None, 1), commit("anon", people(1..100))])[0].is_ok());
        let sessions = sessions.clone();
        run(async move {
            let update = doc! { "$set": { "deleting": true }, "$unset": { "layout": "", "dc_id": "", "auth_key": "" } };
            sessions.update_one(doc! { "_id": "anon" }, update).await.unwrap();
        });
        assert_eq!(count(), 99);
    };
    cut_short();
    assert!(load("anon").is_new);
    assert_eq!(count(), 0);
    cut_short();
    assert!(write(&driver(&url), vec![commit("anon", people(150..153))])[0].is_ok());
    assert_eq!(count(), 3);
    assert!(!load("anon").is_new);
}

/// Sessions whose names begin alike have nothing in common.
#[test]
fn names_are_told_apart() {
    let url = own(shared());
    let names = ["a", "a\0", "a.", "A", "á", "a ", "aa", "", "ａ", "$", "a$"];
    let driver = driver(&url);
    for (name, id) in names.iter().zip(1..) {
        let written = write(&driver, vec![commit(name, people(id..id + 1)), login(name, None, 1)]);
        assert!(written.iter().all(Result::is_ok), "{written:?}");
    }
    for (name, id) in names.iter().zip(1..) {
        let session = open(&url, name, false);
        wait(|| session.is_loaded());
        let known: Vec<i64> = (1..20).filter(|id| session.find(&Query::Id(*id)).is_some()).collect();
        assert_eq!(known, [id], "{name:?}");
    }
    let (deleting, listing) = (driver.clone(), driver.clone());
    assert!(run(async move { deleting.delete(&"a".into(), &[key(1)], Attempt::default()).await.unwrap() }));
    assert_eq!(run(async move { listing.list().await.unwrap() }).len(), names.len() - 1);
    assert_eq!(run(async move { driver.find(&"aa".into(), &OwnedQuery::Ids(vec![7])).await.unwrap() }).len(), 1);
}
