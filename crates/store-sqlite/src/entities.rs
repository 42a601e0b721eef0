//! The table `entities`, and how its integer affinity changes phone numbers.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Params, Row, Statement, ToSql, params};

use session_core::entity_table::{Dirty, EntityBatch, TextField};
use session_core::store::{Counted, Query, ScanBatch};

use crate::usernames::{self, Aliases};

const SELECT: &str = "select id, hash, username, phone, name, date from entities";
const PUT: &str = "insert or replace into entities (id, hash, username, phone, name, date) values (?,?,?,?,?,?)";
/// An input peer has no names. Those in the file stay.
const PUT_ACCESS_HASH_AND_DATE: &str = "insert into entities (id, hash, date) values (?1,?2,?3) \
     on conflict(id) do update set hash = excluded.hash, date = excluded.date";
const PUT_DATE: &str = "update entities set date = ?2 where id = ?1";
const DELETE: &str = "delete from entities where id = ?";
const DELETE_OLD: &str = "delete from entities where id = ?1 and ifnull(date, 0) < ?2";
const COUNT: &str = "select sum(typeof(id) = 'integer' and typeof(hash) = 'integer'), count(*), max(id) \
     from (select id, hash from entities where id between ?1 and ?2 order by id limit ?3)";
/// How many entities with a phone or a name are read: those with the lowest marked IDs. Thousands may
/// have a name.
const MOST_FOUND: usize = 100;
const FORGET_USERNAME: &str = "update entities set username = null where id = ?";

/// A text that is known to be UTF-8, so that it need not be checked again.
pub(super) struct Text<'a>(pub(super) Option<&'a [u8]>);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0.map_or(ValueRef::Null, ValueRef::Text)))
    }
}

/// Writes the dirty parts of entities, in order.
pub(super) fn write(connection: &Connection, entities: &EntityBatch) -> rusqlite::Result<()> {
    if entities.is_empty() {
        return Ok(());
    }
    let mut put = connection.prepare_cached(PUT)?;
    for entity in entities.iter() {
        match entity.dirty {
            Dirty::Clean | Dirty::LostAlias => {}
            Dirty::Gone => {
                match entity.gone_before() {
                    None => connection.prepare_cached(DELETE)?.execute([entity.id])?,
                    Some(before) => connection.prepare_cached(DELETE_OLD)?.execute(params![entity.id, before])?,
                };
            }
            Dirty::Full => {
                let [username, phone, name] = entity.texts().map(Text);
                put.execute(params![entity.id, entity.access_hash, username, phone, name, entity.seen])?;
            }
            Dirty::AccessHashAndDate => {
                let values = params![entity.id, entity.access_hash, entity.seen];
                connection.prepare_cached(PUT_ACCESS_HASH_AND_DATE)?.execute(values)?;
            }
            Dirty::Date => {
                connection.prepare_cached(PUT_DATE)?.execute(params![entity.id, entity.seen])?;
            }
            Dirty::LostUsername => {
                connection.prepare_cached(FORGET_USERNAME)?.execute([entity.id])?;
            }
        }
    }
    usernames::write(connection, entities)
}

/// Writes whole entities, whatever part of them is dirty. Leaves out those without an access hash,
/// which no file holds.
pub(super) fn put_all(connection: &Connection, entities: &EntityBatch) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(PUT)?;
    for entity in entities.iter().filter(|entity| entity.access_hash.is_some()) {
        let [username, phone, name] = entity.texts().map(Text);
        let seen = Some(entity.seen).filter(|seen| *seen != 0);
        put.execute(params![entity.id, entity.access_hash, username, phone, name, seen])?;
    }
    usernames::put_all(connection, entities)
}

/// Removes entities by their marked IDs.
pub(super) fn remove(connection: &Connection, ids: &[i64]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached(DELETE)?;
    ids.iter().try_for_each(|id| delete.execute([id]).map(drop))?;
    usernames::remove(connection, ids)
}

/// Removes all entities.
pub(super) fn remove_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("delete from entities", [])?;
    usernames::remove_all(connection)
}

/// Returns the entities that a query may mean.
pub(super) fn find(connection: &Connection, query: &Query<'_>) -> rusqlite::Result<EntityBatch> {
    let select = |condition: &str| connection.prepare_cached(&format!("{SELECT} where {condition}"));
    let lowest = |column| format!("{column} = ? order by id limit {MOST_FOUND}");
    let has_aliases = usernames::Table::of(connection)?.is_present();
    let found = match query {
        Query::Id(id) => read(&mut *select("id = ?")?, [id]),
        Query::AnyId([a, b, c]) => read(&mut *select("id in (?,?,?)")?, params![a, b, c]),
        Query::Ids(ids) => by_ids(&mut *select("id = ?")?, ids),
        Query::Text(TextField::Username, text) if has_aliases => {
            let by_alias = "id in (select id from telethon_session_rust_usernames where username = ?1)";
            read(&mut *select(&format!("username = ?1 or {by_alias}"))?, [text])
        }
        Query::Text(TextField::Username, text) => read(&mut *select("username = ?")?, [text]),
        Query::Text(TextField::Phone, text) => read(&mut *select(&lowest("phone"))?, [text]),
        Query::Text(TextField::Name, text) => read(&mut *select(&lowest("name"))?, [text]),
    }?;
    if has_aliases { with_aliases(connection, &found) } else { Ok(found) }
}

/// Returns the entities with a text: those of some marked IDs that have it, and by their aliases.
pub(super) fn find_among(
    connection: &Connection,
    field: TextField,
    text: &str,
    ids: &[i64],
) -> rusqlite::Result<EntityBatch> {
    let column = match field {
        TextField::Username => "username",
        TextField::Phone => "phone",
        TextField::Name => "name",
    };
    let mut found = EntityBatch::default();
    let mut select = connection.prepare_cached(&format!("{SELECT} where id = ?1 and {column} = ?2"))?;
    for id in ids {
        push_all(&mut found, &mut select, params![id, text])?;
        if found.len() >= MOST_FOUND && field != TextField::Username {
            break;
        }
    }
    if !usernames::Table::of(connection)?.is_present() {
        return Ok(found);
    }
    if field == TextField::Username {
        for id in usernames::holders(connection, text)? {
            if !found.ids().any(|known| known == id) {
                found.append(&find(connection, &Query::Id(id))?);
            }
        }
    }
    with_aliases(connection, &found)
}

fn with_aliases(connection: &Connection, found: &EntityBatch) -> rusqlite::Result<EntityBatch> {
    let mut select = usernames::select_of_one(connection)?;
    let mut all = EntityBatch::with_capacity(found.len());
    for entity in found.iter() {
        all.push_entity(&entity);
        Aliases::new(select.query([entity.id])?)?.add_to_last(&mut all)?;
    }
    Ok(all)
}

/// Reads at most `limit` entities after a marked ID, in ascending order.
pub(super) fn scan(connection: &Connection, after: Option<i64>, limit: usize) -> rusqlite::Result<ScanBatch> {
    let rows_limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = match after {
        None => connection.prepare_cached(&format!("{SELECT} order by id limit ?1"))?,
        Some(_) => connection.prepare_cached(&format!("{SELECT} where id > ?2 order by id limit ?1"))?,
    };
    let mut rows = match after {
        None => statement.query([rows_limit])?,
        Some(id) => statement.query([rows_limit, id])?,
    };
    let has_aliases = usernames::Table::of(connection)?.is_present();
    let mut select = if has_aliases { Some(usernames::select_from(connection)?) } else { None };
    let mut aliases = match &mut select {
        Some(select) => Some(Aliases::new(select.query([after.unwrap_or(i64::MIN)])?)?),
        None => None,
    };
    let mut scanned = ScanBatch::default();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let before = scanned.entities.len();
        push(&mut scanned.entities, row)?;
        if let Some(aliases) = &mut aliases
            && scanned.entities.len() > before
        {
            aliases.add_to_last(&mut scanned.entities)?;
        }
        count += 1;
        scanned.next = match row.get_ref(0)? {
            _ if count < limit => None,
            ValueRef::Integer(id) => Some(id),
            // SQLite sorts NULL before numbers, and everything else, which is not an ID, after
            // them.
            ValueRef::Null => Some(i64::MIN),
            _ => None,
        };
    }
    Ok(scanned)
}

/// Counts the usable rows among the first `limit` in a range of marked IDs.
pub(super) fn count(connection: &Connection, ids: &RangeInclusive<i64>, limit: usize) -> rusqlite::Result<Counted> {
    let rows_limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(COUNT)?;
    statement.query_row(params![ids.start(), ids.end(), rows_limit], |row| {
        let (entities, rows): (Option<i64>, i64) = (row.get(0)?, row.get(1)?);
        let last = if rows < rows_limit { None } else { row.get::<_, Option<i64>>(2)? };
        Ok(Counted { entities: usize::try_from(entities.unwrap_or(0)).unwrap_or(0), next: last })
    })
}

fn read(statement: &mut Statement<'_>, params: impl Params) -> rusqlite::Result<EntityBatch> {
    let mut batch = EntityBatch::default();
    push_all(&mut batch, statement, params)?;
    Ok(batch)
}

fn by_ids(statement: &mut Statement<'_>, ids: &[i64]) -> rusqlite::Result<EntityBatch> {
    let mut batch = EntityBatch::default();
    ids.iter().try_for_each(|id| push_all(&mut batch, statement, [id]))?;
    Ok(batch)
}

fn push_all(batch: &mut EntityBatch, statement: &mut Statement<'_>, params: impl Params) -> rusqlite::Result<()> {
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        push(batch, row)?;
    }
    Ok(())
}

/// Adds a row, unless its ID or access hash is not an integer.
fn push(batch: &mut EntityBatch, row: &Row<'_>) -> rusqlite::Result<()> {
    let (ValueRef::Integer(id), ValueRef::Integer(access_hash)) = (row.get_ref(0)?, row.get_ref(1)?) else {
        return Ok(());
    };
    let phone = phone_text(row.get_ref(3)?);
    let seen = date(row.get_ref(5)?);
    batch.push_stored(id, access_hash, seen, [utf8(row.get_ref(2)?), phone.as_deref(), utf8(row.get_ref(4)?)]);
    Ok(())
}

/// Returns a stored date; 0 if it is not one.
pub(super) fn date(value: ValueRef<'_>) -> u32 {
    match value {
        ValueRef::Integer(seconds) => u32::try_from(seconds.max(0)).unwrap_or(u32::MAX),
        _ => 0,
    }
}

pub(super) fn utf8(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(text) if std::str::from_utf8(text).is_ok() => Some(text),
        _ => None,
    }
}

/// Returns a stored phone as text: a number in its shortest form.
fn phone_text(value: ValueRef<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string().into_bytes().into()),
        ValueRef::Real(number) => Some(format!("{number:?}").into_bytes().into()),
        text => utf8(text).map(Cow::Borrowed),
    }
}

/// Returns a phone in the form in which its column returns it: text that looks like a number is
/// stored as a number.
///
/// Nearly all phones are plain digits. For others, SQLite is asked, because its rules are long.
pub(super) fn normalize_phone(phone: &str) -> Cow<'_, str> {
    const ALWAYS_FITS: usize = 18;
    let digits = phone.bytes().all(|byte| byte.is_ascii_digit());
    if digits && phone.len() <= ALWAYS_FITS && (phone == "0" || !phone.starts_with('0')) && !phone.is_empty() {
        return Cow::Borrowed(phone);
    }
    ask_sqlite(phone).map_or(Cow::Borrowed(phone), Cow::Owned)
}

fn ask_sqlite(phone: &str) -> rusqlite::Result<String> {
    let connection = Connection::open_in_memory()?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.execute("create table entities (phone integer)", [])?;
    connection.execute("insert into entities values (?)", [phone])?;
    let stored: Value = connection.query_row("select phone from entities", [], |row| row.get(0))?;
    let text = phone_text(ValueRef::from(&stored)).unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::normalize_phone;

    #[test]
    fn phones_take_the_form_of_their_column() {
        for (given, stored) in [
            ("79991234567", "79991234567"),
            ("+79991234567", "79991234567"),
            ("007", "7"),
            ("0", "0"),
            ("", ""),
            (" 12 ", "12"),
            ("12.0", "12"),
            ("1.5", "1.5"),
            ("9223372036854775807", "9223372036854775807"),
            ("888 0000", "888 0000"),
            ("٣٤", "٣٤"),
        ] {
            assert_eq!(normalize_phone(given), stored, "{given}");
        }
    }
}
