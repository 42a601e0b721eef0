//! Which entities change while a session in memory is copied.
//!
//! Copying takes many steps, and between them the session changes. A tracker remembers the marked
//! IDs of what has changed since the copy began; their entities are copied again, until so few are
//! left that a last step takes them together with everything else, all at one moment.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Session;
use super::state::State;
use crate::entity_table::EntityBatch;
use crate::fork;
use crate::store::{FileKey, SentFile, UpdateState};

/// Entities copied in a step: some tenths of a millisecond's work.
const ROWS: usize = 256;

/// Remembers which entities of a session change. See the [module](self).
#[derive(Debug)]
pub struct Tracker {
    session: Arc<Session>,
    number: u64,
}

/// What a tracker has found.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    number: u64,
    changed: HashSet<i64, RandomState>,
    /// Whether any number of entities were removed at once.
    is_all_changed: bool,
}

/// Entities that have changed.
#[derive(Debug, Default)]
pub struct TrackedChanges {
    /// Those that are known, as they are now.
    pub entities: EntityBatch,
    /// The marked IDs of those that are no longer known.
    pub gone: Vec<i64>,
    /// Whether everything that was copied before is to be forgotten and copied again.
    pub begins_again: bool,
    /// Whether more have changed.
    pub has_more: bool,
}

/// What a session held at the moment when the last entities were copied.
#[derive(Debug, Default)]
pub struct Rest {
    /// The last entities that have changed.
    pub changes: TrackedChanges,
    /// The update states, if the session is stored.
    pub update_states: Vec<(i64, UpdateState)>,
    /// The sent files in memory, if the session is stored.
    pub sent_files: Vec<(FileKey, SentFile)>,
}

impl Session {
    /// Begins to remember which entities change.
    #[must_use]
    pub fn track(self: &Arc<Self>) -> Tracker {
        let _guard = fork::guard();
        let mut state = self.whole_state();
        state.trackers_made += 1;
        let number = state.trackers_made;
        state.trackers.push(Tracked { number, ..Tracked::default() });
        Tracker { session: Arc::clone(self), number }
    }
}

impl Tracker {
    /// Copies out some of the entities that have changed, a few hundred at most.
    #[must_use]
    pub fn take(&self) -> TrackedChanges {
        let _guard = fork::guard();
        self.session.whole_state().take_tracked(self.number, ROWS)
    }

    /// Copies out the rest, unless that would have to wait or more than `limit` entities have changed.
    #[must_use]
    pub fn try_finish(&self, limit: usize) -> Option<Rest> {
        let mut state = self.session.try_whole_state()?;
        if state.trackers.iter().any(|tracked| tracked.number == self.number && tracked.changed.len() > limit) {
            return None;
        }
        let changes = state.take_tracked(self.number, limit);
        let update_states = state.update_states.iter().map(|(id, update_state)| (*id, *update_state)).collect();
        let sent_files = state.sent_files.iter().map(|(key, file)| (key.clone(), *file)).collect();
        Some(Rest { changes, update_states, sent_files })
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let _guard = fork::guard();
        self.session.state().trackers.retain(|tracked| tracked.number != self.number);
    }
}

impl State {
    /// Notes that entities were changed, added or removed.
    pub(super) fn note_changed(&mut self, ids: impl IntoIterator<Item = i64>) {
        if self.trackers.is_empty() {
            return;
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        for tracked in &mut self.trackers {
            tracked.changed.extend(&ids);
        }
    }

    /// Notes that any number of entities were removed.
    pub(super) fn note_all_changed(&mut self) {
        for tracked in &mut self.trackers {
            tracked.is_all_changed = true;
        }
    }

    /// Returns `true` if a tracker has yet to copy an entity.
    pub(super) fn is_tracked(&self, id: i64) -> bool {
        self.trackers.iter().any(|tracked| tracked.changed.contains(&id))
    }

    fn take_tracked(&mut self, number: u64, limit: usize) -> TrackedChanges {
        let Self { trackers, table, .. } = self;
        let mut taken = TrackedChanges::default();
        let Some(tracked) = trackers.iter_mut().find(|tracked| tracked.number == number) else { return taken };
        if std::mem::take(&mut tracked.is_all_changed) {
            tracked.changed.clear();
            return TrackedChanges { begins_again: true, has_more: true, ..taken };
        }
        let ids: Vec<i64> = tracked.changed.iter().take(limit).copied().collect();
        for id in ids {
            tracked.changed.remove(&id);
            let before = taken.entities.len();
            table.copy(id, &mut taken.entities);
            if taken.entities.len() == before {
                taken.gone.push(id);
            }
        }
        taken.has_more = !tracked.changed.is_empty();
        taken
    }
}
