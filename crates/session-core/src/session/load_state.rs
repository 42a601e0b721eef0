//! How much of what is stored is in memory.

use std::time::{Duration, Instant};

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
}

impl Scan {
    /// Returns how long to wait until it may begin.
    pub(super) fn wait(&self) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
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
            *self = Self::Stale(Scan::default());
        }
    }

    /// Has everything read again, from the beginning.
    pub(super) fn begin_again(&mut self) {
        *self = if self.is_loading() { Self::begin() } else { Self::Stale(Scan::default()) };
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

    /// Returns the scan in progress.
    pub(super) fn scan(&mut self) -> Option<&mut Scan> {
        match self {
            Self::Loaded => None,
            Self::Loading(scan) | Self::Stale(scan) => Some(scan),
        }
    }
}
