//! How much of what is stored is in memory.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::reader::Access;
use crate::error::Error;
use crate::store::Query;

/// How far memory reflects the store.
#[derive(Debug, Default)]
pub(super) enum LoadState {
    /// Memory holds everything that is stored, as far as is known.
    #[default]
    Loaded,
    /// Memory is being filled.
    Loading(Scan),
    /// Memory held everything, but another connection has changed the store. It is being filled
    /// again.
    Stale(Scan),
    /// Memory is bounded and holds some of what is stored.
    Partial(Partial),
}

/// What is known of a store that memory holds in part.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// Whether another connection may have changed what is in memory.
    pub(super) is_outdated: bool,
    /// When that may be removed, if some could not be before.
    pub(super) drop_again: Option<Instant>,
    /// When to find out what the index of texts lacks; `None` if that need not be found out.
    pub(super) index_due: Option<Instant>,
    /// Whether a failure was logged as a warning.
    pub(super) is_failure_logged: bool,
}

/// The progress of one scan of all rows.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The marked ID of the last row read.
    pub(super) after: Option<i64>,
    /// When it began.
    pub(super) begun: Option<Instant>,
    /// When it may begin.
    pub(super) not_before: Option<Instant>,
    /// How the loader gets at the store.
    pub(super) access: Access,
    /// Why it does not go on. A server that is asked for everything is not asked again.
    pub(super) failure: Option<Error>,
    /// If memory held everything before: the entities that are stored, as far as they were read,
    /// and those that were written since the scan was planned.
    pub(super) stored: Option<HashSet<i64, RandomState>>,
    /// Tells it from other scans of rows that were read before.
    pub(super) number: u64,
    /// The position in the table from which entities that are not stored any more are removed, once
    /// everything has been read. Beyond all positions at the end.
    pub(super) removing: Option<u64>,
}

impl Scan {
    /// Returns how long to wait until it may begin.
    pub(super) fn wait(&self) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Returns a scan of rows that were read before.
    pub(super) fn again() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self { stored: Some(HashSet::default()), number: NUMBERS.fetch_add(1, Ordering::Relaxed), ..Self::default() }
    }

    /// Notes entities that are stored.
    pub(super) fn note_stored(&mut self, ids: impl Iterator<Item = i64>) {
        if let Some(stored) = &mut self.stored {
            stored.extend(ids);
        }
    }

    /// Returns `true` if it may begin, or has begun.
    pub(super) fn may_begin(&self) -> bool {
        self.wait().is_zero()
    }
}

impl LoadState {
    /// Returns the state in which nothing has been read yet.
    pub(super) fn begin() -> Self {
        Self::Loading(Scan::default())
    }

    /// Returns the state in which nothing has been read yet, of a session whose memory is bounded.
    pub(super) fn begin_bounded() -> Self {
        Self::Partial(Partial { index_due: Some(Instant::now()), ..Partial::default() })
    }

    /// Has everything read again if it was loaded.
    pub(super) fn mark_stale(&mut self) {
        match self {
            Self::Loaded => *self = Self::Stale(Scan::again()),
            Self::Partial(partial) => partial.mark_outdated(),
            Self::Loading(_) | Self::Stale(_) => {}
        }
    }

    /// Has everything read again, from the beginning.
    pub(super) fn begin_again(&mut self) {
        match self {
            Self::Loading(_) => *self = Self::begin(),
            Self::Loaded | Self::Stale(_) => *self = Self::Stale(Scan::again()),
            Self::Partial(partial) => partial.mark_outdated(),
        }
    }

    /// Notes that nothing of what is stored is in memory.
    pub(super) fn start_over(&mut self) {
        *self = if self.partial().is_some() { Self::begin_bounded() } else { Self::begin() };
    }

    pub(super) fn is_loaded(&self) -> bool {
        matches!(self, Self::Loaded)
    }

    /// Returns `true` if memory may lack stored entities that no other connection has just added.
    pub(super) fn lacks_entities(&self) -> bool {
        matches!(self, Self::Loading(_) | Self::Partial(_))
    }

    /// Returns `true` if what memory finds is what the store would find. A text may belong to
    /// several entities, of which the right one is known only when all have been read.
    pub(super) fn can_answer(&self, query: &Query<'_>) -> bool {
        !self.lacks_entities() || matches!(query, Query::Id(_))
    }

    /// Returns the scan in progress, to be looked at.
    pub(super) fn current_scan(&self) -> Option<&Scan> {
        match self {
            Self::Loaded | Self::Partial(_) => None,
            Self::Loading(scan) | Self::Stale(scan) => Some(scan),
        }
    }

    /// Returns what is known of a store that memory holds in part.
    pub(super) fn partial(&mut self) -> Option<&mut Partial> {
        if let Self::Partial(partial) = self { Some(partial) } else { None }
    }

    /// Returns the scan in progress.
    pub(super) fn scan(&mut self) -> Option<&mut Scan> {
        match self {
            Self::Loaded | Self::Partial(_) => None,
            Self::Loading(scan) | Self::Stale(scan) => Some(scan),
        }
    }
}

impl Partial {
    fn mark_outdated(&mut self) {
        self.is_outdated = true;
        self.index_due.get_or_insert_with(Instant::now);
    }
}
