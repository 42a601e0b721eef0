//! The table of aliases: the active usernames of entities besides the one in `entities`.
//!
//! Telethon knows nothing of it. It is created when an entity has an alias for the first time; a file
//! without any is Telethon's, byte for byte. Each row also has the date when its entity was seen with
//! the alias, and the username that the entity then had in `entities`. When Telethon writes the entity
//! later, it changes the date there and, if the entity is called otherwise now, the username. Then its
//! aliases no longer count.

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Rows, params};

use session_core::entity_table::{BatchEntity, Dirty, EntityBatch};

use crate::entities::{Text, date, utf8};

/// The statements that create the table.
pub const CREATE_USERNAMES: &str = "create table telethon_session_rust_usernames (username text primary key, \
     id integer not null, position integer not null, main text, date integer not null); \
     create index telethon_session_rust_usernames_by_id on telethon_session_rust_usernames (id, position)";
const COLUMNS: [&str; 5] = ["username", "id", "position", "main", "date"];

const SELECT: &str = "select id, username, main, date from telethon_session_rust_usernames";
/// A username belongs to the entity that was seen with it last.
const PUT: &str = "insert into telethon_session_rust_usernames (username, id, position, main, date) \
     values (?1, ?2, ?3, ?4, ?5) on conflict(username) do update set id = excluded.id, \
     position = excluded.position, main = excluded.main, date = excluded.date where excluded.date >= date";
const PUT_DATE: &str = "update telethon_session_rust_usernames set date = ?2 where id = ?1";
const FORGET_MAIN: &str = "update telethon_session_rust_usernames set main = null where id = ?1";
const DELETE_ALL: &str = "delete from telethon_session_rust_usernames where id = ?1";
/// Of an entity that was forgotten. It stays if it was seen later than it was forgotten.
const DELETE_GONE: &str = "delete from telethon_session_rust_usernames where id = ?1 \
     and not exists (select 1 from entities where id = ?1)";
const DELETE_TAKEN: &str = "delete from telethon_session_rust_usernames where username = ?1 and date <= ?2";
const DELETE: &str = "delete from telethon_session_rust_usernames where username = ?1 and id = ?2 and date <= ?3";

/// Whether a file has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Missing,
    Present,
    /// Something else has its name. It is left alone.
    Foreign,
}

impl Table {
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        const FIND: &str = "select type from sqlite_master where name like 'telethon\\_session\\_rust\\_usernames%' \
             escape '\\' order by type desc";
        let found = connection.prepare_cached(FIND)?.query_row([], |row| row.get::<_, String>(0)).optional()?;
        let Some(kind) = found else { return Ok(Self::Missing) };
        // A view of a hostile file may have rows without end.
        if kind != "table" {
            return Ok(Self::Foreign);
        }
        let mut statement = connection.prepare_cached(
            "select lower(name) from pragma_table_info('telethon_session_rust_usernames') order by cid",
        )?;
        let columns = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(if columns == COLUMNS { Self::Present } else { Self::Foreign })
    }

    pub(super) fn is_present(self) -> bool {
        self == Self::Present
    }
}

/// Writes the aliases of the dirty parts of entities, in order.
pub(super) fn write(connection: &Connection, entities: &EntityBatch) -> rusqlite::Result<()> {
    if !is_ready(connection, entities.iter().any(|entity| entity.dirty == Dirty::Full && entity.has_aliases()))? {
        return Ok(());
    }
    for entity in entities.iter() {
        match entity.dirty {
            Dirty::Full => put(connection, &entity)?,
            Dirty::AccessHashAndDate | Dirty::Date if entity.has_aliases() => {
                connection.prepare_cached(PUT_DATE)?.execute(params![entity.id, entity.seen])?;
            }
            Dirty::LostUsername if entity.has_aliases() => {
                connection.prepare_cached(FORGET_MAIN)?.execute([entity.id])?;
            }
            Dirty::LostAlias => delete_lost(connection, &entity)?,
            Dirty::Gone => {
                connection.prepare_cached(DELETE_GONE)?.execute([entity.id])?;
            }
            Dirty::Clean | Dirty::AccessHashAndDate | Dirty::Date | Dirty::LostUsername => {}
        }
    }
    Ok(())
}

/// Writes the aliases of whole entities, whatever part of them is dirty. Leaves out those without an
/// access hash, which no file holds.
pub(super) fn put_all(connection: &Connection, entities: &EntityBatch) -> rusqlite::Result<()> {
    if is_ready(connection, entities.iter().any(|entity| entity.has_aliases()))? {
        let mut stored = entities.iter().filter(|entity| entity.access_hash.is_some());
        stored.try_for_each(|entity| put(connection, &entity))?;
    }
    Ok(())
}

/// Removes the aliases of entities that were removed.
pub(super) fn remove(connection: &Connection, ids: &[i64]) -> rusqlite::Result<()> {
    if is_ready(connection, false)? {
        let mut delete = connection.prepare_cached(DELETE_GONE)?;
        ids.iter().try_for_each(|id| delete.execute([id]).map(drop))?;
    }
    Ok(())
}

/// Removes all aliases.
pub(super) fn remove_all(connection: &Connection) -> rusqlite::Result<()> {
    if is_ready(connection, false)? {
        connection.execute("delete from telethon_session_rust_usernames", [])?;
    }
    Ok(())
}

/// Returns `true` if the table can be written, after creating it if that is needed.
fn is_ready(connection: &Connection, is_needed: bool) -> rusqlite::Result<bool> {
    match Table::of(connection)? {
        Table::Present => Ok(true),
        Table::Missing if is_needed => connection.execute_batch(CREATE_USERNAMES).map(|()| true),
        Table::Missing | Table::Foreign => Ok(false),
    }
}

fn put(connection: &Connection, entity: &BatchEntity<'_>) -> rusqlite::Result<()> {
    let [main, ..] = entity.texts();
    connection.prepare_cached(DELETE_ALL)?.execute([entity.id])?;
    if main.is_some() {
        connection.prepare_cached(DELETE_TAKEN)?.execute(params![Text(main), entity.seen])?;
    }
    for (position, alias) in (0_i64..).zip(entity.aliases()) {
        let values = params![Text(Some(alias)), entity.id, position, Text(main), entity.aliases_seen()];
        connection.prepare_cached(PUT)?.execute(values)?;
    }
    Ok(())
}

/// Deletes the aliases that an entity no longer has, unless it was seen with them later.
fn delete_lost(connection: &Connection, entity: &BatchEntity<'_>) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached("select username from telethon_session_rust_usernames where id = ?1")?;
    let stored: Vec<Vec<u8>> = select
        .query_map([entity.id], |row| Ok(utf8(row.get_ref(0)?).map(<[u8]>::to_vec)))?
        .flatten()
        .flatten()
        .collect();
    for alias in stored.iter().filter(|alias| !entity.aliases().any(|kept| kept == **alias)) {
        let values = params![Text(Some(alias)), entity.id, entity.aliases_seen()];
        connection.prepare_cached(DELETE)?.execute(values)?;
    }
    Ok(())
}

/// Returns the marked IDs of the entities with an alias.
pub(super) fn holders(connection: &Connection, alias: &str) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("select id from telethon_session_rust_usernames where username = ?1")?;
    select.query_map([alias], |row| row.get(0))?.collect()
}

/// Prepares reading the aliases of one entity.
pub(super) fn select_of_one(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(&format!("{SELECT} where id = ?1 order by position"))
}

/// Prepares reading the aliases of the entities from a marked ID on.
pub(super) fn select_from(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(&format!("{SELECT} where id >= ?1 order by id, position"))
}

/// Aliases in the order of the entities that they are added to.
pub(super) struct Aliases<'s> {
    rows: Rows<'s>,
    next: Option<Alias>,
}

struct Alias {
    id: i64,
    username: Vec<u8>,
    /// What its entity was called in `entities`.
    main: Option<Vec<u8>>,
    /// When its entity was seen with it.
    seen: u32,
}

impl<'s> Aliases<'s> {
    pub(super) fn new(rows: Rows<'s>) -> rusqlite::Result<Self> {
        let mut aliases = Self { rows, next: None };
        aliases.advance()?;
        Ok(aliases)
    }

    /// Adds its aliases to the entity that was added to a batch last.
    pub(super) fn add_to_last(&mut self, batch: &mut EntityBatch) -> rusqlite::Result<()> {
        let Some(last) = batch.len().checked_sub(1).and_then(|last| batch.get(last)) else { return Ok(()) };
        let (id, seen) = (last.id, last.seen);
        let main = last.texts()[0].map(<[u8]>::to_vec);
        while self.next.as_ref().is_some_and(|alias| alias.id < id) {
            self.advance()?;
        }
        while let Some(alias) = self.next.take_if(|alias| alias.id == id) {
            if alias.seen >= seen || alias.main == main {
                batch.push_alias(&alias.username);
            }
            if alias.seen < seen {
                batch.set_aliases_seen(alias.seen.max(1));
            }
            self.advance()?;
        }
        Ok(())
    }

    /// Reads the next row whose values can be used.
    fn advance(&mut self) -> rusqlite::Result<()> {
        self.next = None;
        while let Some(row) = self.rows.next()? {
            if let (ValueRef::Integer(id), Some(username)) = (row.get_ref(0)?, utf8(row.get_ref(1)?)) {
                let main = utf8(row.get_ref(2)?).map(<[u8]>::to_vec);
                self.next = Some(Alias { id, username: username.to_vec(), main, seen: date(row.get_ref(3)?) });
                break;
            }
        }
        Ok(())
    }
}
