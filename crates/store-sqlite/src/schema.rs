//! The tables of a session file. Their SQL is part of the file, so it is Telethon's, to the space.

use rusqlite::Connection;

/// The database version of Telethon up to 1.42.
pub const VERSION_7: i64 = 7;
/// The database version of Telethon from 1.43: `sessions` has a sixth column, `tmp_auth_key`.
pub const VERSION_8: i64 = 8;

const VERSION: &str = "create table version (version integer primary key)";
/// As Telethon 0.16 created it, and as other programs may.
const FIRST_VERSION: &str = "create table version (version integer)";

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

/// True if the last two columns of `sessions` hold each other's values. An empty key in place of
/// the takeout ID does not tell: Telethon 1.43 and 1.44 wrote that.
const SWAPPED: &str = "(typeof(tmp_auth_key) = 'integer' and typeof(takeout_id) in ('blob', 'null')) \
    or (typeof(takeout_id) = 'blob' and takeout_id <> x'' and (tmp_auth_key is null or tmp_auth_key = x''))";

/// Columns added after version 1, which tell a file's version.
const TAKEOUT_ID: &str = "takeout_id integer";
const DATE: &str = "date integer";
const TMP_AUTH_KEY: &str = "tmp_auth_key blob";
const SEQ: &str = "seq integer";
const FIRST_WITH_DATE: i64 = 7;

/// Columns that `sent_files` had in version 2 only.
const OLD_SENT_FILES: [&str; 2] = ["file_id", "part_count"];

/// How deep Telethon indents a table's columns when it creates a new file, and when it upgrades
/// one.
const NEW: usize = 20;
const UPGRADE: usize = 16;

fn table(name: &str, columns: &[&str], indent: usize) -> String {
    let columns = columns.join(&format!(",\n{:indent$}", ""));
    format!("create table {name} (\n{:indent$}{columns}\n{:outdent$})", "", "", outdent = indent - 4)
}

/// Returns why a database does not tell its version, in words; `None` if it has no table `version`,
/// and so is not a session yet.
pub(super) fn why_no_version(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found = tables_and_views(connection)?;
    let has = |table: &str| found.iter().any(|(name, ..)| name == table);
    if !has("version") {
        return Ok(None);
    }
    let columns: Vec<String> = columns(connection, "version")?.into_iter().map(|column| column.name).collect();
    Ok(Some(if columns == ["number"] && has("sessions") && has("peers") {
        "it is a session of Pyrogram: convert it to another file with `telethon-session copy`".to_owned()
    } else if !columns.iter().any(|column| column == "version") {
        "its table `version` has no column `version`".to_owned()
    } else {
        "its table `version` cannot be read".to_owned()
    }))
}

/// How the tables of a file compare with what a database version needs.
pub(super) enum Tables {
    /// They are as they must be.
    Sound,
    /// They can be read and mended: an upgrade stopped half-way, or columns are in another order
    /// although Telethon reads and writes by position.
    Mendable,
    /// They cannot be used. Says what is missing.
    Faulty(String),
}

/// Compares the tables of a file with what a database version needs.
pub(super) fn examine(connection: &Connection, version: i64) -> rusqlite::Result<Tables> {
    let found = tables_and_views(connection)?;
    let (mut is_mendable, mut is_as_made) = (false, true);
    for (name, wanted) in tables_of(version) {
        let Some((.., text)) = found.iter().find(|(found, is_table, _)| found == name && *is_table) else {
            return Ok(Tables::Faulty(format!("it has no table `{name}`")));
        };
        if squeezed(text) == squeezed(&table(name, wanted, NEW)) {
            continue;
        }
        is_as_made = false;
        let columns = columns(connection, name)?;
        // A table with more columns than Telethon makes keeps them.
        if let Some(missing) = names(wanted).find(|wanted| !columns.iter().any(|column| column.name == *wanted)) {
            return Ok(Tables::Faulty(format!("its table `{name}` has no column `{missing}`")));
        }
        is_mendable |= is_in_another_order(connection, name, wanted)?;
    }
    // Tables as Telethon creates them have no more columns than those of their version.
    is_mendable |= !is_as_made && oldest_version(connection)? > version;
    is_mendable |= version >= VERSION_8 && has_swapped_values(connection)?;
    Ok(if is_mendable { Tables::Mendable } else { Tables::Sound })
}

/// Returns the tables that hold data, with their columns in a database version.
fn tables_of(version: i64) -> [(&'static str, &'static [&'static str]); 4] {
    [
        ("sessions", if version >= VERSION_8 { &SESSIONS_8 } else { &SESSIONS }),
        ("entities", &ENTITIES),
        ("sent_files", &SENT_FILES),
        ("update_state", &UPDATE_STATE),
    ]
}

/// Returns the names in declarations of columns.
fn names<'c>(columns: &'c [&'c str]) -> impl Iterator<Item = &'c str> {
    columns.iter().filter_map(|column| column.split(' ').next()).filter(|name| !name.starts_with("primary"))
}

/// Returns `true` if a table has Telethon's columns in another order, and can be recreated without
/// loss.
fn is_in_another_order(connection: &Connection, name: &str, wanted: &[&str]) -> rusqlite::Result<bool> {
    // A user's own triggers, views and indexes would be lost or broken.
    const ATTACHED: &str = "select exists(select 1 from sqlite_master where type in ('trigger', 'view') \
        or (type = 'index' and sql is not null and tbl_name = ?))";
    let found = columns(connection, name)?;
    if names(wanted).eq(found.iter().map(|column| column.name.as_str())) {
        return Ok(false);
    }
    let sound = Connection::open_in_memory()?;
    sound.execute(&table(name, wanted, NEW), [])?;
    let sorted = |mut columns: Vec<Column>| {
        columns.sort();
        columns
    };
    let is_alike = sorted(found) == sorted(columns(&sound, name)?);
    Ok(is_alike && !connection.query_row(ATTACHED, [name], |row| row.get::<_, bool>(0))?)
}

/// Returns the oldest database version that has all the columns of a file.
fn oldest_version(connection: &Connection) -> rusqlite::Result<i64> {
    for (version, table, column) in
        [(8, "sessions", TMP_AUTH_KEY), (7, "entities", DATE), (5, "sessions", TAKEOUT_ID), (4, "update_state", SEQ)]
    {
        if has_column(connection, table, column)? {
            return Ok(version);
        }
    }
    Ok(1)
}

/// A file whose table `version` is empty.
pub(super) enum Unversioned {
    /// The program that was creating it stopped before anything was written to it.
    New,
    /// An upgrade stopped. The tables are those of at least this version.
    Version(i64),
    /// The tables do not show what it is.
    Unclear,
}

/// Tells, from its tables, what a file is whose table `version` is empty.
pub(super) fn without_version(connection: &Connection) -> rusqlite::Result<Unversioned> {
    let found = tables_and_views(connection)?;
    let text = found.iter().find(|(name, is_table, _)| name == "version" && *is_table).map(|(.., text)| squeezed(text));
    let is_first = text.as_ref().is_some_and(|text| *text == squeezed(FIRST_VERSION));
    if !is_first && !text.is_some_and(|text| text.starts_with(&squeezed(VERSION))) {
        return Ok(Unversioned::Unclear);
    }
    let mut filled = Vec::new();
    let mut present = Vec::new();
    for (name, wanted) in tables_of(VERSION_8) {
        let Some((_, is_table, _)) = found.iter().find(|(found, ..)| found == name) else { continue };
        let columns = columns(connection, name)?;
        let is_known = |column: &Column| names(wanted).chain(OLD_SENT_FILES).any(|name| name == column.name);
        if !is_table || !columns.iter().all(is_known) {
            return Ok(Unversioned::Unclear);
        }
        present.push(name);
        if connection.query_row(&format!("select exists(select 1 from {name})"), [], |row| row.get::<_, bool>(0))? {
            filled.push(name);
        }
    }
    let version = oldest_version(connection)?;
    Ok(if filled.is_empty() && !(is_first && present.is_empty()) {
        Unversioned::New
    } else if !(present.contains(&"sessions") && present.contains(&"entities")) {
        Unversioned::Unclear
    } else if version < FIRST_WITH_DATE && filled.contains(&"entities") {
        // Up to version 5 their access hashes may be wrong, and version 6 looks like 5.
        Unversioned::Unclear
    } else {
        Unversioned::Version(version)
    })
}

/// Returns `true` if there is a table for a login like Telethon's: the file is or was a session.
pub(super) fn has_login_table(connection: &Connection) -> rusqlite::Result<bool> {
    let columns = columns(connection, "sessions")?;
    Ok(["server_address", "auth_key"].iter().all(|name| columns.iter().any(|column| column.name == *name)))
}

/// Returns a table's SQL without what makes no difference: an upgraded file has other spaces in it.
fn squeezed(text: &str) -> String {
    text.to_ascii_lowercase().split_ascii_whitespace().collect()
}

/// Returns all tables and views: the name, whether it is a table, and its SQL.
fn tables_and_views(connection: &Connection) -> rusqlite::Result<Vec<(String, bool, String)>> {
    const SELECT: &str =
        "select name, type = 'table', coalesce(sql, '') from sqlite_master where type in ('table', 'view')";
    connection.prepare(SELECT)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// A column as SQLite describes it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    /// In lower case, like its type.
    name: String,
    declared: String,
    /// Its position in the primary key, from 1; 0 if it is not part of it.
    key: i64,
}

/// Returns the columns of a table, in order.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    connection
        .prepare("select lower(name), lower(type), pk from pragma_table_info(?)")?
        .query_map([table], |row| Ok(Column { name: row.get(0)?, declared: row.get(1)?, key: row.get(2)? }))?
        .collect()
}

/// Returns `true` if a table has a column as Telethon declares it, such as `takeout_id integer`.
fn has_column(connection: &Connection, table: &str, declaration: &str) -> rusqlite::Result<bool> {
    let is_it = |column: &Column| format!("{} {}", column.name, column.declared) == declaration;
    Ok(columns(connection, table)?.iter().any(is_it))
}

/// Creates the tables of a new file. Call in a transaction.
pub(super) fn create(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    connection.execute(VERSION, [])?;
    for (name, columns) in tables_of(version) {
        connection.execute(&table(name, columns, NEW), [])?;
    }
    connection.execute("insert into version values (?)", [version])?;
    Ok(())
}

/// Removes the empty tables of a file that is [`Unversioned::New`]. Call in a transaction.
pub(super) fn remove_empty(connection: &Connection) -> rusqlite::Result<()> {
    let found = tables_and_views(connection)?;
    let made = tables_of(VERSION_8).map(|(name, _)| name);
    for (name, ..) in found.iter().filter(|(name, ..)| name == "version" || made.contains(&name.as_str())) {
        connection.execute(&format!("drop table {name}"), [])?;
    }
    Ok(())
}

/// Returns the database version that a file of version `found` gets: `wanted`, or a newer one to
/// which an upgrade was begun.
pub(super) fn target(connection: &Connection, found: i64, wanted: i64) -> rusqlite::Result<i64> {
    Ok(found.max(wanted).max(oldest_version(connection)?))
}

/// Upgrades the tables of an older file to version `to`. Skips steps that an interrupted upgrade
/// has done. Call in a transaction.
pub(super) fn upgrade(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    for version in from..to {
        upgrade_from(connection, version)?;
    }
    for (name, wanted) in tables_of(to) {
        if is_in_another_order(connection, name, wanted)? {
            put_in_order(connection, name, wanted)?;
        }
    }
    if to >= VERSION_8 && has_swapped_values(connection)? {
        let swap = "update sessions set takeout_id = tmp_auth_key, tmp_auth_key = takeout_id where";
        connection.execute(&format!("{swap} {SWAPPED}"), [])?;
    }
    connection.execute("delete from version", [])?;
    connection.execute("insert into version values (?)", [to])?;
    Ok(())
}

/// Returns `true` if the last two columns of `sessions` hold each other's values. Telethon writes
/// by position, and so swaps them in a table with these columns in the other order.
fn has_swapped_values(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(&format!("select exists(select 1 from sessions where {SWAPPED})"), [], |row| row.get(0))
}

/// Upgrades from one version to the next. Telethon's changelogs and `_upgrade_database` tell the
/// reasons.
fn upgrade_from(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    let has = |table, column| has_column(connection, table, column);
    let statements: &[String] = &match version {
        // Version 2 introduced sent files, with other columns than from version 3 on.
        2 if !has_all_columns(connection, "sent_files", &SENT_FILES)? => {
            vec!["drop table if exists sent_files".to_owned(), table("sent_files", &SENT_FILES, UPGRADE)]
        }
        3 if !has_all_columns(connection, "update_state", &UPDATE_STATE)? => {
            vec![table("update_state", &UPDATE_STATE, UPGRADE)]
        }
        4 if !has("sessions", TAKEOUT_ID)? => vec![format!("alter table sessions add column {TAKEOUT_ID}")],
        // No change of columns: the access hashes in version 5 may be wrong. Entities with a date
        // are newer than that.
        5 if !has("entities", DATE)? => vec!["delete from entities".to_owned()],
        6 if !has("entities", DATE)? => vec![format!("alter table entities add column {DATE}")],
        7 if !has("sessions", TMP_AUTH_KEY)? => vec![format!("alter table sessions add column {TMP_AUTH_KEY}")],
        _ => vec![],
    };
    statements.iter().try_for_each(|statement| connection.execute(statement, []).map(drop))
}

/// Returns `true` if there is a table with these columns, as opposed to a view or an index.
fn has_all_columns(connection: &Connection, name: &str, wanted: &[&str]) -> rusqlite::Result<bool> {
    let columns = columns(connection, name)?;
    let is_table = tables_and_views(connection)?.iter().any(|(found, is_table, _)| found == name && *is_table);
    Ok(is_table && names(wanted).all(|wanted| columns.iter().any(|column| column.name == wanted)))
}

/// Recreates a table with its columns in Telethon's order.
fn put_in_order(connection: &Connection, name: &str, wanted: &[&str]) -> rusqlite::Result<()> {
    let columns = names(wanted).collect::<Vec<_>>().join(", ");
    for statement in [
        format!("alter table {name} rename to {name}_in_another_order"),
        table(name, wanted, NEW),
        format!("insert into {name} ({columns}) select {columns} from {name}_in_another_order"),
        format!("drop table {name}_in_another_order"),
    ] {
        connection.execute(&statement, [])?;
    }
    Ok(())
}
