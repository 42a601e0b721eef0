//! The tables `sessions` and `update_state`.

use std::path::Path;

use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params};
use zeroize::Zeroizing;

use session_core::credentials::Credentials;
use session_core::store::{Result, UpdateState};

use crate::error::{not_a_session, sqlite_error};
use crate::schema::VERSION_8;

/// Writes the credentials. There is one row, whatever its data centre.
pub(super) fn write_credentials(
    connection: &Connection,
    credentials: &Credentials,
    version: i64,
) -> rusqlite::Result<()> {
    let Credentials { dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key } = credentials;
    connection.execute("delete from sessions", [])?;
    if version >= VERSION_8 {
        let values = params![dc_id, server_address, port, **auth_key, takeout_id, **tmp_auth_key];
        let columns = "dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key";
        connection.execute(&format!("insert or replace into sessions ({columns}) values (?,?,?,?,?,?)"), values)?;
    } else {
        let values = params![dc_id, server_address, port, **auth_key, takeout_id];
        let columns = "dc_id, server_address, port, auth_key, takeout_id";
        connection.execute(&format!("insert or replace into sessions ({columns}) values (?,?,?,?,?)"), values)?;
    }
    Ok(())
}

/// Returns the authorization key; empty if there is none.
pub(super) fn read_auth_key(connection: &Connection) -> rusqlite::Result<Zeroizing<Vec<u8>>> {
    let mut statement = connection.prepare_cached("select auth_key from sessions")?;
    let key = statement.query_row([], |row| row.get::<_, Option<Vec<u8>>>(0)).optional()?;
    Ok(Zeroizing::new(key.flatten().unwrap_or_default()))
}

pub(super) fn read_credentials(connection: &Connection, path: &Path, version: i64) -> Result<Option<Credentials>> {
    const COLUMNS: &str = "select dc_id, server_address, port, auth_key, takeout_id";
    let tmp_auth_key = if version >= VERSION_8 { ", tmp_auth_key" } else { ", x''" };
    let statement = format!("{COLUMNS}{tmp_auth_key} from sessions");
    let row = connection
        .query_row(&statement, [], |row| (0..6).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<SqlValue>>>())
        .optional()
        .map_err(|error| sqlite_error(path, error))?;
    row.map(|row| {
        credentials_of(row).ok_or_else(|| {
            not_a_session(path, "its table `sessions` holds values of other types than Telethon writes", true)
        })
    })
    .transpose()
}

fn credentials_of(row: Vec<SqlValue>) -> Option<Credentials> {
    let [dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key] = row.try_into().ok()?;
    // Telethon writes values by position. In a table with the last two columns swapped, each holds
    // the other's value.
    let (takeout_id, tmp_auth_key) = match (takeout_id, tmp_auth_key) {
        (other @ (SqlValue::Blob(_) | SqlValue::Null), takeout_id @ SqlValue::Integer(_)) => (takeout_id, other),
        (SqlValue::Blob(key), other @ SqlValue::Null) if !key.is_empty() => (other, SqlValue::Blob(key)),
        (SqlValue::Blob(key), SqlValue::Blob(other)) if !key.is_empty() && other.is_empty() => {
            (SqlValue::Null, SqlValue::Blob(key))
        }
        values => values,
    };
    let integer = |value| match value {
        SqlValue::Integer(number) => Some(Some(number)),
        SqlValue::Null => Some(None),
        _ => None,
    };
    let key = |value| match value {
        SqlValue::Blob(key) => Some(Zeroizing::new(key)),
        SqlValue::Null => Some(Zeroizing::default()),
        _ => None,
    };
    Some(Credentials {
        dc_id: integer(dc_id)?.unwrap_or(0),
        server_address: match server_address {
            SqlValue::Text(address) => Some(address),
            SqlValue::Null => None,
            _ => return None,
        },
        port: integer(port)?,
        auth_key: key(auth_key)?,
        // Telethon 1.43 and 1.44 read the last two columns swapped, and so wrote an empty key as
        // the takeout ID.
        takeout_id: match takeout_id {
            SqlValue::Blob(bytes) if bytes.is_empty() => None,
            other => integer(other)?,
        },
        tmp_auth_key: key(tmp_auth_key)?,
    })
}

/// Returns the update states. Skips rows with values of other types, and with a date that Python
/// cannot represent.
pub(super) fn read_update_states(connection: &Connection) -> rusqlite::Result<Vec<(i64, UpdateState)>> {
    let mut statement = connection.prepare_cached("select id, pts, qts, date, seq from update_state")?;
    let states = statement.query_map([], |row| {
        let state = || -> rusqlite::Result<(i64, UpdateState)> {
            let date = match row.get_ref(3)? {
                ValueRef::Integer(_) => row.get::<_, Option<i64>>(3)?.map(seconds),
                _ => row.get(3)?,
            };
            Ok((row.get(0)?, UpdateState { pts: row.get(1)?, qts: row.get(2)?, date, seq: row.get(4)? }))
        };
        Ok(state().ok().filter(|(_, state)| state.has_date()))
    })?;
    states.filter_map(std::result::Result::transpose).collect()
}

/// Converts seconds as the column holds them; exact for 285 million years.
#[allow(clippy::cast_precision_loss)]
fn seconds(whole: i64) -> f64 {
    whole as f64
}
