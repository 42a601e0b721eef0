//! Leases: rows with the holder, the end by the server's clock, and a number that rises.

use std::time::Duration;

use session_core::store::Kind;
use store_net::{Acquired, Fence};

use crate::error::{Class, Result, SqlError};
use crate::layout::{BESIDE, Layout, Table};
use crate::options::Dialect;
use crate::pool::Pool;

fn table<'l>(pool: &Pool, layout: &'l Layout) -> Result<&'l Table> {
    layout.beside.as_ref().ok_or_else(|| {
        let name = format!("{}{BESIDE}", pool.options.table_prefix);
        let message = format!(
            "a session that is used exclusively needs the table {name}, which does not exist, and `manage_tables` is \
             false"
        );
        SqlError::other(Kind::CannotOpen, message)
    })
}

/// Returns when a lease ends that lasts for `time` from now.
fn until(dialect: Dialect, time: Duration) -> String {
    format!("{} + {}", dialect.clock(), time.as_millis())
}

/// Takes a lease, or says who has it. If the answer to the same question was lost, takes it once
/// more.
pub(crate) async fn acquire(
    pool: &Pool,
    layout: &Layout,
    session: &str,
    owner: &str,
    time: Duration,
) -> Result<Acquired> {
    let (dialect, table) = (layout.dialect, table(pool, layout)?);
    let (name, literal, is_of) = (&table.name, dialect.text(session), table.is_of(dialect, session));
    let (owner, until, now) = (dialect.text(owner), until(dialect, time), dialect.clock());
    let (begin, insert) = match dialect {
        Dialect::Postgres => {
            ("BEGIN", format!("INSERT INTO {name} (session_id) VALUES ({literal}) ON CONFLICT DO NOTHING"))
        }
        Dialect::MySql => ("START TRANSACTION", format!("INSERT IGNORE INTO {name} (session_id) VALUES ({literal})")),
    };
    let sql = format!(
        "{begin}; {insert}; \
         UPDATE {name} SET fence = fence + 1, lease_owner = {owner}, lease_until = {until} \
         WHERE {is_of} AND (lease_until IS NULL OR lease_until <= {now} OR lease_owner = {owner}); \
         SELECT fence, lease_owner FROM {name} WHERE {is_of}; COMMIT"
    );
    let mut pooled = pool.get().await?;
    let answers = pooled.connection.ask(sql).await?;
    pooled.put_back();
    let row = answers.rows(3).first();
    match row.and_then(|row| row.integer(0)) {
        Some(fence) if answers.affected(2) == 1 => Ok(Acquired::Taken(Fence(fence))),
        _ => Ok(Acquired::InUse(row.and_then(|row| row.text(1)).unwrap_or_default().to_owned())),
    }
}

/// Extends a lease. Returns `false` if another session has, or had, it since.
pub(crate) async fn renew(
    pool: &Pool,
    layout: &Layout,
    session: &str,
    Fence(fence): Fence,
    owner: &str,
    time: Duration,
) -> Result<bool> {
    let (dialect, table) = (layout.dialect, table(pool, layout)?);
    let (is_of, owner, until) = (table.is_of(dialect, session), dialect.text(owner), until(dialect, time));
    let sql = format!(
        "UPDATE {} SET lease_owner = {owner}, lease_until = {until} WHERE {is_of} AND fence = {fence}",
        table.name
    );
    let answers = pool.ask(&sql).await?;
    if answers.affected(0) > 1 {
        return Err(SqlError::new(Class::Other, Kind::Other, format!("{} has a session twice", table.name)));
    }
    Ok(answers.affected(0) == 1)
}

/// Ends a lease, if it still stands.
pub(crate) async fn release(pool: &Pool, layout: &Layout, session: &str, Fence(fence): Fence) -> Result<()> {
    let (dialect, table) = (layout.dialect, table(pool, layout)?);
    let is_of = table.is_of(dialect, session);
    let sql =
        format!("UPDATE {} SET lease_owner = NULL, lease_until = NULL WHERE {is_of} AND fence = {fence}", table.name);
    pool.ask(&sql).await.map(drop)
}
