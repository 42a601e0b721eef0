//! Received entities that are not in the table yet.
//!
//! Inserting costs more than parsing, so batches are queued and inserted later: in the background,
//! or when a caller looks at the session, whichever comes first. Waking the writer costs the caller
//! a system call, so a few entities wait for more.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;
use std::time::Instant;

use crate::entity_table::EntityBatch;
use crate::fork;
use crate::sync::{self, AtomicUsize, Mutex, MutexGuard, Ordering};

/// How many waiting entities are worth waking the writer.
const WAKE_THRESHOLD: usize = 2000;
/// Above this many waiting entities, a caller that adds more shares the work. The next caller that
/// looks at the session has two or three milliseconds of work.
const HIGH_WATER: usize = 8192;
/// The limit of waiting entities: about ten megabytes.
const MAX_QUEUED: usize = 16 * HIGH_WATER;
/// How many empty batches are kept for reuse, for all sessions together.
const SPARE_BATCHES: usize = 16;
static SPARE: StdMutex<Vec<EntityBatch>> = StdMutex::new(Vec::new());

/// Small batches are merged into batches of up to this many entities.
const BATCH: usize = 200;

/// Batches, in the order in which they were received.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// How many entities wait. Written with the lock held, read without.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<EntityBatch>,
    /// How many of them were received before this process was forked.
    from_parent: usize,
    /// When the first of them was received.
    since: Option<Instant>,
    is_writer_woken: bool,
    /// The fork generation when this was last used.
    generation: u64,
}

/// A batch out of the inbox.
pub(super) struct Waiting {
    pub(super) batch: EntityBatch,
    /// When it was received, or earlier.
    pub(super) since: Instant,
    /// Whether it was received before this process was forked. Then the parent writes it.
    pub(super) is_from_parent: bool,
}

/// Whether to wake the writer for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The writer has been woken for an earlier batch.
    None,
    /// After changes had time to gather.
    Deferred,
    /// Now.
    Now,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    pub(super) fn is_above_high_water(&self) -> bool {
        self.waiting.load(Ordering::Acquire) >= HIGH_WATER
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Acquire) >= MAX_QUEUED
    }

    /// Queues a batch. Returns it if that would have to wait, or if too many entities wait.
    pub(super) fn try_push(&self, batch: EntityBatch) -> Result<Wake, EntityBatch> {
        if self.is_above_high_water() {
            return Err(batch);
        }
        match sync::try_lock(&self.queue) {
            Some(queue) => Ok(self.push_into(queue, batch)),
            None => Err(batch),
        }
    }

    /// Queues a batch.
    pub(super) fn push(&self, batch: EntityBatch) -> Wake {
        self.push_into(sync::lock(&self.queue), batch)
    }

    /// Takes out the first batch.
    pub(super) fn pop(&self) -> Option<Waiting> {
        if self.is_empty() {
            return None;
        }
        let mut queue = sync::lock(&self.queue);
        queue.reset_after_fork();
        let batch = queue.batches.pop_front()?;
        let since = queue.since.unwrap_or_else(Instant::now);
        if queue.batches.is_empty() {
            queue.since = None;
            queue.is_writer_woken = false;
        }
        let is_from_parent = queue.from_parent > 0;
        queue.from_parent = queue.from_parent.saturating_sub(1);
        self.waiting.fetch_sub(batch.len(), Ordering::Release);
        Some(Waiting { batch, since, is_from_parent })
    }

    fn push_into(&self, mut queue: MutexGuard<'_, Queue>, batch: EntityBatch) -> Wake {
        queue.reset_after_fork();
        let waiting = self.waiting.fetch_add(batch.len(), Ordering::Release) + batch.len();
        let is_last_ours = queue.batches.len() > queue.from_parent;
        match queue.batches.back_mut() {
            Some(last) if is_last_ours && last.len() + batch.len() <= BATCH => {
                last.append(&batch);
                recycle(batch);
            }
            _ => queue.batches.push_back(batch),
        }
        if waiting >= WAKE_THRESHOLD && !queue.is_writer_woken {
            queue.is_writer_woken = true;
            return Wake::Now;
        }
        if queue.since.is_some() {
            return Wake::None;
        }
        queue.since = Some(Instant::now());
        Wake::Deferred
    }
}

impl Queue {
    fn reset_after_fork(&mut self) {
        if self.generation != fork::generation() {
            self.generation = fork::generation();
            self.from_parent = self.batches.len();
            self.since = None;
            self.is_writer_woken = false;
        }
    }
}

/// Returns an empty batch that was used before, if one is at hand: its memory is likely to be in
/// the processor's cache.
pub(super) fn try_spare() -> Option<EntityBatch> {
    SPARE.try_lock().ok()?.pop()
}

/// Keeps the memory of a batch for reuse, unless it is large.
pub(super) fn recycle(mut batch: EntityBatch) {
    if batch.capacity() <= 2 * BATCH
        && let Ok(mut spare) = SPARE.try_lock()
        && spare.len() < SPARE_BATCHES
    {
        batch.clear();
        spare.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Entity;

    fn batch(entities: usize) -> EntityBatch {
        let mut batch = EntityBatch::default();
        (0..entities).for_each(|_| batch.push(&Entity::default()));
        batch
    }

    #[test]
    fn the_writer_is_woken_once_for_many() {
        let inbox = Inbox::default();
        assert_eq!(inbox.push(batch(1)), Wake::Deferred);
        assert_eq!(inbox.push(batch(WAKE_THRESHOLD - 2)), Wake::None);
        assert_eq!(inbox.push(batch(1)), Wake::Now);
        assert_eq!(inbox.push(batch(WAKE_THRESHOLD)), Wake::None);
        while inbox.pop().is_some() {}
        assert!(inbox.is_empty());
        assert_eq!(inbox.push(batch(WAKE_THRESHOLD)), Wake::Now);
    }

    #[test]
    fn small_batches_are_merged_and_above_high_water_none_is_taken() {
        let inbox = Inbox::default();
        for _ in 0..BATCH {
            inbox.push(batch(1));
        }
        assert_eq!(sync::lock(&inbox.queue).batches.len(), 1);
        assert!(inbox.try_push(batch(HIGH_WATER)).is_ok());
        assert_eq!(inbox.try_push(batch(1)).unwrap_err().len(), 1);
    }
}
