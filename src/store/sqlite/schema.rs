//! The tables of a session file. Their text is part of the file, and so is Telethon's to the space.

use rusqlite::Connection;

/// The database version of Telethon up to 1.42.
pub const VERSION_7: i64 = 7;
/// The database version of Telethon from 1.43: `sessions` has a sixth column, `tmp_auth_key`.
pub const VERSION_8: i64 = 8;

const VERSION: &str = "create table version (version integer primary key)";

const SESSIONS: [&str; 5] =
    ["dc_id integer primary key", "server_address text", "port integer", "auth_key blob", "takeout_id integer"];

const SESSIONS_8: [&str; 6] = [
    "dc_id integer primary key",
    "server_address text",
    "port integer",
    "auth_key blob",
    "takeout_id integer",
    "tmp_auth_key blob",
];

const ENTITIES: [&str; 6] =
    ["id integer primary key", "hash integer not null", "username text", "phone integer", "name text", "date integer"];

const SENT_FILES: [&str; 6] = [
    "md5_digest blob",
    "file_size integer",
    "type integer",
    "id integer",
    "hash integer",
    "primary key(md5_digest, file_size, type)",
];

const UPDATE_STATE: [&str; 5] = ["id integer primary key", "pts integer", "qts integer", "date integer", "seq integer"];

/// How deep Telethon's source has a table's columns when it makes a new file, and when it upgrades one.
const NEW: usize = 20;
const UPGRADE: usize = 16;

fn table(name: &str, columns: &[&str], indent: usize) -> String {
    let columns = columns.join(&format!(",\n{:indent$}", ""));
    format!("create table {name} (\n{:indent$}{columns}\n{:outdent$})", "", "", outdent = indent - 4)
}

/// Why a database does not tell its version, in words; `None` if it has no table for it, and so is nobody's session yet.
pub(super) fn why_no_version(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found = tables_and_views(connection)?;
    let has = |table: &str| found.iter().any(|(name, ..)| name == table);
    if !has("version") {
        return Ok(None);
    }
    let columns = columns(connection, "version")?;
    Ok(Some(if columns == ["number"] && has("sessions") && has("peers") {
        "it is a session of Pyrogram, which Telethon cannot read".to_owned()
    } else if !columns.iter().any(|column| column == "version") {
        "its table `version` has no column `version`".to_owned()
    } else {
        "its table `version` cannot be read".to_owned()
    }))
}

/// What is wrong with the tables of a file, in words; `None` if they are as they must be.
pub(super) fn fault(connection: &Connection, version: i64) -> rusqlite::Result<Option<String>> {
    let tables: [(&str, &[&str]); 4] = [
        ("sessions", if version >= VERSION_8 { &SESSIONS_8 } else { &SESSIONS }),
        ("entities", &ENTITIES),
        ("sent_files", &SENT_FILES),
        ("update_state", &UPDATE_STATE),
    ];
    let found = tables_and_views(connection)?;
    for (name, wanted) in tables {
        let Some((.., text)) = found.iter().find(|(found, is_table, _)| found == name && *is_table) else {
            return Ok(Some(format!("it has no table `{name}`")));
        };
        if squeezed(text) == squeezed(&table(name, wanted, NEW)) {
            continue;
        }
        let found = columns(connection, name)?;
        let wanted = wanted.iter().filter_map(|column| column.split(' ').next()).filter(|name| *name != "primary");
        // Who has added columns of their own keeps them.
        if let Some(missing) = wanted.into_iter().find(|column| !found.iter().any(|found| found == column)) {
            return Ok(Some(format!("its table `{name}` has no column `{missing}`")));
        }
    }
    Ok(None)
}

/// A table's text without what makes no difference: an upgraded file has other spaces in it.
fn squeezed(text: &str) -> String {
    text.to_ascii_lowercase().split_ascii_whitespace().collect()
}

/// All tables and views: the name, whether it is a table, and the text that made it.
fn tables_and_views(connection: &Connection) -> rusqlite::Result<Vec<(String, bool, String)>> {
    const SELECT: &str =
        "select name, type = 'table', coalesce(sql, '') from sqlite_master where type in ('table', 'view')";
    connection.prepare(SELECT)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// The names of a table's columns, in lower case.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare("select lower(name) from pragma_table_info(?)")?.query_map([table], |row| row.get(0))?.collect()
}

/// Makes the tables of a new file. To be called in a transaction.
pub(super) fn create(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    let sessions: &[&str] = if version >= VERSION_8 { &SESSIONS_8 } else { &SESSIONS };
    for statement in [
        VERSION.to_owned(),
        table("sessions", sessions, NEW),
        table("entities", &ENTITIES, NEW),
        table("sent_files", &SENT_FILES, NEW),
        table("update_state", &UPDATE_STATE, NEW),
    ] {
        connection.execute(&statement, [])?;
    }
    connection.execute("insert into version values (?)", [version])?;
    Ok(())
}

/// Brings the tables of an older file up to `to`. To be called in a transaction.
pub(super) fn upgrade(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    for version in from..to {
        upgrade_from(connection, version)?;
    }
    connection.execute("delete from version", [])?;
    connection.execute("insert into version values (?)", [to])?;
    Ok(())
}

/// The step from one version to the next. Telethon's changelogs and `_upgrade_database` say why each came about.
fn upgrade_from(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    let statements: &[String] = &match version {
        // Sent files were first kept in version 2, in another shape than from 3 on. Version 1 never had the table.
        2 => vec!["drop table if exists sent_files".to_owned(), table("sent_files", &SENT_FILES, UPGRADE)],
        3 => vec![table("update_state", &UPDATE_STATE, UPGRADE)],
        4 => vec!["alter table sessions add column takeout_id integer".to_owned()],
        // No change of shape: the access hashes of users and channels that version 5 kept may be wrong.
        5 => vec!["delete from entities".to_owned()],
        6 => vec!["alter table entities add column date integer".to_owned()],
        7 => vec!["alter table sessions add column tmp_auth_key blob".to_owned()],
        _ => vec![],
    };
    statements.iter().try_for_each(|statement| connection.execute(statement, []).map(drop))
}
