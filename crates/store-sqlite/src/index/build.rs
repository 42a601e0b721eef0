//! Making the index: all entities are read, their entries sorted, and put in that order.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};
use session_core::store::{Indexer, Indexing, Result, ScanBatch, StoreError};

use super::parts::Parts;
use super::{Entry, Mark, TextIndex, put};
use crate::backend::OpenFile;
use crate::entities;
use crate::error::{cannot_open, sqlite_error};

/// Rows read at a time: about a millisecond's work.
const ROWS: usize = 1000;
/// How long a step lasts, roughly.
const STEP: Duration = Duration::from_millis(4);

/// Makes an index, with connections of its own to it and to the session file.
#[derive(Debug)]
pub(crate) struct Builder {
    index: TextIndex,
    session: Connection,
    file: OpenFile,
    /// Tells this build from others, which may begin meanwhile.
    number: i64,
    stage: Stage,
    parts: Parts,
    /// Entries that were taken out of the parts and not put into the index yet.
    taken: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Entities are read, after this marked ID, and their entries added to the parts.
    Reading(Option<i64>),
    /// The parts are put into the index.
    Putting,
}

impl Builder {
    /// Begins to make an index of a session file, to which `session` is a connection of its own.
    /// Returns `None` if it is complete.
    pub(crate) fn begin(index: TextIndex, session: Connection, file: OpenFile) -> Result<Option<Self>> {
        let folder = file.path.parent().unwrap_or(Path::new("."));
        let parts = Parts::new(folder).map_err(|error| no_room(&index, &error))?;
        let begin = || {
            // Until it is complete, a power cut costs nothing but what has been done: a damaged index is
            // made again.
            index.connection.pragma_update(None, "synchronous", "off")?;
            // Waits for another session that has just committed to the session file, and not to the index.
            index.connection.execute_batch("begin immediate")?;
            let mark = Mark::read(&session, &file)?;
            let select = "select is_complete and mark = ?, build from index_state";
            let state = |row: &Row<'_>| Ok((row.get::<_, Option<bool>>(0)?, row.get::<_, i64>(1)?));
            let (is_complete, number) = index.connection.query_row(select, [&mark], state)?;
            if is_complete == Some(true) {
                return Ok(None);
            }
            let number = number.wrapping_add(1);
            let begin = "update index_state set build = ?, is_complete = 0, mark = ?";
            index.connection.execute(begin, (number, &mark))?;
            // Freeing its pages takes long. Usually nearly all entries are needed again.
            if pages(&index.connection)? > pages(&session)? {
                index.connection.execute_batch("delete from texts")?;
            }
            index.connection.execute_batch("commit")?;
            Ok(Some(number))
        };
        let Some(number) = index.ended(begin())? else { return Ok(None) };
        let (stage, taken) = (Stage::Reading(None), Vec::new());
        Ok(Some(Self { index, session, file, number, stage, parts, taken }))
    }

    fn read(&mut self, mut after: Option<i64>) -> Result<Indexing> {
        let begun = Instant::now();
        let mut entries = Vec::new();
        while begun.elapsed() < STEP {
            let scanned = entities::scan(&self.session, after, ROWS);
            let ScanBatch { entities, next } = scanned.map_err(|error| sqlite_error(&self.file.path, error))?;
            entries.clear();
            self.index.hasher().add(&entities, &mut entries);
            self.parts.add(&entries).map_err(|error| no_room(&self.index, &error))?;
            self.stage = next.map_or(Stage::Putting, |next| Stage::Reading(Some(next)));
            if next.is_none() {
                break;
            }
            after = next;
        }
        Ok(Indexing::HasMore)
    }

    fn put(&mut self) -> Result<Indexing> {
        let begun = Instant::now();
        while begun.elapsed() < STEP {
            if self.taken.is_empty() {
                match self.parts.take().map_err(|error| no_room(&self.index, &error))? {
                    Some(part) => self.taken = part,
                    None => return self.complete(),
                }
            }
            let connection = &self.index.connection;
            let put = || {
                connection.execute_batch("begin immediate")?;
                // Another build may have begun since.
                let is_current = "select build = ? from index_state";
                if !connection.query_row(is_current, [self.number], |row| row.get(0))? {
                    return Ok(false);
                }
                put(connection, &self.taken)?;
                connection.execute_batch("commit")?;
                Ok(true)
            };
            if !self.index.ended(put())? {
                return Ok(Indexing::Outdated);
            }
            self.taken.clear();
        }
        Ok(Indexing::HasMore)
    }

    /// Declares the index complete, if nothing was written that it lacks.
    fn complete(&mut self) -> Result<Indexing> {
        let complete = || {
            // Everything is on the disk before the index says that it is complete.
            self.index.connection.pragma_update(None, "synchronous", "full")?;
            self.index.connection.execute("update index_state set build = build", [])?;
            self.index.connection.execute_batch("begin immediate")?;
            let mark = Mark::read(&self.session, &self.file)?;
            let complete = "update index_state set is_complete = 1 where build = ? and mark = ?";
            let changed = match mark {
                Some(mark) => self.index.connection.execute(complete, (self.number, mark))?,
                None => 0,
            };
            self.index.connection.execute_batch("commit")?;
            Ok(changed > 0)
        };
        Ok(if self.index.ended(complete())? { Indexing::Complete } else { Indexing::Outdated })
    }
}

fn pages(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "page_count", |row| row.get(0))
}

fn no_room(index: &TextIndex, error: &io::Error) -> StoreError {
    cannot_open(&index.path, &format!("it cannot be made, because of a temporary file: {error}"))
}

impl Indexer for Builder {
    fn step(&mut self) -> Result<Indexing> {
        match self.stage {
            Stage::Reading(after) => self.read(after),
            Stage::Putting => match self.put() {
                // It was deleted, and a new one is begun.
                Err(error) if super::is_damage(&error) => Ok(Indexing::Outdated),
                put => put,
            },
        }
    }
}
