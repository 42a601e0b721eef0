//! A store that cannot be used: since when, what has been said about it, and when to try again.

use std::time::{Duration, Instant};

use super::Session;
use crate::error::Error;

/// How long a locked file is left alone before it is tried again.
const LOCKED_RETRY: Duration = Duration::from_millis(100);
/// How long a file that cannot be written is left alone, the first and the last times.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// When a locked file is first worth a warning, and how often after that.
const WARN_AFTER: Duration = Duration::from_secs(5);
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Since when the file could not be written, and what has been said about it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    warned: Option<Instant>,
    delay: Duration,
}

impl Trouble {
    /// After how long the writer is to try again.
    pub(super) fn next_delay(&mut self, error: &Error) -> Duration {
        if matches!(error, Error::Locked { .. }) {
            return LOCKED_RETRY;
        }
        self.delay = (self.delay * 2).clamp(RETRY.0, RETRY.1);
        self.delay
    }
}

impl Session {
    /// Remembers that the store could not be used, and says so when it is due.
    pub(super) fn note_trouble(&self, error: &Error) {
        let mut state = self.state();
        let now = Instant::now();
        let what = state.journal.describe();
        let trouble = &mut state.trouble;
        let since = *trouble.since.get_or_insert(now);
        if matches!(error, Error::Locked { .. }) {
            let due = trouble.warned.map_or(since + WARN_AFTER, |at| at + WARN_EVERY);
            if now >= due {
                trouble.warned = Some(now);
                let seconds = (now - since).as_secs();
                log::warn!("{error}; unsaved for {seconds} s: {what}; they are kept in memory until it is free");
            }
        } else if trouble.warned.is_none() {
            trouble.warned = Some(now);
            if what.is_empty() {
                log::error!("{error}; what is in memory is answered from there");
            } else {
                log::error!("{error}; unsaved: {what}; they are kept in memory, and writing is tried again");
            }
        }
    }

    pub(super) fn note_success(&self) {
        let trouble = std::mem::take(&mut self.state().trouble);
        if let (Some(since), Some(_)) = (trouble.since, trouble.warned) {
            let name = self.location.as_ref().map(|location| location.name()).unwrap_or_default();
            log::warn!("{name} can be written again, after {} s; everything is saved", since.elapsed().as_secs());
        }
    }
}
