//! The server: what it stores, and how it carries out what reaches it.

use crate::guards::{Guard, Guards};
use crate::history::History;

/// How many sessions there are at most, one after another, in one process.
pub const LIVES: usize = 2;

/// The key of the login that is stored in the beginning. 0 is none.
pub const FIRST_KEY: u8 = 1;

/// One session: the index of the process, and how often it was started before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writer {
    /// The index of the process.
    pub process: u8,
    /// How often its session was opened before.
    pub life: u8,
}

/// A lease of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leased {
    /// Its number, which the server compares; 0 without a lease.
    pub fence: u8,
    /// How many leases were granted before and with it. Only the properties use it.
    pub grant: u8,
}

/// An entity's row: who has written it, and which version of the entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// The session that has written it.
    pub writer: Writer,
    /// The version.
    pub version: u8,
}

/// What a session sends to the server. It arrives at any time, or never.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// A commit.
    Write {
        /// The session.
        writer: Writer,
        /// The number of the attempt.
        attempt: u8,
        /// Its lease.
        leased: Leased,
        /// The version of the entity; 0 if it is not written.
        version: u8,
        /// The login, if it is written.
        login: Option<Login>,
    },
    /// The deletion of everything, if the login is one of these.
    Delete {
        /// The session.
        writer: Writer,
        /// The number of the attempt.
        attempt: u8,
        /// The keys that the session knows as its own.
        own_keys: [u8; 2],
        /// The version of the entity then.
        version: u8,
    },
    /// The question for the lease.
    Acquire(Writer),
    /// The renewal of a lease.
    Renew(Writer, Leased),
    /// The end of a lease.
    Release(Leased),
}

/// A login that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Login {
    /// Its key.
    pub key: u8,
    /// The key that it may replace.
    pub expected: u8,
    /// Whether the session has only read it. Only the properties use it.
    pub is_only_read: bool,
}

/// What the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// Nothing is written because this login is stored.
    Conflict(u8),
    /// Nothing is written because another session has, or had, the lease since.
    Fenced,
    /// Nothing is written because a later attempt was carried out.
    Late,
    /// The lease is taken.
    Taken(Leased),
    /// Another session has the lease, or the question is not for one.
    None,
}

/// What the server stores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// The entity.
    pub row: Option<Row>,
    /// The key of the login.
    pub key: u8,
    /// The highest fence.
    pub fence: u8,
    /// The fence of the lease that stands by the server's clock; 0 if none does.
    pub lease: u8,
    /// The number of the last attempt of each session that was carried out.
    pub attempts: [[u8; LIVES]; 2],
}

impl Default for Server {
    fn default() -> Self {
        Self { row: None, key: FIRST_KEY, fence: 0, lease: 0, attempts: Default::default() }
    }
}

impl Server {
    /// Carries a message out, as a whole.
    pub fn carry_out(&mut self, message: &Message, guards: Guards, history: &mut History) -> Answer {
        match *message {
            Message::Write { writer, attempt, leased, version, login } => {
                let refusal = self.refusal(writer, attempt, leased, login, guards);
                if let Some(refusal) = refusal {
                    return refusal;
                }
                history.note_write(self, message);
                if version > 0 {
                    self.row = Some(Row { writer, version });
                }
                self.key = login.map_or(self.key, |login| login.key);
                self.note(writer, attempt);
                Answer::Done
            }
            Message::Delete { writer, attempt, own_keys, .. } => {
                if guards.has(Guard::Numbered) && attempt < *self.last_attempt(writer) {
                    return Answer::Late;
                }
                if self.key != 0 && !own_keys.contains(&self.key) {
                    return Answer::None;
                }
                history.note_delete(self, message);
                (self.row, self.key) = (None, 0);
                if !guards.has(Guard::LastingFence) {
                    (self.fence, self.lease) = (0, 0);
                }
                self.note(writer, attempt);
                Answer::Done
            }
            Message::Acquire(_) => {
                if guards.has(Guard::ServerClock) && self.lease > 0 {
                    return Answer::None;
                }
                let rises = guards.has(Guard::RisingFence) || self.fence == 0;
                self.fence += u8::from(rises);
                let leased = Leased { fence: self.fence, grant: history.note_grant(self.lease > 0) };
                self.lease = leased.fence;
                Answer::Taken(leased)
            }
            Message::Renew(_, leased) => {
                if guards.has(Guard::CheckedRenewal) && leased.fence < self.fence {
                    return Answer::None;
                }
                history.note_renewal(self.lease > 0, leased);
                (self.fence, self.lease) = (leased.fence, leased.fence);
                Answer::None
            }
            Message::Release(leased) => {
                if self.lease == leased.fence {
                    self.lease = 0;
                }
                Answer::None
            }
        }
    }

    fn last_attempt(&mut self, Writer { process, life }: Writer) -> &mut u8 {
        &mut self.attempts[usize::from(process)][usize::from(life)]
    }

    fn note(&mut self, writer: Writer, attempt: u8) {
        let last = self.last_attempt(writer);
        *last = attempt.max(*last);
    }

    fn refusal(
        &mut self,
        writer: Writer,
        attempt: u8,
        leased: Leased,
        login: Option<Login>,
        guards: Guards,
    ) -> Option<Answer> {
        let last_attempt = *self.last_attempt(writer);
        if guards.has(Guard::Fence) && leased.fence > 0 && leased.fence < self.fence {
            return Some(Answer::Fenced);
        }
        if guards.has(Guard::Numbered) && attempt < last_attempt {
            return Some(Answer::Late);
        }
        let Login { key, expected, .. } = login?;
        let is_expected = self.key == expected || self.key == key || !guards.has(Guard::ComparedLogin);
        (!is_expected).then_some(Answer::Conflict(self.key))
    }
}
