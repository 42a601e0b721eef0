//! Entities that were written recently. What a server sent before it got them is older than memory.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::entity_table::EntityBatch;

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

    /// Returns the entities of a batch that were not written recently; `None` if that is all.
    pub(super) fn filter(&self, batch: &EntityBatch) -> Option<EntityBatch> {
        let is_newer = |id: i64| self.recent.contains(&id) || self.older.contains(&id);
        if !batch.iter().any(|entity| is_newer(entity.id)) {
            return None;
        }
        let mut rest = EntityBatch::default();
        batch.iter().filter(|entity| !is_newer(entity.id)).for_each(|entity| rest.push_entity(&entity));
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Entity;

    #[test]
    fn entities_that_were_written_are_left_out() {
        let mut batch = EntityBatch::default();
        (1..=3).for_each(|id| batch.push(&Entity { id, access_hash: Some(id), ..Entity::default() }));
        let mut newer = NewerThanReads::default();
        assert!(newer.filter(&batch).is_none());
        newer.add([2]);
        let ids: Vec<i64> = newer.filter(&batch).unwrap().iter().map(|entity| entity.id).collect();
        assert_eq!(ids, [1, 3]);
    }
}
