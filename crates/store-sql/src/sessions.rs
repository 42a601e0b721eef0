//! Reads, lists and deletes sessions.

use session_core::credentials::Credentials;
use session_core::store::{FileKey, FileKind, SentFile, UpdateState};
use store_net::Loaded;
use zeroize::Zeroizing;

use crate::connection::Row;
use crate::error::Result;
use crate::layout::Layout;
use crate::logins::{current, digest};
use crate::order::begin_deletion;
use crate::pool::Pool;

/// Reads everything of a session except entities and sent files, in one round trip.
pub(crate) async fn load(pool: &Pool, layout: &Layout, session: &str) -> Result<Loaded> {
    const NOTHING: &str = "SELECT 1 WHERE 1 = 0";
    let Layout { dialect, sessions, entities, .. } = layout;
    let is_of = sessions.is_of(*dialect, session);
    let key = dialect.hex("auth_key");
    let login = format!("SELECT dc_id, server_address, port, {key} FROM {} WHERE {is_of}", sessions.name);
    let beside = layout.beside.as_ref().map_or(NOTHING.to_owned(), |table| {
        let (key, is_of) = (dialect.hex("tmp_auth_key"), table.is_of(*dialect, session));
        format!("SELECT login, takeout_id, {key}, forgettings FROM {} WHERE {is_of}", table.name)
    });
    let states = layout.update_state.as_ref().map_or(NOTHING.to_owned(), |table| {
        let is_of = table.is_of(*dialect, session);
        format!("SELECT entity_id, pts, qts, date, seq FROM {} WHERE {is_of}", table.name)
    });
    let some = [Some(entities), layout.sent_files.as_ref()].map(|table| {
        table.map_or(NOTHING.to_owned(), |table| {
            format!("SELECT 1 FROM {} WHERE {} LIMIT 1", table.name, table.is_of(*dialect, session))
        })
    });
    let [has_entities, has_files] = some;
    let answers = pool.ask(&[login, beside, states, has_entities, has_files].join("; ")).await?;
    let credentials = current(answers.rows(0).iter(), 3).map(|row| credentials(row, answers.rows(1).first()));
    let update_states: Vec<_> = answers.rows(2).iter().filter_map(update_state).collect();
    let is_new = [0, 2, 3, 4].into_iter().all(|statement| answers.rows(statement).is_empty());
    let forgettings = answers.rows(1).first().and_then(|row| row.integer(3)).unwrap_or(0);
    Ok(Loaded { credentials, update_states, is_new, forgettings })
}

/// Returns how many commits had forgotten entities in them. Where it cannot be counted, it is 0.
pub(crate) async fn forgettings(pool: &Pool, layout: &Layout, session: &str) -> Result<i64> {
    let Some(table) = &layout.beside else { return Ok(0) };
    let is_of = table.is_of(layout.dialect, session);
    let answers = pool.ask(&format!("SELECT forgettings FROM {} WHERE {is_of}", table.name)).await?;
    Ok(answers.first_row().and_then(|row| row.integer(0)).unwrap_or(0))
}

fn credentials(row: &Row, beside: Option<&Row>) -> Credentials {
    let auth_key = Zeroizing::new(row.bytes(3).unwrap_or_default());
    // Another package may have replaced the login since.
    let beside = beside.filter(|beside| beside.text(0) == Some(&digest(&auth_key)));
    Credentials {
        dc_id: row.integer(0).unwrap_or(0),
        server_address: row.text(1).map(str::to_owned),
        port: row.integer(2),
        auth_key,
        takeout_id: beside.and_then(|beside| beside.integer(1)),
        tmp_auth_key: Zeroizing::new(beside.and_then(|beside| beside.bytes(2)).unwrap_or_default()),
    }
}

/// Returns an update state, unless its ID is not an integer or Python cannot represent its date.
fn update_state(row: &Row) -> Option<(i64, UpdateState)> {
    let date = row.text(3).and_then(|date| date.parse().ok());
    let state = UpdateState { pts: row.integer(1), qts: row.integer(2), date, seq: row.integer(4) };
    state.has_date().then_some((row.integer(0)?, state))
}

/// Returns a sent file.
pub(crate) async fn sent_file(pool: &Pool, layout: &Layout, session: &str, key: &FileKey) -> Result<Option<SentFile>> {
    let Some(table) = &layout.sent_files else { return Ok(None) };
    let dialect = layout.dialect;
    let (is_of, digest) = (table.is_of(dialect, session), dialect.bytes(&key.md5_digest));
    let (size, kind) = (key.size, key.kind as i64);
    let condition = format!("{is_of} AND md5_digest = {digest} AND file_size = {size} AND type = {kind}");
    let answers = pool.ask(&format!("SELECT id, hash FROM {} WHERE {condition}", table.name)).await?;
    Ok(answers.first_row().and_then(|row| Some((row.integer(0)?, row.integer(1)?))))
}

/// Returns all sent files, except rows with values that are not what the columns are for.
pub(crate) async fn sent_files(pool: &Pool, layout: &Layout, session: &str) -> Result<Vec<(FileKey, SentFile)>> {
    let Some(table) = &layout.sent_files else { return Ok(Vec::new()) };
    let (is_of, digest) = (table.is_of(layout.dialect, session), layout.dialect.hex("md5_digest"));
    let statement = format!("SELECT {digest}, file_size, type, id, hash FROM {} WHERE {is_of}", table.name);
    let file = |row: &Row| {
        let key =
            FileKey { md5_digest: row.bytes(0)?, size: row.integer(1)?, kind: FileKind::from_number(row.integer(2)?)? };
        Some((key, (row.integer(3)?, row.integer(4)?)))
    };
    Ok(pool.ask(&statement).await?.rows(0).iter().filter_map(file).collect())
}

/// Returns the names of all sessions that have a login.
pub(crate) async fn list(pool: &Pool, layout: &Layout) -> Result<Vec<String>> {
    let name = layout.dialect.as_text("session_id");
    let answers = pool.ask(&format!("SELECT {name} FROM {}", layout.sessions.name)).await?;
    let mut names: Vec<String> = answers.rows(0).iter().filter_map(|row| row.text(0)).map(str::to_owned).collect();
    names.sort_unstable();
    // A server's own comparison may take different names for the same.
    names.dedup();
    Ok(names)
}

/// Deletes a session if its authorization key is one of `own_keys`, or if it has none.
pub(crate) async fn delete(
    pool: &Pool,
    layout: &Layout,
    session: &str,
    own_keys: &[Zeroizing<Vec<u8>>],
) -> Result<bool> {
    let Layout { dialect, sessions, .. } = layout;
    let mut pooled = pool.get().await?;
    let connection = &mut pooled.connection;
    begin_deletion(connection, session).await?;
    let (key, is_of) = (dialect.hex("auth_key"), sessions.is_of(*dialect, session));
    let answers = connection.ask(format!("SELECT {key} FROM {} WHERE {is_of} FOR UPDATE", sessions.name)).await?;
    let found = current(answers.rows(0).iter(), 0).and_then(|row| row.bytes(0)).map(Zeroizing::new).unwrap_or_default();
    if !found.is_empty() && !own_keys.contains(&found) {
        connection.ask("ROLLBACK").await?;
        pooled.put_back();
        return Ok(false);
    }
    let tables = [Some(sessions), Some(&layout.entities), layout.sent_files.as_ref(), layout.update_state.as_ref()];
    let mut statements: Vec<String> = Vec::new();
    for table in tables.into_iter().flatten().chain(&layout.seen).chain(&layout.usernames) {
        statements.push(format!("DELETE FROM {} WHERE {}", table.name, table.is_of(*dialect, session)));
    }
    let counted = statements.len();
    if let Some(beside) = &layout.beside {
        let is_of = beside.is_of(*dialect, session);
        // The number of its leases stays: what an earlier holder writes is refused for ever.
        statements.push(format!("DELETE FROM {} WHERE {is_of} AND fence = 0", beside.name));
        let set = "login = NULL, takeout_id = NULL, tmp_auth_key = NULL";
        statements.push(format!("UPDATE {} SET {set} WHERE {is_of}", beside.name));
    }
    statements.push("COMMIT".to_owned());
    let answers = connection.ask(statements.join("; ")).await?;
    pooled.put_back();
    Ok((0..counted).any(|statement| answers.affected(statement) > 0))
}
