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

    /// Has everything read again if it was loaded.
    pub(super) fn mark_stale(&mut self) {
        if self.is_loaded() {
            *self = Self::Stale(Scan::again());
        }
    }

    /// Has everything read again, from the beginning.
    pub(super) fn begin_again(&mut self) {
        *self = if self.is_loading() { Self::begin() } else { Self::Stale(Scan::again()) };
    }

    pub(super) fn is_loaded(&self) -> bool {
        matches!(self, Self::Loaded)
    }

    pub(super) fn is_loading(&self) -> bool {
        matches!(self, Self::Loading(_))
    }

    /// Returns `true` if what memory finds is what the store would find. A text may belong to
    /// several entities, of which the right one is known only when all have been read.
    pub(super) fn can_answer(&self, query: &Query<'_>) -> bool {
        !self.is_loading() || matches!(query, Query::Id(_))
    }

    /// Returns the scan in progress, to be looked at.
    pub(super) fn current_scan(&self) -> Option<&Scan> {
        match self {
            Self::Loaded => None,
            Self::Loading(scan) | Self::Stale(scan) => Some(scan),
        }
    }

    /// Returns the scan in progress.
    pub(super) fn scan(&mut self) -> Option<&mut Scan> {
        match self {
            Self::Loaded => None,
            Self::Loading(scan) | Self::Stale(scan) => Some(scan),
        }
    }
}
