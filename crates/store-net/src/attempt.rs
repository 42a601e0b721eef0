//! Numbers of the attempts of a session to write to its server.
//!
//! An attempt that was given up, because its connection broke or the server did not answer in time,
//! may still be on its way. A driver whose server carries out late messages has it refuse those that
//! are older than the last one it has carried out for the same writer.

use session_core::fork;

/// One attempt to write or delete. The default one has no writer, and is never late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Chosen at random for each session that is open in a process; 0 for none.
    pub writer: u64,
    /// Higher than that of the writer's attempt before.
    pub number: u64,
}

/// The attempts of a session. Held while one of them is under way, so that each begins after the end
/// of the one before.
#[derive(Debug)]
pub(crate) struct Attempts {
    last: Attempt,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self { last: Attempt { writer: random(), number: 0 } }
    }

    /// Returns the next attempt.
    pub(crate) fn next(&mut self) -> Attempt {
        self.last.number += 1;
        self.last
    }
}

/// Returns a random number that is not 0.
pub(crate) fn random() -> u64 {
    // Without a source of randomness, what tells processes apart has to do.
    let fallback = || u64::from(std::process::id()) << 32 ^ fork::generation();
    getrandom::u64().unwrap_or_else(|_| fallback()).max(1)
}
