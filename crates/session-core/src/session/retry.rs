//! Waiting for a store that another connection holds.

use std::time::{Duration, Instant};

use super::Session;
use crate::error::{Error, Result};
use crate::sync::sleep;

/// How long to sleep between two attempts. The store handle is not locked meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Called before each retry; return `false` to stop.
pub type KeepWaiting<'a> = &'a mut dyn FnMut() -> bool;

/// Retries `attempt` while it fails with a retryable error, until `limit` has passed or
/// `keep_waiting` returns `false`. Calls `on_retry` with each error before it sleeps.
pub(super) fn retry_while_busy<T>(
    limit: Duration,
    keep_waiting: KeepWaiting<'_>,
    on_retry: impl Fn(&Error),
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Err(error) if error.is_retryable() && Instant::now() < deadline && keep_waiting() => {
                on_retry(&error);
                sleep(RETRY_INTERVAL);
            }
            other => return other,
        }
    }
}

impl Session {
    /// Like [`retry_while_busy`], and records each failure, so that a long outage is logged.
    pub(super) fn retry_while_busy<T>(
        &self,
        limit: Duration,
        keep_waiting: KeepWaiting<'_>,
        attempt: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        retry_while_busy(limit, keep_waiting, |error| self.record_failure(error), attempt)
    }
}
