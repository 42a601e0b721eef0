//! Fork safety: no store is in use and no lock is held by another thread when the process forks.
//!
//! Hold a [`ForkGuard`] while using a store or locking a session without the GIL; a fork waits
//! until none is held. The child finds every lock free and no transaction begun. Its [`generation`]
//! is one higher, which tells sessions that connections and dirty data belong to the parent.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static GATE: RwLock<()> = RwLock::new(());
static GENERATION: AtomicU64 = AtomicU64::new(0);
static HOOKS: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

thread_local! {
    /// Held by the forking thread, while it forks.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Keeps the process from forking while it exists.
#[derive(Debug)]
pub struct ForkGuard {
    _guard: RwLockReadGuard<'static, ()>,
}

/// Returns a guard. A thread must not hold two: a fork requested in between would deadlock.
#[must_use]
pub fn guard() -> ForkGuard {
    ForkGuard { _guard: GATE.read().unwrap_or_else(PoisonError::into_inner) }
}

/// Returns how many forks lie between this process and the one in which the program began.
#[must_use]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Has `hook` called in every child, before anything else of this library runs there. Registering
/// it again has no effect.
///
/// Call with the GIL or a [`ForkGuard`] held. A hook must not wait for a lock that another thread
/// may have held at the fork.
pub fn register_child_hook(hook: fn()) {
    let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    if !hooks.iter().any(|known| std::ptr::fn_addr_eq(*known, hook)) {
        hooks.push(hook);
    }
}

/// Waits until no [`ForkGuard`] is held, and keeps new ones waiting. Call just before a fork.
pub fn before() {
    let guard = GATE.write().unwrap_or_else(PoisonError::into_inner);
    FORKING.with_borrow_mut(|held| *held = Some(guard));
}

/// Returns `true` if this thread is about to fork or has just forked, so that [`guard`] would
/// deadlock.
#[must_use]
pub fn is_forking() -> bool {
    FORKING.with_borrow(Option::is_some)
}

/// Lets waiting guards go on. Call in the parent just after a fork, from the thread that forked.
pub fn after_in_parent() {
    FORKING.with_borrow_mut(Option::take);
}

/// Runs the hooks and lets guards go on. Call in the child just after a fork.
pub fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
    let hooks: Vec<fn()> = HOOKS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for hook in hooks {
        hook();
    }
    after_in_parent();
}
