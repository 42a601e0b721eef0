//! The tables, as they were found or created.
//!
//! They are those of telethon-session-sqlalchemy, so either package goes on with what the other wrote.
//! Tables that exist are used as they are and never altered: those that the package created, those of
//! mautrix-telegram, and others like them. What they have no column for is kept in tables beside them.

mod column;
mod create;
mod probe;

use std::collections::HashMap;

use session_core::store::Kind;

pub(crate) use column::{Charset, Type};

use crate::error::{Class, Result, SqlError};
use crate::options::{Dialect, SqlOptions};
use crate::pool::Pool;

pub(crate) const VERSION: &str = "version";
pub(crate) const SESSIONS: &str = "sessions";
pub(crate) const ENTITIES: &str = "entities";
pub(crate) const SENT_FILES: &str = "sent_files";
pub(crate) const UPDATE_STATE: &str = "update_state";
/// Beside each session: its takeout, its temporary key, its lease, and how many commits had
/// forgotten entities in them.
pub(crate) const BESIDE: &str = "telethon_session_rust";
/// When the entities of tables without such a column were last seen.
pub(crate) const SEEN: &str = "telethon_session_rust_seen";
/// The active usernames of entities besides the one in their row.
pub(crate) const USERNAMES: &str = "telethon_session_rust_usernames";
const ALL: [&str; 8] = [VERSION, SESSIONS, ENTITIES, SENT_FILES, UPDATE_STATE, BESIDE, SEEN, USERNAMES];

/// The column for the date when an entity was last seen, in tables that this package created.
pub(crate) const DATE: &str = "date";

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Its name, quoted, with its schema.
    pub(crate) name: String,
    columns: HashMap<String, Type>,
}

impl Table {
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    pub(crate) fn column(&self, column: &str) -> &Type {
        self.columns.get(column).unwrap_or(&Type::Other)
    }

    /// Returns the condition that a row belongs to a session.
    pub(crate) fn is_of(&self, dialect: Dialect, session: &str) -> String {
        dialect.equals("session_id", session, self.has_exact_sessions())
    }

    /// Likewise, for a table that a statement calls by another name.
    pub(crate) fn is_of_as(&self, name: &str, dialect: Dialect, session: &str) -> String {
        dialect.equals(&format!("{name}.session_id"), session, self.has_exact_sessions())
    }

    /// Returns `true` if the table tells apart all names of sessions.
    pub(crate) fn has_exact_sessions(&self) -> bool {
        self.column("session_id").is_exact()
    }
}

/// The tables.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dialect: Dialect,
    pub(crate) sessions: Table,
    pub(crate) entities: Table,
    pub(crate) sent_files: Option<Table>,
    pub(crate) update_state: Option<Table>,
    pub(crate) beside: Option<Table>,
    /// Only if the entities have no column for it.
    pub(crate) seen: Option<Table>,
    pub(crate) usernames: Option<Table>,
}

impl Layout {
    /// Returns `true` if the entities have a column for the date.
    pub(crate) fn has_date(&self) -> bool {
        has_date(&self.entities)
    }
}

/// Returns `true` if a table has a column for the date: a user's own may hold something else.
fn has_date(entities: &Table) -> bool {
    matches!(entities.column(DATE), Type::Integer(_))
}

/// Returns the name of a table, quoted, with its schema.
fn qualified(options: &SqlOptions, table: &str) -> String {
    let name = options.dialect.name(&format!("{}{table}", options.table_prefix));
    match &options.schema {
        Some(schema) => format!("{}.{name}", options.dialect.name(schema)),
        None => name,
    }
}

/// Finds the tables, and creates those that are missing if that is allowed.
pub(crate) async fn find_or_create(pool: &Pool) -> Result<Layout> {
    let options = &pool.options;
    let mut pooled = pool.get().await?;
    let connection = &mut pooled.connection;
    let mut found = probe::probe(connection, options).await?;
    let missing = create::missing(options, &found);
    if !missing.is_empty() {
        // Nothing is created beside the tables of another program.
        if found.exists(SESSIONS) {
            sessions_table(options, &found)?;
        }
        if found.exists(ENTITIES) {
            entities_table(options, &found)?;
        }
        match create::create(connection, options, &found, missing).await {
            // Another process may have created them at this moment.
            Err(error) if error.class == Class::Broken => return Err(error),
            Err(error) => {
                let (again, mut other) = (found, pool.get().await?);
                found = probe::probe(&mut other.connection, options).await?;
                if again.has_same_tables(&found) {
                    return Err(explain(options, error));
                }
                other.put_back();
                return recognise(options, &found);
            }
            Ok(()) => found = probe::probe(connection, options).await?,
        }
    }
    let layout = recognise(options, &found)?;
    pooled.put_back();
    Ok(layout)
}

fn explain(options: &SqlOptions, error: SqlError) -> SqlError {
    let SqlError { class, error: store_net::DriverError { kind, message, .. } } = error;
    let tables = qualified(options, SESSIONS);
    SqlError::new(class, kind, format!("its tables, such as {tables}, cannot be created: {message}"))
}

fn required(options: &SqlOptions, found: &probe::Found, table: &str, columns: &[&str], key: &[&str]) -> Result<Table> {
    found.table(options, table, columns, key).map_err(|missing| {
        let name = qualified(options, table);
        let advice = "set `table_prefix` or `schema` to use other tables";
        SqlError::other(Kind::NotASession, format!("{name} {missing}; {advice}"))
    })
}

fn sessions_table(options: &SqlOptions, found: &probe::Found) -> Result<Table> {
    let columns = ["session_id", "dc_id", "server_address", "port", "auth_key"];
    let table = required(options, found, SESSIONS, &columns, &[])?;
    if !matches!(table.column("auth_key"), Type::Bytes { .. }) {
        let message = format!("the column auth_key of {} does not hold bytes", table.name);
        return Err(SqlError::other(Kind::NotASession, message));
    }
    Ok(table)
}

fn entities_table(options: &SqlOptions, found: &probe::Found) -> Result<Table> {
    let columns = ["session_id", "id", "hash", "username", "phone", "name"];
    required(options, found, ENTITIES, &columns, &["session_id", "id"])
}

/// Tells which of the tables can be used.
fn recognise(options: &SqlOptions, found: &probe::Found) -> Result<Layout> {
    let optional = |table: &'static str, columns: &[&str], key: &[&str]| {
        if !found.exists(table) {
            return None;
        }
        let usable = found.table(options, table, columns, key);
        usable.inspect_err(|missing| log::warn!("{} is not used: it {missing}", qualified(options, table))).ok()
    };
    if !found.exists(SESSIONS) && !options.manage_tables {
        let name = qualified(options, SESSIONS);
        let message = format!("there is no table {name}, and `manage_tables` is false");
        return Err(SqlError::other(Kind::CannotOpen, message));
    }
    let sessions = sessions_table(options, found)?;
    let entities = entities_table(options, found)?;
    let file_key = ["session_id", "md5_digest", "file_size", "type"];
    let seen =
        if has_date(&entities) { None } else { optional(SEEN, &["session_id", "id", DATE], &["session_id", "id"]) };
    Ok(Layout {
        dialect: options.dialect,
        sessions,
        entities,
        sent_files: optional(SENT_FILES, &["session_id", "md5_digest", "file_size", "type", "id", "hash"], &file_key),
        update_state: optional(
            UPDATE_STATE,
            &["session_id", "entity_id", "pts", "qts", "date", "seq"],
            &["session_id", "entity_id"],
        ),
        beside: optional(BESIDE, &create::BESIDE_COLUMNS, &["session_id"]),
        seen,
        usernames: optional(USERNAMES, &["session_id", "username", "id", "position"], &["session_id", "username"]),
    })
}
