//! What was received and is not in the cache yet.
//!
//! To put an entity into the cache costs more than to read it, and whoever receives is in a hurry. So a page is only left here,
//! and goes into the cache in the background, or when somebody looks at the session, whatever comes first. In the background it costs
//! the caller a call to the writer's thread, so a few entities wait for more.

use std::collections::VecDeque;
use std::sync::{Mutex as StdMutex, PoisonError, TryLockError};
use std::time::Instant;

use crate::entity_cache::EntityPage;
use crate::fork;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};

/// So many entities are worth calling the writer's thread.
const MANY: usize = 2000;
/// When more than this many wait, whoever brings more shares the work: it is two or three milliseconds for who looks at the session next.
const FULL: usize = 8192;
/// No more than this many wait, about ten megabytes.
const OVERFULL: usize = 16 * FULL;
/// Empty pages that are kept, for all sessions together.
const SPARE_PAGES: usize = 16;
static SPARE: StdMutex<Vec<EntityPage>> = StdMutex::new(Vec::new());

/// Small pages are gathered in one of this many entities.
const PAGE: usize = 200;

/// Pages, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// How many entities wait; written with the lock held, read without.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    pages: VecDeque<EntityPage>,
    /// How many of them came before this process was forked.
    of_the_parent: usize,
    /// When the first of them came.
    since: Option<Instant>,
    is_writer_called: bool,
    /// The number of forks when this was last used.
    generation: u64,
}

/// A page out of the inbox.
pub(super) struct Waiting {
    pub(super) page: EntityPage,
    /// Since when at the longest.
    pub(super) since: Instant,
    /// Whether it came before this process was forked. Then the parent saves it.
    pub(super) is_of_the_parent: bool,
}

/// Who should come for a page that was left in the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The writer has been told of an earlier one.
    Nobody,
    /// The writer, when it has gathered for a while.
    WriterLater,
    /// The writer, now.
    Writer,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Acquire) >= FULL
    }

    pub(super) fn is_overfull(&self) -> bool {
        self.waiting.load(Ordering::Acquire) >= OVERFULL
    }

    /// Leaves a page here. Gives it back if it would have to wait for that, or if there are too many.
    pub(super) fn try_push(&self, page: EntityPage) -> Result<Call, EntityPage> {
        if self.is_full() {
            return Err(page);
        }
        match self.queue.try_lock() {
            Ok(queue) => Ok(self.push_into(queue, page)),
            Err(TryLockError::Poisoned(error)) => Ok(self.push_into(error.into_inner(), page)),
            Err(TryLockError::WouldBlock) => Err(page),
        }
    }

    /// Leaves a page here.
    pub(super) fn push(&self, page: EntityPage) -> Call {
        self.push_into(self.queue(), page)
    }

    /// The first page.
    pub(super) fn pop(&self) -> Option<Waiting> {
        if self.is_empty() {
            return None;
        }
        let mut queue = self.queue();
        queue.notice_fork();
        let page = queue.pages.pop_front()?;
        let since = queue.since.unwrap_or_else(Instant::now);
        if queue.pages.is_empty() {
            queue.since = None;
            queue.is_writer_called = false;
        }
        let is_of_the_parent = queue.of_the_parent > 0;
        queue.of_the_parent = queue.of_the_parent.saturating_sub(1);
        self.waiting.fetch_sub(page.len(), Ordering::Release);
        Some(Waiting { page, since, is_of_the_parent })
    }

    fn push_into(&self, mut queue: MutexGuard<'_, Queue>, page: EntityPage) -> Call {
        queue.notice_fork();
        let waiting = self.waiting.fetch_add(page.len(), Ordering::Release) + page.len();
        let is_last_ours = queue.pages.len() > queue.of_the_parent;
        match queue.pages.back_mut() {
            Some(last) if is_last_ours && last.len() + page.len() <= PAGE => {
                last.append(&page);
                give_back(page);
            }
            _ => queue.pages.push_back(page),
        }
        if waiting >= MANY && !queue.is_writer_called {
            queue.is_writer_called = true;
            return Call::Writer;
        }
        if queue.since.is_some() {
            return Call::Nobody;
        }
        queue.since = Some(Instant::now());
        Call::WriterLater
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn notice_fork(&mut self) {
        if self.generation != fork::generation() {
            self.generation = fork::generation();
            self.of_the_parent = self.pages.len();
            self.since = None;
            self.is_writer_called = false;
        }
    }
}

/// An empty page that has been used before, if there is one at hand: memory that is in the processor's cache is faster.
pub(super) fn try_spare() -> Option<EntityPage> {
    SPARE.try_lock().ok()?.pop()
}

/// Keeps the memory of a page, if it is a small one as most are.
pub(super) fn give_back(mut page: EntityPage) {
    if page.capacity() <= 2 * PAGE
        && let Ok(mut spare) = SPARE.try_lock()
        && spare.len() < SPARE_PAGES
    {
        page.clear();
        spare.push(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Entity;

    fn page(entities: usize) -> EntityPage {
        let mut page = EntityPage::default();
        (0..entities).for_each(|_| page.push(&Entity::default()));
        page
    }

    #[test]
    fn the_writer_is_called_once_for_many() {
        let inbox = Inbox::default();
        assert_eq!(inbox.push(page(1)), Call::WriterLater);
        assert_eq!(inbox.push(page(MANY - 2)), Call::Nobody);
        assert_eq!(inbox.push(page(1)), Call::Writer);
        assert_eq!(inbox.push(page(MANY)), Call::Nobody);
        while inbox.pop().is_some() {}
        assert!(inbox.is_empty());
        assert_eq!(inbox.push(page(MANY)), Call::Writer);
    }

    #[test]
    fn small_pages_are_gathered_and_a_full_inbox_takes_no_more() {
        let inbox = Inbox::default();
        for _ in 0..PAGE {
            inbox.push(page(1));
        }
        assert_eq!(inbox.queue().pages.len(), 1);
        assert!(inbox.try_push(page(FULL)).is_ok());
        assert_eq!(inbox.try_push(page(1)).unwrap_err().len(), 1);
    }
}
