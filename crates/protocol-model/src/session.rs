//! A session: what it keeps in memory, what of that is dirty, and the one write that is under way.

use crate::guards::{Guard, Guards};
use crate::history::History;
use crate::server::{Answer, FIRST_KEY, Leased, Login, Message, Writer};

/// What a session has sent and not heard of yet. There is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    /// The number of the attempt.
    pub attempt: u8,
    /// The version of the entity that it writes; 0 if none.
    version: u8,
    /// The key of the login that it writes; 0 if none.
    key: u8,
    /// Whether the session was deleted since, so that its end changes nothing.
    is_forgotten: bool,
    /// The answer that has arrived.
    pub answer: Option<Answer>,
}

/// A session of a process.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// Who it is.
    pub writer: Writer,
    /// Whether it is open.
    pub is_open: bool,
    /// Whether it waits for an answer to its question for the lease.
    pub is_asking: bool,
    /// The version of its entity; 0 if it has none.
    pub version: u8,
    is_dirty: bool,
    key: u8,
    is_login_dirty: bool,
    /// A key that may have been written: there was no answer. 0 if there is none.
    unsure_key: u8,
    /// The key that was read when the session was opened.
    read_key: u8,
    /// The key that was last seen in the store by the core, or written to it.
    stored_key: u8,
    /// The key that the server has, as far as the store knows.
    known_key: u8,
    /// Its lease.
    pub leased: Leased,
    /// Whether it has learnt that its lease is over.
    is_lost: bool,
    /// Whether it was refused because another login is stored.
    is_refused: bool,
    attempts: u8,
    /// The highest version that it need not write any more, because it was deleted.
    pub deleted_version: u8,
    /// The keys of a deletion that has not been sent yet.
    deletion: Option<[u8; 2]>,
    /// What is under way.
    pub flight: Option<Flight>,
}

impl Session {
    /// Returns a session that is not open.
    #[must_use]
    pub fn closed(writer: Writer) -> Self {
        Self {
            writer,
            is_open: false,
            is_asking: false,
            version: 0,
            is_dirty: false,
            key: 0,
            is_login_dirty: false,
            unsure_key: 0,
            read_key: 0,
            stored_key: 0,
            known_key: 0,
            leased: Leased { fence: 0, grant: 0 },
            is_lost: false,
            is_refused: false,
            attempts: 0,
            deleted_version: 0,
            deletion: None,
            flight: None,
        }
    }

    /// Opens it on what is stored.
    pub fn open(&mut self, stored_key: u8, leased: Leased) {
        (self.is_open, self.is_asking, self.leased) = (true, false, leased);
        (self.key, self.read_key, self.stored_key, self.known_key) = (stored_key, stored_key, stored_key, stored_key);
    }

    /// Returns `true` if nothing is dirty or under way.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        !self.is_dirty && !self.is_login_dirty && self.flight.is_none() && self.deletion.is_none()
    }

    /// Returns `true` if it writes nothing more, and has told its user so.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.is_lost || self.is_refused
    }

    /// Returns `true` if the server has everything that it was to have.
    #[must_use]
    pub fn has_stored_everything(&self, written: u8, history: &History) -> bool {
        let has_login = self.key == 0 || history.had_key(self.key);
        self.is_saved() && has_login && (written >= self.version || self.version <= self.deleted_version)
    }

    /// Changes the entity.
    pub fn change(&mut self) {
        self.version += 1;
        self.is_dirty = true;
    }

    /// Signs in: no other session knows this key.
    pub fn log_in(&mut self) {
        self.set_login(FIRST_KEY + 1 + self.writer.process);
    }

    /// Sets the login with the key that it has already, for example because a takeout begins.
    pub fn set_login_again(&mut self) {
        self.set_login(self.key);
    }

    fn set_login(&mut self, key: u8) {
        (self.key, self.is_login_dirty) = (key, true);
    }

    /// Returns `true` if something can be sent.
    #[must_use]
    pub fn can_post(&self) -> bool {
        let is_free = self.is_open && self.flight.is_none() && self.deletion.is_none() && !self.has_given_up();
        is_free && (self.is_dirty || self.is_login_dirty)
    }

    /// Takes what is dirty and returns it as a message, unless its login must not be written.
    pub fn post(&mut self, guards: Guards) -> Option<Message> {
        if self.is_login_dirty && guards.has(Guard::RecheckedLogin) && !self.may_write_login(guards) {
            self.is_refused = true;
            return None;
        }
        self.attempts += 1;
        let (attempt, key, expected) = (self.attempts, self.key, self.known_key);
        let login = self.is_login_dirty.then_some(Login { key, expected, is_only_read: key == self.read_key });
        let version = if self.is_dirty { self.version } else { 0 };
        let key = login.map_or(0, |login| login.key);
        self.flight = Some(Flight { attempt, version, key, is_forgotten: false, answer: None });
        (self.is_dirty, self.is_login_dirty) = (false, false);
        Some(Message::Write { writer: self.writer, attempt, leased: self.leased, version, login })
    }

    /// `StoredLogin::may_write`. The last login wins, but a key that was only read is not a login.
    fn may_write_login(&self, guards: Guards) -> bool {
        let (found, key) = (self.known_key, self.key);
        let was_stored = guards.has(Guard::LoginOnce) && (key == self.stored_key || key == self.unsure_key);
        let is_new = key != self.read_key && !was_stored;
        found == 0 || found == key || found == self.stored_key || is_new
    }

    /// Ends what is under way with the answer that has arrived, or without one.
    pub fn end(&mut self, guards: Guards, history: &mut History) {
        let Some(flight) = self.flight.take().filter(|flight| !flight.is_forgotten) else { return };
        match flight.answer {
            Some(Answer::Done) if flight.key > 0 => {
                (self.known_key, self.stored_key, self.unsure_key) = (flight.key, flight.key, 0);
                history.note_saved_login(flight.key);
            }
            Some(Answer::Done) => {}
            Some(Answer::Conflict(found)) => {
                self.known_key = found;
                self.restore(flight, guards);
            }
            Some(Answer::Fenced) => {
                self.is_lost = true;
                self.restore(flight, guards);
            }
            _ => {
                self.restore(flight, guards);
                if flight.key > 0 {
                    self.unsure_key = flight.key;
                }
            }
        }
        if self.is_saved() && self.version > self.deleted_version {
            history.note_saved(self.writer, self.version);
        }
    }

    fn restore(&mut self, flight: Flight, guards: Guards) {
        if guards.has(Guard::Restore) {
            self.is_dirty |= flight.version > 0;
            self.is_login_dirty |= flight.key > 0;
        }
    }

    /// Deletes the session: forgets what is dirty and under way, and has the deletion sent.
    pub fn delete(&mut self) {
        self.deletion = Some([self.key, self.stored_key]);
        (self.is_dirty, self.is_login_dirty, self.unsure_key) = (false, false, 0);
        (self.key, self.read_key, self.stored_key, self.known_key) = (0, 0, 0, 0);
        self.deleted_version = self.version;
        if let Some(flight) = &mut self.flight {
            flight.is_forgotten = true;
        }
    }

    /// Returns `true` if a deletion can be sent.
    #[must_use]
    pub fn can_send_deletion(&self, guards: Guards) -> bool {
        self.deletion.is_some() && (self.flight.is_none() || !guards.has(Guard::OrderedDeletion))
    }

    /// Returns the deletion as a message.
    pub fn send_deletion(&mut self) -> Option<Message> {
        let own_keys = self.deletion.take()?;
        self.attempts += 1;
        let attempt = self.attempts;
        self.flight = Some(Flight { attempt, version: 0, key: 0, is_forgotten: true, answer: None });
        Some(Message::Delete { writer: self.writer, attempt, own_keys, version: self.deleted_version })
    }
}
