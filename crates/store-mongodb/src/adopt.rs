//! Copies a session of telemongo, whose database has the session's name.
//!
//! Its collections are read and left as they are. The session's own document comes last, so a copy
//! that was cut short is made again. It never replaces what is in our collections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::{Collection, Database};
use session_core::credentials::Credentials;
use session_core::store::{FileKey, FileKind, Kind};
use store_net::driver::{DriverError, Result, SessionName};

use crate::bson::{bytes, integer, text};
use crate::bulk::{Runner, next_chunk};
use crate::driver::{Inner, locked};
use crate::entities::batches;
use crate::error::{self, failed, refused};
use crate::layout::{file_id, row_id};
use crate::{login, records};

/// The copies that are under way. They go on when a caller gives up waiting.
pub(crate) type Adoptions = Mutex<HashMap<SessionName, Shared<BoxFuture<'static, Result<()>>>>>;

/// How many rows are read before they are written.
const PAGE: usize = 5000;
/// How many documents of logins are looked at.
const MOST_LOGINS: i64 = 100;

/// The names of telemongo's collections.
#[derive(Clone, Copy)]
struct Theirs {
    sessions: &'static str,
    entities: &'static str,
    sent_files: &'static str,
    update_states: &'static str,
}

/// Those of release 0.2, and of its master branch.
const LAYOUTS: [Theirs; 2] = [
    Theirs { sessions: "session", entities: "entity", sent_files: "sent_file", update_states: "update_state" },
    Theirs {
        sessions: "telethon_sessions",
        entities: "telethon_entities",
        sent_files: "telethon_sent_files",
        update_states: "telethon_update_states",
    },
];

/// Copies telemongo's session, if there is one. Returns `true` if so.
pub(crate) async fn adopt(inner: &Arc<Inner>, session: &SessionName) -> Result<bool> {
    let running = locked(&inner.adoptions).get(session).cloned();
    let running = if let Some(running) = running {
        running
    } else {
        let Some((theirs, credentials)) = find(inner, session).await? else { return Ok(false) };
        let (copied, name) = (Arc::clone(inner), Arc::clone(session));
        let copying = async move { copy(&copied, &name, theirs, &credentials).await }.boxed().shared();
        let mut adoptions = locked(&inner.adoptions);
        let copying = adoptions.entry(Arc::clone(session)).or_insert(copying).clone();
        drop(adoptions);
        tokio::spawn(copying.clone());
        copying
    };
    let copied = running.await;
    locked(&inner.adoptions).remove(session);
    copied.map(|()| true)
}

/// Returns `true` if a database can have this name.
fn may_name_a_database(session: &str) -> bool {
    !session.is_empty()
        && session.len() < 64
        && !session.contains(['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0'])
        && !["admin", "local", "config"].contains(&session)
}

/// Finds telemongo's login in the database with the session's name.
async fn find(inner: &Inner, session: &str) -> Result<Option<(Theirs, Credentials)>> {
    if !may_name_a_database(session) {
        return Ok(None);
    }
    let database = inner.client.database(session);
    for theirs in LAYOUTS {
        match find_login(&database, theirs).await {
            Ok(Some(credentials)) => return Ok(Some((theirs, credentials))),
            Ok(None) => {}
            Err(Found::Failed(error)) if error::is_unauthorized(&error) => return Ok(None),
            Err(Found::Failed(error)) => return Err(failed("an existing session cannot be looked for", &error)),
            Err(Found::Unusable) => {
                let message = format!(
                    "the collection `{}` of the database `{session}` looks like a session of telemongo, but holds values \
                     of other types than it writes",
                    theirs.sessions
                );
                return Err(DriverError::new(Kind::NotASession, message));
            }
        }
    }
    Ok(None)
}

enum Found {
    Failed(mongodb::error::Error),
    Unusable,
}

impl From<mongodb::error::Error> for Found {
    fn from(error: mongodb::error::Error) -> Self {
        Self::Failed(error)
    }
}

/// Returns the login with a key. A crash of telemongo may have left several, or none.
async fn find_login(database: &Database, theirs: Theirs) -> std::result::Result<Option<Credentials>, Found> {
    let logins: Collection<RawDocumentBuf> = database.collection(theirs.sessions);
    let filter = doc! { "_id": { "$type": "objectId" }, "dc_id": { "$exists": true } };
    // The newest last.
    let mut rows = logins.find(filter).sort(doc! { "_id": 1 }).limit(MOST_LOGINS).await?;
    let (mut best, mut is_unusable) = (None::<Credentials>, false);
    while rows.advance().await? {
        match login::credentials(rows.current()) {
            Some(Some(credentials)) if credentials.has_key() || !best.as_ref().is_some_and(Credentials::has_key) => {
                best = Some(credentials);
            }
            Some(_) => {}
            None => is_unusable = true,
        }
    }
    if is_unusable && !best.as_ref().is_some_and(Credentials::has_key) {
        return Err(Found::Unusable);
    }
    Ok(best)
}

async fn copy(inner: &Inner, session: &str, theirs: Theirs, credentials: &Credentials) -> Result<()> {
    inner.prepare().await?;
    let database = inner.client.database(session);
    let names = &inner.names;
    for (from, to, convert) in [
        (theirs.entities, &names.entities, entity as fn(&str, &RawDocument) -> Option<RawDocumentBuf>),
        (theirs.update_states, &names.update_states, update_state),
        (theirs.sent_files, &names.sent_files, sent_file),
    ] {
        copy_rows(inner, session, &database.collection(from), to, convert).await?;
    }
    let mut update = login::set(credentials);
    if let Ok(fields) = update.get_document_mut("$set") {
        fields.insert("adopted", format!("{session}.{}", theirs.sessions));
    }
    let filter = doc! { "_id": session, "layout": { "$exists": false } };
    match inner.update_session(filter, update, true).await {
        // Another process was faster.
        Err(failure) if failure.is_duplicate() => Ok(()),
        result => result.map(|_| ()).map_err(|failure| failure.into_error("an existing session cannot be copied")),
    }
}

async fn copy_rows(
    inner: &Inner,
    session: &str,
    from: &Collection<RawDocumentBuf>,
    to: &str,
    convert: fn(&str, &RawDocument) -> Option<RawDocumentBuf>,
) -> Result<()> {
    let failed = |error| failed("an existing session cannot be copied", &error);
    let mut rows = batches(from, Document::new()).await.map_err(failed)?;
    let mut runner = Runner { database: &inner.database, concern: &inner.concern, transaction: None, limit: None };
    let mut is_at_end = false;
    while !is_at_end {
        let mut page = Vec::new();
        while page.len() < PAGE && !is_at_end {
            is_at_end = !rows.advance().await.map_err(failed)?;
            if !is_at_end {
                page.extend(convert(session, rows.current()));
            }
        }
        let mut page = page.into_iter().map(|row| ((0, 0), row));
        while let Some(chunk) = next_chunk(&mut page).await {
            let reply = runner.insert(to, chunk).await.map_err(failed)?;
            // What is there already is newer.
            let refusal = reply.refusals.iter().find(|refusal| refusal.code != error::DUPLICATE_KEY);
            let refusal = refusal.map(|refusal| (refusal.code, refusal.text.clone())).or(reply.concern);
            if let Some((code, text)) = refusal {
                return Err(refused("an existing session cannot be copied", code, &text));
            }
        }
    }
    Ok(())
}

fn number(row: &RawDocument, name: &str) -> Option<i64> {
    row.get(name).ok().flatten().and_then(integer)
}

fn entity(session: &str, row: &RawDocument) -> Option<RawDocumentBuf> {
    let mut entity = RawDocumentBuf::new();
    entity.append(cstr!("_id"), row_id(session, number(row, "_id")?));
    entity.append(cstr!("hash"), number(row, "hash")?);
    for name in [cstr!("username"), cstr!("phone"), cstr!("name")] {
        match row.get(name.as_str()).ok().flatten() {
            Some(RawBsonRef::String(text)) => entity.append(name, text),
            Some(value) if name.as_str() == "phone" => {
                if let Some(number) = integer(value) {
                    entity.append(name, number.to_string());
                }
            }
            _ => {}
        }
    }
    entity.append(cstr!("date"), 0_i64);
    Some(entity)
}

fn update_state(session: &str, row: &RawDocument) -> Option<RawDocumentBuf> {
    let state = records::read_update_state(row);
    let mut copied = RawDocumentBuf::new();
    copied.append(cstr!("_id"), row_id(session, number(row, "_id")?));
    for (name, number) in [(cstr!("pts"), state.pts), (cstr!("qts"), state.qts), (cstr!("seq"), state.seq)] {
        if let Some(number) = number {
            copied.append(name, number);
        }
    }
    if let Some(date) = state.date {
        copied.append(cstr!("date"), date);
    }
    Some(copied)
}

fn sent_file(session: &str, row: &RawDocument) -> Option<RawDocumentBuf> {
    let kind = FileKind::from_number(number(row, "type")?)?;
    let digest = row.get("md5_digest").ok().flatten()?;
    let md5_digest = bytes(digest).or_else(|| text(digest).map(str::as_bytes))?.to_vec();
    let key = FileKey { md5_digest, size: number(row, "file_size")?, kind };
    let mut copied = RawDocumentBuf::new();
    copied.append(cstr!("_id"), file_id(session, &key));
    copied.append(cstr!("id"), number(row, "_id")?);
    copied.append(cstr!("hash"), number(row, "hash")?);
    Some(copied)
}
