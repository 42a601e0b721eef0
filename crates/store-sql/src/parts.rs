//! What a transaction writes, part by part. Each part is some rows of one table.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use session_core::store::{FileKey, SentFile, UpdateState};
use store_net::Commit;

use crate::bulk::{Upsert, Values};
use crate::connection::Connection;
use crate::error::Result;
use crate::gone;
use crate::layout::{DATE, Layout, Table, Type};
use crate::logins::{self, Login};
use crate::merge::{EntityRow, merge};
use crate::sanitize;
use crate::sql::numbers;
use crate::usernames;

/// Some rows of one table.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Logins(Vec<Login<'a>>),
    /// Whole entities.
    Full(Vec<EntityRow<'a>>),
    AccessHashes(Vec<EntityRow<'a>>),
    Dates(Vec<EntityRow<'a>>),
    /// Dates in the table beside the entities.
    Seen(Vec<EntityRow<'a>>),
    LostUsernames(Vec<(&'a str, i64)>),
    Usernames(Vec<EntityRow<'a>>),
    /// Entities to delete.
    Gone(Vec<EntityRow<'a>>),
    UpdateStates(Vec<(&'a str, i64, UpdateState)>),
    SentFiles(Vec<(&'a str, &'a FileKey, SentFile)>),
}

/// Returns everything that commits write except credentials.
pub(crate) fn parts<'a>(layout: &Layout, commits: &[&'a Commit]) -> Vec<Part<'a>> {
    let merged = merge(commits.iter().copied());
    let mut seen = Vec::new();
    if layout.seen.is_some() {
        seen.extend(merged.full.iter().chain(&merged.access_hashes).chain(&merged.dates).copied());
        seen.sort_unstable_by_key(|row| (row.session, row.id));
    }
    let (mut states, mut files) = (BTreeMap::new(), BTreeMap::new());
    for commit in commits {
        let session: &str = &commit.session;
        for (id, state) in &commit.changes.update_states {
            states.insert((session, *id), *state);
        }
        for (key, file) in &commit.changes.sent_files {
            files.insert((session, &key.md5_digest, key.size, key.kind as i64), (key, *file));
        }
    }
    let mut parts = vec![
        Part::Gone(merged.gone),
        Part::Full(merged.full),
        Part::AccessHashes(merged.access_hashes),
        Part::Dates(if layout.has_date() { merged.dates } else { Vec::new() }),
        Part::Seen(seen),
        Part::LostUsernames(merged.lost_usernames),
        Part::Usernames(if layout.usernames.is_some() { merged.usernames } else { Vec::new() }),
        Part::UpdateStates(states.into_iter().map(|((session, id), state)| (session, id, state)).collect()),
        Part::SentFiles(files.into_iter().map(|((session, ..), (key, file))| (session, key, file)).collect()),
    ];
    parts.retain(|part| part.len() > 0);
    parts
}

impl Part<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Logins(rows) => rows.len(),
            Self::Full(rows)
            | Self::AccessHashes(rows)
            | Self::Dates(rows)
            | Self::Seen(rows)
            | Self::Usernames(rows)
            | Self::Gone(rows) => rows.len(),
            Self::LostUsernames(rows) => rows.len(),
            Self::UpdateStates(rows) => rows.len(),
            Self::SentFiles(rows) => rows.len(),
        }
    }

    /// Returns what the rows are, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Logins(_) => "login",
            Self::UpdateStates(_) => "update state",
            Self::SentFiles(_) => "sent file",
            _ => "entity",
        }
    }

    /// Writes some of the rows. `is_bare` leaves out what is not needed and may be what the server
    /// refuses.
    pub(crate) async fn write(
        &self,
        connection: &mut Connection,
        layout: &Layout,
        rows: Range<usize>,
        is_bare: bool,
    ) -> Result<()> {
        fn some<T>(rows: &[T], range: Range<usize>) -> &[T] {
            rows.get(range).unwrap_or_default()
        }
        match self {
            Self::Logins(logins) => logins::write(connection, layout, some(logins, rows)).await,
            Self::Full(entities) => full(connection, layout, some(entities, rows), is_bare).await,
            Self::AccessHashes(entities) => {
                let update: &[_] = if layout.has_date() { &["hash", DATE] } else { &["hash"] };
                short(connection, layout, some(entities, rows), update).await
            }
            Self::Dates(entities) => {
                let rows = stored(connection, layout, some(entities, rows)).await?;
                short(connection, layout, &rows, &[DATE]).await
            }
            Self::Seen(entities) => match &layout.seen {
                Some(table) => {
                    let rows = stored(connection, layout, some(entities, rows)).await?;
                    seen(connection, table, &rows).await
                }
                None => Ok(()),
            },
            Self::Gone(entities) => gone::delete(connection, layout, some(entities, rows)).await,
            Self::LostUsernames(ids) => forget_usernames(connection, layout, some(ids, rows)).await,
            Self::Usernames(entities) => match &layout.usernames {
                Some(table) => usernames::write(connection, layout.dialect, table, some(entities, rows)).await,
                None => Ok(()),
            },
            Self::UpdateStates(states) => match &layout.update_state {
                Some(table) => update_states(connection, table, some(states, rows)).await,
                None => Ok(()),
            },
            Self::SentFiles(files) => match &layout.sent_files {
                Some(table) => sent_files(connection, table, some(files, rows)).await,
                None => Ok(()),
            },
        }
    }
}

/// Returns the dates when entities were last seen.
fn dates<'a>(table: &Table, rows: &[EntityRow<'_>]) -> Values<'a> {
    let column = table.column(DATE);
    Values::Integers(rows.iter().map(|row| column.integer(row.seen.into())).collect())
}

const ENTITY_KEY: &[&str] = &["session_id", "id"];

async fn full(connection: &mut Connection, layout: &Layout, rows: &[EntityRow<'_>], is_bare: bool) -> Result<()> {
    let table = &layout.entities;
    let [username, phone, name] = ["username", "phone", "name"].map(|column| table.column(column));
    let names: Vec<Option<Cow<'_, str>>> =
        rows.iter().map(|row| row.texts[2].filter(|_| !is_bare).and_then(|text| sanitize::name(name, text))).collect();
    let usernames =
        rows.iter().map(|row| row.texts[0].filter(|_| !is_bare).and_then(|text| sanitize::username(username, text)));
    let phones = rows.iter().map(|row| row.texts[1].filter(|_| !is_bare));
    let phones = match phone {
        Type::Text { .. } => Values::Texts(phones.map(|text| sanitize::username(phone, text?)).collect()),
        _ => Values::Integers(phones.map(|text| sanitize::phone_number(phone, text?)).collect()),
    };
    let mut columns = vec![
        ("session_id", Values::texts(rows.iter().map(|row| row.session))),
        ("id", Values::integers(rows.iter().map(|row| row.id))),
        ("hash", Values::integers(rows.iter().map(|row| row.access_hash))),
        ("username", Values::Texts(usernames.collect())),
        ("phone", phones),
        ("name", Values::Texts(names.iter().map(Option::as_deref).collect())),
    ];
    let mut update = vec!["hash", "username", "phone", "name"];
    if layout.has_date() {
        columns.push((DATE, dates(table, rows)));
        update.push(DATE);
    }
    Upsert { table, columns, key: ENTITY_KEY, update, is_secret: false }.execute(connection).await
}

/// Writes entities without their texts. Those that are stored stay.
async fn short(
    connection: &mut Connection,
    layout: &Layout,
    rows: &[EntityRow<'_>],
    update: &[&'static str],
) -> Result<()> {
    let mut columns = vec![
        ("session_id", Values::texts(rows.iter().map(|row| row.session))),
        ("id", Values::integers(rows.iter().map(|row| row.id))),
        ("hash", Values::integers(rows.iter().map(|row| row.access_hash))),
    ];
    let table = &layout.entities;
    if layout.has_date() {
        columns.push((DATE, dates(table, rows)));
    }
    Upsert { table, columns, key: ENTITY_KEY, update: update.to_vec(), is_secret: false }.execute(connection).await
}

/// Returns those of the entities that are stored, and locks them. The others were forgotten by
/// another process, and a date brings none of them back.
async fn stored<'a>(
    connection: &mut Connection,
    layout: &Layout,
    rows: &[EntityRow<'a>],
) -> Result<Vec<EntityRow<'a>>> {
    let table = &layout.entities;
    let mut found = Vec::with_capacity(rows.len());
    for session in rows.chunk_by(|a, b| a.session == b.session) {
        let Some(first) = session.first() else { continue };
        let ids: Vec<i64> = session.iter().map(|row| row.id).collect();
        let (ids, is_of) = (numbers(&ids), table.is_of(layout.dialect, first.session));
        let sql = format!("SELECT id FROM {} WHERE {is_of} AND id IN ({ids}) ORDER BY id FOR UPDATE", table.name);
        let answers = connection.ask(sql).await?;
        let stored: HashSet<i64> = answers.rows(0).iter().filter_map(|row| row.integer(0)).collect();
        found.extend(session.iter().filter(|row| stored.contains(&row.id)));
    }
    Ok(found)
}

async fn seen(connection: &mut Connection, table: &Table, rows: &[EntityRow<'_>]) -> Result<()> {
    let columns = vec![
        ("session_id", Values::texts(rows.iter().map(|row| row.session))),
        ("id", Values::integers(rows.iter().map(|row| row.id))),
        (DATE, dates(table, rows)),
    ];
    Upsert { table, columns, key: ENTITY_KEY, update: vec![DATE], is_secret: false }.execute(connection).await
}

async fn forget_usernames(connection: &mut Connection, layout: &Layout, rows: &[(&str, i64)]) -> Result<()> {
    let table = &layout.entities;
    for session in rows.chunk_by(|(a, _), (b, _)| a == b) {
        let Some((name, _)) = session.first() else { continue };
        let ids: Vec<i64> = session.iter().map(|(_, id)| *id).collect();
        let (ids, is_of) = (numbers(&ids), table.is_of(layout.dialect, name));
        let sql = format!("UPDATE {} SET username = NULL WHERE {is_of} AND id IN ({ids})", table.name);
        connection.ask(sql).await?;
    }
    Ok(())
}

async fn update_states(connection: &mut Connection, table: &Table, rows: &[(&str, i64, UpdateState)]) -> Result<()> {
    let number = |column: &'static str, value: fn(&UpdateState) -> Option<i64>| {
        let kind = table.column(column);
        let values = rows.iter().map(|(.., state)| value(state).and_then(|number| kind.integer(number)));
        (column, Values::Integers(values.collect()))
    };
    let date = match table.column(DATE) {
        Type::Real => (DATE, Values::Reals(rows.iter().map(|(.., state)| state.date).collect())),
        _ => number(DATE, |state| state.date.and_then(whole_seconds)),
    };
    let mut columns = vec![
        ("session_id", Values::texts(rows.iter().map(|(session, ..)| *session))),
        ("entity_id", Values::integers(rows.iter().map(|(_, id, _)| *id))),
        number("pts", |state| state.pts),
        number("qts", |state| state.qts),
        date,
        number("seq", |state| state.seq),
    ];
    if table.has("unread_count") {
        // The package reads it. A count that it has written stays.
        columns.push(("unread_count", Values::integers(rows.iter().map(|_| 0))));
    }
    let update = vec!["pts", "qts", DATE, "seq"];
    Upsert { table, columns, key: &["session_id", "entity_id"], update, is_secret: false }.execute(connection).await
}

/// Returns a date in whole seconds; `None` if no 64 bits hold it.
fn whole_seconds(date: f64) -> Option<i64> {
    const LIMIT: f64 = 9e18;
    #[allow(clippy::cast_possible_truncation)]
    (date.abs() < LIMIT).then(|| date.round() as i64)
}

async fn sent_files(connection: &mut Connection, table: &Table, rows: &[(&str, &FileKey, SentFile)]) -> Result<()> {
    let most = match table.column("md5_digest") {
        Type::Bytes { most } => *most,
        _ => usize::MAX,
    };
    // The package's own tables hold sizes up to 2 GiB.
    let fits = |key: &FileKey| table.column("file_size").integer(key.size).is_some() && key.md5_digest.len() <= most;
    let rows: Vec<_> = rows.iter().filter(|(_, key, _)| fits(key)).collect();
    let columns = vec![
        ("session_id", Values::texts(rows.iter().map(|(session, ..)| *session))),
        ("md5_digest", Values::Bytes(rows.iter().map(|(_, key, _)| Some(key.md5_digest.as_slice())).collect())),
        ("file_size", Values::integers(rows.iter().map(|(_, key, _)| key.size))),
        ("type", Values::integers(rows.iter().map(|(_, key, _)| key.kind as i64))),
        ("id", Values::integers(rows.iter().map(|(.., (id, _))| *id))),
        ("hash", Values::integers(rows.iter().map(|(.., (_, access_hash))| *access_hash))),
    ];
    let key = &["session_id", "md5_digest", "file_size", "type"];
    Upsert { table, columns, key, update: vec!["id", "hash"], is_secret: false }.execute(connection).await
}
