//! The collections of update states and of sent files.

use mongodb::Collection;
use mongodb::bson::raw::cstr;
use mongodb::bson::{RawBsonRef, RawDocument, RawDocumentBuf, doc};
use session_core::store::{FileKey, FileKind, SentFile, UpdateState};
use store_net::driver::Result;

use crate::bson::{bytes, integer, seconds};
use crate::bulk::{Change, Guard, Target, statement};
use crate::entities::batches;
use crate::error::failed;
use crate::layout::{file_id, row_id, rows_of};

/// Returns the statement that writes an update state.
pub(crate) fn update_state(session: &str, id: i64, state: &UpdateState, guard: Option<Guard>) -> RawDocumentBuf {
    let (mut fields, mut absent) = (RawDocumentBuf::new(), RawDocumentBuf::new());
    for (name, number) in [(cstr!("pts"), state.pts), (cstr!("qts"), state.qts), (cstr!("seq"), state.seq)] {
        match number {
            Some(number) => fields.append(name, number),
            None => absent.append(name, ""),
        }
    }
    match state.date {
        Some(date) => fields.append(cstr!("date"), date),
        None => absent.append(cstr!("date"), ""),
    }
    if fields.is_empty() {
        // `$set` must not be empty.
        fields.append(cstr!("pts"), RawBsonRef::Null);
        absent = absent.iter().flatten().filter(|(name, _)| name.as_str() != "pts").collect();
    }
    let target = Target { id: &row_id(session, id), before: None, may_insert: true };
    statement(&target, Change::Replace { fields, absent }, guard)
}

/// Returns the statement that writes a sent file.
pub(crate) fn sent_file(session: &str, key: &FileKey, file: SentFile, guard: Option<Guard>) -> RawDocumentBuf {
    let mut fields = RawDocumentBuf::new();
    fields.append(cstr!("id"), file.0);
    fields.append(cstr!("hash"), file.1);
    let change = Change::Replace { fields, absent: RawDocumentBuf::new() };
    statement(&Target { id: &file_id(session, key), before: None, may_insert: true }, change, guard)
}

/// Reads the numbers of an update state. Skips those of other types.
pub(crate) fn read_update_state(row: &RawDocument) -> UpdateState {
    let value = |name| row.get(name).ok().flatten();
    let number = |name| value(name).and_then(integer);
    UpdateState { pts: number("pts"), qts: number("qts"), date: value("date").and_then(seconds), seq: number("seq") }
}

/// Returns the update states of a session.
pub(crate) async fn update_states(
    collection: &Collection<RawDocumentBuf>,
    session: &str,
) -> Result<Vec<(i64, UpdateState)>> {
    let failed = |error| failed("update states cannot be read", &error);
    let mut rows = batches(collection, rows_of(session, "i")).await.map_err(failed)?;
    let mut states = Vec::new();
    while rows.advance().await.map_err(failed)? {
        let row = rows.current();
        let id = row.get_document("_id").ok().and_then(|id| id.get("i").ok().flatten()).and_then(integer);
        states.extend(id.map(|id| (id, read_update_state(row))));
    }
    Ok(states)
}

/// Returns a sent file.
pub(crate) async fn find_sent_file(
    collection: &Collection<RawDocumentBuf>,
    session: &str,
    key: &FileKey,
) -> Result<Option<SentFile>> {
    let failed = |error| failed("a sent file cannot be read", &error);
    let id = mongodb::bson::Document::try_from(file_id(session, key)).map_err(|error| failed(error.into()))?;
    let Some(row) = collection.find_one(doc! { "_id": id }).await.map_err(failed)? else { return Ok(None) };
    let number = |name| row.get(name).ok().flatten().and_then(integer);
    Ok(number("id").zip(number("hash")))
}

/// Returns all sent files of a session.
pub(crate) async fn sent_files(
    collection: &Collection<RawDocumentBuf>,
    session: &str,
) -> Result<Vec<(FileKey, SentFile)>> {
    let failed = |error| failed("sent files cannot be read", &error);
    let mut rows = batches(collection, rows_of(session, "m")).await.map_err(failed)?;
    let mut files = Vec::new();
    while rows.advance().await.map_err(failed)? {
        files.extend(read_sent_file(rows.current()));
    }
    Ok(files)
}

/// Reads a sent file, unless a value has an unusable type.
fn read_sent_file(row: &RawDocument) -> Option<(FileKey, SentFile)> {
    let id = row.get_document("_id").ok()?;
    let number = |row: &RawDocument, name| row.get(name).ok().flatten().and_then(integer);
    let md5_digest = id.get("m").ok().flatten().and_then(bytes)?.to_vec();
    let key = FileKey { md5_digest, size: number(id, "n")?, kind: FileKind::from_number(number(id, "k")?)? };
    Some((key, (number(row, "id")?, number(row, "hash")?)))
}
