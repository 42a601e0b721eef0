//! What sessions need of a Redis server.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use session_core::entity_table::EntityBatch;
use session_core::store::{FileKey, Kind, SentFile};
use store_net::driver::{Driver, Result};
use store_net::{Acquired, Attempt, Commit, CommitError, DriverError, Fence, Loaded, OwnedQuery, Pages, SessionName};
use zeroize::Zeroizing;

use crate::connect::Connector;
use crate::foreign::Adopter;
use crate::keys::{self, Keys};
use crate::lease;
use crate::link::Slot;
use crate::list::scan_keys;
use crate::options::{Mode, RedisOptions};
use crate::read;
use crate::row::StoredLogin;
use crate::scripts::{Call, DELETE};

/// How long the server may take for an answer: less than the operations that wait for it.
const READ_LIMIT: Duration = Duration::from_secs(8);
const WRITE_LIMIT: Duration = Duration::from_secs(25);

/// A Redis or Valkey server, cluster, or the servers that Sentinels watch.
pub struct RedisDriver {
    options: RedisOptions,
    reading: Arc<Slot>,
    writing: Slot,
    adopter: Arc<Adopter>,
}

impl std::fmt::Debug for RedisDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisDriver").field("options", &self.options).finish_non_exhaustive()
    }
}

impl RedisDriver {
    fn keys(&self, session: &str) -> Keys {
        Keys::new(&self.options.prefix, session)
    }
}

impl Driver for RedisDriver {
    type Options = RedisOptions;

    async fn new(options: &RedisOptions) -> Result<Self> {
        options.check().map_err(|error| DriverError::new(Kind::CannotOpen, error.to_string()))?;
        let connector = Connector::new(options);
        let reading = Arc::new(Slot::new(connector.clone(), READ_LIMIT));
        let adopter = Arc::new(Adopter::new(options, Arc::clone(&reading)));
        Ok(Self { options: options.clone(), reading, writing: Slot::new(connector, WRITE_LIMIT), adopter })
    }

    async fn load(&self, session: &SessionName) -> Result<Loaded> {
        let mut stored = read::load(&self.reading, &self.keys(session)).await?;
        if stored.login == StoredLogin::Missing {
            stored = self.adopter.adopt(session, stored).await?;
        }
        let update_states = stored.update_states;
        let loaded = match stored.login {
            StoredLogin::Login(credentials) => {
                Loaded { credentials: Some(credentials), update_states, ..Loaded::default() }
            }
            StoredLogin::Missing => Loaded { is_new: true, ..Loaded::default() },
            _ => Loaded { update_states, ..Loaded::default() },
        };
        Ok(Loaded { forgettings: stored.forgettings, ..loaded })
    }

    async fn find(&self, session: &SessionName, query: &OwnedQuery) -> Result<EntityBatch> {
        read::find(&self.reading, &self.keys(session), query).await
    }

    async fn count(&self, session: &SessionName, ids: RangeInclusive<i64>) -> Result<usize> {
        read::count(&self.reading, &self.keys(session), &ids).await
    }

    async fn forgettings(&self, session: &SessionName) -> Result<i64> {
        read::forgettings(&self.reading, &self.keys(session)).await
    }

    async fn scan(&self, session: &SessionName, pages: Pages) -> Result<()> {
        read::scan(&self.reading, &self.keys(session), &pages).await
    }

    async fn sent_file(&self, session: &SessionName, key: &FileKey) -> Result<Option<SentFile>> {
        read::sent_file(&self.reading, &self.keys(session), key).await
    }

    async fn sent_files(&self, session: &SessionName) -> Result<Vec<(FileKey, SentFile)>> {
        read::sent_files(&self.reading, &self.keys(session)).await
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<std::result::Result<(), CommitError>> {
        let is_cluster = self.options.mode == Mode::Cluster;
        crate::commit::commit(&self.writing, &self.options.prefix, commits, is_cluster).await
    }

    async fn delete(&self, session: &SessionName, own_keys: &[Zeroizing<Vec<u8>>], attempt: Attempt) -> Result<bool> {
        let keys = self.keys(session);
        let writer = keys.writer(attempt.writer);
        let call = Call::new(&DELETE, keys.stored().into_iter().chain([&*keys.deleted, &*writer]));
        let call = call.arg(attempt.number.to_string());
        let answer = call.args(own_keys.iter().map(|key| key.to_vec())).run(&self.writing).await?;
        Ok(matches!(answer, Value::Int(count) if count > 0))
    }

    async fn list(&self) -> Result<Vec<String>> {
        let prefix = &self.options.prefix;
        let mut names = Vec::new();
        scan_keys(&self.reading, &keys::pattern(prefix, "login"), |key| {
            names.extend(keys::session_of(key, prefix, "login"));
        })
        .await?;
        let mut others = Vec::new();
        self.adopter.list(&mut others).await?;
        if !others.is_empty() {
            // One that was deleted here does not come back.
            let mut deleted = HashSet::new();
            scan_keys(&self.reading, &keys::pattern(prefix, "deleted"), |key| {
                deleted.extend(keys::session_of(key, prefix, "deleted"));
            })
            .await?;
            names.extend(others.into_iter().filter(|name| !deleted.contains(name)));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn acquire(&self, session: &SessionName, owner: &str, time: Duration) -> Result<Acquired> {
        lease::acquire(&self.reading, &self.keys(session), owner, time).await
    }

    async fn renew(&self, session: &SessionName, fence: Fence, owner: &str, time: Duration) -> Result<bool> {
        lease::renew(&self.reading, &self.keys(session), fence, owner, time).await
    }

    async fn release(&self, session: &SessionName, fence: Fence) -> Result<()> {
        lease::release(&self.reading, &self.keys(session), fence).await
    }
}
