//! A server: its connections, shared by all sessions of the process with the same URL and options.

use std::any::{Any, TypeId};
use std::fmt::{self, Debug};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use session_core::fork;
use session_core::store::{Kind, Waker};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::commit::CommitQueue;
use crate::driver::{Driver, DriverError, Result};
use crate::request::Request;
use crate::thread;

/// How long an operation other than a commit or a scan may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The servers of this process.
static SERVERS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

struct Known {
    generation: u64,
    driver: TypeId,
    /// A `Weak<Server<D>>`.
    server: Box<dyn Any + Send>,
}

/// Whether a server answers.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_silent: AtomicBool,
}

impl Health {
    /// Notes that a caller has waited as long as it may.
    pub(crate) fn note_silence(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// Notes an answer, of whatever kind.
    pub(crate) fn note_answer(&self) {
        self.is_silent.store(false, Ordering::Relaxed);
    }

    /// Returns `true` if a caller has waited in vain and the server has not answered since.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }
}

/// The driver, once there is one.
pub(crate) struct Connection<D: Driver> {
    options: D::Options,
    driver: OnceCell<D>,
}

impl<D: Driver> Debug for Connection<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options may hold a password.
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl<D: Driver> Connection<D> {
    pub(crate) async fn driver(&self) -> Result<&D> {
        match self.driver.get() {
            Some(driver) => Ok(driver),
            None => self.connect().await,
        }
    }

    /// Boxed, or connecting would be compiled anew into each operation.
    fn connect(&self) -> Operation<'_, Result<&D>> {
        Box::pin(self.driver.get_or_try_init(|| D::new(&self.options)))
    }
}

/// An operation of whatever kind with one type of result, so that what is done with it is compiled once.
type Operation<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A server.
pub struct Server<D: Driver> {
    connection: Option<Arc<Connection<D>>>,
    pub(crate) commits: CommitQueue,
    pub(crate) health: Arc<Health>,
    pub(crate) handle: Handle,
    /// The fork generation in which it was made.
    generation: u64,
}

impl<D: Driver> Debug for Server<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("health", &self.health).finish_non_exhaustive()
    }
}

impl<D: Driver> Server<D> {
    /// Returns the server with these options. Call with the GIL or a fork guard held.
    ///
    /// # Errors
    /// What prevents the network thread from being started.
    pub fn get(options: &D::Options) -> io::Result<Arc<Self>> {
        let generation = fork::generation();
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.first().is_some_and(|known| known.generation != generation) {
            // They are the parent's.
            std::mem::forget(std::mem::take(&mut *servers));
        }
        let is_alive = |known: &Known| {
            known.driver != TypeId::of::<D>()
                || known.server.downcast_ref::<Weak<Self>>().is_some_and(|server| server.strong_count() > 0)
        };
        servers.retain(is_alive);
        let found = servers.iter().find_map(|known| {
            let server = known.server.downcast_ref::<Weak<Self>>()?.upgrade()?;
            let has_options = server.connection.as_ref().is_some_and(|connection| connection.options == *options);
            has_options.then_some(server)
        });
        if let Some(server) = found {
            return Ok(server);
        }
        let server = Arc::new(Self::new(options, generation)?);
        servers.push(Known { generation, driver: TypeId::of::<D>(), server: Box::new(Arc::downgrade(&server)) });
        Ok(server)
    }

    fn new(options: &D::Options, generation: u64) -> io::Result<Self> {
        let handle = thread::handle()?;
        let connection = Arc::new(Connection { options: options.clone(), driver: OnceCell::new() });
        let health = Arc::new(Health::default());
        let commits = CommitQueue::start(&handle, Arc::clone(&connection), Arc::clone(&health));
        Ok(Self { connection: Some(connection), commits, health, handle, generation })
    }

    /// Returns `true` if it belongs to the parent process.
    pub(crate) fn is_foreign(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Begins an operation. `waker` is called at its end if a caller has given up waiting for it.
    pub(crate) fn begin<T, F>(
        self: &Arc<Self>,
        waker: Option<Waker>,
        operation: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Request<Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let operation: Operation<'static, Result<T>> = Box::pin(operation(Arc::clone(self)));
        Request::begin(&self.handle, &self.health, waker, limited(operation))
    }

    /// Returns the driver. Connects if that has not succeeded yet.
    ///
    /// # Errors
    /// What prevents it.
    pub async fn driver(&self) -> Result<&D> {
        match &self.connection {
            Some(connection) => connection.driver().await,
            None => Err(DriverError::new(Kind::Unreachable, "the connection is closed")),
        }
    }
}

impl<D: Driver> Drop for Server<D> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            thread::drop_there(connection, &self.handle, self.generation);
        }
    }
}

/// Gives an operation up that takes too long, unless it is a commit or a scan, which have limits of their
/// own.
pub(crate) async fn limited<T>(operation: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(LIMIT, operation).await.unwrap_or_else(|_| Err(no_answer(LIMIT)))
}

pub(crate) fn no_answer(limit: Duration) -> DriverError {
    DriverError::new(Kind::Unreachable, format!("no answer within {} s", limit.as_secs()))
}
