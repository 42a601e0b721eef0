//! Tables that others have made: the driver reads what is there, writes so that they can read it, and
//! neither alters nor deletes a table.

use std::sync::Arc;

use crate::support::operations::*;
use crate::support::{Database, driver};
use session_core::entity_table::{EntityBatch, TextField};
use session_core::store::{FileKey, FileKind, Kind, UpdateState};
use store_net::{Acquired, CommitError};
use store_sql::{Dialect, SqlOptions};

const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::MySql];

fn each(dialects: &[Dialect], test: impl Fn(&Database)) {
    dialects.iter().filter_map(|dialect| Database::create(*dialect)).for_each(|database| test(&database));
}

/// The tables as telethon-session-sqlalchemy 0.2.16 creates them.
fn create_package_tables(database: &Database, prefix: &str, table_options: &str) {
    let (bytes, digest) = match database.dialect {
        Dialect::Postgres => ("BYTEA", "BYTEA"),
        // Its own `BLOB` cannot be a key there.
        Dialect::MySql => ("BLOB", "VARBINARY(16)"),
    };
    for table in [
        "version (version INTEGER NOT NULL, PRIMARY KEY (version))".to_owned(),
        format!(
            "sessions (session_id VARCHAR(255) NOT NULL, dc_id INTEGER NOT NULL, server_address VARCHAR(255), \
             port INTEGER, auth_key {bytes}, PRIMARY KEY (session_id, dc_id))"
        ),
        "entities (session_id VARCHAR(255) NOT NULL, id BIGINT NOT NULL, hash BIGINT NOT NULL, username VARCHAR(32), \
         phone BIGINT, name VARCHAR(255), PRIMARY KEY (session_id, id))"
            .to_owned(),
        format!(
            "sent_files (session_id VARCHAR(255) NOT NULL, md5_digest {digest} NOT NULL, file_size INTEGER NOT NULL, \
             type INTEGER NOT NULL, id BIGINT, hash BIGINT, PRIMARY KEY (session_id, md5_digest, file_size, type))"
        ),
        "update_state (session_id VARCHAR(255) NOT NULL, entity_id BIGINT NOT NULL, pts BIGINT, qts BIGINT, \
         date BIGINT, seq BIGINT, unread_count INTEGER, PRIMARY KEY (session_id, entity_id))"
            .to_owned(),
    ] {
        database.execute(&format!("CREATE TABLE {prefix}{table} {table_options}"));
    }
}

/// What the package has written in an own table.
fn fill_package_tables(database: &Database, prefix: &str) {
    let bytes = |digits: &str| match database.dialect {
        Dialect::Postgres => format!("decode('{digits}', 'hex')"),
        Dialect::MySql => format!("X'{digits}'"),
    };
    let (key, digest) = (bytes(&"01".repeat(256)), bytes(&"00".repeat(16)));
    for row in [
        "version VALUES (3)".to_owned(),
        format!("sessions VALUES ('anon', 2, '149.154.167.51', 443, {key})"),
        "entities VALUES ('anon', 0, 777, NULL, NULL, NULL), ('anon', 5, 6, 'anna', 79991234567, 'Anna'), \
         ('anon', -1000000000005, 7, 'channel', NULL, 'News'), ('other', 5, 1, 'anna', NULL, NULL)"
            .to_owned(),
        format!("sent_files VALUES ('anon', {digest}, 7, 1, 8, 9)"),
        "update_state VALUES ('anon', 0, 1, 2, 1700000000, 4, 5)".to_owned(),
    ] {
        database.execute(&format!("INSERT INTO {prefix}{row}"));
    }
}

fn with_prefix(database: &Database, prefix: &str) -> SqlOptions {
    SqlOptions { table_prefix: prefix.to_owned(), ..database.options() }
}

fn columns(database: &Database) -> Vec<String> {
    let (schema, kind) = match database.dialect {
        Dialect::Postgres => ("current_schema()", "data_type || '/' || coalesce(character_maximum_length::text, '')"),
        Dialect::MySql => ("DATABASE()", "CONCAT(column_type, collation_name)"),
    };
    let concat = match database.dialect {
        Dialect::Postgres => format!("table_name || '.' || column_name || ' ' || {kind}"),
        Dialect::MySql => format!("CONCAT(table_name, '.', column_name, ' ', coalesce({kind}, column_type))"),
    };
    let sql = format!(
        "SELECT {concat} FROM information_schema.columns WHERE table_schema = {schema} \
         AND table_name NOT LIKE '%session_rust%' ORDER BY 1"
    );
    database.query(&sql).into_iter().map(Option::unwrap).collect()
}

fn use_package_tables(database: &Database, prefix: &str) {
    let before = columns(database);
    let driver = Arc::new(driver(with_prefix(database, prefix)));
    let loaded = load(&driver, "anon");
    let read = loaded.credentials.unwrap();
    assert_eq!((read.dc_id, read.server_address.as_deref(), read.port), (2, Some("149.154.167.51"), Some(443)));
    assert!(*read.auth_key == [1; 256] && read.takeout_id.is_none() && !loaded.is_new);
    let state = UpdateState { pts: Some(1), qts: Some(2), date: Some(1_700_000_000.0), seq: Some(4) };
    assert_eq!(loaded.update_states, [(0, state)]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(by_id(&driver, "anon", 5), Some((5, 6, 0, [text("anna"), text("79991234567"), text("Anna")])));
    assert_eq!(by_id(&driver, "anon", 0), Some((0, 777, 0, [const { None }; 3])));
    assert_eq!(find_text(&driver, "anon", TextField::Username, "anna"), [5]);
    assert_eq!(find_text(&driver, "anon", TextField::Phone, "79991234567"), [5]);
    assert_eq!(find_text(&driver, "anon", TextField::Name, "News"), [-1_000_000_000_005]);
    let file = FileKey { md5_digest: vec![0; 16], size: 7, kind: FileKind::Photo };
    assert_eq!(sent_file(&driver, "anon", file.clone()), Some((8, 9)));
    assert_eq!(sent_files(&driver, "anon"), [(file.clone(), (8, 9))]);

    let mut all = login("anon", 7, Some(1));
    all.changes.credentials.as_mut().unwrap().dc_id = 4;
    all.changes.entities = entities("anon", &[person(9, [Some("berta"), Some("+7"), Some("Berta")])]).changes.entities;
    all.changes.update_states = vec![(0, UpdateState { pts: Some(9), ..state }), (3, state)];
    all.changes.sent_files = vec![(FileKey { size: 1 << 40, ..file.clone() }, (1, 1)), (file, (10, 11))];
    let mut again = EntityBatch::default();
    again.push_input_peer(5, Some(66));
    again.set_seen(1_800_000_000);
    all.changes.entities.append(&again);
    commit_one(&driver, all).unwrap();
    // As the package reads it.
    let one = |sql: &str| database.query(sql);
    assert_eq!(one(&format!("SELECT server_address FROM {prefix}sessions WHERE session_id = 'anon'")).len(), 1);
    let found = one(&format!("SELECT CAST(dc_id AS CHAR(1)) FROM {prefix}sessions WHERE session_id = 'anon'"));
    assert_eq!(found, [text("4")]);
    let sql = format!("SELECT CAST(unread_count AS CHAR(1)) FROM {prefix}update_state ORDER BY entity_id");
    assert_eq!(one(&sql), [text("5"), text("0")]);
    assert_eq!(one(&format!("SELECT name FROM {prefix}entities WHERE phone IS NULL AND id = 9")), [text("Berta")]);
    // What they have no column for is kept beside them.
    let loaded = load(&driver, "anon").credentials;
    assert!(loaded.is_some_and(|read| read.takeout_id == Some(1 << 40) && *read.tmp_auth_key == [8; 256]));
    let names = [text("anna"), text("79991234567"), text("Anna")];
    assert_eq!(by_id(&driver, "anon", 5), Some((5, 66, 1_800_000_000, names)));
    let all = scan(with_prefix(database, prefix), "anon").0;
    assert_eq!(all.iter().map(|row| row.2).collect::<Vec<_>>(), [0, 0, 1_800_000_000, SEEN]);
    // The package logs in to another account: what stands beside it is the first one's.
    database.execute(&format!("UPDATE {prefix}sessions SET auth_key = NULL WHERE session_id = 'anon'"));
    let loaded = load(&driver, "anon").credentials;
    assert!(loaded.is_some_and(|read| read.takeout_id.is_none() && read.auth_key.is_empty()));
    assert_eq!(columns(database), before);
    assert_eq!(one(&format!("SELECT CAST(version AS CHAR(1)) FROM {prefix}version")), [text("3")]);
    assert!(delete(&driver, "anon", 0));
    assert!(load(&driver, "anon").is_new && by_id(&driver, "other", 5).is_some());
}

#[test]
fn tables_of_the_package_are_used_in_place() {
    each(&BOTH, |database| {
        for prefix in ["", "tl_"] {
            create_package_tables(database, prefix, "");
            fill_package_tables(database, prefix);
            use_package_tables(database, prefix);
        }
    });
}

#[test]
fn its_tables_in_another_character_set_are_used() {
    each(&[Dialect::MySql], |database| {
        for (prefix, charset) in [("a_", "utf8mb3"), ("b_", "latin1"), ("c_", "utf8mb4 COLLATE utf8mb4_general_ci")] {
            create_package_tables(database, prefix, &format!("DEFAULT CHARACTER SET {charset}"));
            fill_package_tables(database, prefix);
            use_package_tables(database, prefix);
            let driver = Arc::new(driver(with_prefix(database, prefix)));
            let people = [
                person(1, [Some("anna"), None, Some("Anna \u{1f600}")]),
                person(2, [None, None, Some("Анна")]),
                person(3, [None, None, Some("ANNA")]),
            ];
            commit_one(&driver, entities("anon", &people)).unwrap();
            let name = |id| by_id(&driver, "anon", id).unwrap().3[2].clone();
            let expected = match prefix {
                "a_" => [Some("Anna \u{fffd}"), Some("Анна")],
                // Only the server knows what it can hold.
                "b_" => [None, None],
                _ => [Some("Anna \u{1f600}"), Some("Анна")],
            };
            assert_eq!([name(1).as_deref(), name(2).as_deref()], expected, "{charset}");
            assert_eq!(find_text(&driver, "anon", TextField::Name, "ANNA"), [3]);
            assert!(find_text(&driver, "anon", TextField::Name, "anna").is_empty());
            assert!(find_text(&driver, "anon", TextField::Username, "ANNA").is_empty());
            assert!(find_text(&driver, "anon", TextField::Username, "anna ").is_empty());
        }
    });
}

#[test]
fn names_that_a_table_takes_for_the_same_do_not_mix() {
    each(&[Dialect::MySql], |database| {
        create_package_tables(database, "", "DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci");
        fill_package_tables(database, "");
        let driver = Arc::new(database.driver());
        assert!(load(&driver, "Anon").is_new && load(&driver, "anon ").is_new);
        assert!(scan(database.options(), "ANON").0.is_empty());
        commit_one(&driver, entities("Anon", &[person(5, [Some("berta"), None, None])])).unwrap();
        assert_eq!(by_id(&driver, "anon", 5).unwrap().3[0].as_deref(), Some("anna"));
        let refused = commit_one(&driver, login("Anon", 1, None));
        assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
        assert!(!delete(&driver, "ANON", 1));
        assert!(load(&driver, "anon").credentials.is_some_and(|read| *read.auth_key == [1; 256]));
    });
}

#[test]
fn tables_of_mautrix_telegram_are_used_in_place() {
    each(&[Dialect::Postgres], |database| {
        database.execute(
            "CREATE TABLE telethon_sessions (session_id TEXT PRIMARY KEY, dc_id INTEGER NOT NULL, server_address TEXT, \
             port INTEGER, auth_key bytea); \
             CREATE TABLE telethon_entities (session_id TEXT, id BIGINT, hash BIGINT NOT NULL, username TEXT, phone TEXT, \
             name TEXT, PRIMARY KEY (session_id, id)); \
             CREATE TABLE telethon_sent_files (session_id TEXT, md5_digest bytea, file_size INTEGER, type INTEGER, \
             id BIGINT, hash BIGINT, PRIMARY KEY (session_id, md5_digest, file_size, type)); \
             CREATE TABLE telethon_update_state (session_id TEXT, entity_id BIGINT, pts BIGINT, qts BIGINT, date BIGINT, \
             seq BIGINT, unread_count INTEGER, PRIMARY KEY (session_id, entity_id)); \
             INSERT INTO telethon_sessions VALUES ('@a:b', 2, 'x', 443, decode(repeat('01', 256), 'hex')); \
             INSERT INTO telethon_entities VALUES ('@a:b', 5, 6, 'anna', '+7 999', 'Anna')",
        );
        let before = columns(database);
        let driver = Arc::new(driver(with_prefix(database, "telethon_")));
        assert!(load(&driver, "@a:b").credentials.is_some_and(|read| *read.auth_key == [1; 256]));
        assert_eq!(find_text(&driver, "@a:b", TextField::Phone, "+7 999"), [5]);
        let mut all = login("@a:b", 7, Some(1));
        all.changes.credentials.as_mut().unwrap().dc_id = 4;
        let long = "u".repeat(40);
        all.changes.entities = entities("", &[person(9, [Some(&long), Some("+7"), None])]).changes.entities;
        commit_one(&driver, all).unwrap();
        assert_eq!(find_text(&driver, "@a:b", TextField::Phone, "+7"), [9]);
        assert_eq!(find_text(&driver, "@a:b", TextField::Username, &long), [9]);
        assert_eq!(database.query("SELECT dc_id::text FROM telethon_sessions"), [Some("4".to_owned())]);
        assert_eq!(columns(database), before);
    });
}

#[test]
fn hand_made_tables_are_used_as_far_as_they_go() {
    each(&BOTH, |database| {
        let bytes = if database.dialect == Dialect::Postgres { "BYTEA" } else { "BLOB" };
        database.execute(&format!(
            "CREATE TABLE sessions (session_id VARCHAR(50), dc_id SMALLINT, server_address VARCHAR(20), port INTEGER, \
             auth_key {bytes}, note INTEGER, PRIMARY KEY (session_id, dc_id)); \
             CREATE TABLE entities (id BIGINT, session_id VARCHAR(50), hash BIGINT, username VARCHAR(5), \
             phone VARCHAR(20), name VARCHAR(10), PRIMARY KEY (id, session_id)); \
             CREATE TABLE update_state (session_id VARCHAR(50), entity_id BIGINT, pts INTEGER, qts INTEGER, \
             date DOUBLE PRECISION, seq INTEGER, PRIMARY KEY (session_id, entity_id)); \
             CREATE TABLE sent_files (a INTEGER)"
        ));
        let before = columns(database);
        let options = SqlOptions { manage_tables: false, ..database.options() };
        let driver = Arc::new(driver(options.clone()));
        assert!(load(&driver, "anon").is_new);
        let mut all = login("anon", 1, None);
        all.changes.entities =
            entities("", &[person(9, [Some("username"), Some("+7"), Some("Anna Petrova")])]).changes.entities;
        let state = UpdateState { pts: Some(1 << 40), qts: Some(1), date: Some(1.5), seq: Some(1) };
        all.changes.update_states = vec![(5, state)];
        all.changes.sent_files = vec![(FileKey { md5_digest: vec![1], size: 1, kind: FileKind::Photo }, (1, 1))];
        commit_one(&driver, all).unwrap();
        let loaded = load(&driver, "anon");
        assert!(loaded.credentials.is_some_and(|read| *read.auth_key == [1; 256] && read.takeout_id.is_none()));
        assert_eq!(loaded.update_states, [(5, UpdateState { pts: None, ..state })]);
        let texts = [None, Some("+7".to_owned()), Some("Anna Petro".to_owned())];
        assert_eq!(scan(options, "anon").0, [(9, 63, 0, texts)]);
        assert_eq!(columns(database), before);
        let tables =
            "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'telethon%' AND table_schema = ";
        let schema = if database.dialect == Dialect::Postgres { "current_schema()" } else { "DATABASE()" };
        assert!(database.query(&format!("{tables}{schema}")).is_empty());
        let error = try_acquire(&driver, "anon", "own", LONG).unwrap_err();
        assert!(error.kind == Kind::CannotOpen && error.message.contains("telethon_session_rust"), "{error}");
    });
}

#[test]
fn tables_of_others_are_refused() {
    each(&BOTH, |database| {
        let error = |options: SqlOptions| try_load(&Arc::new(driver(options)), "anon").unwrap_err();
        let missing = error(SqlOptions { manage_tables: false, ..database.options() });
        assert!(missing.kind == Kind::CannotOpen && missing.message.contains("manage_tables"), "{missing}");
        database.execute("CREATE TABLE sessions (id INTEGER, data INTEGER)");
        let foreign = error(database.options());
        assert!(foreign.kind == Kind::NotASession && foreign.message.contains("table_prefix"), "{foreign}");
        database.execute("CREATE TABLE x_entities (id INTEGER)");
        assert_eq!(error(with_prefix(database, "x_")).kind, Kind::NotASession);
        assert!(columns(database).iter().all(|column| !column.contains("auth_key")), "{:?}", columns(database));
        // Whose tables lack a key, a row would be written twice.
        create_package_tables(database, "y_", "");
        database.execute(if database.dialect == Dialect::Postgres {
            "ALTER TABLE y_entities DROP CONSTRAINT y_entities_pkey"
        } else {
            "ALTER TABLE y_entities DROP PRIMARY KEY"
        });
        assert!(error(with_prefix(database, "y_")).message.contains("primary key"));
    });
}

#[test]
fn a_schema_of_their_own_is_used() {
    each(&[Dialect::Postgres], |database| {
        database.execute("CREATE SCHEMA \"Tele\"\"thon\"");
        let options = SqlOptions { schema: Some("Tele\"thon".to_owned()), ..with_prefix(database, "A\"b_") };
        let driver = Arc::new(driver(options.clone()));
        commit_one(&driver, login("anon", 1, None)).unwrap();
        commit_one(&driver, entities("anon", &[person(1, [None; 3])])).unwrap();
        assert!(load(&driver, "anon").credentials == Some(with_key(1)));
        assert_eq!(scan(options, "anon").0.len(), 1);
        assert!(matches!(acquire(&driver, "anon", "own", LONG), Acquired::Taken(_)));
        let missing = SqlOptions { schema: Some("missing".to_owned()), ..database.options() };
        let error = try_load(&Arc::new(crate::support::driver(missing)), "anon").unwrap_err();
        assert_eq!(error.kind, Kind::CannotOpen, "{error}");
    });
}
