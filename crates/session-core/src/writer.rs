//! The background thread that writes the dirty data of all sessions, and loads entities.
//!
//! It serves each session at the time the session asked for, and does one bounded piece of work
//! each time, so a thousand sessions share the thread. It knows them as [`Task`]s only.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::fork;

/// Something with work to do in the background.
pub trait Task: Send + Sync {
    /// Does one piece of work, which takes milliseconds rather than seconds. Returns the delay
    /// until the next run; `None` if there is nothing more to do.
    fn run_once(&self) -> Option<Duration>;

    /// Tries once to write everything that is dirty.
    fn flush_all(&self) -> FlushOutcome;
}

/// The outcome of [`Task::flush_all`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlushOutcome {
    /// Nothing is dirty any more.
    Flushed,
    /// A later attempt may succeed. Says what is unsaved and why.
    Retry(String),
    /// The store cannot be written, and waiting does not help. Says what is unsaved and why.
    Failed(String),
}

type Key = usize;

const A_BUG: &str = "a bug in telethon-session-rust";
const AFTER_A_PANIC: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Queue {
    /// The thread that serves this queue, and the fork generation of its process.
    server: Option<(u64, Thread)>,
    due: BTreeSet<(Instant, Key)>,
    tasks: HashMap<Key, (Instant, Arc<dyn Task>)>,
    /// The task that is running.
    running: Option<Arc<dyn Task>>,
}

impl Queue {
    /// Returns `true` if this run is now the first one due.
    fn add(&mut self, task: Arc<dyn Task>, at: Instant) -> bool {
        let key = Arc::as_ptr(&task).cast::<()>() as Key;
        if let Some((planned, _)) = self.tasks.get(&key) {
            if *planned <= at {
                return false;
            }
            self.due.remove(&(*planned, key));
        }
        self.due.insert((at, key));
        self.tasks.insert(key, (at, task));
        self.due.first() == Some(&(at, key))
    }

    fn take_due(&mut self, now: Instant) -> Option<Arc<dyn Task>> {
        let first = *self.due.first()?;
        if first.0 > now {
            return None;
        }
        self.due.remove(&first);
        self.running = self.tasks.remove(&first.1).map(|(_, task)| task);
        self.running.clone()
    }
}

/// Locked for moments only, with the GIL or a [`fork::ForkGuard`] held, so that it is free at every
/// fork: the forking thread holds the GIL and waits for the guards. It never blocks long enough to
/// matter to a thread that holds the GIL.
static QUEUE: Mutex<Option<Queue>> = Mutex::new(None);

/// Makes this a batch thread. Linux tends to run a woken thread on the processor of the thread that
/// woke it, here the event loop, which would have to wait. A batch thread does not preempt it.
fn yield_to_other_threads() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{NormalThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id};
        use thread_priority::{ThreadPriority, ThreadSchedulePolicy};

        // On the crate's scale from 0 to 99, the value for a niceness of 0, the default.
        const USUAL: u8 = 47;
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        // Best effort: without it, the event loop is only slower.
        let _ = ThreadPriority::try_from(USUAL)
            .ok()
            .map(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy));
    }
}

/// Schedules a run of `task` after `delay`, unless an earlier one is scheduled. Keeps the task
/// alive until then.
pub fn schedule(task: Arc<dyn Task>, delay: Duration) {
    if cfg!(shuttle) {
        // The test runs the tasks itself.
        return;
    }
    with_queue(|queue| {
        serve(queue);
        if queue.add(task, Instant::now() + delay)
            && let Some((_, server)) = &queue.server
        {
            server.unpark();
        }
    });
}

/// Writes, on this thread, the dirty data of all tasks, and retries locked stores for up to
/// `limit`. Returns what could not be written and why, in words.
#[must_use]
pub fn flush_all(limit: Duration) -> Vec<String> {
    const RETRY_INTERVAL: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + limit;
    let mut tasks: Vec<_> = {
        let _guard = fork::guard();
        with_queue(|queue| queue.tasks.values().map(|(_, task)| task).chain(&queue.running).map(Arc::clone).collect())
    };
    let mut lost = Vec::new();
    loop {
        let mut retries = Vec::new();
        tasks.retain(|task| match flush(task.as_ref()) {
            FlushOutcome::Flushed => false,
            FlushOutcome::Retry(what) => {
                retries.push(what);
                true
            }
            FlushOutcome::Failed(what) => {
                lost.push(what);
                false
            }
        });
        if tasks.is_empty() || Instant::now() >= deadline {
            lost.append(&mut retries);
            return lost;
        }
        thread::sleep(RETRY_INTERVAL);
    }
}

/// Flushes one task. A panic of one must not lose the data of the others.
fn flush(task: &dyn Task) -> FlushOutcome {
    catch_unwind(AssertUnwindSafe(|| task.flush_all()))
        .unwrap_or_else(|_| FlushOutcome::Failed(format!("{A_BUG} prevented a session from being saved")))
}

fn with_queue<T>(call: impl FnOnce(&mut Queue) -> T) -> T {
    let mut queue: MutexGuard<'_, Option<Queue>> = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    call(queue.get_or_insert_default())
}

/// Starts the thread of this process if it does not run. After a fork, the queue holds the parent's
/// tasks, which it forgets.
fn serve(queue: &mut Queue) {
    let generation = fork::generation();
    match &queue.server {
        Some((served_in, _)) if *served_in == generation => return,
        // Not dropped: the child must not close the parent's connections.
        Some(_) => std::mem::forget(std::mem::take(queue)),
        None => {}
    }
    let thread = thread::Builder::new().name("telethon-session".to_owned());
    match thread.spawn(move || run(generation)) {
        Ok(thread) => queue.server = Some((generation, thread.thread().clone())),
        // Sessions still save on close() and at exit, and the next call retries.
        Err(error) => log::error!("cannot start the thread that saves sessions: {error}"),
    }
}

fn run(generation: u64) {
    yield_to_other_threads();
    while fork::generation() == generation {
        let (task, next) = {
            let _guard = fork::guard();
            with_queue(|queue| (queue.take_due(Instant::now()), queue.due.first().map(|(at, _)| *at)))
        };
        match (task, next) {
            (Some(task), _) => run_task(task),
            // Adding a task unparks. If that happened before this call, it returns at once.
            (None, Some(at)) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
            (None, None) => thread::park(),
        }
    }
}

fn run_task(task: Arc<dyn Task>) {
    let again = catch_unwind(AssertUnwindSafe(|| task.run_once()));
    let guard = fork::guard();
    let again = again.unwrap_or_else(|_| {
        log::error!("{A_BUG} prevented a session from being saved; it is retried");
        Some(AFTER_A_PANIC)
    });
    let last = with_queue(|queue| {
        queue.running = None;
        match again {
            Some(delay) => {
                queue.add(task, Instant::now() + delay);
                None
            }
            None => Some(task),
        }
    });
    // The last reference to a session closes it, which takes a guard of its own.
    drop(guard);
    drop(last);
}
