//! Commits in transactions.
//!
//! All commits of a group are one transaction. A commit with credentials or a lease also reads and
//! changes its session's document, so that it conflicts with another program's login, or with a
//! lease that is taken meanwhile, and then is not made. If the server refuses a statement, each
//! commit is made alone, so that only the one that it belongs to fails.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error;
use store_net::Commit;
use store_net::driver::DriverError;

use crate::bulk::{Reply, Runner, next_chunk};
use crate::commit::{Outcomes, Rows, fail_all};
use crate::driver::{Inner, interfered};
use crate::entities;
use crate::error::{self, failed, refused};
use crate::login::{self, StoredSession};

const WHAT: &str = "the changes cannot be written";
/// How often a transaction is begun again after a conflict.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(5);

/// Why a transaction was not made.
enum Abort {
    /// Another transaction was in the way.
    Conflict(DriverError),
    /// An entity that seemed new is not.
    NotNew,
    /// The server refused something.
    Refused(DriverError),
    /// The server cannot be reached, or does not do it for any commit.
    Failed(DriverError),
    /// The server has no transactions.
    NoTransactions,
}

/// Makes commits. Returns `false` if the server has no transactions.
pub(crate) async fn commit(inner: &Inner, commits: &[Commit], fresh: &HashSet<usize>, outcomes: &mut Outcomes) -> bool {
    let all: Vec<usize> = (0..commits.len()).collect();
    match commit_group(inner, commits, &all, fresh, outcomes).await {
        Ok(()) => {}
        Err(Abort::NoTransactions) => {
            inner.note_no_transactions();
            return false;
        }
        Err(Abort::Refused(_) | Abort::Conflict(_)) if commits.len() > 1 => {
            for at in all.into_iter().filter(|at| outcomes[*at].is_none()).collect::<Vec<_>>() {
                if let Err(abort) = commit_group(inner, commits, &[at], fresh, outcomes).await {
                    outcomes[at] = Some(abort.into_error().into());
                }
            }
        }
        Err(abort) => fail_all(outcomes, &abort.into_error()),
    }
    true
}

impl Abort {
    fn into_error(self) -> DriverError {
        match self {
            Self::Conflict(error) | Self::Refused(error) | Self::Failed(error) => error,
            Self::NotNew | Self::NoTransactions => interfered("another program writes the same session"),
        }
    }

    fn of(error: &Error) -> Self {
        if error::knows_no_transactions(error) {
            Self::NoTransactions
        } else if error::is_transient(error) {
            Self::Conflict(failed(WHAT, error))
        } else {
            let failure = failed(WHAT, error);
            if failure.kind.is_retryable() || error::code(error).is_none() {
                Self::Failed(failure)
            } else {
                Self::Refused(failure)
            }
        }
    }
}

async fn commit_group(
    inner: &Inner,
    commits: &[Commit],
    members: &[usize],
    fresh: &HashSet<usize>,
    outcomes: &mut Outcomes,
) -> Result<(), Abort> {
    let mut fresh = fresh.clone();
    let mut attempt = 0;
    loop {
        let begun: Vec<usize> = members.iter().copied().filter(|at| outcomes[*at].is_none()).collect();
        match try_group(inner, commits, begun, &fresh, outcomes).await {
            Err(Abort::NotNew) if !fresh.is_empty() => fresh.clear(),
            Err(Abort::Conflict(_)) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(PAUSE * attempt).await;
            }
            result => return result,
        }
    }
}

async fn try_group(
    inner: &Inner,
    commits: &[Commit],
    begun: Vec<usize>,
    fresh: &HashSet<usize>,
    outcomes: &mut Outcomes,
) -> Result<(), Abort> {
    let of = |error: Error| Abort::of(&error);
    let mut session = inner.client.start_session().await.map_err(of)?;
    session.start_transaction().await.map_err(of)?;
    let written = write(inner, commits, begun, fresh, &mut session, outcomes).await;
    match written {
        Ok(()) => session.commit_transaction().await.map_err(of),
        Err(abort) => {
            // The server does it by itself if this fails.
            let _ = session.abort_transaction().await;
            Err(abort)
        }
    }
}

async fn write(
    inner: &Inner,
    commits: &[Commit],
    begun: Vec<usize>,
    fresh: &HashSet<usize>,
    session: &mut ClientSession,
    outcomes: &mut Outcomes,
) -> Result<(), Abort> {
    write_sessions(inner, commits, &begun, session, outcomes).await?;
    let members: Vec<usize> = begun.into_iter().filter(|at| outcomes[*at].is_none()).collect();
    let concern = RawDocumentBuf::new();
    let mut runner = Runner { database: &inner.database, concern: &concern, transaction: Some(session), limit: None };
    for rows in Rows::ALL {
        let is_new = |at: &usize| matches!(rows, Rows::Entities) && fresh.contains(at);
        let (new, known): (Vec<_>, Vec<_>) = members.iter().copied().partition(is_new);
        let mut inserts = rows.origins(commits, new).filter_map(|(at, row)| {
            let commit = commits.get(at)?;
            Some(((at, row), entities::document(&commit.session, &commit.entities().get(row)?, None)))
        });
        while let Some(chunk) = next_chunk(&mut inserts).await {
            outcome(runner.insert(rows.collection(inner), chunk).await)?;
        }
        let mut updates = rows
            .origins(commits, known)
            .filter_map(|(at, row)| Some(((at, row), rows.statement(commits.get(at)?, row, None)?)));
        while let Some(chunk) = next_chunk(&mut updates).await {
            outcome(runner.update(rows.collection(inner), chunk).await)?;
        }
    }
    Ok(())
}

fn outcome(reply: mongodb::error::Result<Reply>) -> Result<i64, Abort> {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) if error::code(&error) == Some(error::DUPLICATE_KEY) => return Err(Abort::NotNew),
        Err(error) => return Err(Abort::of(&error)),
    };
    match reply.refusals.first() {
        None => Ok(reply.count),
        Some(refusal) if refusal.code == error::DUPLICATE_KEY => Err(Abort::NotNew),
        Some(refusal) => Err(Abort::Refused(refused(WHAT, refusal.code, &refusal.text))),
    }
}

/// Checks keys and leases, and writes credentials.
async fn write_sessions(
    inner: &Inner,
    commits: &[Commit],
    begun: &[usize],
    session: &mut ClientSession,
    outcomes: &mut Outcomes,
) -> Result<(), Abort> {
    let of = |error: Error| Abort::of(&error);
    let members = begun.iter().filter_map(|at| Some((*at, commits.get(*at)?)));
    let members: Vec<_> = members
        .filter(|(_, commit)| commit.fence.is_some() || commit.changes.credentials.is_some() || commit.has_forgotten())
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = members.iter().map(|(_, commit)| &*commit.session).collect();
    let finding = inner.sessions.find(doc! { "_id": { "$in": names } });
    let mut rows = finding.session(&mut *session).await.map_err(of)?;
    let mut stored: HashMap<String, StoredSession> = HashMap::new();
    while rows.advance(session).await.map_err(of)? {
        if let Ok(name) = rows.current().get_str("_id") {
            stored.insert(name.to_owned(), StoredSession::read(rows.current()));
        }
    }
    let mut updates = Vec::new();
    let none = StoredSession::default();
    for (at, commit) in members {
        if let Err(error) = stored.get(&*commit.session).unwrap_or(&none).check(commit) {
            outcomes[at] = Some(error);
            continue;
        }
        let mut update = commit.changes.credentials.as_ref().map_or_else(Document::new, login::set);
        // A change, so that it conflicts with others.
        update.insert("$inc", doc! { "writes": 1_i64, "forgettings": i64::from(commit.has_forgotten()) });
        let update = doc! { "q": login::filter(commit), "u": update };
        updates.push(RawDocumentBuf::try_from(&update).map_err(|error| Abort::of(&error.into()))?);
    }
    let count = updates.len();
    let concern = RawDocumentBuf::new();
    let mut runner = Runner { database: &inner.database, concern: &concern, transaction: Some(session), limit: None };
    let mut updates = updates.into_iter().enumerate().map(|(at, update)| ((at, 0), update));
    let mut matched = 0;
    while let Some(chunk) = next_chunk(&mut updates).await {
        matched += outcome(runner.update(&inner.names.sessions, chunk).await)?;
    }
    if usize::try_from(matched).is_ok_and(|matched| matched == count) {
        return Ok(());
    }
    // Deleted by another program, or another commit of the group writes the same session's login.
    for commit in begun.iter().filter_map(|at| commits.get(*at)) {
        inner.forget(&commit.session);
    }
    Err(Abort::Refused(interfered("the session was changed by another program at the same time")))
}
