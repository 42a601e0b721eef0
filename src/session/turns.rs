//! Fairness to other programs: how long transactions may keep the file, and when it is left alone.
//!
//! SQLite has no queue for a lock. A connection that finds the file locked looks again after 1, 2,
//! 5, 10 ms and so on, in the end every 100 ms, until its timeout is over: five seconds in Python,
//! and so in Telethon. Transactions that follow each other at once leave it gaps of a millisecond
//! or so, which it may miss all that time.

use std::time::{Duration, Instant};

/// How long the file is left alone: longer than SQLite sleeps between two looks.
const GAP: Duration = Duration::from_millis(120);
/// How long transactions may follow each other without such a gap. It costs a session that writes
/// all the time a twentieth of it.
const RUN: Duration = Duration::from_secs(2);
/// The same while others write. Several of them may want each gap, and not all can have it.
const RUN_AMONG_OTHERS: Duration = Duration::from_millis(500);
/// How long others are counted on after they have written.
const OTHERS_STAY: Duration = Duration::from_secs(10);
/// How long a transaction takes in changes. A longer one would write less, as pages that are
/// changed twice are written once; but five seconds must be enough for two of them and a gap.
pub(super) const LONGEST: Duration = Duration::from_millis(500);

/// When a session had the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    /// The begin of the first transaction since the last gap, and the end of the last transaction.
    run: Option<(Instant, Instant)>,
    /// When it was last found that others had written.
    others: Option<Instant>,
}

impl Turns {
    /// Remembers a transaction that ends now.
    pub(super) fn add(&mut self, begun: Instant) {
        self.add_between(begun, Instant::now());
    }

    fn add_between(&mut self, begun: Instant, ended: Instant) {
        let first =
            self.run.filter(|(_, last)| begun.saturating_duration_since(*last) < GAP).map_or(begun, |run| run.0);
        self.run = Some((first, ended));
    }

    /// Remembers that others write to the file.
    pub(super) fn see_others(&mut self) {
        self.others = Some(Instant::now());
    }

    /// Returns how long the file is to be left alone before the next transaction.
    pub(super) fn rest(&self) -> Duration {
        self.rest_at(Instant::now())
    }

    fn rest_at(&self, now: Instant) -> Duration {
        let are_others_near = self.others.is_some_and(|at| now.saturating_duration_since(at) < OTHERS_STAY);
        let run = if are_others_near { RUN_AMONG_OTHERS } else { RUN };
        match self.run {
            Some((first, last)) if now.saturating_duration_since(first) >= run => {
                GAP.saturating_sub(now.saturating_duration_since(last))
            }
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds of transactions of one length, as close together as they may be: the longest run, the
    /// shortest of the gaps between runs, and the share of the time that is left to transactions.
    fn ten_seconds(mut turns: Turns, transaction: Duration) -> (Duration, Duration, u128) {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(10);
        let (mut now, mut busy, mut run_since) = (begin, Duration::ZERO, begin);
        let (mut longest, mut shortest) = (Duration::ZERO, Duration::MAX);
        while now < end {
            let rest = turns.rest_at(now);
            if rest.is_zero() {
                turns.add_between(now, now + transaction);
                now += transaction;
                busy += transaction;
                longest = longest.max(now - run_since);
            } else {
                shortest = shortest.min(rest);
                now += rest;
                run_since = now;
            }
        }
        (longest, shortest, 100 * busy.as_millis() / (now - begin).as_millis())
    }

    #[test]
    fn a_waiting_connection_gets_in_well_before_its_timeout() {
        let among_others = Turns { others: Some(Instant::now() + Duration::from_secs(3600)), ..Turns::default() };
        for milliseconds in [1, 7, 100, 500] {
            let transaction = Duration::from_millis(milliseconds);
            for (turns, run, least) in [(Turns::default(), RUN, 94), (among_others, RUN_AMONG_OTHERS, 80)] {
                let (longest, shortest, share) = ten_seconds(turns, transaction);
                assert!(longest < run + transaction);
                assert_eq!(shortest, GAP);
                assert!(share >= least, "{share}");
            }
        }
    }

    #[test]
    fn who_writes_now_and_then_waits_for_nothing() {
        let begin = Instant::now();
        let mut turns = Turns::default();
        for n in 0..100 {
            let now = begin + Duration::from_millis(500) * n;
            assert_eq!(turns.rest_at(now), Duration::ZERO);
            turns.add_between(now, now + Duration::from_millis(300));
        }
    }
}
