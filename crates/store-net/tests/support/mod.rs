//! A driver whose server is a map in this process: it answers after a delay, fails when told to, and
//! counts.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use session_core::credentials::Credentials;
use session_core::entity_table::{Dirty, EntityBatch, TextField};
use session_core::store::{FileKey, Kind, SentFile, UpdateState};
use store_net::driver::{Acquired, Driver, DriverError, Fence, Loaded, OwnedQuery, Pages, Result, SessionName};
use store_net::{Attempt, Commit, CommitError};
use zeroize::Zeroizing;

/// A server.
#[derive(Debug, Default)]
pub struct FakeServer {
    sessions: Mutex<BTreeMap<String, Stored>>,
    /// How long each answer takes, in microseconds.
    pub delay: AtomicU64,
    /// How many operations to fail, from now on.
    pub failures: AtomicUsize,
    /// How many transactions there were.
    pub transactions: AtomicUsize,
}

impl FakeServer {
    pub fn has(&self, session: &str) -> bool {
        self.sessions.lock().unwrap().contains_key(session)
    }
}

#[derive(Clone, Debug, Default)]
struct Row {
    access_hash: i64,
    seen: u32,
    texts: [Option<Vec<u8>>; 3],
    aliases: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Stored {
    credentials: Option<Credentials>,
    entities: BTreeMap<i64, Row>,
    update_states: BTreeMap<i64, UpdateState>,
    sent_files: HashMap<FileKey, SentFile>,
    forgettings: i64,
    fence: i64,
    lease: Option<(i64, String, Instant)>,
    attempts: HashMap<u64, u64>,
}

impl Stored {
    fn is_new(&self) -> bool {
        self.credentials.is_none()
            && self.entities.is_empty()
            && self.update_states.is_empty()
            && self.sent_files.is_empty()
    }

    fn key(&self) -> Zeroizing<Vec<u8>> {
        self.credentials.as_ref().map(|credentials| credentials.auth_key.clone()).unwrap_or_default()
    }

    fn lease(&self) -> Option<&(i64, String, Instant)> {
        self.lease.as_ref().filter(|(.., until)| *until > Instant::now())
    }

    fn note(&mut self, Attempt { writer, number }: Attempt) -> std::result::Result<(), CommitError> {
        let last = self.attempts.entry(writer).or_default();
        if number < *last {
            return Err(CommitError::late());
        }
        *last = number;
        Ok(())
    }

    fn apply(&mut self, commit: &Commit) -> std::result::Result<(), CommitError> {
        if commit.fence.is_some_and(|Fence(fence)| fence < self.fence) {
            return Err(CommitError::Fenced);
        }
        self.note(commit.attempt)?;
        let changes = &commit.changes;
        if let Some(credentials) = &changes.credentials {
            if self.key() != commit.expected_key {
                return Err(CommitError::Conflict(self.key()));
            }
            self.credentials = Some(credentials.clone());
        }
        self.forgettings += i64::from(commit.has_forgotten());
        for entity in changes.entities.iter() {
            if matches!(entity.dirty, Dirty::Gone | Dirty::Date) && !self.entities.contains_key(&entity.id) {
                continue;
            }
            let row = self.entities.entry(entity.id).or_default();
            match entity.dirty {
                Dirty::Clean => {}
                Dirty::Full => {
                    row.texts = entity.texts().map(|text| text.map(<[u8]>::to_vec));
                    row.aliases = entity.aliases().map(<[u8]>::to_vec).collect();
                    (row.access_hash, row.seen) = (entity.access_hash.unwrap(), entity.seen);
                }
                Dirty::AccessHashAndDate => {
                    (row.access_hash, row.seen) = (entity.access_hash.unwrap(), entity.seen);
                }
                Dirty::Date => row.seen = entity.seen,
                Dirty::Gone => {
                    if entity.gone_before().is_none_or(|before| row.seen < before) {
                        self.entities.remove(&entity.id);
                    }
                }
                Dirty::LostUsername => row.texts[0] = None,
                Dirty::LostAlias if row.seen > entity.seen => {}
                Dirty::LostAlias => row.aliases = entity.aliases().map(<[u8]>::to_vec).collect(),
            }
        }
        self.update_states.extend(changes.update_states.iter().copied());
        self.sent_files.extend(changes.sent_files.iter().cloned());
        Ok(())
    }
}

/// Servers are told apart by address.
#[derive(Clone, Debug)]
pub struct Options(pub Arc<FakeServer>);

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

pub struct FakeDriver(Arc<FakeServer>);

impl FakeDriver {
    async fn ask<T>(&self, answer: impl FnOnce(&mut BTreeMap<String, Stored>) -> T) -> Result<T> {
        tokio::time::sleep(Duration::from_micros(self.0.delay.load(Ordering::SeqCst))).await;
        let fails = self.0.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
        if fails.is_ok() {
            return Err(DriverError::new(Kind::Unreachable, "the server is gone"));
        }
        Ok(answer(&mut self.0.sessions.lock().unwrap()))
    }
}

fn batch<'a>(rows: impl Iterator<Item = (&'a i64, &'a Row)>) -> EntityBatch {
    let mut batch = EntityBatch::default();
    for (id, row) in rows {
        let [username, phone, name] = &row.texts;
        batch.push_stored(*id, row.access_hash, row.seen, [username, phone, name].map(Option::as_deref));
        row.aliases.iter().for_each(|alias| batch.push_alias(alias));
    }
    batch
}

impl Driver for FakeDriver {
    type Options = Options;

    async fn new(options: &Options) -> Result<Self> {
        Ok(Self(Arc::clone(&options.0)))
    }

    async fn load(&self, session: &SessionName) -> Result<Loaded> {
        self.ask(|sessions| {
            let Some(stored) = sessions.get(&**session) else { return Loaded { is_new: true, ..Loaded::default() } };
            Loaded {
                credentials: stored.credentials.clone(),
                update_states: stored.update_states.iter().map(|(id, state)| (*id, *state)).collect(),
                is_new: stored.is_new(),
                forgettings: stored.forgettings,
            }
        })
        .await
    }

    async fn find(&self, session: &SessionName, query: &OwnedQuery) -> Result<EntityBatch> {
        self.ask(|sessions| {
            let Some(stored) = sessions.get(&**session) else { return EntityBatch::default() };
            batch(stored.entities.iter().filter(|(id, row)| match query {
                OwnedQuery::Ids(ids) => ids.contains(id),
                OwnedQuery::Text(TextField::Username, text) => {
                    let mut all = row.texts[0].iter().chain(&row.aliases);
                    all.any(|username| username == text.as_bytes())
                }
                OwnedQuery::Text(TextField::Phone, text) => row.texts[1].as_deref() == Some(text.as_bytes()),
                OwnedQuery::Text(TextField::Name, text) => row.texts[2].as_deref() == Some(text.as_bytes()),
            }))
        })
        .await
    }

    async fn count(&self, session: &SessionName, ids: RangeInclusive<i64>) -> Result<usize> {
        self.ask(|sessions| sessions.get(&**session).map_or(0, |stored| stored.entities.range(ids).count())).await
    }

    async fn forgettings(&self, session: &SessionName) -> Result<i64> {
        self.ask(|sessions| sessions.get(&**session).map_or(0, |stored| stored.forgettings)).await
    }

    async fn scan(&self, session: &SessionName, pages: Pages) -> Result<()> {
        let all: Vec<(i64, Row)> = self
            .ask(|sessions| {
                let rows = sessions.get(&**session).into_iter().flat_map(|stored| &stored.entities);
                rows.map(|(id, row)| (*id, row.clone())).collect()
            })
            .await?;
        for page in all.chunks(3) {
            if !pages.send(batch(page.iter().map(|(id, row)| (id, row)))).await {
                break;
            }
        }
        Ok(())
    }

    async fn sent_file(&self, session: &SessionName, key: &FileKey) -> Result<Option<SentFile>> {
        self.ask(|sessions| sessions.get(&**session)?.sent_files.get(key).copied()).await
    }

    async fn sent_files(&self, session: &SessionName) -> Result<Vec<(FileKey, SentFile)>> {
        self.ask(|sessions| {
            let files = sessions.get(&**session).into_iter().flat_map(|stored| &stored.sent_files);
            files.map(|(key, file)| (key.clone(), *file)).collect()
        })
        .await
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<std::result::Result<(), CommitError>> {
        self.0.transactions.fetch_add(1, Ordering::SeqCst);
        let results = self.ask(|sessions| {
            commits
                .iter()
                .map(|commit| sessions.entry(commit.session.to_string()).or_default().apply(commit))
                .collect::<Vec<_>>()
        });
        results.await.unwrap_or_else(|error| commits.iter().map(|_| Err(error.clone().into())).collect())
    }

    async fn delete(&self, session: &SessionName, own_keys: &[Zeroizing<Vec<u8>>], _: Attempt) -> Result<bool> {
        self.ask(|sessions| {
            let Some(stored) = sessions.get(&**session) else { return false };
            let key = stored.key();
            let may_delete = key.is_empty() || own_keys.contains(&key);
            may_delete && sessions.remove(&**session).is_some()
        })
        .await
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.ask(|sessions| sessions.keys().cloned().collect()).await
    }

    async fn acquire(&self, session: &SessionName, owner: &str, time: Duration) -> Result<Acquired> {
        self.ask(|sessions| {
            let stored = sessions.entry(session.to_string()).or_default();
            if let Some((_, holder, _)) = stored.lease().filter(|(_, holder, _)| holder != owner) {
                return Acquired::InUse(holder.clone());
            }
            stored.fence += 1;
            stored.lease = Some((stored.fence, owner.to_owned(), Instant::now() + time));
            Acquired::Taken(Fence(stored.fence))
        })
        .await
    }

    async fn renew(&self, session: &SessionName, fence: Fence, owner: &str, time: Duration) -> Result<bool> {
        self.ask(|sessions| {
            let stored = sessions.entry(session.to_string()).or_default();
            if stored.fence != fence.0 {
                return false;
            }
            stored.lease = Some((fence.0, owner.to_owned(), Instant::now() + time));
            true
        })
        .await
    }

    async fn release(&self, session: &SessionName, fence: Fence) -> Result<()> {
        self.ask(|sessions| {
            let stored = sessions.entry(session.to_string()).or_default();
            if stored.fence == fence.0 {
                stored.lease = None;
            }
        })
        .await
    }
}
