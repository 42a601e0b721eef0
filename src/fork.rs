//! What a fork must not tear: a store in use, and a lock held by a thread that the child does not have.
//!
//! Whoever uses a store, or locks a session without the interpreter's leave, holds a [`Working`] meanwhile; a fork waits for all of
//! them. The child finds every lock free, no transaction begun, and its [`generation`] one higher, by which sessions know
//! that their connection and their unsaved changes are the parent's.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static GATE: RwLock<()> = RwLock::new(());
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Held by the thread that forks, while it does.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Keeps the process from forking.
#[derive(Debug)]
pub struct Working {
    _guard: RwLockReadGuard<'static, ()>,
}

/// Says that this thread is at work. Not to be held twice by one thread.
#[must_use]
pub fn working() -> Working {
    Working { _guard: GATE.read().unwrap_or_else(PoisonError::into_inner) }
}

/// How many forks lie between this process and the one in which the program began.
#[must_use]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Waits until nobody is at work, and keeps it so. To be called just before a fork.
pub fn before() {
    let guard = GATE.write().unwrap_or_else(PoisonError::into_inner);
    FORKING.with_borrow_mut(|held| *held = Some(guard));
}

/// Returns `true` if this thread is about to fork, or has just done so: [`working`] would wait for itself.
#[must_use]
pub fn is_forking() -> bool {
    FORKING.with_borrow(Option::is_some)
}

/// Lets work go on. To be called by the same thread just after a fork, in the parent.
pub fn after_in_parent() {
    FORKING.with_borrow_mut(Option::take);
}

/// The same, in the child.
pub fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
    after_in_parent();
}
