//! The table of aliases: the active usernames of entities besides the one in their row. A username
//! belongs to the entity that was seen with it last.

use std::collections::{BTreeMap, HashMap};

use session_core::entity_table::EntityBatch;

use crate::bulk::{Upsert, Values};
use crate::connection::{Connection, Row};
use crate::error::Result;
use crate::layout::Table;
use crate::merge::EntityRow;
use crate::options::Dialect;
use crate::pool::Pool;
use crate::sanitize;
use crate::sql::numbers;

/// How many aliases one statement deletes.
const MOST_DELETED: usize = 1000;

/// Aliases by the marked ID of their entity, in order.
#[derive(Debug, Default)]
pub(crate) struct Aliases(HashMap<i64, Vec<String>>);

impl Aliases {
    /// Reads rows of an ID and a username.
    pub(crate) fn read(rows: &[Row]) -> Self {
        let mut aliases = Self::default();
        for row in rows {
            if let (Some(id), Some(username)) = (row.integer(0), row.text(1)) {
                aliases.0.entry(id).or_default().push(username.to_owned());
            }
        }
        aliases
    }

    /// Adds its aliases to the entity that was added to a batch last.
    pub(crate) fn add_to_last(&self, batch: &mut EntityBatch) {
        let last = batch.len().checked_sub(1).and_then(|last| batch.get(last));
        for alias in last.and_then(|last| self.0.get(&last.id)).into_iter().flatten() {
            batch.push_alias(alias.as_bytes());
        }
    }
}

/// Returns the statement that selects the ID of the entity with an alias.
pub(crate) fn owner(dialect: Dialect, table: &Table, session: &str, alias: &str) -> String {
    let is_it = dialect.equals("o.username", alias, table.column("username").is_exact());
    format!("SELECT o.id FROM {} o WHERE {} AND {is_it}", table.name, table.is_of_as("o", dialect, session))
}

/// Returns the statement that reads the aliases of the entities whose IDs `found` selects.
pub(crate) fn of(dialect: Dialect, table: &Table, session: &str, found: &str) -> String {
    let (name, is_of) = (&table.name, table.is_of_as("u", dialect, session));
    format!(
        "SELECT u.id, u.username FROM ({found}) AS found JOIN {name} u ON {is_of} AND u.id = found.id \
         ORDER BY u.id, u.position"
    )
}

/// Returns `true` if a session has any aliases.
pub(crate) async fn are_any(pool: &Pool, table: &Table, session: &str) -> Result<bool> {
    let is_of = table.is_of(pool.options.dialect, session);
    let answers = pool.ask(&format!("SELECT 1 FROM {} WHERE {is_of} LIMIT 1", table.name)).await?;
    Ok(answers.first_row().is_some())
}

/// Reads the aliases of the entities from one marked ID to another.
pub(crate) async fn between(
    pool: &Pool,
    table: &Table,
    session: &str,
    first: Option<i64>,
    last: Option<i64>,
) -> Result<Aliases> {
    let is_of = table.is_of(pool.options.dialect, session);
    let (first, last) = (first.unwrap_or(i64::MIN), last.unwrap_or(i64::MAX));
    let select = format!("SELECT id, username FROM {} WHERE {is_of}", table.name);
    let answers = pool.ask(&format!("{select} AND id BETWEEN {first} AND {last} ORDER BY id, position")).await?;
    Ok(Aliases::read(answers.rows(0)))
}

/// Writes the aliases of entities, and deletes those that they no longer have.
pub(crate) async fn write(
    connection: &mut Connection,
    dialect: Dialect,
    table: &Table,
    rows: &[EntityRow<'_>],
) -> Result<()> {
    let mut owners = BTreeMap::new();
    for session in rows.chunk_by(|a, b| a.session == b.session) {
        delete_lost(connection, dialect, table, session).await?;
        for row in session.iter().filter(|row| row.is_full()) {
            for (position, alias) in (0_i64..).zip(aliases(table, row)) {
                let owner = owners.entry((row.session, alias)).or_insert((row.seen, row.id, position));
                *owner = (*owner).max((row.seen, row.id, position));
            }
        }
    }
    let columns = vec![
        ("session_id", Values::texts(owners.keys().map(|(session, _)| *session))),
        ("username", Values::texts(owners.keys().map(|(_, alias)| *alias))),
        ("id", Values::integers(owners.values().map(|(_, id, _)| *id))),
        ("position", Values::integers(owners.values().map(|(.., position)| *position))),
    ];
    let (key, update) = (&["session_id", "username"], vec!["id", "position"]);
    Upsert { table, columns, key, update, is_secret: false }.execute(connection).await
}

/// Deletes what entities of a session are no longer called. Looks for it first, because nearly always
/// there is nothing, and deleting nothing locks rows that do not exist.
async fn delete_lost(
    connection: &mut Connection,
    dialect: Dialect,
    table: &Table,
    rows: &[EntityRow<'_>],
) -> Result<()> {
    let Some(session) = rows.first().map(|row| row.session) else { return Ok(()) };
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let (name, is_of) = (&table.name, table.is_of(dialect, session));
    let select = format!("SELECT id, username FROM {name} WHERE {is_of} AND id IN ({})", numbers(&ids));
    let answers = connection.ask(select).await?;
    let is_lost = |row: &&Row| {
        let (Some(id), Some(username)) = (row.integer(0), row.text(1)) else { return false };
        let entity = rows.binary_search_by_key(&id, |row| row.id).ok().and_then(|at| rows.get(at));
        !entity.is_some_and(|entity| aliases(table, entity).any(|alias| alias == username))
    };
    let is_exact = table.column("username").is_exact();
    let lost: Vec<String> = (answers.rows(0).iter().filter(is_lost))
        .filter_map(|row| {
            Some(format!("(id = {} AND {})", row.integer(0)?, dialect.equals("username", row.text(1)?, is_exact)))
        })
        .collect();
    for lost in lost.chunks(MOST_DELETED) {
        connection.ask(format!("DELETE FROM {name} WHERE {is_of} AND ({})", lost.join(" OR "))).await?;
    }
    Ok(())
}

/// Returns the aliases of an entity that the table can hold.
fn aliases<'a>(table: &'a Table, row: &EntityRow<'a>) -> impl Iterator<Item = &'a str> {
    let column = table.column("username");
    let aliases = row.named.aliases().filter_map(|alias| std::str::from_utf8(alias).ok());
    aliases.filter_map(move |alias| sanitize::username(column, alias))
}
