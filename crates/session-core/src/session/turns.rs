//! Fairness to other programs: how long transactions may keep a file, and when to pause.
//!
//! SQLite has no queue for a lock. A connection that finds the file locked polls after 1, 2, 5, 10
//! ms and so on, finally every 100 ms, until its timeout has passed: five seconds in Python, and so
//! in Telethon. Transactions that follow each other at once leave it gaps of about a millisecond,
//! all of which it may miss.

use std::time::{Duration, Instant};

/// The length of a pause: longer than SQLite sleeps between two polls.
const PAUSE: Duration = Duration::from_millis(120);
/// How long transactions may follow each other without a pause. Pauses cost a session that writes
/// all the time a twentieth of the time.
const RUN: Duration = Duration::from_secs(2);
/// The same while other connections write. Several may wait for each pause, and one gets it.
const RUN_AMONG_OTHERS: Duration = Duration::from_millis(500);
/// How long another connection counts as writing after it has written.
const OTHERS_RECENT: Duration = Duration::from_secs(10);
/// How long a transaction takes in changes. A longer one would write less, because a page that
/// changes twice is written once; but five seconds must be enough for two of them and a pause.
pub(super) const LONGEST: Duration = Duration::from_millis(500);

/// When a session had the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    /// The begin of the first transaction since the last pause, and the end of the last
    /// transaction.
    run: Option<(Instant, Instant)>,
    /// When another connection was last found to have written.
    others: Option<Instant>,
}

impl Turns {
    /// Notes a transaction that ends now.
    pub(super) fn add(&mut self, begun: Instant) {
        self.add_between(begun, Instant::now());
    }

    fn add_between(&mut self, begun: Instant, ended: Instant) {
        let first =
            self.run.filter(|(_, last)| begun.saturating_duration_since(*last) < PAUSE).map_or(begun, |run| run.0);
        self.run = Some((first, ended));
    }

    /// Notes that other connections write.
    pub(super) fn note_other_writers(&mut self) {
        self.others = Some(Instant::now());
    }

    /// Returns how long to pause before the next transaction.
    pub(super) fn pause(&self) -> Duration {
        self.pause_at(Instant::now())
    }

    fn pause_at(&self, now: Instant) -> Duration {
        let are_others_near = self.others.is_some_and(|at| now.saturating_duration_since(at) < OTHERS_RECENT);
        let run = if are_others_near { RUN_AMONG_OTHERS } else { RUN };
        match self.run {
            Some((first, last)) if now.saturating_duration_since(first) >= run => {
                PAUSE.saturating_sub(now.saturating_duration_since(last))
            }
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates ten seconds of transactions as close together as allowed. Returns the longest run,
    /// the shortest pause, and the transactions' share of the time in percent.
    fn ten_seconds(mut turns: Turns, transaction: Duration) -> (Duration, Duration, u128) {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(10);
        let (mut now, mut busy, mut run_since) = (begin, Duration::ZERO, begin);
        let (mut longest, mut shortest) = (Duration::ZERO, Duration::MAX);
        while now < end {
            let pause = turns.pause_at(now);
            if pause.is_zero() {
                turns.add_between(now, now + transaction);
                now += transaction;
                busy += transaction;
                longest = longest.max(now - run_since);
            } else {
                shortest = shortest.min(pause);
                now += pause;
                run_since = now;
            }
        }
        (longest, shortest, 100 * busy.as_millis() / (now - begin).as_millis())
    }

    #[test]
    fn a_waiting_connection_gets_the_file_before_its_timeout() {
        let among_others = Turns { others: Some(Instant::now() + Duration::from_hours(1)), ..Turns::default() };
        for milliseconds in [1, 7, 100, 500] {
            let transaction = Duration::from_millis(milliseconds);
            for (turns, run, least) in [(Turns::default(), RUN, 94), (among_others, RUN_AMONG_OTHERS, 80)] {
                let (longest, shortest, share) = ten_seconds(turns, transaction);
                assert!(longest < run + transaction);
                assert_eq!(shortest, PAUSE);
                assert!(share >= least, "{share}");
            }
        }
    }

    #[test]
    fn occasional_writes_never_pause() {
        let begin = Instant::now();
        let mut turns = Turns::default();
        for n in 0..100 {
            let now = begin + Duration::from_millis(500) * n;
            assert_eq!(turns.pause_at(now), Duration::ZERO);
            turns.add_between(now, now + Duration::from_millis(300));
        }
    }
}
