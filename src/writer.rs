//! The one thread of the process that writes what sessions have not saved yet, and reads what they have not loaded yet.
//!
//! It goes from session to session by the time each wants to be visited, and does one bounded piece of work at each visit, so
//! a thousand of them share it. It knows them as [`Task`]s only.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::{fork, store};

/// Somebody with work to be done in the background.
pub trait Task: Send + Sync {
    /// Does one piece of it, in milliseconds rather than seconds. Answers in how long it wants the next visit, if it does.
    fn turn(&self) -> Option<Duration>;

    /// Tries once to write all that is unsaved.
    fn save_everything(&self) -> Saved;
}

/// What became of an attempt to write everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing is left.
    Everything,
    /// Another program holds the store: a later attempt may succeed. In words, what is unsaved and why.
    NotYet(String),
    /// The store cannot be written, and time alone does not mend it. Likewise.
    Never(String),
}

type Key = usize;

const A_DEFECT: &str = "a defect of telethon-session-rust";
const AFTER_A_PANIC: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Queue {
    /// The thread that serves this queue, and the process that it is of, by its number of forks.
    server: Option<(u64, Thread)>,
    due: BTreeSet<(Instant, Key)>,
    tasks: HashMap<Key, (Instant, Arc<dyn Task>)>,
    /// The task that is visited now.
    visited: Option<Arc<dyn Task>>,
}

impl Queue {
    /// Answers whether this visit is now the first of all.
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
        self.visited = self.tasks.remove(&first.1).map(|(_, task)| task);
        self.visited.clone()
    }
}

/// Locked for moments, by whoever holds the interpreter's lock or a [`fork::Working`], so that it is free at every fork: the one who
/// forks holds the first and keeps the others away. It does not wait for this lock, nor keep it; whoever holds the interpreter's
/// lock may wait for it.
static QUEUE: Mutex<Option<Queue>> = Mutex::new(None);

/// Linux likes to let a thread that is woken have the processor of the one that wakes it, which here is the event loop: it would wait while we
/// work. A batch thread does not push in.
fn let_others_go_first() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{NormalThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id};
        use thread_priority::{ThreadPriority, ThreadSchedulePolicy};

        // Of the crate's scale from 0 to 99, what becomes a niceness of 0, which is any thread's.
        const USUAL: u8 = 47;
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        // Where it is not allowed it is only slower.
        let _ = ThreadPriority::try_from(USUAL)
            .ok()
            .map(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy));
    }
}

/// Asks for a visit to a task in `delay`, or earlier if one is planned for earlier. The task is kept alive until then.
pub fn visit(task: Arc<dyn Task>, delay: Duration) {
    if cfg!(shuttle) {
        // The test visits.
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

/// Writes on this thread what any session has not saved yet; sessions whose file is locked are tried again until `limit` is
/// over. Answers, in words, what is left and why.
#[must_use]
pub fn save_everything(limit: Duration) -> Vec<String> {
    const PAUSE: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + limit;
    let mut tasks: Vec<_> = {
        let _working = fork::working();
        with_queue(|queue| queue.tasks.values().map(|(_, task)| task).chain(&queue.visited).map(Arc::clone).collect())
    };
    let mut lost = Vec::new();
    loop {
        let mut not_yet = Vec::new();
        tasks.retain(|task| match saved(task.as_ref()) {
            Saved::Everything => false,
            Saved::NotYet(what) => {
                not_yet.push(what);
                true
            }
            Saved::Never(what) => {
                lost.push(what);
                false
            }
        });
        if tasks.is_empty() || Instant::now() >= deadline {
            lost.append(&mut not_yet);
            return lost;
        }
        thread::sleep(PAUSE);
    }
}

/// A panic of one must not lose what the others hold.
fn saved(task: &dyn Task) -> Saved {
    catch_unwind(AssertUnwindSafe(|| task.save_everything()))
        .unwrap_or_else(|_| Saved::Never(format!("{A_DEFECT} kept a session from being saved")))
}

/// To be called in the child just after a fork.
pub fn after_fork_in_child() {
    store::after_fork_in_child();
    fork::after_in_child();
}

fn with_queue<T>(call: impl FnOnce(&mut Queue) -> T) -> T {
    let mut queue: MutexGuard<'_, Option<Queue>> = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    call(queue.get_or_insert_default())
}

/// Sees to it that a thread of this process serves the queue. After a fork what it holds is the parent's.
fn serve(queue: &mut Queue) {
    let generation = fork::generation();
    match &queue.server {
        Some((served_in, _)) if *served_in == generation => return,
        // Not dropped: the sessions' connections must not be closed by the child.
        Some(_) => std::mem::forget(std::mem::take(queue)),
        None => {}
    }
    let thread = thread::Builder::new().name("telethon-session".to_owned());
    match thread.spawn(move || run(generation)) {
        Ok(thread) => queue.server = Some((generation, thread.thread().clone())),
        // The system has no thread for us now: sessions still save on close() and at exit, and the next visit tries again.
        Err(error) => log::error!("cannot start the thread that saves sessions: {error}"),
    }
}

fn run(generation: u64) {
    let_others_go_first();
    while fork::generation() == generation {
        let (task, next) = {
            let _working = fork::working();
            with_queue(|queue| (queue.take_due(Instant::now()), queue.due.first().map(|(at, _)| *at)))
        };
        match (task, next) {
            (Some(task), _) => run_task(task),
            // Whoever adds something unparks, and if that was before now, this does not wait.
            (None, Some(at)) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
            (None, None) => thread::park(),
        }
    }
}

fn run_task(task: Arc<dyn Task>) {
    let again = catch_unwind(AssertUnwindSafe(|| task.turn()));
    let working = fork::working();
    let again = again.unwrap_or_else(|_| {
        log::error!("{A_DEFECT} kept a session from being saved; it is tried again");
        Some(AFTER_A_PANIC)
    });
    let last = with_queue(|queue| {
        queue.visited = None;
        match again {
            Some(delay) => {
                queue.add(task, Instant::now() + delay);
                None
            }
            None => Some(task),
        }
    });
    // A session that nobody holds any more is closed by its drop, which waits for a fork itself.
    drop(working);
    drop(last);
}
