//! Inserts or updates many rows by few statements.

use std::fmt::Write as _;

use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, query};
use tokio::task::yield_now;

use crate::connection::Connection;
use crate::error::Result;
use crate::layout::Table;
use crate::options::Dialect;
use crate::sql::push_hex;

/// After how many bytes a statement ends. A server may be set to refuse more than a megabyte.
const MOST_BYTES: usize = 512 * 1024;
/// How many values `MySQL` binds to one statement.
const MOST_BOUND: usize = 65_535;

/// The values of a column, row by row.
#[derive(Clone, Debug)]
pub(crate) enum Values<'a> {
    Integers(Vec<Option<i64>>),
    Reals(Vec<Option<f64>>),
    Texts(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> Values<'a> {
    pub(crate) fn integers(values: impl Iterator<Item = i64>) -> Self {
        Self::Integers(values.map(Some).collect())
    }

    pub(crate) fn texts(values: impl Iterator<Item = &'a str>) -> Self {
        Self::Texts(values.map(Some).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Reals(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    /// Appends a literal for a value. A real is written in a form that is exact.
    fn push_literal(&self, sql: &mut String, at: usize) {
        let dialect = Dialect::MySql;
        let written = match self {
            Self::Integers(values) => values.get(at).copied().flatten().map(|value| write!(sql, "{value}")).is_some(),
            Self::Reals(values) => values.get(at).copied().flatten().map(|value| write!(sql, "{value:e}")).is_some(),
            Self::Texts(values) => {
                values.get(at).copied().flatten().map(|value| dialect.push_text(sql, value)).is_some()
            }
            Self::Bytes(values) => {
                let push = |value| {
                    sql.push_str("X'");
                    push_hex(sql, value);
                    sql.push('\'');
                };
                values.get(at).copied().flatten().map(push).is_some()
            }
        };
        if !written {
            sql.push_str("NULL");
        }
    }
}

/// Rows to insert into a table, and to update those that are there.
#[derive(Clone, Debug)]
pub(crate) struct Upsert<'a> {
    pub(crate) table: &'a Table,
    pub(crate) columns: Vec<(&'static str, Values<'a>)>,
    /// The unique key that tells whether a row is there; empty if that is an error. No two rows may
    /// have the same key.
    pub(crate) key: &'static [&'static str],
    /// The columns that are updated; none if the row that is there stays.
    pub(crate) update: Vec<&'static str>,
    /// Whether the values must not stand in the statement, because servers log statements.
    pub(crate) is_secret: bool,
}

impl Upsert<'_> {
    pub(crate) async fn execute(&self, connection: &mut Connection) -> Result<()> {
        if self.rows() == 0 {
            return Ok(());
        }
        match connection {
            Connection::Postgres(connection) => self.postgres(connection).await,
            Connection::MySql(connection) if self.is_secret => self.mysql_bound(connection).await,
            Connection::MySql(_) => self.mysql(connection).await,
        }
    }

    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    async fn postgres(&self, connection: &mut PgConnection) -> Result<()> {
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (_, values))| {
                let kind = match values {
                    Values::Integers(_) => "bigint",
                    Values::Reals(_) => "double precision",
                    Values::Texts(_) => "text",
                    Values::Bytes(_) => "bytea",
                };
                format!("${}::{kind}[]", at + 1)
            })
            .collect();
        let conflict = if self.key.is_empty() {
            String::new()
        } else if self.update.is_empty() {
            format!(" ON CONFLICT ({}) DO NOTHING", self.key.join(", "))
        } else {
            let update: Vec<String> = self.update.iter().map(|name| format!("{name} = EXCLUDED.{name}")).collect();
            format!(" ON CONFLICT ({}) DO UPDATE SET {}", self.key.join(", "), update.join(", "))
        };
        let (table, names, arrays) = (&self.table.name, self.names(), arrays.join(", "));
        let sql = format!("INSERT INTO {table} ({names}) SELECT * FROM UNNEST({arrays}){conflict}");
        let mut query = query(AssertSqlSafe(sql));
        for (_, values) in &self.columns {
            query = match values {
                Values::Integers(values) => query.bind(values),
                Values::Reals(values) => query.bind(values),
                Values::Texts(values) => query.bind(values),
                Values::Bytes(values) => query.bind(values),
            };
        }
        // Not by name, so that PgBouncer need not know it.
        query.persistent(false).execute(connection).await?;
        Ok(())
    }

    /// Returns the statement's beginning and end, before and after the rows.
    fn mysql_frame(&self) -> (String, String) {
        let update: Vec<String> = if self.key.is_empty() {
            Vec::new()
        } else if self.update.is_empty() {
            vec!["session_id = session_id".to_owned()]
        } else if self.table.has_exact_sessions() {
            self.update.iter().map(|name| format!("{name} = VALUES({name})")).collect()
        } else {
            // The key may have found the row of another session, such as `Anna` for `anna`.
            let bytes = |name| format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)");
            let (old, new) = (bytes("session_id"), bytes("VALUES(session_id)"));
            self.update.iter().map(|name| format!("{name} = IF({old} = {new}, VALUES({name}), {name})")).collect()
        };
        let end =
            if update.is_empty() { String::new() } else { format!(" ON DUPLICATE KEY UPDATE {}", update.join(", ")) };
        (format!("INSERT INTO {} ({}) VALUES ", self.table.name, self.names()), end)
    }

    async fn mysql(&self, connection: &mut Connection) -> Result<()> {
        let (begin, end) = self.mysql_frame();
        let mut sql = begin.clone();
        for row in 0..self.rows() {
            if sql.len() > MOST_BYTES {
                connection.ask(std::mem::replace(&mut sql, begin.clone()) + &end).await?;
                yield_now().await;
            }
            if sql.len() > begin.len() {
                sql.push(',');
            }
            for (at, (_, values)) in self.columns.iter().enumerate() {
                sql.push(if at == 0 { '(' } else { ',' });
                values.push_literal(&mut sql, row);
            }
            sql.push(')');
        }
        connection.ask(sql + &end).await?;
        Ok(())
    }

    async fn mysql_bound(&self, connection: &mut MySqlConnection) -> Result<()> {
        let (begin, end) = self.mysql_frame();
        let columns = self.columns.len().max(1);
        let row = format!("({})", vec!["?"; columns].join(","));
        let rows: Vec<usize> = (0..self.rows()).collect();
        for rows in rows.chunks(MOST_BOUND / columns) {
            let sql = format!("{begin}{}{end}", vec![row.as_str(); rows.len()].join(","));
            let mut query = query(AssertSqlSafe(sql));
            for row in rows {
                for (_, values) in &self.columns {
                    query = match values {
                        Values::Integers(values) => query.bind(values.get(*row).copied().flatten()),
                        Values::Reals(values) => query.bind(values.get(*row).copied().flatten()),
                        Values::Texts(values) => query.bind(values.get(*row).copied().flatten()),
                        Values::Bytes(values) => query.bind(values.get(*row).copied().flatten()),
                    };
                }
            }
            query.persistent(false).execute(&mut *connection).await?;
        }
        Ok(())
    }
}
