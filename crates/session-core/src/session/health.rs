//! Whether the store works: since when it has failed, what has been logged, and when to retry.

use std::time::{Duration, Instant};

use super::Session;
use super::handle::StoreHandle;
use crate::error::Error;
use crate::store::Kind;

/// The delay before a locked or unreachable store is retried.
const BUSY_RETRY: Duration = Duration::from_millis(100);
/// The first and the longest delay before a server that cannot be reached is retried.
const UNREACHABLE_RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// When to look again at a write that was posted. The store wakes the session when it has ended.
const PENDING_RETRY: Duration = Duration::from_secs(1);
/// The first and the longest delay before a store that cannot be written is retried.
const FAILED_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// When a locked store is first logged, and how often after that.
const WARN_AFTER: Duration = Duration::from_secs(5);
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The failures since the store last worked.
#[derive(Debug, Default)]
pub(super) struct StoreHealth {
    since: Option<Instant>,
    warned: Option<Instant>,
    delay: Duration,
}

impl StoreHealth {
    /// Returns the delay before the writer retries. It backs off while the store cannot be written.
    pub(super) fn next_delay(&mut self, error: &Error) -> Duration {
        let (shortest, longest) = match error.kind() {
            Some(Kind::Busy) => return BUSY_RETRY,
            Some(Kind::Pending) => return PENDING_RETRY,
            Some(Kind::Unreachable) => UNREACHABLE_RETRY,
            _ => FAILED_RETRY,
        };
        self.delay = (self.delay * 2).clamp(shortest, longest);
        self.delay
    }
}

impl Session {
    /// Records that the store failed, and logs it when it is due: a lock after a while and then
    /// each minute, anything else once.
    pub(super) fn record_failure(&self, error: &Error) {
        let mut state = self.state();
        let now = Instant::now();
        let what = if self.is_read_only() { String::new() } else { state.describe_unsaved() };
        let health = &mut state.health;
        let since = *health.since.get_or_insert(now);
        if error.is_retryable() {
            let due = health.warned.map_or(since + WARN_AFTER, |at| at + WARN_EVERY);
            if now >= due {
                health.warned = Some(now);
                let seconds = (now - since).as_secs();
                log::warn!("{error}; unsaved for {seconds} s: {what}; kept in memory until the store is free");
            }
        } else if health.warned.is_none() {
            health.warned = Some(now);
            if error.kind() == Some(Kind::Unconfirmed) {
                log::warn!("{error}; until then, everything is kept in memory");
            } else if what.is_empty() {
                log::error!("{error}; lookups are answered from memory");
            } else {
                log::error!("{error}; unsaved: {what}; kept in memory, and writing is retried");
            }
        }
    }

    /// Records that everything has been written, and logs it if failures were logged before.
    pub(super) fn record_success(&self) {
        let health = std::mem::take(&mut self.state().health);
        if let (Some(since), Some(_)) = (health.since, health.warned) {
            let seconds = since.elapsed().as_secs();
            log::warn!("{} can be written again, after {seconds} s; everything is saved", self.place());
        }
    }

    /// Closes a store that would keep failing, so that its next use opens what is there then.
    pub(super) fn close_if_unusable(&self, handle: &mut StoreHandle, error: &Error) {
        let is_ephemeral = self.backend.as_ref().is_none_or(|backend| backend.is_ephemeral());
        if error.needs_reopening() && !is_ephemeral {
            handle.close();
            handle.is_gone |= error.kind() == Some(Kind::Gone);
        }
    }

    /// Returns what was found in the store or, if the store failed, what `cached` returns. Records
    /// the failure, unless time alone may clear it.
    pub(super) fn or_cached<T>(
        &self,
        handle: &mut StoreHandle,
        found: crate::error::Result<Option<T>>,
        cached: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        match found {
            Ok(found) => found,
            Err(error) if error.is_retryable() => cached(),
            Err(error) => {
                self.close_if_unusable(handle, &error);
                self.record_failure(&error);
                cached()
            }
        }
    }
}
