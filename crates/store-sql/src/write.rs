//! Writes the changes of several sessions in one transaction.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use store_net::{Commit, CommitError};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::bulk::{Upsert, Values};
use crate::connection::Connection;
use crate::error::{Class, Result, SqlError};
use crate::layout::Layout;
use crate::logins;
use crate::order::begin_commit;
use crate::parts::{Part, parts};
use crate::pool::Pool;

type CommitResult = std::result::Result<(), CommitError>;

/// How many rows one statement writes.
const ROWS: usize = 5000;
/// How often a transaction that others were in the way of is tried again.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How many rows that the server refuses are looked for before the others are given up, too.
const MOST_REFUSED: usize = 200;

/// Commits. Returns one result for each commit.
pub(crate) async fn commit(pool: &Pool, layout: &Layout, commits: &[Commit]) -> Result<Vec<CommitResult>> {
    let mut is_tolerant = false;
    let mut attempt = 0;
    loop {
        match commit_once(pool, layout, commits, is_tolerant).await {
            Err(error) if error.class == Class::Transient && attempt < ATTEMPTS => {
                // Not all at the same time again.
                let spread = u32::from(std::process::id().to_le_bytes()[0]) % 8 + 8;
                sleep(FIRST_PAUSE * (1 << attempt.min(5)) * spread / 16).await;
                attempt += 1;
            }
            Err(error) if error.class == Class::Data && !is_tolerant => {
                log::debug!("the server refuses a row: {}; writing again without it", error.error);
                is_tolerant = true;
            }
            result => return result,
        }
    }
}

async fn commit_once(pool: &Pool, layout: &Layout, commits: &[Commit], is_tolerant: bool) -> Result<Vec<CommitResult>> {
    let mut results: Vec<Option<CommitResult>> = commits.iter().map(|_| None).collect();
    let mut pooled = pool.get().await?;
    let connection = &mut pooled.connection;
    begin_commit(connection, commits).await?;
    logins::lock(connection, layout, commits, &mut results).await?;
    let logins = logins::logins(commits, &results);
    let at: Vec<usize> = logins.iter().map(|login| login.commit).collect();
    for (row, error) in write(connection, layout, &Part::Logins(logins), is_tolerant).await? {
        if let Some(result) = at.get(row).and_then(|at| results.get_mut(*at)) {
            *result = Some(Err(error.error.into()));
        }
    }
    let rest: Vec<&Commit> =
        commits.iter().zip(&results).filter(|(_, result)| result.is_none()).map(|(commit, _)| commit).collect();
    count_forgettings(connection, layout, &rest).await?;
    for part in parts(layout, &rest) {
        yield_now().await;
        let refused = write(connection, layout, &part, is_tolerant).await?;
        if let Some((_, error)) = refused.first() {
            let (count, what) = (refused.len(), part.what());
            log::warn!("not stored, because the server refuses it: {what} ({count} times): {}", error.error);
        }
    }
    connection.ask("COMMIT").await?;
    pooled.put_back();
    Ok(results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect())
}

/// Counts the commits with forgotten entities, so that other processes notice.
async fn count_forgettings(connection: &mut Connection, layout: &Layout, commits: &[&Commit]) -> Result<()> {
    let forgetting: BTreeSet<&str> =
        commits.iter().filter(|commit| commit.has_forgotten()).map(|commit| &*commit.session).collect();
    let Some(table) = layout.beside.as_ref().filter(|_| !forgetting.is_empty()) else { return Ok(()) };
    let columns = vec![("session_id", Values::texts(forgetting.iter().copied()))];
    let insert = Upsert { table, columns, key: &["session_id"], update: Vec::new(), is_secret: false };
    insert.execute(connection).await?;
    let count = |session| {
        let is_of = table.is_of(layout.dialect, session);
        format!("UPDATE {} SET forgettings = forgettings + 1 WHERE {is_of}", table.name)
    };
    connection.ask(forgetting.into_iter().map(count).collect::<Vec<_>>().join("; ")).await.map(drop)
}

/// Writes a part. If it is tolerant, it returns the rows that the server refuses and writes the others.
async fn write(
    connection: &mut Connection,
    layout: &Layout,
    part: &Part<'_>,
    is_tolerant: bool,
) -> Result<Vec<(usize, SqlError)>> {
    // The first ones are at the end.
    let mut ranges: Vec<Range<usize>> =
        (0..part.len()).step_by(ROWS).rev().map(|at| at..part.len().min(at + ROWS)).collect();
    let mut refused = Vec::new();
    while let Some(range) = ranges.pop() {
        if !is_tolerant {
            part.write(connection, layout, range, false).await?;
            continue;
        }
        let Err(error) = try_write(connection, layout, part, range.clone(), false).await? else { continue };
        if range.len() > 1 {
            let middle = range.start + range.len() / 2;
            ranges.extend([middle..range.end, range.start..middle]);
        } else if try_write(connection, layout, part, range.clone(), true).await?.is_err() {
            if refused.len() >= MOST_REFUSED {
                return Err(error);
            }
            refused.push((range.start, error));
        }
    }
    Ok(refused)
}

/// Writes some rows; if the server refuses a value, it returns to what was before.
async fn try_write(
    connection: &mut Connection,
    layout: &Layout,
    part: &Part<'_>,
    range: Range<usize>,
    is_bare: bool,
) -> Result<std::result::Result<(), SqlError>> {
    connection.ask("SAVEPOINT part").await?;
    match part.write(connection, layout, range, is_bare).await {
        Ok(()) => {
            connection.ask("RELEASE SAVEPOINT part").await?;
            Ok(Ok(()))
        }
        Err(error) if error.class == Class::Data => {
            connection.ask("ROLLBACK TO SAVEPOINT part").await?;
            Ok(Err(error))
        }
        Err(error) => Err(error),
    }
}
