//! An open store that holds sealed keys.

use std::fmt::{self, Debug};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use session_core::store::{
    Base, ChangeSource, Changes, Counted, FileKey, Indexer, Kind, Lookup, Place, Query, Result, Revision, ScanBatch,
    SentFile, Snapshot, Store, Waker, Written,
};

use crate::backend::Shared;
use crate::forms::explain;
use crate::keyring::Failure;

/// An open store that holds sealed keys.
pub struct SealedStore {
    inner: Box<dyn Store>,
    shared: Arc<Shared>,
    place: Place,
}

impl Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealedStore").field(&self.inner).finish()
    }
}

impl SealedStore {
    pub(crate) fn new(inner: Box<dyn Store>, shared: Arc<Shared>, place: Place) -> Self {
        Self { inner, shared, place }
    }

    /// Returns the store that holds what is sealed.
    pub fn inner(&mut self) -> &mut dyn Store {
        &mut *self.inner
    }
}

impl Store for SealedStore {
    fn find(&mut self, query: &Query<'_>, since: Option<Revision>, timeout: Duration) -> Result<Lookup> {
        self.inner.find(query, since, timeout)
    }

    fn scan(&mut self, after: Option<i64>, limit: usize) -> Result<ScanBatch> {
        self.inner.scan(after, limit)
    }

    fn count(&mut self, ids: RangeInclusive<i64>, limit: usize, timeout: Duration) -> Result<Counted> {
        self.inner.count(ids, limit, timeout)
    }

    fn open_reader(&mut self) -> Option<Box<dyn Store>> {
        // Entities are not sealed.
        self.inner.open_reader()
    }

    fn open_scan(&mut self) -> Option<Box<dyn Store>> {
        self.inner.open_scan()
    }

    fn index(&mut self) -> Result<Option<Box<dyn Indexer>>> {
        self.inner.index()
    }

    fn lacks_index(&self) -> bool {
        self.inner.lacks_index()
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let mut snapshot = self.inner.snapshot()?;
        if let Some(credentials) = &mut snapshot.credentials {
            // A login that another program has encrypted meanwhile, with a key that is not known
            // here, is another login: the rest can be read, and the login is not replaced.
            let _ = self.shared.forms().open(&self.shared.keyring, &self.place, credentials);
        }
        Ok(snapshot)
    }

    fn revision(&mut self) -> Result<Revision> {
        self.inner.revision()
    }

    fn fresh_revision(&mut self, timeout: Duration) -> Result<Revision> {
        self.inner.fresh_revision(timeout)
    }

    fn is_at(&mut self, revision: Revision) -> bool {
        self.inner.is_at(revision)
    }

    fn sent_file(&mut self, key: &FileKey, timeout: Duration) -> Result<Option<SentFile>> {
        self.inner.sent_file(key, timeout)
    }

    fn sent_files(&mut self, timeout: Duration) -> Result<Vec<(FileKey, SentFile)>> {
        self.inner.sent_files(timeout)
    }

    fn write(&mut self, source: &mut dyn ChangeSource) -> Result<Written> {
        let Self { inner, shared, place } = self;
        inner.write(&mut Sealing { source, shared, place, base: None })
    }

    fn poll_write(&mut self, timeout: Duration) -> Option<Result<Written>> {
        self.inner.poll_write(timeout)
    }

    fn set_waker(&mut self, waker: Waker) {
        self.inner.set_waker(waker);
    }

    fn trim(&mut self) {
        self.inner.trim();
    }
}

/// Seals what a source hands out.
struct Sealing<'a> {
    source: &'a mut dyn ChangeSource,
    shared: &'a Shared,
    place: &'a Place,
    /// The base with its key opened, if possible.
    base: Option<(Base, std::result::Result<(), Failure>)>,
}

impl ChangeSource for Sealing<'_> {
    fn next(&mut self, base: &Base) -> Result<Option<Changes>> {
        let Self { source, shared, place, base: opened } = self;
        let (base, is_opened) = opened.get_or_insert_with(|| {
            let mut base = Base { revision: base.revision, auth_key: base.auth_key.clone() };
            let is_opened = shared.forms().open_key(&shared.keyring, &mut base.auth_key);
            (base, is_opened)
        });
        let changes = source.next(base).map_err(|error| match is_opened {
            // It is not known whose login it is.
            Err(failure) if error.kind == Kind::Replaced => explain(*failure, place),
            _ => error,
        })?;
        let Some(mut changes) = changes else { return Ok(None) };
        if let Some(credentials) = &mut changes.credentials {
            // A login that cannot be read is not replaced.
            is_opened.map_err(|failure| explain(failure, place))?;
            shared.forms().seal(&shared.keyring, place, credentials)?;
        }
        Ok(Some(changes))
    }
}
