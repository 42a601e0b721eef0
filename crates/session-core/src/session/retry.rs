//! Waiting for a store that another connection holds.

use std::time::{Duration, Instant};

use super::Session;
use crate::error::{Error, Result};
use crate::store::Kind;
use crate::sync::sleep;

/// How long to sleep between two attempts. The store handle is not locked meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Called before each retry; return `false` to stop.
pub type KeepWaiting<'a> = &'a mut dyn FnMut() -> bool;

/// Retries `attempt` while it fails with a retryable error, until `limit` has passed or
/// `keep_waiting` returns `false`. Calls `on_retry` with each error before it sleeps.
///
/// A store that has not answered in the end may have failed before: that error tells more.
pub(super) fn retry_while_busy<T>(
    limit: Duration,
    keep_waiting: KeepWaiting<'_>,
    on_retry: impl Fn(&Error),
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut failure = None;
    loop {
        match attempt() {
            Err(error) if error.is_retryable() && Instant::now() < deadline && keep_waiting() => {
                on_retry(&error);
                if error.kind() != Some(Kind::Pending) {
                    failure = Some(error);
                }
                sleep(RETRY_INTERVAL);
            }
            Err(error) if error.kind() == Some(Kind::Pending) => return Err(failure.unwrap_or(error)),
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
