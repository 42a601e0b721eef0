//! Entities that were written recently. What a server sent before it got them is older than memory.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

/// How long an answer of the server may take to arrive and still be recognised as older. Stores give
/// up earlier.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// The IDs of entities that were written since [`LONGEST_ANSWER`], and some older ones.
#[derive(Debug, Default)]
pub(super) struct NewerThanReads {
    recent: HashSet<i64, RandomState>,
    older: HashSet<i64, RandomState>,
    begun: Option<Instant>,
}

impl NewerThanReads {
    /// Notes entities that are being written.
    pub(super) fn add(&mut self, ids: impl IntoIterator<Item = i64>) {
        let now = Instant::now();
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= LONGEST_ANSWER) {
            self.older = std::mem::take(&mut self.recent);
            self.begun = Some(now);
        }
        self.recent.extend(ids);
    }

    /// Forgets what was written long ago.
    pub(super) fn trim(&mut self) {
        let age = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        if age >= LONGEST_ANSWER {
            self.older = HashSet::default();
        }
        if age >= LONGEST_ANSWER * 2 {
            *self = Self::default();
        }
    }

    /// Returns `true` if an entity was written recently.
    pub(super) fn contains(&self, id: i64) -> bool {
        self.recent.contains(&id) || self.older.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_that_were_written_are_newer() {
        let mut newer = NewerThanReads::default();
        newer.add([2]);
        assert_eq!([1, 2, 3].map(|id| newer.contains(id)), [false, true, false]);
    }
}
