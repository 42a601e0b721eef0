//! Deletes entities that were forgotten.

use std::collections::BTreeMap;

use crate::connection::Connection;
use crate::error::Result;
use crate::layout::{DATE, Layout};
use crate::merge::EntityRow;
use crate::sql::numbers;

/// Deletes rows, each if it was last seen before a date.
pub(crate) async fn delete(connection: &mut Connection, layout: &Layout, rows: &[EntityRow<'_>]) -> Result<()> {
    let mut groups: BTreeMap<(&str, u32), Vec<i64>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.session, row.seen)).or_default().push(row.id);
    }
    for ((session, before), ids) in groups {
        let before = Some(before).filter(|before| *before != u32::MAX);
        connection.ask(statements(layout, session, before, &numbers(&ids)).join("; ")).await?;
    }
    Ok(())
}

fn statements(layout: &Layout, session: &str, before: Option<u32>, ids: &str) -> Vec<String> {
    let mut statements = statements_of_rows(layout, session, before, ids);
    if let Some(usernames) = &layout.usernames {
        let (entities, dialect) = (&layout.entities, layout.dialect);
        let is_left =
            format!("SELECT id FROM {} WHERE {} AND id IN ({ids})", entities.name, entities.is_of(dialect, session));
        let is_of = usernames.is_of(dialect, session);
        statements
            .push(format!("DELETE FROM {} WHERE {is_of} AND id IN ({ids}) AND id NOT IN ({is_left})", usernames.name));
    }
    statements
}

fn statements_of_rows(layout: &Layout, session: &str, before: Option<u32>, ids: &str) -> Vec<String> {
    let Layout { dialect, entities: table, .. } = layout;
    let name = &table.name;
    let (is_of, in_ids) = (table.is_of(*dialect, session), format!("id IN ({ids})"));
    let Some(seen) = &layout.seen else {
        // Where no date is stored, none was seen later by another process.
        let is_old = before.filter(|_| layout.has_date());
        let is_old = is_old.map_or(String::new(), |before| format!(" AND COALESCE({DATE}, 0) < {before}"));
        return vec![format!("DELETE FROM {name} WHERE {is_of} AND {in_ids}{is_old}")];
    };
    let seen_is_of = seen.is_of(*dialect, session);
    let stays = |before| format!("SELECT id FROM {} WHERE {seen_is_of} AND {in_ids} AND {DATE} >= {before}", seen.name);
    let is_old = before.map_or(String::new(), |before| format!(" AND id NOT IN ({})", stays(before)));
    let is_old_date = before.map_or(String::new(), |before| format!(" AND {DATE} < {before}"));
    vec![
        format!("DELETE FROM {name} WHERE {is_of} AND {in_ids}{is_old}"),
        format!("DELETE FROM {} WHERE {seen_is_of} AND {in_ids}{is_old_date}", seen.name),
    ]
}
