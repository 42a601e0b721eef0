//! Commits: in one transaction where the server has them, otherwise row by row.

use std::collections::HashSet;

use mongodb::bson::{Document, doc};
use session_core::entity_table::Dirty;
use store_net::driver::{DriverError, Result};
use store_net::{Commit, CommitError};

use crate::bulk::{Guard, Origin};
use crate::driver::Inner;
use crate::error::{self, failed};
use crate::layout::VERSION;
use crate::{delete, direct, entities, records, transaction};

/// How many new entities are worth looking whether they are new.
const MANY: usize = 256;

/// What became of the commits so far; `None` for one that nothing speaks against yet.
pub(crate) type Outcomes = Vec<Option<CommitError>>;

/// Writes the changes of several sessions.
pub(crate) async fn commit(inner: &Inner, commits: &[Commit]) -> Vec<std::result::Result<(), CommitError>> {
    let mut outcomes: Outcomes = commits.iter().map(|_| None).collect();
    if let Err(error) = prepare(inner, commits).await {
        fail_all(&mut outcomes, &error);
    } else {
        let fresh = fresh(inner, commits).await;
        if !inner.has_transactions() || !transaction::commit(inner, commits, &fresh, &mut outcomes).await {
            direct::commit(inner, commits, &fresh, &mut outcomes).await;
        }
    }
    outcomes.into_iter().map(|outcome| outcome.map_or(Ok(()), Err)).collect()
}

/// Fails every commit that has not failed.
pub(crate) fn fail_all(outcomes: &mut Outcomes, error: &DriverError) {
    for outcome in outcomes {
        outcome.get_or_insert_with(|| error.clone().into());
    }
}

/// Makes collections and indexes, and the documents of sessions that have none.
async fn prepare(inner: &Inner, commits: &[Commit]) -> Result<()> {
    inner.prepare().await?;
    let unknown = inner.unknown(commits.iter().map(|commit| &commit.session));
    if unknown.is_empty() {
        return Ok(());
    }
    for (session, stored) in inner.stored_sessions(unknown.iter().map(|session| &**session).collect()).await? {
        if stored.is_being_deleted {
            delete::finish(inner, &session).await?;
        }
    }
    let updates: Vec<Document> = unknown
        .iter()
        .map(|session| doc! { "q": { "_id": &**session }, "u": { "$setOnInsert": { "layout": VERSION } }, "upsert": true })
        .collect();
    // A document that was made for a lease, or stayed of a deleted session, has no layout.
    let marks = unknown.iter().map(
        |session| doc! { "q": { "_id": &**session, "layout": { "$exists": false } }, "u": { "$set": { "layout": VERSION } } },
    );
    let updates: Vec<Document> = updates.into_iter().chain(marks).collect();
    let concern = Document::try_from(inner.concern.clone()).unwrap_or_default();
    let command =
        doc! { "update": &inner.names.sessions, "updates": updates, "ordered": false, "writeConcern": concern };
    let reply =
        inner.database.run_command(command).await.map_err(|error| failed("the session cannot be made", &error))?;
    let refusal = reply.get_array("writeErrors").ok().into_iter().flatten().filter_map(|error| error.as_document());
    let refusal =
        refusal.map(|error| (error.get_i32("code").unwrap_or_default(), error.get_str("errmsg").unwrap_or_default()));
    // Another process has made it in the same moment.
    if let Some((code, text)) = refusal.into_iter().find(|(code, _)| *code != error::DUPLICATE_KEY) {
        return Err(error::refused("the session cannot be made", code, text));
    }
    inner.note_known(unknown);
    Ok(())
}

/// Returns which commits have many entities that are probably all new. Inserting takes a third of
/// the time of looking for each first.
async fn fresh(inner: &Inner, commits: &[Commit]) -> HashSet<usize> {
    let mut fresh = HashSet::new();
    for (at, commit) in commits.iter().enumerate() {
        let entities = commit.entities();
        if entities.len() >= MANY
            && entities.iter().all(|entity| entity.dirty == Dirty::Full)
            && entities::are_new(&inner.entities, &commit.session, entities).await.unwrap_or(false)
        {
            fresh.insert(at);
        }
    }
    fresh
}

/// A collection that commits write rows to.
#[derive(Clone, Copy)]
pub(crate) enum Rows {
    Entities,
    UpdateStates,
    SentFiles,
}

impl Rows {
    pub(crate) const ALL: [Self; 3] = [Self::Entities, Self::UpdateStates, Self::SentFiles];

    pub(crate) fn collection(self, inner: &Inner) -> &str {
        match self {
            Self::Entities => &inner.names.entities,
            Self::UpdateStates => &inner.names.update_states,
            Self::SentFiles => &inner.names.sent_files,
        }
    }

    /// Returns how many rows of this kind a commit has.
    pub(crate) fn count(self, commit: &Commit) -> usize {
        match self {
            Self::Entities => commit.changes.entities.len(),
            Self::UpdateStates => commit.changes.update_states.len(),
            Self::SentFiles => commit.changes.sent_files.len(),
        }
    }

    /// Returns the statement that writes a row.
    pub(crate) fn statement(
        self,
        commit: &Commit,
        at: usize,
        guard: Option<Guard>,
    ) -> Option<mongodb::bson::RawDocumentBuf> {
        let session = &commit.session;
        match self {
            Self::Entities => entities::update(session, &commit.changes.entities.get(at)?, guard),
            Self::UpdateStates => {
                let (id, state) = commit.changes.update_states.get(at)?;
                Some(records::update_state(session, *id, state, guard))
            }
            Self::SentFiles => {
                let (key, file) = commit.changes.sent_files.get(at)?;
                Some(records::sent_file(session, key, *file, guard))
            }
        }
    }

    /// Returns all rows of these commits.
    pub(crate) fn origins(self, commits: &[Commit], members: Vec<usize>) -> impl Iterator<Item = Origin> {
        members.into_iter().flat_map(move |at| {
            let count = commits.get(at).map_or(0, |commit| self.count(commit));
            (0..count).map(move |row| (at, row))
        })
    }
}
