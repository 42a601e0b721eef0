//! The guards of the protocol, each of which can be taken out.
//!
//! [`Numbered`](Guard::Numbered) makes [`OrderedDeletion`](Guard::OrderedDeletion) unnecessary, but
//! not the other way round: a write that its sender has given up may arrive after a deletion that
//! waited for its end.

/// What keeps the protocol safe. A session is one opening of an account by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The server refuses a write whose fence is lower than one that it knows.
    Fence,
    /// Each lease has a higher fence than the one before.
    RisingFence,
    /// The server remembers the fence when a session is deleted.
    LastingFence,
    /// The server's clock decides whether a lease has expired, not that of the session that asks.
    ServerClock,
    /// The server renews a lease, or gives an expired one back, only if no other was taken since.
    CheckedRenewal,
    /// The server replaces a login only if it is the one that the session expects.
    ComparedLogin,
    /// After a conflict the session decides again whether it may write its login.
    RecheckedLogin,
    /// What a failed write had taken is dirty again.
    Restore,
    /// A deletion is sent when no write of the session is under way.
    OrderedDeletion,
    /// Writes and deletions of a session are numbered, and the server refuses one that is older than
    /// the last one that it carried out. Where a write is a transaction, its locks do that.
    Numbered,
    /// A key that was on the server once, or may have been because there was no answer, is not a new
    /// login.
    LoginOnce,
}

/// The guards that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards(u16);

impl Guards {
    /// All guards.
    pub const ALL: Self = Self(u16::MAX);

    /// Returns these guards without one.
    #[must_use]
    pub const fn without(self, guard: Guard) -> Self {
        Self(self.0 & !(1 << guard as u16))
    }

    /// Returns `true` if a guard is in force.
    #[must_use]
    pub const fn has(self, guard: Guard) -> bool {
        self.0 & (1 << guard as u16) != 0
    }
}
