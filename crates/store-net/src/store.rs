//! An open session on a server: begins operations, and continues them when it is asked again.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::entity_table::EntityBatch;
use session_core::store::{
    Base, ChangeSource, Counted, FileKey, Kind, Lookup, Query, Result, Revision, ScanBatch, SentFile, Snapshot, Store,
    StoreError, Waker, Written,
};
use tokio::sync::mpsc::{self, error::TryRecvError};
use zeroize::Zeroizing;

use crate::commit::{Commit, CommitError, CommitResult};
use crate::driver::{self, Driver, Loaded, OwnedQuery, PageWaker, Pages};
use crate::forgettings::Forgettings;
use crate::lease;
use crate::request::{Lost, Request};
use crate::server::{Server, no_answer};
use crate::shared::Shared;

/// How many rows of one session are written at a time.
const MOST_ROWS: usize = 10_000;
/// For how long the server is not asked again for what it does not know.
const MISS_TIME: Duration = Duration::from_millis(200);
/// How many of these are remembered.
const MOST_MISSES: usize = 1000;
/// How many lookups may wait for the server at once.
const MOST_FINDS: usize = 1000;
/// How long a scan may take for a page.
const PAGE_LIMIT: Duration = Duration::from_secs(30);
/// Pages that are read ahead.
const PAGES_AHEAD: usize = 2;

/// Sent files with their keys.
type SentFiles = Vec<(FileKey, SentFile)>;

/// An open session on a server.
pub(crate) struct NetStore<D: Driver> {
    server: Arc<Server<D>>,
    shared: Arc<Shared>,
    waker: Option<Waker>,
    /// The authorization key that the server has, as far as is known; empty if none.
    known_key: Zeroizing<Vec<u8>>,
    /// Rises when the server turned out to have another key.
    revision: Revision,
    finds: HashMap<OwnedQuery, Request<driver::Result<EntityBatch>>>,
    misses: HashMap<OwnedQuery, Instant>,
    files: HashMap<FileKey, Request<driver::Result<Option<SentFile>>>>,
    all_files: Option<Request<driver::Result<SentFiles>>>,
    snapshot: Option<Request<driver::Result<Loaded>>>,
    counts: HashMap<(i64, i64), Request<driver::Result<usize>>>,
    forgettings: Forgettings,
    scan: Option<Scan>,
    write: Option<PostedWrite>,
}

/// A scan that is under way.
struct Scan {
    pages: mpsc::Receiver<EntityBatch>,
    end: Request<driver::Result<()>>,
    has_ended: bool,
    /// How many pages were taken.
    position: i64,
    last_page: Instant,
}

/// A write that was posted.
struct PostedWrite {
    request: Request<CommitResult>,
    /// The key that it writes, if it writes credentials.
    key: Option<Zeroizing<Vec<u8>>>,
    /// Whether it has forgotten entities in it.
    has_forgotten: bool,
}

impl<D: Driver> std::fmt::Debug for NetStore<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetStore").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

impl<D: Driver> NetStore<D> {
    pub(crate) fn new(
        server: Arc<Server<D>>,
        shared: Arc<Shared>,
        known_key: Zeroizing<Vec<u8>>,
        forgettings: Forgettings,
    ) -> Self {
        Self {
            server,
            shared,
            waker: None,
            known_key,
            revision: Revision::default(),
            finds: HashMap::new(),
            misses: HashMap::new(),
            files: HashMap::new(),
            all_files: None,
            snapshot: None,
            counts: HashMap::new(),
            forgettings,
            scan: None,
            write: None,
        }
    }

    fn begin_scan(&self) -> Scan {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let waker = self.waker.clone().unwrap_or_else(|| Arc::new(|| ()));
        let on_page = PageWaker(Arc::clone(&waker));
        let (server, session) = (Arc::clone(&self.server), Arc::clone(&self.shared.session));
        let end = Request::begin(&self.server.handle, &self.server.health, Some(waker), async move {
            server.driver().await?.scan(&session, Pages { sender, on_page }).await
        });
        Scan { pages, end, has_ended: false, position: 0, last_page: Instant::now() }
    }
}

impl<D: Driver> NetStore<D> {
    /// Asks whether other connections have forgotten entities, unless that was asked a moment ago
    /// or a write of this session is under way.
    fn ask_for_forgettings(&mut self, timeout: Duration) -> Result<()> {
        if self.write.is_some() || self.forgettings.are_fresh() {
            return Ok(());
        }
        let Self { server, shared, waker, forgettings, .. } = self;
        let asked = forgettings.ask(timeout, || {
            let session = Arc::clone(&shared.session);
            server.begin(waker.clone(), move |server| async move { server.driver().await?.forgettings(&session).await })
        });
        let found = shared.ended(asked.ok_or_else(|| shared.pending())?)?;
        self.note_forgettings(found);
        Ok(())
    }

    fn note_forgettings(&mut self, found: i64) {
        if self.forgettings.note(found) {
            self.revision = Revision(self.revision.0 + 1);
            // What is under way may be older.
            self.finds.clear();
            self.misses.clear();
        }
    }
}

/// Continues the operation for a key, or begins it.
fn resume<K: Clone + Eq + Hash, T: Send + 'static>(
    begun: &mut HashMap<K, Request<T>>,
    key: &K,
    timeout: Duration,
    start: impl FnOnce() -> Request<T>,
) -> Option<std::result::Result<T, Lost>> {
    let mut request = begun.remove(key);
    let result = Request::resume(&mut request, timeout, start);
    begun.extend(request.map(|request| (key.clone(), request)));
    result
}

impl<D: Driver> Store for NetStore<D> {
    fn find(&mut self, query: &Query<'_>, _since: Option<Revision>, timeout: Duration) -> Result<Lookup> {
        let query = OwnedQuery::from(query);
        if self.misses.get(&query).is_some_and(|at| at.elapsed() < MISS_TIME) {
            return Ok(Lookup::Found(EntityBatch::default()));
        }
        if self.finds.len() >= MOST_FINDS {
            // The results of most of them were never asked for.
            self.finds.clear();
        }
        let (server, session, waker) = (&self.server, &self.shared.session, &self.waker);
        let found = resume(&mut self.finds, &query, timeout, || {
            let (session, query) = (Arc::clone(session), query.clone());
            server
                .begin(waker.clone(), move |server| async move { server.driver().await?.find(&session, &query).await })
        });
        let found = self.shared.ended(found.ok_or_else(|| self.shared.pending())?)?;
        if found.is_empty() {
            if self.misses.len() >= MOST_MISSES {
                self.misses.clear();
            }
            self.misses.insert(query, Instant::now());
        }
        Ok(Lookup::Found(found))
    }

    fn scan(&mut self, after: Option<i64>, _limit: usize) -> Result<ScanBatch> {
        let scan = match self.scan.take() {
            Some(scan) if after == Some(scan.position).filter(|position| *position > 0) => scan,
            _ => self.begin_scan(),
        };
        let scan = self.scan.insert(scan);
        if !scan.has_ended
            && let Some(ended) = scan.end.wait(Duration::ZERO)
        {
            if let Err(error) = self.shared.ended(ended) {
                self.scan = None;
                return Err(error);
            }
            scan.has_ended = true;
        }
        match scan.pages.try_recv() {
            Ok(entities) => {
                scan.position += 1;
                scan.last_page = Instant::now();
                Ok(ScanBatch { entities, next: Some(scan.position) })
            }
            Err(_) if scan.has_ended => {
                self.scan = None;
                Ok(ScanBatch::default())
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) if scan.last_page.elapsed() < PAGE_LIMIT => {
                Err(self.shared.pending())
            }
            Err(_) => {
                self.scan = None;
                Err(self.shared.error(no_answer(PAGE_LIMIT)))
            }
        }
    }

    fn open_scan(&mut self) -> Option<Box<dyn Store>> {
        let (server, shared) = (Arc::clone(&self.server), Arc::clone(&self.shared));
        Some(Box::new(Self::new(server, shared, self.known_key.clone(), Forgettings::new(0))))
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let loaded = Request::resume(&mut self.snapshot, Duration::ZERO, || {
            let session = Arc::clone(&self.shared.session);
            self.server
                .begin(self.waker.clone(), move |server| async move { server.driver().await?.load(&session).await })
        });
        let loaded = self.shared.ended(loaded.ok_or_else(|| self.shared.pending())?)?;
        self.forgettings = Forgettings::new(loaded.forgettings);
        let snapshot = self.shared.snapshot(loaded, self.revision);
        self.known_key = snapshot.auth_key();
        Ok(snapshot)
    }

    fn count(&mut self, ids: RangeInclusive<i64>, _limit: usize, timeout: Duration) -> Result<Counted> {
        let (server, session, waker) = (&self.server, &self.shared.session, &self.waker);
        let (first, last) = (*ids.start(), *ids.end());
        let counted = resume(&mut self.counts, &(first, last), timeout, || {
            let session = Arc::clone(session);
            server.begin(waker.clone(), move |server| async move {
                server.driver().await?.count(&session, first..=last).await
            })
        });
        let entities = self.shared.ended(counted.ok_or_else(|| self.shared.pending())?)?;
        Ok(Counted { entities, next: None })
    }

    fn revision(&mut self) -> Result<Revision> {
        if let Some(Ok(Ok(found))) = self.forgettings.answer() {
            self.note_forgettings(found);
        }
        Ok(self.revision)
    }

    fn fresh_revision(&mut self, timeout: Duration) -> Result<Revision> {
        self.ask_for_forgettings(timeout)?;
        Ok(self.revision)
    }

    fn sent_file(&mut self, key: &FileKey, timeout: Duration) -> Result<Option<SentFile>> {
        let (server, session, waker) = (&self.server, &self.shared.session, &self.waker);
        let found = resume(&mut self.files, key, timeout, || {
            let (session, key) = (Arc::clone(session), key.clone());
            server.begin(
                waker.clone(),
                move |server| async move { server.driver().await?.sent_file(&session, &key).await },
            )
        });
        self.shared.ended(found.ok_or_else(|| self.shared.pending())?)
    }

    fn sent_files(&mut self, timeout: Duration) -> Result<SentFiles> {
        let files = Request::resume(&mut self.all_files, timeout, || {
            let session = Arc::clone(&self.shared.session);
            self.server.begin(self.waker.clone(), move |server| async move {
                server.driver().await?.sent_files(&session).await
            })
        });
        self.shared.ended(files.ok_or_else(|| self.shared.pending())?)
    }

    fn write(&mut self, source: &mut dyn ChangeSource) -> Result<Written> {
        if self.write.is_some() {
            return Err(self.shared.pending());
        }
        let base = Base { revision: self.revision, auth_key: self.known_key.clone() };
        let mut commit = Commit {
            session: Arc::clone(&self.shared.session),
            expected_key: self.known_key.clone(),
            fence: self.shared.fence(),
            ..Commit::default()
        };
        let mut is_empty = true;
        while commit.rows() < MOST_ROWS
            && let Some(slice) = source.next(&base)?
        {
            is_empty = false;
            commit.add(slice);
        }
        if is_empty {
            return Ok(Written { revision: self.revision });
        }
        let key = commit.changes.credentials.as_ref().map(|credentials| credentials.auth_key.clone());
        let has_forgotten = commit.has_forgotten();
        if !commit.entities().is_empty() {
            // What the server did not know, or was about to answer, may be different afterwards.
            self.misses.clear();
            self.finds.clear();
            self.counts.clear();
        }
        let (commits, order) = (self.server.commits.clone(), self.shared.order());
        let request = Request::begin(&self.server.handle, &self.server.health, self.waker.clone(), async move {
            let mut attempts = order.lock().await;
            let attempt = attempts.next();
            commits.commit(Commit { attempt, ..commit }).await
        });
        self.write = Some(PostedWrite { request, key, has_forgotten });
        Err(self.shared.pending())
    }

    fn poll_write(&mut self, timeout: Duration) -> Option<Result<Written>> {
        let write = self.write.take()?;
        let Some(result) = write.request.wait(timeout) else {
            self.write = Some(write);
            return Some(Err(self.shared.pending()));
        };
        let place = &self.shared.place;
        let interrupted =
            || StoreError::new(Kind::Unreachable, place.clone(), format!("{place}: the write was interrupted"));
        Some(match result {
            Err(Lost) => Err(interrupted()),
            Ok(Ok(())) => {
                if let Some(key) = write.key {
                    self.known_key = key;
                }
                self.forgettings.note_own(write.has_forgotten);
                Ok(Written { revision: self.revision })
            }
            Ok(Err(CommitError::Conflict(found))) => {
                self.known_key = found;
                self.revision = Revision(self.revision.0 + 1);
                Err(StoreError::new(
                    Kind::Busy,
                    place.clone(),
                    format!("{place}: another program has changed the login"),
                ))
            }
            Ok(Err(CommitError::Fenced)) => Err(lease::lost(place)),
            Ok(Err(CommitError::Failed(error))) => Err(self.shared.error(error)),
        })
    }

    fn set_waker(&mut self, waker: Waker) {
        self.waker = Some(waker);
    }
}
