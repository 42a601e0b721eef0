//! Reads sessions.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use redis::{Pipeline, Value, cmd};
use session_core::entity_table::{BatchEntity, EntityBatch, TextField};
use session_core::store::{FileKey, Kind, SentFile, UpdateState};
use store_net::driver::Result;
use store_net::{DriverError, OwnedQuery, Pages};
use zeroize::Zeroizing;

use crate::commit::too_new;
use crate::error::failure;
use crate::keys::Keys;
use crate::link::{Link, Slot};
use crate::row::{
    LOGIN_FIELDS, StoredLogin, file_field, parse, push_entity, read_file, read_file_field, read_login, read_state,
};
use crate::scripts::{Call, FIND, command};

/// The field of a login that counts commits with forgotten entities.
const FORGETTINGS: &str = "forgettings";
/// How many entities a lookup by text returns at most.
const MOST_FOUND: usize = 100;
/// How many entities a page of a scan has, about.
const PAGE: usize = 2000;

/// A login and the update states.
pub(crate) struct Stored {
    pub(crate) login: StoredLogin,
    pub(crate) update_states: Vec<(i64, UpdateState)>,
    /// The SHA-1 of an adopted key whose session was deleted here.
    pub(crate) deleted: Option<Vec<u8>>,
    /// How many commits had forgotten entities in them.
    pub(crate) forgettings: i64,
}

/// Reads the login and the update states of a session.
pub(crate) async fn load(slot: &Slot, keys: &Keys) -> Result<Stored> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("HMGET").arg(&keys.login).arg(&LOGIN_FIELDS);
    pipeline.cmd("HGETALL").arg(&keys.states);
    pipeline.cmd("GET").arg(&keys.deleted);
    pipeline.cmd("HGET").arg(&keys.login).arg(FORGETTINGS);
    let mut answers = slot.pipeline(&pipeline).await?.into_iter();
    let mut next =
        || answers.next().unwrap_or(Ok(Value::Nil)).map_err(|error| failure(error, slot.finds_primary()).error);
    let values: Vec<Option<Vec<u8>>> = decode(next()?)?;
    let states: Vec<(Vec<u8>, Vec<u8>)> = decode(next()?)?;
    let login = read_login(values.into_iter().map(|value| value.map(Zeroizing::new)).collect());
    match &login {
        StoredLogin::TooNew(layout) => return Err(too_new(layout)),
        StoredLogin::Damaged(field) => {
            let message = format!("the login is damaged ({field}): delete the session and log in again");
            return Err(DriverError::new(Kind::Corrupt, message));
        }
        _ => {}
    }
    let update_states = states.iter().filter_map(|(id, state)| Some((parse(id)?, read_state(state)?))).collect();
    let deleted = decode(next()?)?;
    let forgettings: Option<Vec<u8>> = decode(next()?)?;
    let forgettings = forgettings.and_then(|count| parse(&count)).unwrap_or(0);
    Ok(Stored { login, update_states, deleted, forgettings })
}

/// Returns the entities that a query may mean.
pub(crate) async fn find(slot: &Slot, keys: &Keys, query: &OwnedQuery) -> Result<EntityBatch> {
    match query {
        OwnedQuery::Ids(ids) if ids.is_empty() => Ok(EntityBatch::default()),
        OwnedQuery::Ids(ids) => {
            let fields: Vec<String> = ids.iter().map(i64::to_string).collect();
            let mut command = cmd("HMGET");
            command.arg(&keys.entities).arg(&fields);
            let rows: Vec<Option<Vec<u8>>> =
                decode(slot.run(async |mut link: Link| command.query_async(&mut link).await).await?)?;
            let mut batch = EntityBatch::default();
            for (id, row) in fields.iter().zip(rows) {
                push_entity(&mut batch, id.as_bytes(), &row.unwrap_or_default());
            }
            Ok(batch)
        }
        OwnedQuery::Text(field, text) => find_text(slot, keys, *field, text).await,
    }
}

async fn find_text(slot: &Slot, keys: &Keys, field: TextField, text: &str) -> Result<EntityBatch> {
    let index = &keys.indexes[field as usize];
    let call = Call::new(&FIND, [&**index, &keys.entities]).arg(text).arg(MOST_FOUND.to_string());
    let found: Vec<Option<Vec<u8>>> = decode(call.run(slot).await?)?;
    let mut all = EntityBatch::default();
    for pair in found.chunks_exact(2) {
        if let [Some(id), Some(row)] = pair {
            push_entity(&mut all, id, row);
        }
    }
    // The index is a hint: a row that another program has changed may have another text.
    let mut matching = EntityBatch::default();
    let is_called = |entity: &BatchEntity<'_>| {
        let is_alias = || field == TextField::Username && entity.aliases().any(|alias| alias == text.as_bytes());
        entity.texts()[field as usize] == Some(text.as_bytes()) || is_alias()
    };
    all.iter().filter(is_called).for_each(|entity| matching.push_entity(&entity));
    Ok(matching)
}

/// Sends all entities of a session.
pub(crate) async fn scan(slot: &Slot, keys: &Keys, pages: &Pages) -> Result<()> {
    let mut cursor = b"0".to_vec();
    loop {
        let (next, fields) = scan_hash(slot, &keys.entities, &cursor).await?;
        let mut batch = EntityBatch::with_capacity(fields.len() / 2);
        for pair in fields.chunks_exact(2) {
            push_entity(&mut batch, &pair[0], &pair[1]);
        }
        if !batch.is_empty() && !pages.send(batch).await {
            return Ok(());
        }
        if next == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// Returns how many commits had forgotten entities in them.
pub(crate) async fn forgettings(slot: &Slot, keys: &Keys) -> Result<i64> {
    let command = command("HGET", [keys.login.as_bytes(), FORGETTINGS.as_bytes()]);
    let count: Option<Vec<u8>> = decode(slot.run(async |mut link: Link| command.query_async(&mut link).await).await?)?;
    Ok(count.and_then(|count| parse(&count)).unwrap_or(0))
}

/// Counts the entities whose marked IDs are in a range.
pub(crate) async fn count(slot: &Slot, keys: &Keys, ids: &RangeInclusive<i64>) -> Result<usize> {
    if *ids == (i64::MIN..=i64::MAX) {
        let command = command("HLEN", [keys.entities.as_bytes()]);
        return decode(slot.run(async |mut link: Link| command.query_async(&mut link).await).await?);
    }
    // A field may come twice while the server resizes the hash.
    let mut found = HashSet::new();
    let mut cursor = b"0".to_vec();
    loop {
        let (next, fields) = scan_hash(slot, &keys.entities, &cursor).await?;
        let numbers = fields.chunks_exact(2).filter_map(|pair| parse::<i64>(&pair[0]));
        found.extend(numbers.filter(|id| ids.contains(id)));
        if next == b"0" {
            return Ok(found.len());
        }
        cursor = next;
    }
}

/// Reads the next fields and values of a hash, and the cursor for those that follow.
async fn scan_hash(slot: &Slot, key: &str, cursor: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let command = command("HSCAN", [key.as_bytes(), cursor, b"COUNT", PAGE.to_string().as_bytes()]);
    decode(slot.run(async |mut link: Link| command.query_async(&mut link).await).await?)
}

/// Returns all sent files.
pub(crate) async fn sent_files(slot: &Slot, keys: &Keys) -> Result<Vec<(FileKey, SentFile)>> {
    // A field may come twice while the server resizes the hash.
    let mut files = HashMap::new();
    let mut cursor = b"0".to_vec();
    loop {
        let (next, fields) = scan_hash(slot, &keys.files, &cursor).await?;
        for pair in fields.chunks_exact(2) {
            files.extend(read_file_field(&pair[0]).zip(read_file(&pair[1])));
        }
        if next == b"0" {
            return Ok(files.into_iter().collect());
        }
        cursor = next;
    }
}

/// Returns a sent file.
pub(crate) async fn sent_file(slot: &Slot, keys: &Keys, key: &FileKey) -> Result<Option<SentFile>> {
    let mut command = cmd("HGET");
    command.arg(&keys.files).arg(file_field(key));
    let value: Option<Vec<u8>> = decode(slot.run(async |mut link: Link| command.query_async(&mut link).await).await?)?;
    Ok(value.and_then(|value| read_file(&value)))
}

/// Reads an answer.
pub(crate) fn decode<T: redis::FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|_| DriverError::new(Kind::Other, "the server's answer cannot be read"))
}
