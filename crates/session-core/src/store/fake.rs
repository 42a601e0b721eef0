//! A store in the memory of the process, for tests: several connections can share it, and a hook
//! can make any step fail, panic, wait or be counted.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    Backend, Base, ChangeSource, Changes, Counted, FileKey, Identity, Kind, Lease, Lookup, OpenOptions, Place, Query,
    Result, Revision, ScanBatch, SentFile, Snapshot, Store, StoreError, UpdateState, Written,
};
use crate::credentials::Credentials;
use crate::entity_table::{BatchEntity, Dirty, EntityBatch, TextField};

/// How many entities a scan reads at most, so that few entities take several.
const MAX_SCANNED: usize = 3;

/// A step of a connection, before which the hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opening a connection.
    Open,
    /// Anything that reads.
    Read,
    /// Beginning a write.
    Begin,
    /// Writing one slice.
    Apply,
    /// Committing a write.
    Commit,
    /// Returning from a successful commit.
    Committed,
}

/// Called before each step; may fail it.
pub type Hook = Arc<dyn Fn(Step) -> Result<()> + Send + Sync>;

/// A place for one store.
#[derive(Clone)]
pub struct FakeBackend {
    contents: Arc<Mutex<Contents>>,
    hook: Hook,
    unlocks_late: bool,
    posts: bool,
}

/// A stored entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    access_hash: i64,
    seen: u32,
    texts: [Option<Vec<u8>>; 3],
    aliases: Vec<Vec<u8>>,
}

/// What is stored.
#[derive(Debug, Default)]
struct Contents {
    /// Whether there is a store.
    exists: bool,
    /// How many stores there have been.
    identity: u64,
    revision: i64,
    credentials: Option<Credentials>,
    entities: BTreeMap<i64, Row>,
    update_states: BTreeMap<i64, UpdateState>,
    sent_files: HashMap<FileKey, SentFile>,
    is_locked: bool,
    is_leased: bool,
}

impl Default for FakeBackend {
    fn default() -> Self {
        Self { contents: Arc::default(), hook: Arc::new(|_| Ok(())), unlocks_late: false, posts: false }
    }
}

impl Debug for FakeBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeBackend").finish_non_exhaustive()
    }
}

impl FakeBackend {
    /// Returns the same store for a connection whose steps call `hook`.
    #[must_use]
    pub fn with_hook(&self, hook: impl Fn(Step) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { hook: Arc::new(hook), ..self.clone() }
    }

    /// Keeps other connections from writing until [`Store::trim`] rather than until the commit.
    ///
    /// A session learns that its write has ended only when [`Store::write`] returns. Lookups may
    /// miss what another connection commits in the moment in between.
    #[must_use]
    pub fn unlocking_late(self) -> Self {
        Self { unlocks_late: true, ..self }
    }

    /// Posts writes, as a store on a server does: they end when the session asks for their end, and
    /// fail or are made then.
    #[must_use]
    pub fn posting(self) -> Self {
        Self { posts: true, ..self }
    }

    /// Returns an error of this store.
    #[must_use]
    pub fn error(&self, kind: Kind) -> StoreError {
        match kind {
            Kind::Busy => StoreError::busy(self.place()),
            Kind::Gone => StoreError::gone(self.place()),
            _ => StoreError::new(kind, self.place(), format!("{kind:?}: {}", self.place())),
        }
    }

    /// Takes the store's lock as a connection of another program does, until the result is dropped;
    /// `None` if another connection holds it.
    #[must_use]
    pub fn try_hold(&self) -> Option<HeldLock> {
        let mut stored = self.contents_locked();
        if stored.is_locked {
            return None;
        }
        stored.is_locked = true;
        Some(HeldLock { contents: Arc::clone(&self.contents) })
    }

    /// Returns the access hashes of all stored entities.
    #[must_use]
    pub fn access_hashes(&self) -> BTreeMap<i64, i64> {
        self.contents_locked().entities.iter().map(|(id, row)| (*id, row.access_hash)).collect()
    }

    /// Returns the stored credentials and update states.
    #[must_use]
    pub fn contents(&self) -> (Option<Credentials>, BTreeMap<i64, UpdateState>) {
        let stored = self.contents_locked();
        (stored.credentials.clone(), stored.update_states.clone())
    }

    fn contents_locked(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lock of a store, held as by another program.
#[derive(Debug)]
pub struct HeldLock {
    contents: Arc<Mutex<Contents>>,
}

impl HeldLock {
    /// Stores an entity, and ends.
    pub fn store(self, id: i64, access_hash: i64) {
        let mut stored = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        stored.entities.insert(id, Row { access_hash, ..Row::default() });
        stored.revision += 1;
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).is_locked = false;
    }
}

#[derive(Debug)]
struct FakeLease {
    contents: Arc<Mutex<Contents>>,
}

impl Lease for FakeLease {}

impl Drop for FakeLease {
    fn drop(&mut self) {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).is_leased = false;
    }
}

impl Backend for FakeBackend {
    fn open(&self, options: OpenOptions) -> Result<(Box<dyn Store>, Snapshot)> {
        (self.hook)(Step::Open)?;
        let mut stored = self.contents_locked();
        let is_new = !stored.exists;
        if is_new && !options.may_create {
            return Err(self.error(Kind::Gone));
        }
        if is_new {
            stored.exists = true;
            stored.identity += 1;
        }
        let snapshot = Snapshot { is_new, ..stored.snapshot() };
        let store = FakeStore { backend: self.clone(), identity: stored.identity, holds_lock: false, posted: None };
        drop(stored);
        Ok((Box::new(store), snapshot))
    }

    fn lease(&self, _: OpenOptions) -> Result<Box<dyn Lease>> {
        let mut stored = self.contents_locked();
        if stored.is_leased {
            drop(stored);
            return Err(self.error(Kind::InUse));
        }
        stored.is_leased = true;
        Ok(Box::new(FakeLease { contents: Arc::clone(&self.contents) }))
    }

    fn delete(&self, _own_keys: &[Zeroizing<Vec<u8>>], _timeout: Duration) -> Result<bool> {
        let mut stored = self.contents_locked();
        let Contents { exists, identity, revision, .. } = *stored;
        *stored = Contents { identity, revision: revision + 1, ..Contents::default() };
        Ok(exists)
    }

    fn place(&self) -> Place {
        Place::Server("fake".to_owned())
    }

    fn is_remote(&self) -> bool {
        self.posts
    }
}

/// A connection.
#[derive(Debug)]
struct FakeStore {
    backend: FakeBackend,
    identity: u64,
    holds_lock: bool,
    /// The write that was posted.
    posted: Option<Vec<Changes>>,
}

impl FakeStore {
    /// Locks what is stored for a step.
    fn step(&self, step: Step) -> Result<MutexGuard<'_, Contents>> {
        (self.backend.hook)(step)?;
        let stored = self.backend.contents_locked();
        if !stored.exists || stored.identity != self.identity {
            drop(stored);
            return Err(self.backend.error(Kind::Gone));
        }
        Ok(stored)
    }

    fn unlock(&mut self) {
        if std::mem::take(&mut self.holds_lock) {
            self.backend.contents_locked().is_locked = false;
        }
    }

    fn write_locked(&self, source: &mut dyn ChangeSource) -> Result<Written> {
        let base = {
            let stored = self.backend.contents_locked();
            Base { revision: Revision(stored.revision), auth_key: stored.snapshot().auth_key() }
        };
        let mut slices = Vec::new();
        while let Some(changes) = source.next(&base)? {
            drop(self.step(Step::Apply)?);
            slices.push(changes);
        }
        self.commit(slices)
    }

    /// Takes what a write is to write.
    fn post(&mut self, source: &mut dyn ChangeSource) -> Result<Written> {
        let base = {
            let stored = self.step(Step::Begin)?;
            Base { revision: Revision(stored.revision), auth_key: stored.snapshot().auth_key() }
        };
        let mut slices = Vec::new();
        while let Some(changes) = source.next(&base)? {
            slices.push(changes);
        }
        if slices.is_empty() {
            return Ok(Written { revision: base.revision });
        }
        self.posted = Some(slices);
        Err(self.backend.error(Kind::Pending))
    }

    fn commit(&self, slices: Vec<Changes>) -> Result<Written> {
        let mut stored = self.step(Step::Commit)?;
        for changes in slices {
            stored.apply(changes);
        }
        stored.revision += 1;
        let written = Written { revision: Revision(stored.revision) };
        drop(stored);
        (self.backend.hook)(Step::Committed)?;
        Ok(written)
    }
}

impl Drop for FakeStore {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Store for FakeStore {
    fn find(&mut self, query: &Query<'_>, since: Option<Revision>, _: Duration) -> Result<Lookup> {
        let stored = self.step(Step::Read)?;
        if since == Some(Revision(stored.revision)) {
            return Ok(Lookup::Unchanged);
        }
        let mut found = EntityBatch::default();
        for (id, row) in stored.entities.iter().filter(|(id, row)| row.matches(**id, query)) {
            row.push_to(*id, &mut found);
        }
        Ok(Lookup::Found(found))
    }

    fn scan(&mut self, after: Option<i64>, limit: usize) -> Result<ScanBatch> {
        let stored = self.step(Step::Read)?;
        let mut scanned = ScanBatch::default();
        let limit = limit.min(MAX_SCANNED);
        let rows = stored.entities.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        rows.take(limit).for_each(|(id, row)| row.push_to(*id, &mut scanned.entities));
        let is_full = scanned.entities.len() == limit;
        scanned.next = scanned.entities.iter().last().filter(|_| is_full).map(|last| last.id);
        Ok(scanned)
    }

    fn count(&mut self, ids: RangeInclusive<i64>, limit: usize, _: Duration) -> Result<Counted> {
        let stored = self.step(Step::Read)?;
        let limit = limit.min(MAX_SCANNED);
        let last = stored.entities.range(ids.clone()).map(|(id, _)| *id).take(limit).last();
        let entities = stored.entities.range(ids.clone()).take(limit).count();
        Ok(Counted { entities, next: last.filter(|id| entities == limit && id < ids.end()) })
    }

    fn open_reader(&mut self) -> Option<Box<dyn Store>> {
        (self.backend.hook)(Step::Open).ok().filter(|()| !self.backend.posts)?;
        let Self { backend, identity, .. } = self;
        Some(Box::new(Self { backend: backend.clone(), identity: *identity, holds_lock: false, posted: None }))
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        Ok(self.step(Step::Read)?.snapshot())
    }

    fn revision(&mut self) -> Result<Revision> {
        Ok(Revision(self.step(Step::Read)?.revision))
    }

    fn is_at(&mut self, revision: Revision) -> bool {
        let stored = self.backend.contents_locked();
        !self.backend.posts && stored.exists && (stored.identity, stored.revision) == (self.identity, revision.0)
    }

    fn sent_file(&mut self, key: &FileKey, _timeout: Duration) -> Result<Option<SentFile>> {
        Ok(self.step(Step::Read)?.sent_files.get(key).copied())
    }

    fn sent_files(&mut self, _timeout: Duration) -> Result<Vec<(FileKey, SentFile)>> {
        Ok(self.step(Step::Read)?.sent_files.iter().map(|(key, file)| (key.clone(), *file)).collect())
    }

    fn poll_write(&mut self, _timeout: Duration) -> Option<Result<Written>> {
        let slices = self.posted.take()?;
        Some(self.step(Step::Apply).map(drop).and_then(|()| self.commit(slices)))
    }

    fn write(&mut self, source: &mut dyn ChangeSource) -> Result<Written> {
        if self.posted.is_some() {
            return Err(self.backend.error(Kind::Pending));
        }
        if self.backend.posts {
            return self.post(source);
        }
        {
            let mut stored = self.step(Step::Begin)?;
            if stored.is_locked && !self.holds_lock {
                drop(stored);
                return Err(self.backend.error(Kind::Busy));
            }
            stored.is_locked = true;
        }
        self.holds_lock = true;
        let written = self.write_locked(source);
        if !self.backend.unlocks_late {
            self.unlock();
        }
        written
    }

    fn trim(&mut self) {
        self.unlock();
    }
}

impl Contents {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            credentials: self.credentials.clone(),
            update_states: self.update_states.iter().map(|(id, state)| (*id, *state)).collect(),
            is_new: false,
            revision: Revision(self.revision),
            identity: Some(Identity(self.identity.to_string())),
        }
    }

    fn apply(&mut self, changes: Changes) {
        let Changes { credentials, entities, update_states, sent_files } = changes;
        if credentials.is_some() {
            self.credentials = credentials;
        }
        entities.iter().for_each(|entity| self.apply_entity(&entity));
        self.update_states.extend(update_states);
        self.sent_files.extend(sent_files);
    }

    fn apply_entity(&mut self, entity: &BatchEntity<'_>) {
        let access_hash = entity.access_hash.unwrap_or_default();
        match entity.dirty {
            Dirty::Clean => {}
            Dirty::Full => {
                let texts = entity.texts().map(|text| text.map(<[u8]>::to_vec));
                let aliases = aliases_of(entity);
                self.entities.insert(entity.id, Row { access_hash, seen: entity.seen, texts, aliases });
            }
            Dirty::AccessHashAndDate => {
                let row = self.entities.entry(entity.id).or_default();
                (row.access_hash, row.seen) = (access_hash, entity.seen);
            }
            Dirty::Date => {
                if let Some(row) = self.entities.get_mut(&entity.id) {
                    row.seen = entity.seen;
                }
            }
            Dirty::Gone => {
                let is_gone = |row: &Row| entity.gone_before().is_none_or(|before| row.seen < before);
                if self.entities.get(&entity.id).is_some_and(is_gone) {
                    self.entities.remove(&entity.id);
                }
            }
            Dirty::LostUsername => {
                if let Some(row) = self.entities.get_mut(&entity.id) {
                    row.texts[TextField::Username as usize] = None;
                }
            }
            Dirty::LostAlias => {
                if let Some(row) = self.entities.get_mut(&entity.id).filter(|row| row.seen <= entity.seen) {
                    row.aliases = aliases_of(entity);
                }
            }
        }
    }
}

impl Row {
    fn matches(&self, id: i64, query: &Query<'_>) -> bool {
        match query {
            Query::Id(wanted) => *wanted == id,
            Query::AnyId(wanted) => wanted.contains(&Some(id)),
            Query::Ids(wanted) => wanted.contains(&id),
            Query::Text(field, text) => {
                let is_alias = || self.aliases.iter().any(|alias| alias == text.as_bytes());
                self.texts[*field as usize].as_deref() == Some(text.as_bytes())
                    || (*field == TextField::Username && is_alias())
            }
        }
    }

    fn push_to(&self, id: i64, batch: &mut EntityBatch) {
        batch.push_stored(id, self.access_hash, self.seen, self.texts.each_ref().map(Option::as_deref));
        self.aliases.iter().for_each(|alias| batch.push_alias(alias));
    }
}

fn aliases_of(entity: &BatchEntity<'_>) -> Vec<Vec<u8>> {
    entity.aliases().map(<[u8]>::to_vec).collect()
}
