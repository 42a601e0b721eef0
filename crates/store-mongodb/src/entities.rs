//! The collection of entities.

use std::ops::RangeInclusive;

use mongodb::bson::raw::{RawBson, cstr};
use mongodb::bson::{Bson, DateTime, Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc};
use mongodb::options::FindOptions;
use mongodb::{Collection, Cursor, Database};
use session_core::entity_table::{BatchEntity, Dirty, EntityBatch, TextField};
use store_net::driver::{OwnedQuery, Pages, Result};

use crate::bson::{integer, text};
use crate::bulk::{Change, Guard, Target, statement};
use crate::error::failed;
use crate::layout::{FORGOTTEN, row_id, rows_of};

/// The most entities with one text that are returned.
const MOST_FOUND: i64 = 100;
/// How many entities a page of a scan has.
const PAGE: usize = 4000;
/// The longest text that is stored. Telegram's have 64 characters; a document has at most 16 MB.
const LONGEST_TEXT: usize = 1 << 20;
/// The longest alias that is stored. An entity has up to a hundred, and Telegram's have 32 characters.
const LONGEST_ALIAS: usize = 1 << 10;

/// Returns the statement that writes the dirty part of an entity, if any.
pub(crate) fn update(session: &str, entity: &BatchEntity<'_>, guard: Option<Guard>) -> Option<RawDocumentBuf> {
    let id = row_id(session, entity.id);
    let mut fields = RawDocumentBuf::new();
    let mut before = None;
    let (change, may_insert) = match entity.dirty {
        Dirty::Clean => return None,
        Dirty::Full => {
            let absent = append_fields(&mut fields, entity);
            (Change::Replace { fields, absent }, true)
        }
        Dirty::AccessHashAndDate => {
            fields.append(cstr!("hash"), entity.access_hash.unwrap_or_default());
            fields.append(cstr!("date"), i64::from(entity.seen));
            (Change::Merge { fields, absent: Some(FORGOTTEN) }, true)
        }
        Dirty::Date => {
            fields.append(cstr!("date"), i64::from(entity.seen));
            (Change::Merge { fields, absent: None }, false)
        }
        Dirty::LostUsername => (Change::Remove { field: cstr!("username") }, false),
        Dirty::LostAlias => {
            fields.append(cstr!("usernames"), aliases(entity));
            (Change::MergeUnlessNewer { fields, seen: entity.seen }, false)
        }
        Dirty::Gone => {
            before = entity.gone_before().map(i64::from);
            fields.append(FORGOTTEN, DateTime::now());
            let fields_of_a_row =
                [cstr!("hash"), cstr!("username"), cstr!("phone"), cstr!("name"), cstr!("date"), cstr!("usernames")];
            let absent = fields_of_a_row.into_iter().map(|name| (name, RawBson::from(""))).collect();
            (Change::Replace { fields, absent }, before.is_none())
        }
    };
    Some(statement(&Target { id: &id, before, may_insert }, change, guard))
}

/// Returns a new entity as a document.
pub(crate) fn document(session: &str, entity: &BatchEntity<'_>, guard: Option<Guard>) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), row_id(session, entity.id));
    append_fields(&mut document, entity);
    if let Some(guard) = guard {
        guard.append_to(&mut document);
    }
    document
}

/// Appends everything but the `_id`. Returns the fields that the entity does not have.
fn append_fields(document: &mut RawDocumentBuf, entity: &BatchEntity<'_>) -> RawDocumentBuf {
    let mut absent = RawDocumentBuf::new();
    document.append(cstr!("hash"), entity.access_hash.unwrap_or_default());
    let fields = [cstr!("username"), cstr!("phone"), cstr!("name")];
    for (field, text) in fields.into_iter().zip(entity.texts()) {
        let text = text.filter(|text| text.len() <= LONGEST_TEXT).and_then(|text| std::str::from_utf8(text).ok());
        match text {
            Some(text) => document.append(field, text),
            None => absent.append(field, ""),
        }
    }
    document.append(cstr!("date"), i64::from(entity.seen));
    if entity.has_aliases() {
        document.append(cstr!("usernames"), aliases(entity));
    } else {
        absent.append(cstr!("usernames"), "");
    }
    absent.append(FORGOTTEN, "");
    absent
}

fn aliases(entity: &BatchEntity<'_>) -> RawArrayBuf {
    let usable = entity.aliases().filter(|alias| alias.len() <= LONGEST_ALIAS);
    usable.filter_map(|alias| std::str::from_utf8(alias).ok()).collect()
}

/// Adds a row, unless its ID or access hash is not an integer.
fn push(batch: &mut EntityBatch, row: &RawDocument) {
    let (mut id, mut access_hash, mut seen) = (None, None, 0);
    let (mut texts, mut aliases) = ([None; 3], None);
    for element in row {
        let Ok((key, value)) = element else { return };
        match key.as_str() {
            "_id" => id = value.as_document().and_then(|id| id.get("i").ok().flatten()).and_then(integer),
            "hash" => access_hash = integer(value),
            "username" => texts[0] = text(value).map(str::as_bytes),
            "phone" => texts[1] = text(value).map(str::as_bytes),
            "name" => texts[2] = text(value).map(str::as_bytes),
            "usernames" => aliases = value.as_array(),
            "date" => seen = integer(value).map_or(0, |date| u32::try_from(date.max(0)).unwrap_or(u32::MAX)),
            _ => {}
        }
    }
    if let (Some(id), Some(access_hash)) = (id, access_hash) {
        batch.push_stored(id, access_hash, seen, texts);
        let aliases = aliases.into_iter().flatten().map_while(std::result::Result::ok).filter_map(text);
        aliases.for_each(|alias| batch.push_alias(alias.as_bytes()));
    }
}

/// Returns the entities that a query may mean.
pub(crate) async fn find(
    entities: &Collection<RawDocumentBuf>,
    session: &str,
    query: &OwnedQuery,
) -> Result<EntityBatch> {
    let mut options = FindOptions::default();
    let filter = match query {
        OwnedQuery::Ids(ids) => {
            doc! { "_id": { "$in": ids.iter().map(|id| doc! { "s": session, "i": id }).collect::<Vec<_>>() } }
        }
        OwnedQuery::Text(field, text) => {
            options.limit = Some(MOST_FOUND);
            match field {
                TextField::Username => {
                    let is_of = |field: &str| doc! { "_id.s": session, field: text };
                    doc! { "$or": [is_of("username"), is_of("usernames")] }
                }
                TextField::Phone => doc! { "_id.s": session, "phone": text },
                TextField::Name => doc! { "_id.s": session, "name": text },
            }
        }
    };
    let failed = |error| failed("entities cannot be read", &error);
    let mut rows = entities.find(filter).with_options(options).await.map_err(failed)?;
    let mut found = EntityBatch::default();
    while rows.advance().await.map_err(failed)? {
        push(&mut found, rows.current());
    }
    Ok(found)
}

/// Counts the entities whose marked IDs are in a range.
///
/// Both are counted in an index alone: the rows, and those of entities that were forgotten.
pub(crate) async fn count(
    database: &Database,
    collection: &str,
    session: &str,
    ids: &RangeInclusive<i64>,
) -> Result<usize> {
    let bound = |id: i64| doc! { "s": session, "i": id };
    let range = doc! { "_id": { "$gte": bound(*ids.start()), "$lte": bound(*ids.end()) } };
    let mut forgotten = range.clone();
    forgotten.insert("forgotten", doc! { "$exists": true });
    let count = async |filter: Document| {
        let pipeline = vec![doc! { "$match": filter }, doc! { "$count": "rows" }];
        let command = doc! { "aggregate": collection, "pipeline": pipeline, "cursor": {} };
        let reply = database.run_command(command).await;
        reply.map(|reply| counted(&reply)).map_err(|error| failed("entities cannot be counted", &error))
    };
    let rows = count(range).await?.saturating_sub(count(forgotten).await?);
    Ok(usize::try_from(rows).unwrap_or_default())
}

/// Returns the number in the answer to a `$count`. There is none if it is zero.
fn counted(reply: &Document) -> i64 {
    let rows = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let row = rows.ok().and_then(|rows| rows.first()).and_then(Bson::as_document);
    match row.and_then(|row| row.get("rows")) {
        Some(Bson::Int32(rows)) => i64::from(*rows),
        Some(Bson::Int64(rows)) => *rows,
        _ => 0,
    }
}

/// Sends all entities of a session.
pub(crate) async fn scan(entities: &Collection<RawDocumentBuf>, session: &str, pages: &Pages) -> Result<()> {
    let failed = |error| failed("entities cannot be read", &error);
    let mut rows = batches(entities, rows_of(session, "i")).await.map_err(failed)?;
    let mut page = EntityBatch::with_capacity(PAGE);
    while rows.advance().await.map_err(failed)? {
        push(&mut page, rows.current());
        if page.len() >= PAGE && !pages.send(std::mem::replace(&mut page, EntityBatch::with_capacity(PAGE))).await {
            return Ok(());
        }
    }
    if !page.is_empty() {
        pages.send(page).await;
    }
    Ok(())
}

/// Returns a cursor that reads pages at a time.
pub(crate) async fn batches(
    collection: &Collection<RawDocumentBuf>,
    filter: Document,
) -> mongodb::error::Result<Cursor<RawDocumentBuf>> {
    collection.find(filter).batch_size(u32::try_from(PAGE).unwrap_or(u32::MAX)).await
}

/// Returns `true` if none of some of these entities is stored, so that probably all are new.
pub(crate) async fn are_new(
    entities: &Collection<RawDocumentBuf>,
    session: &str,
    batch: &EntityBatch,
) -> mongodb::error::Result<bool> {
    const PROBES: usize = 32;
    let step = (batch.len() / PROBES).max(1);
    let probes = (0..batch.len()).step_by(step).filter_map(|at| batch.get(at));
    let ids: RawArrayBuf = probes.map(|entity| row_id(session, entity.id)).collect();
    let ids: Document =
        doc! { "_id": { "$in": mongodb::bson::Bson::try_from(mongodb::bson::raw::RawBson::Array(ids))? } };
    Ok(entities.find_one(ids).projection(doc! { "_id": 1 }).await?.is_none())
}
