//! Connections: made when they are first needed, and made anew when they fail.
//!
//! One is for reading and one for writing, so that a lookup does not wait behind thousands of rows.
//! Each carries any number of operations at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use session_core::store::Kind;
use store_net::DriverError;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::connect::Connector;
use crate::error::{Failure, failure};

/// How long connecting may take, with all hosts.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection, which any number of tasks may use at once.
#[derive(Clone)]
pub(crate) enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A connection that is made when it is needed.
pub(crate) struct Slot {
    connector: Connector,
    /// How long an answer may take.
    answer_limit: Duration,
    state: Mutex<State>,
    /// Numbers the connections.
    made: AtomicU64,
}

#[derive(Default)]
struct State {
    current: Option<(u64, Link)>,
    /// When connecting last failed, and why.
    failed: Option<(Instant, DriverError)>,
}

impl Slot {
    pub(crate) fn new(connector: Connector, answer_limit: Duration) -> Self {
        Self { connector, answer_limit, state: Mutex::default(), made: AtomicU64::new(0) }
    }

    /// Returns `true` if connecting anew finds another primary.
    pub(crate) fn finds_primary(&self) -> bool {
        self.connector.finds_primary()
    }

    /// Returns `true` if the keys are spread over the nodes of a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.connector.is_cluster()
    }

    /// Returns the connection. Connects if there is none.
    async fn get(&self) -> Result<(u64, Link), DriverError> {
        let begun = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(current) = &state.current {
            return Ok(current.clone());
        }
        // Another task has tried while this one was waiting.
        if let Some((at, error)) = &state.failed
            && *at >= begun
        {
            return Err(error.clone());
        }
        let connected = match timeout(CONNECT_LIMIT, self.connector.connect(self.answer_limit)).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(failure(error, self.finds_primary()).error),
            Err(_) => {
                let message =
                    format!("the server cannot be reached (no connection within {} s)", CONNECT_LIMIT.as_secs());
                Err(DriverError::new(Kind::Unreachable, message))
            }
        };
        match connected {
            Ok(link) => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                state.failed = None;
                Ok(state.current.insert((number, link)).clone())
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Gives a connection up, so that the next operation makes another one.
    async fn give_up(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state.current.as_ref().is_some_and(|(current, _)| *current == number) {
            state.current = None;
        }
    }

    /// Runs an operation on the connection. Gives the connection up if it fails in such a way.
    pub(crate) async fn run<T>(&self, operation: impl AsyncFnOnce(Link) -> RedisResult<T>) -> Result<T, DriverError> {
        let (number, link) = self.get().await?;
        match operation(link).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.note(number, error).await),
        }
    }

    /// Runs a pipeline, and returns the result of each command.
    pub(crate) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<RedisResult<Value>>, DriverError> {
        let (number, mut link) = self.get().await?;
        let count = pipeline.len();
        let answers = match link.req_packed_commands(pipeline, 0, count).await {
            Ok(answers) => answers,
            Err(error) => return Err(self.note(number, error).await),
        };
        let answers: Vec<_> = answers.into_iter().map(Value::extract_error).collect();
        for answer in &answers {
            if let Err(error) = answer
                && failure(error.clone(), self.finds_primary()).needs_reconnect
            {
                self.give_up(number).await;
            }
        }
        Ok(answers)
    }

    async fn note(&self, number: u64, error: RedisError) -> DriverError {
        let Failure { error, needs_reconnect } = failure(error, self.finds_primary());
        if needs_reconnect {
            self.give_up(number).await;
        }
        error
    }
}
