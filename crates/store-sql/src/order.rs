//! Transactions of one session in order: a deletion waits for commits that were begun before it.
//!
//! On `PostgreSQL` a deletion does not see the rows of a transaction that has not been committed
//! yet, which may be one that its sender has given up. So commits share an advisory lock that a
//! deletion has alone, and so has a commit that deletes entities. On `MySQL` a deletion waits for
//! such rows by itself.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use store_net::Commit;

use crate::connection::Connection;
use crate::error::Result;

/// The first half of the locks' keys: "tele".
const CLASS: i32 = 0x7465_6c65;
/// How many locks there are. The server has room for some thousands, and a commit may have hundreds
/// of sessions.
const BUCKETS: u8 = 64;

fn bucket(session: &str) -> u8 {
    Sha256::digest(session)[0] % BUCKETS
}

/// Begins a transaction that writes sessions. A commit with forgotten entities waits like a
/// deletion.
pub(crate) async fn begin_commit(connection: &mut Connection, commits: &[Commit]) -> Result<()> {
    // Whether each is locked alone, in the order in which all transactions lock them.
    let mut buckets = BTreeMap::new();
    for commit in commits {
        *buckets.entry(bucket(&commit.session)).or_insert(false) |= commit.has_forgotten();
    }
    let lock = |is_alone| if is_alone { "pg_advisory_xact_lock" } else { "pg_advisory_xact_lock_shared" };
    let locks: Vec<_> =
        buckets.into_iter().map(|(bucket, is_alone)| format!("{}({CLASS}, {bucket})", lock(is_alone))).collect();
    connection.begin_with(Some(&format!("SELECT {}", locks.join(", ")))).await
}

/// Begins a transaction that deletes a session.
pub(crate) async fn begin_deletion(connection: &mut Connection, session: &str) -> Result<()> {
    connection.begin_with(Some(&format!("SELECT pg_advisory_xact_lock({CLASS}, {})", bucket(session)))).await
}
