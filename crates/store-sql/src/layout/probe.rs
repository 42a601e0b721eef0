//! Looks which tables exist, and how they were made.

use std::collections::HashMap;

use super::column::Type;
use super::{ALL, Table, qualified};
use crate::connection::{Connection, Row};
use crate::error::Result;
use crate::options::{Dialect, SqlOptions};

/// The tables that exist.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By the name without prefix.
    tables: HashMap<&'static str, FoundTable>,
    /// The collation that compares byte for byte, in a `MySQL` server that has one.
    pub(super) collation: Option<String>,
}

#[derive(Debug, Default, PartialEq)]
struct FoundTable {
    columns: HashMap<String, Type>,
    /// The columns of each unique index, sorted and joined by commas.
    keys: Vec<String>,
}

impl Found {
    pub(super) fn exists(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    pub(super) fn has_same_tables(&self, other: &Self) -> bool {
        self.tables == other.tables
    }

    /// Returns `true` if a table has exactly these columns.
    pub(super) fn has_only(&self, table: &str, columns: &[&str]) -> bool {
        self.tables.get(table).is_some_and(|found| {
            found.columns.len() == columns.len() && columns.iter().all(|column| found.columns.contains_key(*column))
        })
    }

    /// Returns a table, or says what it lacks.
    pub(super) fn table(
        &self,
        options: &SqlOptions,
        table: &str,
        columns: &[&str],
        key: &[&str],
    ) -> std::result::Result<Table, String> {
        let found = self.tables.get(table).ok_or("does not exist")?;
        if let Some(missing) = columns.iter().find(|column| !found.columns.contains_key(**column)) {
            return Err(format!("has no column {missing}, so it is not one of telethon-session-sqlalchemy"));
        }
        let mut sorted = key.to_vec();
        sorted.sort_unstable();
        let sorted = sorted.join(",");
        if !key.is_empty() && !found.keys.contains(&sorted) {
            return Err(format!("has no primary key ({})", key.join(", ")));
        }
        Ok(Table { name: qualified(options, table), columns: found.columns.clone() })
    }
}

/// Looks which tables exist.
pub(super) async fn probe(connection: &mut Connection, options: &SqlOptions) -> Result<Found> {
    let dialect = options.dialect;
    let (sql, known) = match dialect {
        Dialect::Postgres => (postgres(options), None),
        Dialect::MySql => (mysql(options), Some(&options.table_prefix)),
    };
    let answers = connection.ask(sql).await?;
    let mut found = Found::default();
    // PostgreSQL says which of the tables it is, MySQL its name.
    let which = |row: &Row| {
        let name = row.text(0)?;
        let name = known.map_or(Some(name), |prefix| {
            let (start, rest) = name.split_at_checked(prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then_some(rest)
        })?;
        ALL.into_iter().find(|table| *table == name)
    };
    for row in answers.rows(0) {
        let (Some(table), Some(column), Some(declared)) = (which(row), row.text(1), row.text(2)) else { continue };
        let declared = match dialect {
            Dialect::Postgres => Type::of_postgres(declared),
            Dialect::MySql => {
                let text = |at| row.text(at).unwrap_or_default();
                Type::of_mysql(declared, row.integer(3), text(4), text(5))
            }
        };
        found.tables.entry(table).or_default().columns.insert(column.to_ascii_lowercase(), declared);
    }
    for row in answers.rows(1) {
        let (Some(table), Some(columns)) = (which(row), row.text(1)) else { continue };
        // One without columns was created by another process between the two questions.
        if let Some(table) = found.tables.get_mut(table) {
            table.keys.push(columns.to_ascii_lowercase());
        }
    }
    found.collation = answers.rows(2).first().and_then(|row| row.text(0)).map(str::to_owned);
    Ok(found)
}

fn postgres(options: &SqlOptions) -> String {
    let dialect = options.dialect;
    let tables = ALL.map(|table| format!("('{table}', to_regclass({}))", dialect.text(&qualified(options, table))));
    let tables = format!("(VALUES {}) AS t (name, oid)", tables.join(","));
    format!(
        "SELECT t.name, a.attname::text, format_type(a.atttypid, a.atttypmod) FROM {tables} \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped; \
         SELECT t.name, (SELECT string_agg(a.attname::text, ',' ORDER BY a.attname::text COLLATE \"C\") \
         FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY (i.indkey)) FROM {tables} \
         JOIN pg_index i ON i.indrelid = t.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
         AND i.indexprs IS NULL"
    )
}

fn mysql(options: &SqlOptions) -> String {
    let dialect = options.dialect;
    let schema = options.schema.as_ref().map_or("DATABASE()".to_owned(), |schema| dialect.text(schema));
    let names: Vec<String> = ALL.iter().map(|table| format!("{}{table}", options.table_prefix)).collect();
    let names = dialect.is_one_of("TABLE_NAME", names.iter().map(String::as_str));
    format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_MAXIMUM_LENGTH, CHARACTER_SET_NAME, COLLATION_NAME \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {schema} AND {names}; \
         SELECT TABLE_NAME, GROUP_CONCAT(COLUMN_NAME ORDER BY COLUMN_NAME SEPARATOR ',') \
         FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA = {schema} AND {names} \
         GROUP BY TABLE_NAME, INDEX_NAME; \
         SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE CHARACTER_SET_NAME = 'utf8mb4' \
         AND COLLATION_NAME IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')"
    )
}
