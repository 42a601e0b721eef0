//! How much of what is stored is in memory.

use std::time::Instant;

use crate::store::Query;

/// How far memory mirrors the store.
#[derive(Debug, Default)]
pub(super) enum Mirror {
    /// It holds all that is there, as far as we know.
    #[default]
    Complete,
    /// It is being filled.
    Loading(Pass),
    /// It held everything, but somebody else has written since; it is being filled again.
    Behind(Pass),
}

/// One reading of all rows.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The marked id of the last row read.
    pub(super) after: Option<i64>,
    /// When it began.
    pub(super) begun: Option<Instant>,
    /// When it may begin.
    pub(super) not_before: Option<Instant>,
}

impl Mirror {
    /// Nothing is read yet.
    pub(super) fn begin() -> Self {
        Self::Loading(Pass::default())
    }

    /// Somebody else may have written.
    pub(super) fn may_be_behind(&mut self) {
        if self.is_complete() {
            *self = Self::Behind(Pass::default());
        }
    }

    /// Whether memory holds all that is stored, as far as is known.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }

    /// Whether what memory finds is what the store would find. Of names and usernames it cannot be known before all rows that may
    /// have them are read.
    pub(super) fn answers(&self, query: &Query<'_>) -> bool {
        match self {
            Self::Complete | Self::Behind(_) => true,
            Self::Loading(_) => matches!(query, Query::Id(_)),
        }
    }

    /// The reading that is under way.
    pub(super) fn pass(&mut self) -> Option<&mut Pass> {
        match self {
            Self::Complete => None,
            Self::Loading(pass) | Self::Behind(pass) => Some(pass),
        }
    }
}
