//! Connections of one server, shared by all sessions of the process.
//!
//! A connection goes back only after an operation that succeeded. One whose operation failed or was
//! given up is closed, so no connection is ever reused within a transaction.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::connect::{connect, ping};
use crate::connection::{Answers, Connection};
use crate::error::{Class, Result, unreachable};
use crate::options::SqlOptions;

/// How many connections there are at most.
const MOST: usize = 8;
/// How long to wait for one that is free.
const WAIT: Duration = Duration::from_secs(5);
/// After which time a connection is tested before it is used again, and after which it is closed.
const TEST_AFTER: Duration = Duration::from_mins(1);
const CLOSE_AFTER: Duration = Duration::from_mins(10);

/// Connections of one server.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) options: SqlOptions,
    permits: Semaphore,
    idle: Mutex<Vec<(Connection, Instant)>>,
    /// The host to try first.
    host: AtomicUsize,
    /// Rises when all connections that were made before are of no more use.
    generation: AtomicU64,
}

/// A connection that is in use.
#[derive(Debug)]
pub(crate) struct Pooled<'p> {
    pub(crate) connection: Connection,
    pool: &'p Pool,
    _permit: SemaphorePermit<'p>,
    generation: u64,
    /// Whether it was used before, so that the server may have closed it meanwhile.
    is_reused: bool,
}

impl Pooled<'_> {
    /// Lets others use it. Call after an operation that succeeded, outside of a transaction.
    pub(crate) fn put_back(self) {
        if self.generation == self.pool.generation.load(Ordering::Relaxed) {
            self.pool.idle().push((self.connection, Instant::now()));
        }
    }
}

impl Pool {
    pub(crate) fn new(options: SqlOptions) -> Self {
        Self {
            options,
            permits: Semaphore::new(MOST),
            idle: Mutex::default(),
            host: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<(Connection, Instant)> {
        let mut idle = self.idle();
        idle.retain(|(_, since)| since.elapsed() < CLOSE_AFTER);
        idle.pop()
    }

    /// Returns a connection that is free, or makes one.
    pub(crate) async fn get(&self) -> Result<Pooled<'_>> {
        let permit = timeout(WAIT, self.permits.acquire()).await;
        let Ok(Ok(permit)) = permit else { return Err(unreachable("all connections are busy")) };
        while let Some((mut connection, since)) = self.take_idle() {
            let generation = self.generation.load(Ordering::Relaxed);
            if since.elapsed() < TEST_AFTER || ping(&mut connection).await {
                return Ok(Pooled { connection, pool: self, _permit: permit, generation, is_reused: true });
            }
        }
        let generation = self.generation.load(Ordering::Relaxed);
        let connection = self.connect().await?;
        Ok(Pooled { connection, pool: self, _permit: permit, generation, is_reused: false })
    }

    /// Connects to the first host that answers, beginning with the one that answered last.
    async fn connect(&self) -> Result<Connection> {
        let hosts = &self.options.hosts;
        if hosts.is_empty() {
            return connect(&self.options, None).await;
        }
        let first = self.host.load(Ordering::Relaxed);
        let mut failure = None;
        for at in (0..hosts.len()).map(|step| (first + step) % hosts.len()) {
            match connect(&self.options, hosts.get(at)).await {
                Ok(connection) => {
                    self.host.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                // A wrong password is the more useful one to report.
                Err(error) if failure.is_none() || error.class == Class::Other => failure = Some(error),
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or_else(|| unreachable("there is no host")))
    }

    /// Closes all connections, because the server is not what it was.
    pub(crate) fn reset(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.idle().clear();
    }

    /// Executes statements that may be executed twice. A connection that the server has closed while
    /// it was idle is replaced.
    pub(crate) async fn ask(&self, sql: &str) -> Result<Answers> {
        loop {
            let mut pooled = self.get().await?;
            match pooled.connection.ask(sql).await {
                Ok(answers) => {
                    pooled.put_back();
                    return Ok(answers);
                }
                Err(error) if error.class == Class::Broken && pooled.is_reused => self.reset(),
                Err(error) => {
                    self.note(error.class);
                    return Err(error);
                }
            }
        }
    }

    /// Draws the consequences of an error.
    pub(crate) fn note(&self, class: Class) {
        if matches!(class, Class::ReadOnly | Class::Broken) {
            self.reset();
        }
    }
}
