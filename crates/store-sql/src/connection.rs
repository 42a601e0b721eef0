//! A connection, whatever the kind of server: asks in SQL, answers in texts.

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Either, Row as _, raw_sql};

use crate::error::Result;
use crate::sql::from_hex;

/// A connection.
#[derive(Debug)]
pub(crate) enum Connection {
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

/// A row of an answer. All values are texts, as the simple protocols have it.
pub(crate) enum Row {
    Postgres(PgRow),
    MySql(MySqlRow),
}

impl Row {
    /// Returns a text; `None` for null and for what is not UTF-8.
    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        match self {
            Self::Postgres(row) => row.try_get_unchecked::<Option<&str>, _>(at).ok().flatten(),
            Self::MySql(row) => row.try_get_unchecked::<Option<&str>, _>(at).ok().flatten(),
        }
    }

    /// Returns an integer; `None` for everything else.
    pub(crate) fn integer(&self, at: usize) -> Option<i64> {
        self.text(at)?.parse().ok()
    }

    /// Returns bytes that were asked for as hexadecimal digits.
    pub(crate) fn bytes(&self, at: usize) -> Option<Vec<u8>> {
        from_hex(self.text(at)?)
    }
}

/// The answer to one statement.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Row>,
    /// How many rows were written.
    pub(crate) affected: u64,
}

/// The answers to several statements, in order.
#[derive(Default)]
pub(crate) struct Answers(pub(crate) Vec<Answer>);

impl Answers {
    /// Returns the rows that a statement returned.
    pub(crate) fn rows(&self, statement: usize) -> &[Row] {
        self.0.get(statement).map_or(&[], |answer| &answer.rows)
    }

    /// Returns how many rows a statement has written.
    pub(crate) fn affected(&self, statement: usize) -> u64 {
        self.0.get(statement).map_or(0, |answer| answer.affected)
    }

    /// Returns the first row of the first statement.
    pub(crate) fn first_row(&self) -> Option<&Row> {
        self.rows(0).first()
    }
}

impl Connection {
    /// Begins a transaction whose statements do not take forever.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.begin_with(None).await
    }

    /// Begins a transaction with a statement for `PostgreSQL`.
    pub(crate) async fn begin_with(&mut self, for_postgres: Option<&str>) -> Result<()> {
        let sql = match self {
            Self::Postgres(_) => {
                let first = for_postgres.unwrap_or_default();
                format!("BEGIN; SET LOCAL statement_timeout = 25000; {first}")
            }
            Self::MySql(_) => "START TRANSACTION".to_owned(),
        };
        self.ask(sql).await.map(drop)
    }

    /// Executes statements, separated by semicolons. All of them are one message to the server.
    pub(crate) async fn ask(&mut self, sql: impl Into<String>) -> Result<Answers> {
        let query = raw_sql(AssertSqlSafe(sql.into()));
        let (mut answers, mut answer) = (Answers::default(), Answer::default());
        let mut ended = |answer: &mut Answer, affected| {
            answer.affected = affected;
            answers.0.push(std::mem::take(answer));
        };
        match self {
            Self::Postgres(connection) => {
                let mut results = query.fetch_many(connection);
                while let Some(result) = results.try_next().await? {
                    match result {
                        Either::Left(done) => ended(&mut answer, done.rows_affected()),
                        Either::Right(row) => answer.rows.push(Row::Postgres(row)),
                    }
                }
            }
            Self::MySql(connection) => {
                let mut results = query.fetch_many(connection);
                while let Some(result) = results.try_next().await? {
                    match result {
                        Either::Left(done) => ended(&mut answer, done.rows_affected()),
                        Either::Right(row) => answer.rows.push(Row::MySql(row)),
                    }
                }
            }
        }
        Ok(answers)
    }
}
