//! What is stored of a session, and what is written of it.

use std::ops::RangeInclusive;

use super::{Result, Revision};
use crate::credentials::Credentials;
use crate::entity_table::EntityBatch;
use zeroize::Zeroizing;

/// The seconds since 1970 that Python can represent as a date (the years 1 to 9999), less a day at
/// either end.
pub const DATES: RangeInclusive<f64> = -62_135_510_400.0..=253_402_214_400.0;

/// How far updates have been received, for one channel or (ID 0) for the account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateState {
    /// The `pts` of the last update.
    pub pts: Option<i64>,
    /// The `qts` of the last secret update.
    pub qts: Option<i64>,
    /// When it was received, in seconds since 1970.
    pub date: Option<f64>,
    /// The `seq` of the last sequence.
    pub seq: Option<i64>,
}

impl UpdateState {
    /// Returns `true` if it has a date that Python can represent. Clients need one.
    #[must_use]
    pub fn has_date(&self) -> bool {
        self.date.is_some_and(|date| DATES.contains(&date))
    }
}

/// The kind of a sent file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// An `InputDocument`.
    Document = 0,
    /// An `InputPhoto`.
    Photo = 1,
}

impl FileKind {
    /// Returns the kind that is stored as this number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Document, Self::Photo].into_iter().find(|kind| *kind as i64 == number)
    }
}

/// Identifies a sent file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// The MD5 digest of its contents.
    pub md5_digest: Vec<u8>,
    /// Its size in bytes.
    pub size: i64,
    /// Its kind.
    pub kind: FileKind,
}

/// The server's reference to a sent file: ID and access hash.
pub type SentFile = (i64, i64);

/// A slice of dirty data, written in one transaction with the slices before and after it.
#[derive(Debug, Default)]
pub struct Changes {
    /// The credentials, if they have changed.
    pub credentials: Option<Credentials>,
    /// Entities, in the order in which they first changed.
    pub entities: EntityBatch,
    /// Update states, in the order in which they first changed.
    pub update_states: Vec<(i64, UpdateState)>,
    /// Sent files, in the order in which they were first stored.
    pub sent_files: Vec<(FileKey, SentFile)>,
}

/// What a store holds when a write begins, read under the lock of that write.
#[derive(Debug, Default)]
pub struct Base {
    /// The revision.
    pub revision: Revision,
    /// The authorization key; empty if there is none.
    pub auth_key: Zeroizing<Vec<u8>>,
}

/// Hands out what a [`Store::write`](super::Store::write) is to write.
pub trait ChangeSource {
    /// Returns the next slice, or `None` to commit the slices so far.
    ///
    /// # Errors
    /// A refusal, after looking at `base`: the store rolls back and returns the error.
    fn next(&mut self, base: &Base) -> Result<Option<Changes>>;
}
