//! Commits to a standalone server, which has no transactions.
//!
//! Each row is written by itself: entities, update states and sent files first, the credentials
//! last, so that what a commit that was cut short leaves behind is right, and the commit can be
//! repeated.
//!
//! # Late attempts
//! A command that was given up may arrive when a later one has been carried out. So each row tells
//! its writer and its [attempt](store_net::Attempt), and an earlier attempt of that writer does not
//! match it; so does the row of an entity that was forgotten. The rows of a session that was
//! deleted meanwhile tell nothing: a late command can write them again.
//!
//! # Leases
//! A session's document cannot be read in the same step in which a row is written. So each row is
//! written by a statement that compares the server's clock with the end of the writer's lease,
//! which only the server's clock decides, too. A command is refused if it begins less than a
//! [margin] before that end, and the server aborts it after that margin. So no row is written when
//! another session may have the lease, as long as the server's clock is not set and the server
//! keeps to `maxTimeMS`. The credentials are in the same document as the lease, and are compared
//! with it directly.
//!
//! [margin]: crate::lease::margin

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mongodb::bson::{DateTime, doc};
use session_core::store::Kind;
use store_net::driver::{DriverError, Result};
use store_net::{Commit, CommitError, Fence};

use crate::bulk::{Guard, Origin, Reply, Runner, next_chunk};
use crate::commit::{Outcomes, Rows};
use crate::driver::{Inner, locked};
use crate::error::{self, failed, refused};
use crate::login::{self, StoredSession};
use crate::{entities, lease};

const WHAT: &str = "the changes cannot be written";

/// Commits what nothing speaks against yet.
pub(crate) async fn commit(inner: &Inner, commits: &[Commit], fresh: &HashSet<usize>, outcomes: &mut Outcomes) {
    let mut guards = Guards::default();
    check_all(inner, commits, &mut guards, outcomes).await;
    for rows in Rows::ALL {
        write_rows(inner, commits, rows, fresh, &mut guards, outcomes).await;
    }
    let forgetting =
        commits.iter().enumerate().filter(|(at, commit)| outcomes[*at].is_none() && commit.has_forgotten());
    let counted = forgetting.map(|(at, commit)| async move { (at, count_forgetting(inner, commit).await) });
    for (at, result) in futures_util::future::join_all(counted).await {
        outcomes[at] = result.err();
    }
    let logins = commits
        .iter()
        .enumerate()
        .filter(|(at, commit)| outcomes[*at].is_none() && commit.changes.credentials.is_some());
    let written = logins.map(|(at, commit)| async move { (at, write_login(inner, commit).await) });
    for (at, result) in futures_util::future::join_all(written).await {
        outcomes[at] = result.err();
    }
}

/// Until when the commits with a lease may write.
#[derive(Default)]
struct Guards {
    until: HashMap<usize, DateTime>,
    /// How long the server may work at a command.
    limit: Option<Duration>,
    /// Commits whose lease was extended.
    extended: HashSet<usize>,
}

impl Guards {
    fn of(&self, at: usize, commit: &Commit) -> Guard {
        Guard { until: self.until.get(&at).copied(), attempt: commit.attempt }
    }

    fn insert(&mut self, at: usize, until: DateTime, time: Duration) {
        let margin = lease::margin(time);
        let millis = i64::try_from(margin.as_millis()).unwrap_or_default();
        self.until.insert(at, DateTime::from_millis(until.timestamp_millis().saturating_sub(millis)));
        self.limit = Some(self.limit.map_or(margin, |limit| limit.min(margin)));
    }
}

/// Checks keys and leases, as far as that can be done beforehand.
async fn check_all(inner: &Inner, commits: &[Commit], guards: &mut Guards, outcomes: &mut Outcomes) {
    let mut unsure = Vec::new();
    for (at, commit) in commits.iter().enumerate() {
        let known = locked(&inner.leases).get(&commit.session).copied();
        let known = known.filter(|(fence, ..)| Some(*fence) == commit.fence);
        if let Some((_, until, time)) = known {
            guards.insert(at, until, time);
        }
        if commit.changes.credentials.is_some() || (commit.fence.is_some() && known.is_none()) {
            unsure.push((at, commit));
        }
    }
    if unsure.is_empty() {
        return;
    }
    let stored = inner.stored_sessions(unsure.iter().map(|(_, commit)| &*commit.session).collect()).await;
    let none = StoredSession::default();
    for (at, commit) in unsure {
        let checked = match &stored {
            Ok(stored) => check(inner, at, commit, stored.get(&*commit.session).unwrap_or(&none), guards).await,
            Err(error) => Err(error.clone().into()),
        };
        outcomes[at] = checked.err();
    }
}

async fn check(
    inner: &Inner,
    at: usize,
    commit: &Commit,
    stored: &StoredSession,
    guards: &mut Guards,
) -> std::result::Result<(), CommitError> {
    stored.check(commit)?;
    match (commit.fence, stored.until) {
        (None, _) => {}
        (Some(_), _) if guards.until.contains_key(&at) => {}
        (Some(_), Some(until)) => guards.insert(at, until, store_net::lease::TIME),
        (Some(fence), None) => extend(inner, at, commit, fence, stored, guards).await?,
    }
    Ok(())
}

/// Extends the lease of a session that still writes with it, unless another has been taken since.
async fn extend(
    inner: &Inner,
    at: usize,
    commit: &Commit,
    fence: Fence,
    stored: &StoredSession,
    guards: &mut Guards,
) -> std::result::Result<(), CommitError> {
    let time = locked(&inner.leases).get(&commit.session).map_or(store_net::lease::TIME, |(.., time)| *time);
    if !lease::renew(inner, &commit.session, fence, &stored.owner, time).await? {
        return Err(CommitError::Fenced);
    }
    if let Some((_, until, time)) = locked(&inner.leases).get(&commit.session).copied() {
        guards.insert(at, until, time);
    }
    Ok(())
}

async fn write_rows(
    inner: &Inner,
    commits: &[Commit],
    rows: Rows,
    fresh: &HashSet<usize>,
    guards: &mut Guards,
    outcomes: &mut Outcomes,
) {
    let members = |outcomes: &Outcomes| (0..commits.len()).filter(|at| outcomes[*at].is_none()).collect::<Vec<_>>();
    let mut pending: Vec<Origin> = Vec::new();
    let is_inserted = |at: &usize, guards: &Guards| {
        matches!(rows, Rows::Entities) && fresh.contains(at) && !guards.until.contains_key(at)
    };
    let (new, known): (Vec<_>, Vec<_>) = members(outcomes).into_iter().partition(|at| is_inserted(at, guards));
    let mut inserts = rows.origins(commits, new).filter_map(|(at, row)| {
        let commit = commits.get(at)?;
        Some((
            (at, row),
            entities::document(&commit.session, &commit.entities().get(row)?, Some(guards.of(at, commit))),
        ))
    });
    let mut runner = Runner { database: &inner.database, concern: &inner.concern, transaction: None, limit: None };
    while let Some(chunk) = next_chunk(&mut inserts).await {
        let origins = chunk.origins.clone();
        let reply = runner.insert(rows.collection(inner), chunk).await;
        // Some are not new after all.
        pending.extend(outcome(&origins, reply, error::DUPLICATE_KEY, outcomes));
    }
    pending.extend(rows.origins(commits, known));
    // What was refused because a lease was about to end is written once more.
    for _ in 0..2 {
        let late = update_rows(inner, commits, rows, pending, guards, outcomes).await;
        if late.is_empty() {
            return;
        }
        let owners: HashSet<usize> = late.iter().map(|(at, _)| *at).collect();
        for at in owners {
            if let Err(error) = extend_late(inner, at, commits, guards).await {
                outcomes[at] = Some(error);
            }
        }
        pending = late.into_iter().filter(|(at, _)| outcomes[*at].is_none()).collect();
    }
    for (at, _) in pending {
        outcomes[at].get_or_insert_with(|| ending().into());
    }
}

fn ending() -> DriverError {
    DriverError::new(Kind::Unreachable, "the session's lease is about to end and could not be renewed yet")
}

async fn extend_late(
    inner: &Inner,
    at: usize,
    commits: &[Commit],
    guards: &mut Guards,
) -> std::result::Result<(), CommitError> {
    let Some((commit, fence)) = commits.get(at).and_then(|commit| Some((commit, commit.fence?))) else {
        return Err(ending().into());
    };
    if !guards.extended.insert(at) {
        return Err(ending().into());
    }
    let document = inner.session(&commit.session).await?;
    let stored = document.map(|document| StoredSession::read(&document)).unwrap_or_default();
    stored.check(commit)?;
    extend(inner, at, commit, fence, &stored, guards).await
}

/// Writes rows with `update` commands. Returns those whose guards refused them.
async fn update_rows(
    inner: &Inner,
    commits: &[Commit],
    rows: Rows,
    origins: Vec<Origin>,
    guards: &Guards,
    outcomes: &mut Outcomes,
) -> Vec<Origin> {
    let limit = guards.limit.map(|limit| i64::try_from(limit.as_millis()).unwrap_or(1).max(1));
    let mut runner = Runner { database: &inner.database, concern: &inner.concern, transaction: None, limit };
    let mut statements = origins.into_iter().filter_map(|(at, row)| {
        let commit = commits.get(at)?;
        Some(((at, row), rows.statement(commit, row, Some(guards.of(at, commit)))?))
    });
    let mut late = Vec::new();
    while let Some(chunk) = next_chunk(&mut statements).await {
        let origins = chunk.origins.clone();
        let reply = runner.update(rows.collection(inner), chunk).await;
        late.extend(outcome(&origins, reply, error::NOT_A_DOCUMENT, outcomes));
    }
    late
}

/// Notes the outcome of a command. Returns the rows that were refused with the code `expected`.
fn outcome(
    origins: &[Origin],
    reply: mongodb::error::Result<Reply>,
    expected: i32,
    outcomes: &mut Outcomes,
) -> Vec<Origin> {
    let mut fail_each = |error: DriverError| {
        for (at, _) in origins {
            outcomes[*at].get_or_insert_with(|| error.clone().into());
        }
    };
    match reply {
        Err(error) => {
            fail_each(failed(WHAT, &error));
            Vec::new()
        }
        Ok(Reply { concern: Some((code, text)), .. }) => {
            fail_each(refused(WHAT, code, &text));
            Vec::new()
        }
        Ok(reply) => {
            let mut again = Vec::new();
            for refusal in reply.refusals {
                let Some((at, row)) = origins.get(refusal.index).copied() else { continue };
                if refusal.code == expected {
                    again.push((at, row));
                } else if refusal.code == error::DUPLICATE_KEY {
                    outcomes[at].get_or_insert_with(CommitError::late);
                } else {
                    outcomes[at].get_or_insert_with(|| refused(WHAT, refusal.code, &refusal.text).into());
                }
            }
            again
        }
    }
}

/// Counts a commit with forgotten entities, so that other processes notice.
async fn count_forgetting(inner: &Inner, commit: &Commit) -> std::result::Result<(), CommitError> {
    let counted =
        inner.update_session(doc! { "_id": &*commit.session }, doc! { "$inc": { "forgettings": 1_i64 } }, false);
    counted.await.map(drop).map_err(|failure| failure.into_error(WHAT).into())
}

/// Writes credentials if the server still has the expected key and no newer lease.
async fn write_login(inner: &Inner, commit: &Commit) -> std::result::Result<(), CommitError> {
    let Some(credentials) = &commit.changes.credentials else { return Ok(()) };
    let updated = inner.update_session(login::filter(commit), login::set(credentials), false).await;
    if updated.map_err(|failure| failure.into_error("the login cannot be written"))? {
        return Ok(());
    }
    let found: Result<_> = inner.session(&commit.session).await;
    let stored = found?.map(|document| StoredSession::read(&document)).unwrap_or_default();
    stored.check(commit)?;
    // The document is gone, or it was changed back meanwhile.
    inner.forget(&commit.session);
    Err(crate::driver::interfered("the login was changed by another program at the same time").into())
}
