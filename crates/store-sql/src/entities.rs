//! Finds entities, and reads all of them.

use std::ops::RangeInclusive;

use session_core::entity_table::{EntityBatch, TextField};
use store_net::{OwnedQuery, Pages};

use crate::connection::Row;
use crate::error::{Class, Result};
use crate::layout::{Layout, Type};
use crate::options::Dialect;
use crate::pool::Pool;
use crate::sanitize::phone_number;
use crate::sql::numbers;
use crate::usernames::{self, Aliases};

/// How many entities with one username, phone or name are returned.
const MOST_FOUND: usize = 100;
/// How many entities a page of a scan has.
const PAGE: usize = 5000;

/// Returns a statement that reads the entities of a session, up to the first condition.
fn select(layout: &Layout, session: &str) -> String {
    let dialect = layout.dialect;
    let [username, phone, name] = ["username", "phone", "name"].map(|column| dialect.as_text(&format!("e.{column}")));
    let (date, join) = match &layout.seen {
        Some(seen) => {
            let is_of = dialect.equals("s.session_id", session, seen.has_exact_sessions());
            ("s.date", format!(" LEFT JOIN {} s ON {is_of} AND s.id = e.id", seen.name))
        }
        None if layout.has_date() => ("e.date", String::new()),
        None => ("NULL", String::new()),
    };
    let is_of = dialect.equals("e.session_id", session, layout.entities.has_exact_sessions());
    let table = &layout.entities.name;
    format!("SELECT e.id, e.hash, {username}, {phone}, {name}, {date} FROM {table} e{join} WHERE {is_of}")
}

/// Returns the entities that a query may mean.
pub(crate) async fn find(pool: &Pool, layout: &Layout, session: &str, query: &OwnedQuery) -> Result<EntityBatch> {
    let table = &layout.entities;
    let condition = match query {
        OwnedQuery::Ids(ids) if ids.is_empty() => return Ok(EntityBatch::default()),
        OwnedQuery::Ids(ids) => format!("e.id IN ({})", numbers(ids)),
        // No server stores one.
        OwnedQuery::Text(_, text) if text.contains('\0') => return Ok(EntityBatch::default()),
        OwnedQuery::Text(field, text) => {
            let column = match field {
                TextField::Username => "username",
                TextField::Phone => "phone",
                TextField::Name => "name",
            };
            match (field, table.column(column)) {
                (_, kind @ Type::Text { .. }) => layout.dialect.equals(&format!("e.{column}"), text, kind.is_exact()),
                (TextField::Phone, kind) => match phone_number(kind, text) {
                    Some(number) => format!("e.phone = {number}"),
                    None => return Ok(EntityBatch::default()),
                },
                _ => return Ok(EntityBatch::default()),
            }
        }
    };
    let limit = match query {
        OwnedQuery::Ids(ids) => ids.len(),
        OwnedQuery::Text(..) => MOST_FOUND,
    };
    let (select, is_of) = (select(layout, session), table.is_of_as("e", layout.dialect, session));
    let mut statements = vec![format!("{select} AND {condition} LIMIT {limit}")];
    if let Some(usernames) = &layout.usernames {
        let mut found = format!("SELECT e.id FROM {} e WHERE {is_of} AND {condition} LIMIT {limit}", table.name);
        if let OwnedQuery::Text(TextField::Username, text) = query {
            let owner = usernames::owner(layout.dialect, usernames, session, text);
            statements.push(format!("{select} AND e.id IN ({owner})"));
            found = format!("({found}) UNION ({owner})");
        }
        statements.push(usernames::of(layout.dialect, usernames, session, &found));
    }
    let answers = match pool.ask(&statements.join("; ")).await {
        // The database's encoding does not have such characters.
        Err(error) if error.class == Class::Data => return Ok(EntityBatch::default()),
        answers => answers?,
    };
    let (last, mut batch) = (statements.len() - 1, EntityBatch::default());
    let (entities, aliases) = if layout.usernames.is_some() {
        (0..last, Aliases::read(answers.rows(last)))
    } else {
        (0..statements.len(), Aliases::default())
    };
    for row in entities.flat_map(|statement| answers.rows(statement)) {
        push(&mut batch, row, &aliases);
    }
    Ok(batch)
}

/// Counts the entities whose marked IDs are in a range.
pub(crate) async fn count(pool: &Pool, layout: &Layout, session: &str, ids: &RangeInclusive<i64>) -> Result<usize> {
    let is_of = layout.entities.is_of(layout.dialect, session);
    // Without a condition for all of them, which some servers would look at.
    let range = if *ids == (i64::MIN..=i64::MAX) {
        String::new()
    } else {
        format!(" AND id BETWEEN {} AND {}", ids.start(), ids.end())
    };
    let answers = pool.ask(&format!("SELECT COUNT(*) FROM {} WHERE {is_of}{range}", layout.entities.name)).await?;
    let count = answers.first_row().and_then(|row| row.integer(0)).unwrap_or(0);
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Sends all entities of a session.
pub(crate) async fn scan(pool: &Pool, layout: &Layout, session: &str, pages: &Pages) -> Result<()> {
    let select = select(layout, session);
    let usernames = match &layout.usernames {
        Some(table) if usernames::are_any(pool, table, session).await? => Some(table),
        _ => None,
    };
    let mut after = String::new();
    loop {
        let answers = pool.ask(&page(layout, &format!("{select}{after}"))).await?;
        let rows = answers.rows(answers.0.len().saturating_sub(2));
        let aliases = match (usernames, rows.first().zip(rows.last())) {
            (Some(table), Some((first, last))) => {
                usernames::between(pool, table, session, first.integer(0), last.integer(0)).await?
            }
            _ => Aliases::default(),
        };
        let mut batch = EntityBatch::with_capacity(rows.len());
        for row in rows {
            push(&mut batch, row, &aliases);
        }
        let last = rows.last().and_then(|row| row.integer(0)).filter(|_| rows.len() >= PAGE);
        if !pages.send(batch).await {
            return Ok(());
        }
        match last {
            Some(id) => after = format!(" AND e.id > {id}"),
            None => return Ok(()),
        }
    }
}

/// Returns the statements that read a page; the last but one returns it.
fn page(layout: &Layout, select: &str) -> String {
    let (begin, end) = match layout.dialect {
        // Before it has counted the rows, PostgreSQL would read all of them and sort them for each page.
        Dialect::Postgres => {
            ("BEGIN READ ONLY; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; ", "; COMMIT")
        }
        Dialect::MySql => ("", "; DO 0"),
    };
    format!("{begin}{select} ORDER BY e.id LIMIT {PAGE}{end}")
}

/// Adds a row and its aliases, unless its ID or access hash is not an integer.
fn push(batch: &mut EntityBatch, row: &Row, aliases: &Aliases) {
    let (Some(id), Some(access_hash)) = (row.integer(0), row.integer(1)) else { return };
    let seen = row.integer(5).unwrap_or(0).max(0);
    let texts = [row.text(2), row.text(3), row.text(4)].map(|text| text.map(str::as_bytes));
    batch.push_stored(id, access_hash, u32::try_from(seen).unwrap_or(u32::MAX), texts);
    aliases.add_to_last(batch);
}
