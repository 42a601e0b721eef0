//! What is stored and found, on real servers: values at the limits, many of them, and damaged ones.

use std::sync::Arc;

use crate::support::operations::*;
use crate::support::{Database, on_both};
use session_core::entity_table::{EntityBatch, TextField};
use session_core::store::{FileKey, FileKind, Kind, UpdateState};
use store_net::{Commit, OwnedQuery};
use store_sql::Dialect;

on_both! {
    values_at_the_limits_are_stored_or_left_out
    many_entities_are_written_and_read
    names_of_sessions_are_taken_literally
    damaged_values_are_skipped
    tables_are_created_once
    dropped_tables_are_created_again
    closed_connections_are_replaced
    sent_files_are_found
}

fn values_at_the_limits_are_stored_or_left_out(database: &Database) {
    let driver = Arc::new(database.driver());
    let long = "Ж\u{1f600}".repeat(300);
    let username = "u".repeat(33);
    let people = [
        person(0, [Some("own"), Some("0"), Some("")]),
        person(1, [Some(&username), Some("+7 999"), Some(&long)]),
        person(2, [Some("a\0b"), Some("99999999999999999999"), Some("Anna\0 \\'\"; -- \u{feff}")]),
        person(3, [Some("Anna "), Some("9223372036854775807"), Some("\r\n\t")]),
    ];
    let mut commit = entities("anon", &people);
    commit.changes.entities.push_stored(4, 1, 1, [None; 3]);
    let mut extreme = EntityBatch::default();
    for id in [i64::MIN, i64::MAX] {
        extreme.push_seen(&session_core::entity::Entity { id, access_hash: Some(id), ..Default::default() }, u32::MAX);
    }
    extreme.push_input_peer(5, None);
    commit.changes.entities.append(&extreme);
    commit.changes.update_states = vec![
        (i64::MIN, UpdateState { pts: Some(i64::MAX), qts: None, date: Some(0.4), seq: Some(i64::MIN) }),
        (1, UpdateState { date: Some(1e300), ..UpdateState::default() }),
        (2, UpdateState { date: Some(f64::NAN), ..UpdateState::default() }),
    ];
    commit_one(&driver, commit).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let texts = |id| by_id(&driver, "anon", id).unwrap().3;
    assert_eq!(texts(0), [text("own"), text("0"), text("")]);
    assert_eq!(texts(1), [None, None, Some(long.chars().take(255).collect())]);
    assert_eq!(texts(2), [None, None, text("Anna \\'\"; -- \u{feff}")]);
    assert_eq!(texts(3), [text("Anna "), text("9223372036854775807"), text("\r\n\t")]);
    assert_eq!(by_id(&driver, "anon", i64::MIN).unwrap().1, i64::MIN);
    assert_eq!(by_id(&driver, "anon", i64::MAX).unwrap().2, u32::MAX);
    assert!(by_id(&driver, "anon", 4).is_none() && by_id(&driver, "anon", 5).is_none());
    for name in ["anna ", "Anna", "Anna\0", "a\0b"] {
        let query = OwnedQuery::Text(TextField::Username, name.to_owned());
        assert!(find(&driver, "anon", query).is_empty(), "{name:?}");
    }
    assert_eq!(find(&driver, "anon", OwnedQuery::Text(TextField::Username, "Anna ".to_owned())).len(), 1);
    assert!(find(&driver, "anon", OwnedQuery::Text(TextField::Phone, "+7 999".to_owned())).is_empty());
    assert!(find(&driver, "anon", OwnedQuery::Ids(vec![])).is_empty());
    let state = UpdateState { pts: Some(i64::MAX), qts: None, date: Some(0.0), seq: Some(i64::MIN) };
    assert_eq!(load(&driver, "anon").update_states, [(i64::MIN, state)]);
}

fn many_entities_are_written_and_read(database: &Database) {
    const COUNT: i64 = 100_000;
    let driver = Arc::new(database.driver());
    let names: Vec<String> = (0..COUNT).map(|id| format!("Анна {id}")).collect();
    let name = |id: i64| Some(names[usize::try_from(id).unwrap()].as_str());
    for part in 0..5 {
        let people: Vec<_> =
            (part * COUNT / 5..(part + 1) * COUNT / 5).rev().map(|id| person(id, [None, None, name(id)])).collect();
        commit_one(&driver, entities("anon", &people)).unwrap();
    }
    commit_one(&driver, entities("other", &[person(1, [None; 3])])).unwrap();
    let (found, pages) = scan(database.options(), "anon");
    assert!(found.iter().zip(0..).all(|((id, _, seen, texts), wanted)| {
        *id == wanted && *seen == SEEN && texts[2].as_deref() == name(wanted)
    }));
    assert_eq!(found.len(), names.len());
    assert!(pages.len() > 10, "{pages:?}");
    let by_name = OwnedQuery::Text(TextField::Name, names[77].clone());
    assert_eq!(find(&driver, "anon", by_name).len(), 1);
}

fn names_of_sessions_are_taken_literally(database: &Database) {
    let driver = Arc::new(database.driver());
    let long = "я".repeat(255);
    let names = ["", " ", "anna", "Anna", "anna ", "ánna", "%", "'; DROP TABLE sessions; --", "\\", "\u{1f600}", &long];
    for (key, name) in names.iter().enumerate() {
        commit_one(&driver, login(name, u8::try_from(key).unwrap(), None)).unwrap();
        commit_one(&driver, entities(name, &[person(i64::try_from(key).unwrap(), [Some("anna"), None, None])]))
            .unwrap();
    }
    for (key, name) in names.iter().enumerate() {
        assert_eq!(key_of(&driver, name), Some(u8::try_from(key).unwrap()), "{name:?}");
        let found = find(&driver, name, OwnedQuery::Text(TextField::Username, "anna".to_owned()));
        assert_eq!(found.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [i64::try_from(key).unwrap()], "{name:?}");
    }
    let mut sorted = names.map(str::to_owned);
    sorted.sort_unstable();
    assert_eq!(list(&driver), sorted);
    for name in ["a\0b", &"x".repeat(256)] {
        let error = try_load(&driver, name).unwrap_err();
        assert_eq!(error.kind, Kind::CannotOpen);
        assert!(commit_one(&driver, login(name, 1, None)).is_err());
    }
}

fn damaged_values_are_skipped(database: &Database) {
    let driver = Arc::new(database.driver());
    assert!(load(&driver, "anon").is_new);
    let empty = if database.dialect == Dialect::Postgres { "''::bytea" } else { "''" };
    database.execute(&format!(
        "INSERT INTO sessions (session_id, dc_id, server_address, port, auth_key) VALUES ('anon', 2, NULL, NULL, NULL), \
         ('anon', 4, 'x', 1, {empty}); \
         INSERT INTO update_state (session_id, entity_id, pts, date) VALUES ('anon', 1, NULL, NULL), ('anon', 2, 1, -1), \
         ('anon', 3, 1, 9223372036854775807); \
         INSERT INTO entities (session_id, id, hash, phone, date) VALUES ('anon', 1, 2, -5, -7), ('anon', 2, 2, 5, \
         9223372036854775807); \
         INSERT INTO telethon_session_rust (session_id, login, takeout_id) VALUES ('anon', 'x', 5)"
    ));
    let loaded = load(&driver, "anon");
    let found = loaded.credentials.unwrap();
    assert!(found.auth_key.is_empty() && found.takeout_id.is_none());
    assert_eq!(loaded.update_states.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2]);
    let phone = Some("-5".to_owned());
    assert_eq!(by_id(&driver, "anon", 1), Some((1, 2, 0, [None, phone, None])));
    assert_eq!(by_id(&driver, "anon", 2).unwrap().2, u32::MAX);
    // The one with a key is the login, as soon as there is one.
    let key = if database.dialect == Dialect::Postgres { "'\\x0102'::bytea" } else { "X'0102'" };
    database.execute(&format!("UPDATE sessions SET auth_key = {key} WHERE dc_id = 4"));
    assert_eq!(key_of(&driver, "anon"), Some(1));
    commit_one(&driver, Commit { expected_key: vec![1, 2].into(), ..login("anon", 7, None) }).unwrap();
    assert!(load(&driver, "anon").credentials == Some(with_key(7)));
}

fn tables_are_created_once(database: &Database) {
    let drivers: Vec<Shared> = (0..6).map(|_| Arc::new(database.driver())).collect();
    std::thread::scope(|scope| {
        for driver in &drivers {
            scope.spawn(|| assert!(load(driver, "anon").is_new));
        }
    });
    let version = database.query("SELECT CAST(version AS CHAR(9)) FROM version");
    assert_eq!(version.iter().map(|it| it.as_deref().unwrap().trim()).collect::<Vec<_>>(), ["2"]);
}

fn dropped_tables_are_created_again(database: &Database) {
    let driver = Arc::new(database.driver());
    commit_one(&driver, login("anon", 1, None)).unwrap();
    database.execute("DROP TABLE sessions, entities, sent_files, update_state, version");
    let error = try_load(&driver, "anon").unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(load(&driver, "anon").is_new);
    commit_one(&driver, login("anon", 1, None)).unwrap();
}

fn closed_connections_are_replaced(database: &Database) {
    let driver = Arc::new(database.driver());
    commit_one(&driver, login("anon", 1, None)).unwrap();
    if database.dialect == Dialect::Postgres {
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid()",
        );
    } else {
        let own = "SELECT CAST(id AS CHAR) FROM information_schema.PROCESSLIST WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        for id in database.query(own).into_iter().flatten() {
            database.execute(&format!("KILL {id}"));
        }
    }
    assert_eq!(key_of(&driver, "anon"), Some(1));
}

fn sent_files_are_found(database: &Database) {
    let driver = Arc::new(database.driver());
    let key = |digest: &[u8], size| FileKey { md5_digest: digest.to_vec(), size, kind: FileKind::Document };
    let mut commit = entities("anon", &[]);
    commit.changes.sent_files =
        vec![(key(&[0; 16], 1), (1, 2)), (key(&[0; 16], 1), (3, 4)), (key(&[255; 16], 1 << 40), (5, i64::MIN))];
    commit_one(&driver, commit).unwrap();
    let find = |key| sent_file(&driver, "anon", key);
    assert_eq!(find(key(&[0; 16], 1)), Some((3, 4)));
    assert_eq!(find(key(&[255; 16], 1 << 40)), Some((5, i64::MIN)));
    assert_eq!(find(key(&[], 1)), None);
    let mut all = sent_files(&driver, "anon");
    all.sort_unstable_by_key(|(key, _)| key.size);
    assert_eq!(all, [(key(&[0; 16], 1), (3, 4)), (key(&[255; 16], 1 << 40), (5, i64::MIN))]);
    assert_eq!(sent_files(&driver, "other"), []);
    // A kind of another program, and a file without a reference.
    database
        .execute("UPDATE sent_files SET type = 7 WHERE file_size = 1; UPDATE sent_files SET id = NULL WHERE type = 0");
    assert_eq!(sent_files(&driver, "anon"), []);
}
