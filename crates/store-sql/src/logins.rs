//! The tables `sessions` and, beside it, what it has no column for.

use session_core::credentials::Credentials;
use session_core::store::Kind;
use sha2::{Digest as _, Sha256};
use store_net::{Commit, CommitError, DriverError, Fence};
use zeroize::Zeroizing;

use crate::bulk::{Upsert, Values};
use crate::connection::{Answers, Connection, Row};
use crate::error::Result;
use crate::layout::{Layout, Type};
use crate::options::Dialect;
use crate::sql::push_hex;

/// Credentials to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    /// The index of the commit.
    pub(crate) commit: usize,
    session: &'a str,
    credentials: &'a Credentials,
}

/// Returns a digest of an authorization key. It tells whether what stands beside a login belongs to
/// it: the other package replaces logins without knowing of it.
pub(crate) fn digest(auth_key: &[u8]) -> String {
    let mut digest = String::new();
    push_hex(&mut digest, &Sha256::digest(auth_key));
    digest
}

/// Returns the row that is a session's login: the one that the other package reads, which is the first
/// one, unless only a later one has a key.
pub(crate) fn current<'r>(mut rows: impl Iterator<Item = &'r Row>, key: usize) -> Option<&'r Row> {
    let has_key = |row: &&Row| row.text(key).is_some_and(|key| !key.is_empty());
    let first = rows.next()?;
    if has_key(&first) { Some(first) } else { rows.find(has_key).or(Some(first)) }
}

/// Locks the sessions whose login is written, or whose lease is checked, and tells which commits must
/// not be made. Their results are set.
pub(crate) async fn lock(
    connection: &mut Connection,
    layout: &Layout,
    commits: &[Commit],
    results: &mut [Option<std::result::Result<(), CommitError>>],
) -> Result<()> {
    let writes_login = |commit: &&Commit| commit.changes.credentials.is_some();
    let logins = sorted(commits.iter().filter(writes_login));
    let locked = sorted(commits.iter().filter(|commit| writes_login(commit) || commit.fence.is_some()));
    if locked.is_empty() {
        return Ok(());
    }
    let (beside, keys) = ask(connection, layout, &logins, &locked).await?;
    for (commit, result) in commits.iter().zip(results).filter(|(_, result)| result.is_none()) {
        let is_it = |row: &&Row| row.text(0) == Some(&*commit.session);
        if let Some(Fence(own)) = commit.fence {
            let fence = beside.rows(0).iter().find(is_it).and_then(|row| row.integer(1));
            if layout.beside.is_some() && fence.is_some_and(|fence| fence > own) {
                *result = Some(Err(CommitError::Fenced));
                continue;
            }
        }
        if let Some(credentials) = &commit.changes.credentials {
            let row = current(keys.rows(0).iter().filter(is_it), 1);
            let found = Zeroizing::new(row.and_then(|row| row.bytes(1)).unwrap_or_default());
            // It may be the own key, if the answer to a commit was lost.
            if found != commit.expected_key && found != credentials.auth_key {
                *result = Some(Err(CommitError::Conflict(found)));
            } else if let Err(error) = check(layout, credentials) {
                *result = Some(Err(error.into()));
            }
        }
    }
    Ok(())
}

/// Returns the names of the sessions of commits, each once, in the order in which all transactions
/// lock them.
fn sorted<'a>(commits: impl Iterator<Item = &'a Commit>) -> Vec<&'a str> {
    let mut names: Vec<&str> = commits.map(|commit| &*commit.session).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Locks the rows and returns what is beside the sessions, and their keys.
async fn ask(
    connection: &mut Connection,
    layout: &Layout,
    logins: &[&str],
    locked: &[&str],
) -> Result<(Answers, Answers)> {
    let Layout { dialect, sessions, .. } = layout;
    let mut found = Answers::default();
    if let Some(beside) = &layout.beside {
        // A session that is new has a row to lock, too.
        let columns = vec![("session_id", Values::texts(logins.iter().copied()))];
        let insert = Upsert { table: beside, columns, key: &["session_id"], update: Vec::new(), is_secret: false };
        insert.execute(connection).await?;
        let names = dialect.is_one_of("session_id", locked.iter().copied());
        let sql = format!("SELECT session_id, fence FROM {} WHERE {names} ORDER BY session_id FOR UPDATE", beside.name);
        found = connection.ask(sql).await?;
    } else if *dialect == Dialect::Postgres && !logins.is_empty() {
        let names: Vec<String> = logins.iter().map(|name| dialect.text(name)).collect();
        let sql = format!(
            "SELECT pg_advisory_xact_lock(hashtext(name)) FROM unnest(ARRAY[{}]) AS names (name)",
            names.join(",")
        );
        connection.ask(sql).await?;
    }
    if logins.is_empty() {
        return Ok((found, Answers::default()));
    }
    let names = dialect.is_one_of("session_id", logins.iter().copied());
    let key = dialect.hex("auth_key");
    let sql = format!("SELECT session_id, {key} FROM {} WHERE {names} FOR UPDATE", sessions.name);
    Ok((found, connection.ask(sql).await?))
}

/// Checks that a login can be written.
fn check(layout: &Layout, credentials: &Credentials) -> std::result::Result<(), DriverError> {
    let table = &layout.sessions;
    if table.column("dc_id").integer(credentials.dc_id).is_none() {
        return Err(DriverError::new(Kind::Other, format!("{} is not a data centre's ID", credentials.dc_id)));
    }
    match table.column("auth_key") {
        Type::Bytes { most } if credentials.auth_key.len() > *most => {
            let message = format!("the column auth_key of {} holds at most {most} bytes", table.name);
            Err(DriverError::new(Kind::Other, message))
        }
        _ => Ok(()),
    }
}

/// Returns the logins of commits.
pub(crate) fn logins<'a>(
    commits: &'a [Commit],
    results: &[Option<std::result::Result<(), CommitError>>],
) -> Vec<Login<'a>> {
    let mut logins: Vec<Login<'a>> = Vec::new();
    for (at, (commit, _)) in commits.iter().zip(results).enumerate().filter(|(_, (_, result))| result.is_none()) {
        if let Some(credentials) = &commit.changes.credentials {
            // The last one stands.
            logins.retain(|login| login.session != &*commit.session);
            logins.push(Login { commit: at, session: &commit.session, credentials });
        }
    }
    logins.sort_unstable_by_key(|login| login.session);
    logins
}

/// Writes logins as the other package does: deletes the session's rows and inserts one.
pub(crate) async fn write(connection: &mut Connection, layout: &Layout, logins: &[Login<'_>]) -> Result<()> {
    let Layout { dialect, sessions: table, .. } = layout;
    if logins.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = logins.iter().map(|login| format!("({})", table.is_of(*dialect, login.session))).collect();
    connection.ask(format!("DELETE FROM {} WHERE {}", table.name, names.join(" OR "))).await?;
    let address = table.column("server_address");
    let addresses = logins.iter().map(|login| {
        let text = login.credentials.server_address.as_deref()?;
        crate::sanitize::username(address, text)
    });
    let ports = logins.iter().map(|login| table.column("port").integer(login.credentials.port?));
    let session_ids = || ("session_id", Values::texts(logins.iter().map(|login| login.session)));
    let columns = vec![
        session_ids(),
        ("dc_id", Values::integers(logins.iter().map(|login| login.credentials.dc_id))),
        ("server_address", Values::Texts(addresses.collect())),
        ("port", Values::Integers(ports.collect())),
        ("auth_key", Values::Bytes(logins.iter().map(|login| Some(login.credentials.auth_key.as_slice())).collect())),
    ];
    Upsert { table, columns, key: &[], update: Vec::new(), is_secret: true }.execute(connection).await?;
    let Some(beside) = &layout.beside else { return Ok(()) };
    let digests: Vec<String> = logins.iter().map(|login| digest(&login.credentials.auth_key)).collect();
    let temporary = logins.iter().map(|login| Some(login.credentials.tmp_auth_key.as_slice()));
    let columns = vec![
        session_ids(),
        ("login", Values::texts(digests.iter().map(String::as_str))),
        ("takeout_id", Values::Integers(logins.iter().map(|login| login.credentials.takeout_id).collect())),
        ("tmp_auth_key", Values::Bytes(temporary.collect())),
    ];
    let update = vec!["login", "takeout_id", "tmp_auth_key"];
    Upsert { table: beside, columns, key: &["session_id"], update, is_secret: true }.execute(connection).await
}
