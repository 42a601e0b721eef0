//! Fork hooks. The only test in its file, because it changes the whole process.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicUsize, Ordering};

use session_core::fork;

static CALLS: AtomicUsize = AtomicUsize::new(0);

fn hook() {
    assert!(fork::is_forking());
    CALLS.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_hook_runs_once_in_each_child() {
    fork::register_child_hook(hook);
    fork::register_child_hook(hook);
    let generation = fork::generation();
    fork::before();
    fork::after_in_parent();
    assert_eq!((CALLS.load(Ordering::Relaxed), fork::generation()), (0, generation));
    fork::before();
    fork::after_in_child();
    assert_eq!((CALLS.load(Ordering::Relaxed), fork::generation()), (1, generation + 1));
    assert!(!fork::is_forking());
    drop(fork::guard());
}
