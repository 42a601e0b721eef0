//! Creates tables.

use super::probe::Found;
use super::{BESIDE, ENTITIES, SEEN, SENT_FILES, SESSIONS, UPDATE_STATE, USERNAMES, VERSION, qualified};
use crate::connection::Connection;
use crate::error::Result;
use crate::options::{Dialect, SqlOptions};

pub(super) const BESIDE_COLUMNS: [&str; 8] =
    ["session_id", "login", "takeout_id", "tmp_auth_key", "fence", "lease_owner", "lease_until", "forgettings"];
/// The version of the layout in the table `version`, as telethon-session-sqlalchemy itself creates it.
const LAYOUT_VERSION: i64 = 2;

/// The columns by which rows are found through an index. Phones and names are looked up rarely: all
/// of a session's rows are read for them, because their indexes would double the time of writing.
fn indexed(table: &str) -> Option<&'static str> {
    match table {
        ENTITIES => Some("username"),
        USERNAMES => Some("id"),
        _ => None,
    }
}

/// Returns the tables that must be created.
///
/// Of the package's own tables either all or none: it would fail to create one that exists when it
/// upgrades an older layout.
pub(super) fn missing(options: &SqlOptions, found: &Found) -> Vec<&'static str> {
    if !options.manage_tables {
        return Vec::new();
    }
    let mut wanted = Vec::new();
    let is_new = !found.exists(SESSIONS);
    if is_new {
        wanted.extend([VERSION, SESSIONS, ENTITIES, SENT_FILES, UPDATE_STATE]);
    }
    wanted.extend([BESIDE, USERNAMES]);
    if found.table(options, ENTITIES, &[], &[]).is_ok_and(|entities| !super::has_date(&entities)) {
        wanted.push(SEEN);
    }
    wanted.retain(|table| !found.exists(table));
    wanted
}

/// Creates tables, unless another process does so at the same time.
pub(super) async fn create(
    connection: &mut Connection,
    options: &SqlOptions,
    found: &Found,
    tables: Vec<&'static str>,
) -> Result<()> {
    let mut statements = Vec::new();
    if options.dialect == Dialect::Postgres {
        // Creating a table that another transaction creates fails, even with `IF NOT EXISTS`.
        statements.push("SELECT pg_advisory_xact_lock(7461204537)".to_owned());
    }
    let has_version = found.has_only(VERSION, &["version"]) || !found.exists(VERSION);
    for table in &tables {
        statements.extend(statements_for(options, found, table));
    }
    if tables.contains(&SESSIONS) && has_version {
        let version = qualified(options, VERSION);
        statements.push(format!(
            "INSERT INTO {version} (version) SELECT {LAYOUT_VERSION} FROM (SELECT COUNT(*) AS rows_found FROM {version}) \
             AS counted WHERE rows_found = 0"
        ));
    }
    connection.begin().await?;
    connection.ask(statements.join("; ")).await?;
    connection.ask("COMMIT").await?;
    Ok(())
}

fn statements_for(options: &SqlOptions, found: &Found, table: &str) -> Vec<String> {
    let name = qualified(options, table);
    let is_postgres = options.dialect == Dialect::Postgres;
    let bytes = if is_postgres { "BYTEA" } else { "BLOB" };
    let digest = if is_postgres { "BYTEA" } else { "VARBINARY(64)" };
    // Texts are compared byte for byte: that is what sessions need, and it is faster.
    let collate = if is_postgres { " COLLATE \"C\"" } else { "" };
    let session = format!("session_id VARCHAR(255){collate} NOT NULL");
    let columns = match table {
        VERSION => "version INTEGER NOT NULL, PRIMARY KEY (version)".to_owned(),
        SESSIONS => format!(
            "{session}, dc_id INTEGER NOT NULL, server_address VARCHAR(255), port INTEGER, auth_key {bytes}, \
             PRIMARY KEY (session_id, dc_id)"
        ),
        ENTITIES => format!(
            "{session}, id BIGINT NOT NULL, hash BIGINT NOT NULL, username VARCHAR(32){collate}, phone BIGINT, \
             name VARCHAR(255){collate}, date BIGINT, PRIMARY KEY (session_id, id)"
        ),
        SENT_FILES => format!(
            "{session}, md5_digest {digest} NOT NULL, file_size BIGINT NOT NULL, type INTEGER NOT NULL, id BIGINT, \
             hash BIGINT, PRIMARY KEY (session_id, md5_digest, file_size, type)"
        ),
        UPDATE_STATE => format!(
            "{session}, entity_id BIGINT NOT NULL, pts BIGINT, qts BIGINT, date BIGINT, seq BIGINT, \
             unread_count INTEGER, PRIMARY KEY (session_id, entity_id)"
        ),
        BESIDE => format!(
            "{session}, login VARCHAR(64), takeout_id BIGINT, tmp_auth_key {bytes}, fence BIGINT NOT NULL DEFAULT 0, \
             lease_owner VARCHAR(512), lease_until BIGINT, forgettings BIGINT NOT NULL DEFAULT 0, \
             PRIMARY KEY (session_id)"
        ),
        SEEN => format!("{session}, id BIGINT NOT NULL, date BIGINT NOT NULL, PRIMARY KEY (session_id, id)"),
        USERNAMES => format!(
            "{session}, username VARCHAR(64){collate} NOT NULL, id BIGINT NOT NULL, position INTEGER NOT NULL, \
             PRIMARY KEY (session_id, username)"
        ),
        _ => return Vec::new(),
    };
    let index = match indexed(table) {
        Some(column) if !is_postgres => format!(", KEY {table}_{column} (session_id, {column})"),
        _ => String::new(),
    };
    let columns = columns + &index;
    let options_of_table = if is_postgres {
        // Room beside the rows lets an update leave the indexes alone.
        if table == ENTITIES { " WITH (fillfactor = 85)".to_owned() } else { String::new() }
    } else {
        let collation = found.collation.as_deref().unwrap_or("utf8mb4_bin");
        format!(" ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}")
    };
    let mut statements = vec![format!("CREATE TABLE IF NOT EXISTS {name} ({columns}){options_of_table}")];
    if let Some(column) = indexed(table).filter(|_| is_postgres) {
        statements.push(format!("CREATE INDEX ON {name} (session_id, {column}) WHERE {column} IS NOT NULL"));
    }
    statements
}
