//! Writes of many sessions of one server, committed together.
//!
//! While some commits are under way, later ones gather, and the next transaction takes them all. So a
//! server that is far away, or slow, gets fewer and larger transactions.

use std::sync::Arc;
use std::time::Duration;

use session_core::entity_table::{Dirty, EntityBatch};
use session_core::store::{Changes, Kind};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::attempt::Attempt;
use crate::driver::{Driver, DriverError, Fence, SessionName};
use crate::server::{Connection, Health};

/// How many rows and how many sessions one transaction takes.
const MOST_ROWS: usize = 20_000;
const MOST_SESSIONS: usize = 500;
/// How many transactions of one process are under way at a server.
const CONCURRENT: usize = 4;
/// How long a transaction may take. Then its connection is given up, and it is tried again.
const LIMIT: Duration = Duration::from_secs(30);

/// The changes of one session.
#[derive(Debug, Default)]
pub struct Commit {
    /// The session.
    pub session: SessionName,
    /// What to write.
    pub changes: Changes,
    /// With credentials: the authorization key that the server has, as far as is known; empty if none.
    /// If it has another, nothing is written.
    pub expected_key: Zeroizing<Vec<u8>>,
    /// With a lease: its number. If the server knows a higher one, nothing is written.
    pub fence: Option<Fence>,
    /// Its number among those of the session.
    pub attempt: Attempt,
}

impl Commit {
    /// Adds a slice of changes.
    pub(crate) fn add(&mut self, slice: Changes) {
        let Changes { credentials, entities, update_states, sent_files } = slice;
        let all = &mut self.changes;
        all.credentials = credentials.or_else(|| all.credentials.take());
        if all.entities.is_empty() {
            all.entities = entities;
        } else {
            all.entities.append(&entities);
        }
        all.update_states.extend(update_states);
        all.sent_files.extend(sent_files);
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        let Changes { entities, update_states, sent_files, .. } = &self.changes;
        entities.len() + update_states.len() + sent_files.len()
    }

    /// Returns `true` if there are forgotten entities in it.
    #[must_use]
    pub fn has_forgotten(&self) -> bool {
        self.entities().iter().any(|entity| entity.dirty == Dirty::Gone)
    }

    /// Returns the entities.
    #[must_use]
    pub fn entities(&self) -> &EntityBatch {
        &self.changes.entities
    }
}

/// Why a commit was not made.
#[derive(Clone, Debug)]
pub enum CommitError {
    /// The server has this authorization key instead of the expected one.
    Conflict(Zeroizing<Vec<u8>>),
    /// The session's lease is over, and another session has, or had, it since.
    Fenced,
    /// It failed.
    Failed(DriverError),
}

impl CommitError {
    /// Makes the error for a write that the server refused because it has carried out a later one.
    #[must_use]
    pub fn late() -> Self {
        let message = "the server has carried out a later write of this session, so this one is not made";
        Self::Failed(DriverError::new(Kind::Busy, message))
    }
}

impl From<DriverError> for CommitError {
    fn from(error: DriverError) -> Self {
        Self::Failed(error)
    }
}

/// The result of one commit.
pub type CommitResult = Result<(), CommitError>;

/// A commit, and who waits for it.
type Queued = (Commit, oneshot::Sender<CommitResult>);

/// Hands commits to the task that groups them.
#[derive(Clone, Debug)]
pub(crate) struct CommitQueue {
    sender: mpsc::UnboundedSender<Queued>,
}

impl CommitQueue {
    /// Starts the task that groups the commits of a server. It ends when the queue is dropped.
    pub(crate) fn start<D: Driver>(
        handle: &tokio::runtime::Handle,
        connection: Arc<Connection<D>>,
        health: Arc<Health>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        handle.spawn(run(receiver, connection, health));
        Self { sender }
    }

    /// Commits, together with others.
    pub(crate) async fn commit(&self, commit: Commit) -> CommitResult {
        let (sender, receiver) = oneshot::channel();
        let lost = || CommitError::Failed(DriverError::new(Kind::Unreachable, "the write was interrupted"));
        self.sender.send((commit, sender)).map_err(|_| lost())?;
        receiver.await.unwrap_or_else(|_| Err(lost()))
    }
}

async fn run<D: Driver>(
    mut queue: mpsc::UnboundedReceiver<Queued>,
    connection: Arc<Connection<D>>,
    health: Arc<Health>,
) {
    let permits = Arc::new(Semaphore::new(CONCURRENT));
    while let Some(first) = queue.recv().await {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let mut rows = first.0.rows();
        let mut group = vec![first];
        while rows < MOST_ROWS
            && group.len() < MOST_SESSIONS
            && let Ok(next) = queue.try_recv()
        {
            rows += next.0.rows();
            group.push(next);
        }
        let (connection, health) = (Arc::clone(&connection), Arc::clone(&health));
        tokio::spawn(async move {
            let (commits, senders): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let results = commit_group(&connection, &commits).await;
            health.note_answer();
            drop(permit);
            for (sender, result) in senders.into_iter().zip(results) {
                let _ = sender.send(result);
            }
        });
    }
}

async fn commit_group<D: Driver>(connection: &Connection<D>, commits: &[Commit]) -> Vec<CommitResult> {
    let all = |error: DriverError| commits.iter().map(|_| Err(error.clone().into())).collect();
    let committed = timeout(LIMIT, async {
        match connection.driver().await {
            Ok(driver) => driver.commit(commits).await,
            Err(error) => all(error),
        }
    });
    committed.await.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", LIMIT.as_secs());
        all(DriverError::new(Kind::Unreachable, message))
    })
}
