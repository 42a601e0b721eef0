//! The mark of a session file: what tells its state from any other.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql};

use crate::backend::OpenFile;

/// The header of the first page from here on has a counter of commits, the number of pages, the list
/// of free pages and the version of the schema.
const COUNTER: std::ops::Range<usize> = 24..28;
const HEADER_LEN: i64 = 100;
/// The byte that says how the file is written, and its value if not in WAL mode. In that mode, commits
/// do not change the header.
const WRITE_VERSION: usize = 18;
const WITH_JOURNAL: u8 = 1;

/// Tells a state of a session file from any other: the header of the file after the commit that made
/// it, what tells the file from another one that has taken its place, and when it was changed, in case
/// another one was copied over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark(Vec<u8>);

impl Mark {
    /// Returns the mark of the file as a connection sees it; `None` if it has none. Call in a
    /// transaction, or what is read next may be another state.
    pub(crate) fn read(connection: &Connection, file: &OpenFile) -> rusqlite::Result<Option<Self>> {
        const SELECT: &str = "select substr(data, 1, ?) from sqlite_dbpage where pgno = 1";
        let mut statement = match connection.prepare_cached(SELECT) {
            // A build of SQLite without this table.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => return Ok(None),
            prepared => prepared?,
        };
        let header = statement.query_row([HEADER_LEN], |row| row.get::<_, Vec<u8>>(0)).optional()?;
        let header = header.filter(|header| header.get(WRITE_VERSION) == Some(&WITH_JOURNAL));
        Ok(header.map(|mut header| {
            header.extend(file.identity.iter().flat_map(|identity| identity.0.bytes()));
            header.extend(changed(&file.path).to_be_bytes());
            Self(header)
        }))
    }

    /// Returns `true` if this is the mark of the state that one commit has made of `before`.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        matches!((self.counter(), before.counter()), (Some(now), Some(before)) if now == before.wrapping_add(1))
    }

    fn counter(&self) -> Option<u32> {
        self.0.get(COUNTER)?.try_into().ok().map(u32::from_be_bytes)
    }
}

/// Returns when a file was last changed, in nanoseconds since 1970; 0 if the system does not tell.
#[cfg(unix)]
fn changed(path: &Path) -> i128 {
    use std::os::unix::fs::MetadataExt as _;

    // Not the time of modification, which programs that copy files set.
    std::fs::metadata(path)
        .map_or(0, |found| i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec()))
}

#[cfg(not(unix))]
fn changed(path: &Path) -> i128 {
    let modified = std::fs::metadata(path).and_then(|found| found.modified()).ok();
    let since = modified.and_then(|modified| modified.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or_default())
}

impl ToSql for Mark {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}
