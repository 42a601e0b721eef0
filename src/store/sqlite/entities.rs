//! The rows of the table `entities`, and what integer affinity makes of a phone number.

use std::borrow::Cow;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Params, Row, Statement, ToSql, params};

use crate::entity_cache::{EntityPage, TextKey, Unsaved};
use crate::store::{Loaded, Query};

const PUT: &str = "insert or replace into entities (id, hash, username, phone, name, date) values (?,?,?,?,?,?)";
/// An input peer tells no names. Those that the file may have stay.
const PUT_HASH_AND_DATE: &str = "insert into entities (id, hash, date) values (?1,?2,?3) \
     on conflict(id) do update set hash = excluded.hash, date = excluded.date";
const PUT_DATE: &str = "update entities set date = ?2 where id = ?1";
const FORGET_USERNAME: &str = "update entities set username = null where id = ?";

/// A text that is known to be UTF-8 without being asked again.
struct Text<'a>(Option<&'a [u8]>);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0.map_or(ValueRef::Null, ValueRef::Text)))
    }
}

/// Writes entities, in order.
pub(super) fn write(connection: &Connection, entities: &EntityPage) -> rusqlite::Result<()> {
    if entities.is_empty() {
        return Ok(());
    }
    let mut put = connection.prepare_cached(PUT)?;
    for entity in entities.iter() {
        match entity.unsaved {
            Unsaved::Nothing => {}
            Unsaved::Row => {
                let [username, phone, name] = entity.texts().map(Text);
                put.execute(params![entity.id, entity.hash, username, phone, name, entity.seen])?;
            }
            Unsaved::HashAndDate => {
                let values = params![entity.id, entity.hash, entity.seen];
                connection.prepare_cached(PUT_HASH_AND_DATE)?.execute(values)?;
            }
            Unsaved::Date => {
                connection.prepare_cached(PUT_DATE)?.execute(params![entity.id, entity.seen])?;
            }
            Unsaved::LostUsername => {
                connection.prepare_cached(FORGET_USERNAME)?.execute([entity.id])?;
            }
        }
    }
    Ok(())
}

/// The entities that a query may mean.
pub(super) fn find(connection: &Connection, query: &Query<'_>) -> rusqlite::Result<EntityPage> {
    let select = |condition: &str| {
        connection
            .prepare_cached(&format!("select id, hash, username, phone, name, date from entities where {condition}"))
    };
    match query {
        Query::Id(id) => read(&mut *select("id = ?")?, [id]),
        Query::AnyId([a, b, c]) => read(&mut *select("id in (?,?,?)")?, params![a, b, c]),
        Query::Text(TextKey::Username, text) => read(&mut *select("username = ?")?, [text]),
        Query::Text(TextKey::Phone, text) => read(&mut *select("phone = ?")?, [text]),
        Query::Text(TextKey::Name, text) => read(&mut *select("name = ?")?, [text]),
    }
}

/// Reads the entities after one marked id, in the order of their ids.
pub(super) fn load(connection: &Connection, after: Option<i64>, most: usize) -> rusqlite::Result<Loaded> {
    const COLUMNS: &str = "select id, hash, username, phone, name, date from entities";
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = match after {
        None => connection.prepare_cached(&format!("{COLUMNS} order by id limit ?1"))?,
        Some(_) => connection.prepare_cached(&format!("{COLUMNS} where id > ?2 order by id limit ?1"))?,
    };
    let mut rows = match after {
        None => statement.query([limit])?,
        Some(id) => statement.query([limit, id])?,
    };
    let mut loaded = Loaded::default();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        push(&mut loaded.entities, row)?;
        count += 1;
        loaded.next = match row.get_ref(0)? {
            _ if count < most => None,
            ValueRef::Integer(id) => Some(id),
            // Numbers come after these and before all else, which is no id.
            ValueRef::Null => Some(i64::MIN),
            _ => None,
        };
    }
    Ok(loaded)
}

fn read(statement: &mut Statement<'_>, params: impl Params) -> rusqlite::Result<EntityPage> {
    let mut page = EntityPage::default();
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        push(&mut page, row)?;
    }
    Ok(page)
}

/// Adds a row as it is. One whose id or hash is no number has nothing that could be used.
fn push(page: &mut EntityPage, row: &Row<'_>) -> rusqlite::Result<()> {
    let (ValueRef::Integer(id), ValueRef::Integer(hash)) = (row.get_ref(0)?, row.get_ref(1)?) else {
        return Ok(());
    };
    let phone = phone_text(row.get_ref(3)?);
    let seen = match row.get_ref(5)? {
        ValueRef::Integer(seconds) => u32::try_from(seconds.max(0)).unwrap_or(u32::MAX),
        _ => 0,
    };
    page.push_stored(id, hash, seen, [utf8(row.get_ref(2)?), phone.as_deref(), utf8(row.get_ref(4)?)]);
    Ok(())
}

fn utf8(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(text) if std::str::from_utf8(text).is_ok() => Some(text),
        _ => None,
    }
}

/// A stored phone as text: numbers in their shortest form.
fn phone_text(value: ValueRef<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string().into_bytes().into()),
        ValueRef::Real(number) => Some(format!("{number:?}").into_bytes().into()),
        text => utf8(text).map(Cow::Borrowed),
    }
}

/// The form in which a phone comes back from its column: text that looks like a number is stored as one.
///
/// Nearly all are plain digits. What is left is put to SQLite itself, whose rules are long.
pub(super) fn phone_form(phone: &str) -> Cow<'_, str> {
    const ALWAYS_FIT: usize = 18;
    let digits = phone.bytes().all(|byte| byte.is_ascii_digit());
    if digits && phone.len() <= ALWAYS_FIT && (phone == "0" || !phone.starts_with('0')) && !phone.is_empty() {
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
    use super::phone_form;

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
            assert_eq!(phone_form(given), stored, "{given}");
        }
    }
}
